"""TCN: the dilated temporal convolutions of VideoPose3D as a backbone (paper Table 6).

Axes: B clips, T frames, J joints, C channels.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dstformer_jax.models.batch_norm import BatchNorm
from dstformer_jax.models.blocks import Array, Init, check_motion, kernel_initialiser

KERNEL = 3  # frames of a dilated filter; level i reaches KERNEL**i frames to either side
# "full" and "lite" are the published widths, the others have
# about as many parameters as the DSTformer of that size.
SIZES = {
    "full": {"dim_feat": 1024, "dim_rep": 512, "depth": 5},
    "lite": {"dim_feat": 1024, "dim_rep": 512, "depth": 5},
    "starter": {"dim_feat": 512, "dim_rep": 192, "depth": 5},
    "small": {"dim_feat": 288, "dim_rep": 128, "depth": 5},
    "demo": {"dim_feat": 96, "dim_rep": 64, "depth": 5},
}


def neighbours(x: Array, dilation: int) -> Array:
    """Each frame beside those `dilation` earlier and later: [B, T, C] -> [B, T, 3 * C].

    Before the first frame comes the first again, and the last after the last, so that a person
    standing still is the same at every frame (zeros would look like another posture).
    """
    frames = x.shape[1]
    reach = min(dilation, frames)  # further away there is nothing but the repeated ends
    padded = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)), mode="edge")
    shifted = [padded[:, start : start + frames] for start in (0, reach, 2 * reach)]
    return jnp.concatenate(shifted, axis=-1)


class Filter(nn.Module):
    """A convolution over gathered frames: linear, BatchNorm, ReLU, dropout. [B, T, _] -> C."""

    channels: int
    dropout: float
    dtype: Any
    initialiser: Init

    @nn.compact
    def __call__(self, x: Array, deterministic: bool, axis_name: str | None) -> Array:
        # BatchNorm subtracts what a bias would add.
        kernel = kernel_initialiser(self.initialiser)
        dense = nn.Dense(
            self.channels, use_bias=False, dtype=self.dtype, kernel_init=kernel, name="dense"
        )
        x = dense(x)
        rows = x.reshape(-1, self.channels)
        x = BatchNorm(name="norm")(rows, deterministic, axis_name).reshape(x.shape)
        return nn.Dropout(self.dropout, deterministic=deterministic)(nn.relu(x)).astype(self.dtype)


class TCN(nn.Module):
    """Temporal convolutional network over whole skeletons.

    A first level widens the joints of three frames to C channels; each further level adds a
    dilated filter and a filter of one frame to its input. Level i has dilation 3**i, so a frame
    sees 3**depth frames (243), half of them to come. Any T works, even one frame.

    Differences from the published network: the confidence is an input too; filters are padded
    with the first and last frame, so that T frames stay T frames (published: each level is
    shorter); the last layer gives every joint its `dim_rep` channels, then tanh (published: 3D
    joints), which makes 8.9 of the 25.9 million parameters.

    Args:
      dim_feat: channels C of every level.
      dim_rep: channels of the motion representation E of a joint.
      depth: number of levels.
      num_joints: joints of the input and of E.
      maxlen: longest clip that training and lifting cut; the network itself takes any T.
      dtype: compute dtype; parameters and batch statistics are float32.
      initialiser: "official" or "fan_in", as of DSTformer.
      dropout: after every filter.

    Source: Pavllo et al., CVPR 2019, "3D human pose estimation in video with temporal
    convolutions and semi-supervised training".
    """

    dim_feat: int = 1024
    dim_rep: int = 512
    depth: int = 5
    num_joints: int = 17
    maxlen: int = 243
    dtype: Any = jnp.float32
    initialiser: Init = "official"
    dropout: float = 0.25

    @nn.compact
    def __call__(
        self, motion: Array, deterministic: bool = True, axis_name: str | None = None
    ) -> Array:
        """Encodes 2D motion.

        Args:
          motion: [..., T, J, 3] normalised x, y and confidence, any T.
          deterministic: False applies dropout (needs a "dropout" key) and normalises by the
            statistics of the batch, which then move the running ones.
          axis_name: the pmap axis whose devices share the batch statistics.

        Returns:
          Motion representation E [..., T, J, dim_rep], after tanh, in the compute dtype.

        Raises:
          ValueError: a shape that this model cannot take.
        """
        check_motion(motion, self.num_joints)
        *batch, frames, joints, _ = motion.shape
        x = motion.reshape(-1, frames, joints * 3).astype(self.dtype)
        x = self._filter("expand")(neighbours(x, 1), deterministic, axis_name)
        for i in range(1, self.depth):
            wide = self._filter(f"dilated_{i}")(neighbours(x, KERNEL**i), deterministic, axis_name)
            x = x + self._filter(f"single_{i}")(wide, deterministic, axis_name)
        kernel = kernel_initialiser(self.initialiser)
        pre_logits = nn.Dense(
            joints * self.dim_rep, dtype=self.dtype, kernel_init=kernel, name="pre_logits"
        )
        return jnp.tanh(pre_logits(x)).reshape(*batch, frames, joints, self.dim_rep)

    def _filter(self, name: str) -> Filter:
        return Filter(self.dim_feat, self.dropout, self.dtype, self.initialiser, name=name)


def encoder_flops(model: TCN, frames: int) -> int:
    """Operations of the matrix products of one clip (multiply-add counts two)."""
    c, j = model.dim_feat, model.num_joints
    per_level = (KERNEL + 1) * c * c
    per_frame = KERNEL * 3 * j * c + (model.depth - 1) * per_level + c * j * model.dim_rep
    return 2 * frames * per_frame
