"""PoseFormer: joints first, then whole frames, as a backbone (paper Table 6).

Axes: B clips, T frames, J joints, C channels.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dstformer_jax.models.blocks import (
    Array,
    Half,
    Implementation,
    Init,
    Options,
    check_motion,
    embedding_initialiser,
)

# Widths of a joint; a frame is `num_joints` times as wide. "full" and "lite" are the published
# network, the others have about as many parameters as the DSTformer of that size.
SIZES = {
    "full": {"dim_feat": 32, "dim_rep": 512, "depth": 4, "num_heads": 8, "mlp_ratio": 2.0},
    "lite": {"dim_feat": 32, "dim_rep": 512, "depth": 4, "num_heads": 8, "mlp_ratio": 2.0},
    "starter": {"dim_feat": 24, "dim_rep": 192, "depth": 4, "num_heads": 8, "mlp_ratio": 2.0},
    "small": {"dim_feat": 12, "dim_rep": 128, "depth": 4, "num_heads": 4, "mlp_ratio": 2.0},
    "demo": {"dim_feat": 6, "dim_rep": 64, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0},
}


class PoseFormer(nn.Module):
    """A spatial transformer over the joints of a frame, then a temporal one over frames.

    The joints' channels are joined to one token a frame before the temporal blocks, so a frame
    is 17 * 32 = 544 channels wide.

    Differences from the published network: the confidence is an input too; no pooling over
    frames, so every frame keeps its token (published: the middle frame alone is predicted from a
    weighted mean); the last layer gives every joint its `dim_rep` channels, then tanh (published:
    3D joints of one frame), which makes 4.7 of the 14.4 million parameters. With `drop_path` a
    dropped branch of a temporal block is dropped for a frame (published: for a clip).

    Args:
      dim_feat: channels of a joint in the spatial blocks.
      dim_rep: channels of the motion representation E of a joint.
      depth: number of spatial blocks, and of temporal blocks.
      num_heads: attention heads of every block.
      mlp_ratio: hidden channels of an MLP over its input's.
      num_joints, maxlen: sizes of the joint and frame position embeddings; T may be less.
      dtype, attention, initialiser: as of DSTformer.
      dropout, attention_dropout, drop_path: rates; the published training has drop_path 0.1.

    Source: Zheng et al., ICCV 2021, "3D human pose estimation with spatial and temporal
    transformers".
    """

    dim_feat: int = 32
    dim_rep: int = 512
    depth: int = 4
    num_heads: int = 8
    mlp_ratio: float = 2.0
    num_joints: int = 17
    maxlen: int = 243
    dtype: Any = jnp.float32
    attention: Implementation = "auto"
    initialiser: Init = "official"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0

    def setup(self) -> None:
        if not 1 <= self.num_heads <= self.dim_feat:
            raise ValueError(
                f"got model.num_heads={self.num_heads} for {self.dim_feat} channels of a joint "
                f"(model.dim_feat), expected 1 to {self.dim_feat}"
            )
        options = Options(
            num_heads=self.num_heads,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            dtype=self.dtype,
            attention=self.attention,
            init=self.initialiser,
        )
        frame = self.num_joints * self.dim_feat
        embedding = embedding_initialiser(self.initialiser)
        self.joints_embed = options.dense(self.dim_feat, "joints_embed")
        self.pos_embed = self.param("pos_embed", embedding, (self.num_joints, self.dim_feat))
        self.temp_embed = self.param("temp_embed", embedding, (self.maxlen, frame))
        self.pos_drop = nn.Dropout(self.dropout)
        rates = [self.drop_path * i / max(self.depth - 1, 1) for i in range(self.depth)]
        self.spatial = [Half("spatial", options, rate) for rate in rates]
        self.temporal = [Half("temporal", options, rate) for rate in rates]
        self.norm_spatial = options.layer_norm("norm_spatial")
        self.norm_temporal = options.layer_norm("norm_temporal")
        self.pre_logits = options.dense(self.num_joints * self.dim_rep, "pre_logits")

    def __call__(
        self, motion: Array, deterministic: bool = True, axis_name: str | None = None
    ) -> Array:
        """Encodes 2D motion.

        Args:
          motion: [..., T, J, 3] normalised x, y and confidence, T <= maxlen.
          deterministic: False applies dropout and drop path (needs a "dropout" key).
          axis_name: unused; there are no batch statistics.

        Returns:
          Motion representation E [..., T, J, dim_rep], after tanh, in the compute dtype.

        Raises:
          ValueError: a shape that this model cannot take.
        """
        del axis_name
        check_motion(motion, self.num_joints, self.maxlen)
        *batch, frames, joints, _ = motion.shape
        x = self.joints_embed(motion.reshape(-1, frames, joints, 3))
        x = x + self.pos_embed.astype(x.dtype)[None, None]
        x = self.pos_drop(x, deterministic=deterministic)
        for half in self.spatial:
            x = half(x, deterministic)
        # One token a frame: an axis of one joint, so that the temporal blocks are those of blocks.
        x = self.norm_spatial(x).reshape(-1, frames, 1, joints * self.dim_feat)
        x = x + self.temp_embed[:frames].astype(x.dtype)[None, :, None]
        x = self.pos_drop(x, deterministic=deterministic)
        for half in self.temporal:
            x = half(x, deterministic)
        x = jnp.tanh(self.pre_logits(self.norm_temporal(x)))
        return x.reshape(*batch, frames, joints, self.dim_rep)


def encoder_flops(model: PoseFormer, frames: int) -> int:
    """Operations of the matrix products of one clip (multiply-add counts two)."""
    c, j, t = model.dim_feat, model.num_joints, frames
    spatial = _block(model, c, attended=j) * t * j
    temporal = _block(model, c * j, attended=t) * t
    ends = (3 * c + c * j * model.dim_rep) * t * j
    return 2 * (model.depth * (spatial + temporal) + ends)


def _block(model: PoseFormer, channels: int, attended: int) -> int:
    """Multiply-adds of one block for each of its tokens."""
    inner = model.num_heads * (channels // model.num_heads)
    attention = 4 * channels * inner + 2 * inner * attended
    return attention + 2 * channels * int(channels * model.mlp_ratio)
