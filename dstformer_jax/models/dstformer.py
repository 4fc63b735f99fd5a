"""DSTformer: the paper's Figure 2 from top to bottom, and the designs of its Table 7.

Axes: B clips, T frames, J joints, C channels, H heads, D channels of a head.
Layout is [B, T, J, C] throughout: spatial attention mixes J, temporal attention mixes T.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from dstformer_jax.models.blocks import (
    Array,
    Half,
    Implementation,
    Init,
    Layout,
    Norm,
    Options,
    Stream,
    check_motion,
    embedding_initialiser,
)
from dstformer_jax.models.functional import channel_sum

Design = Literal["st", "ts", "parallel", "one_mlp", "average", "adaptive"]
Remat = Literal["none", "layer", "dots"]


@dataclass(frozen=True)
class Sizes:
    """The hyper-parameters that name a model size."""

    dim_feat: int
    dim_rep: int
    depth: int
    num_heads: int
    mlp_ratio: float


SIZES = {
    "full": Sizes(512, 512, 5, 8, 2),
    "lite": Sizes(256, 512, 5, 8, 4),
    "starter": Sizes(192, 192, 5, 6, 2),
    "small": Sizes(128, 128, 4, 8, 2),
    "demo": Sizes(64, 64, 2, 8, 2),
}


class Fusion(nn.Module):
    """Adaptive fusion of two streams, paper eq. 5: per frame and joint weights that sum to one."""

    @nn.compact
    def __call__(self, first: Array, second: Array) -> Array:
        """Blends two [B, T, J, C] with weights [B, T, J, 2], `first` weighted by index 0."""
        logit = FusionLogit(name="weights")(first, second)
        alpha, rest = jax.nn.sigmoid(logit), jax.nn.sigmoid(-logit)
        self.sow("intermediates", "alpha", jnp.concatenate([alpha, rest], axis=-1))
        return (alpha * first + rest * second).astype(first.dtype)


class FusionLogit(nn.Module):
    """How much more the first of two streams [B, T, J, C] counts, in float32: [B, T, J, 1].

    The difference of the two logits, since their softmax is the sigmoid of it. A linear map of both
    streams side by side is the sum of one map each.
    """

    @nn.compact
    def __call__(self, first: Array, second: Array) -> Array:
        channels = first.shape[-1]
        kernel = self.param("kernel", nn.initializers.zeros_init(), (2 * channels, 2))
        bias = self.param("bias", nn.initializers.constant(0.5), (2,))
        of_first, of_second = jnp.split(kernel[:, 0] - kernel[:, 1], 2)
        logit = channel_sum(first, of_first) + channel_sum(second, of_second)
        return logit + (bias[0] - bias[1])


class Layer(nn.Module):
    """One level of the encoder: what Table 7 varies. [B, T, J, C] -> [B, T, J, C]."""

    design: Design
    options: Options
    drop_path: float = 0.0

    def setup(self) -> None:
        design, options, rate = self.design, self.options, self.drop_path
        if design == "parallel":
            self.spatial = Half("spatial", options, rate)
            self.temporal = Half("temporal", options, rate)
        else:
            if design != "ts":
                self.st = Stream("st", options, rate, one_mlp=design == "one_mlp")
            if design not in ("st", "one_mlp"):
                self.ts = Stream("ts", options, rate)
        if design in ("parallel", "adaptive"):
            self.fusion = Fusion()

    def __call__(self, x: Array, deterministic: bool) -> Array:
        if self.design in ("st", "one_mlp"):
            return self.st(x, deterministic)
        if self.design == "ts":
            return self.ts(x, deterministic)
        streams = (self.spatial, self.temporal) if self.design == "parallel" else (self.st, self.ts)
        first, second = (stream(x, deterministic) for stream in streams)
        self.sow("intermediates", "streams", (first, second))
        if self.design == "average":
            return (first + second) * 0.5
        return self.fusion(first, second)


class DSTformer(nn.Module):
    """Dual-stream spatio-temporal transformer (paper sec. 3.2).

    Args:
      dim_feat: channels C of the tokens.
      dim_rep: channels of the motion representation E.
      depth: number of levels N.
      num_heads: attention heads; a head has dim_feat // num_heads channels, so a width that
        the heads do not divide loses the remainder inside attention (6 or 10 heads at 512).
      mlp_ratio: hidden channels of an MLP over dim_feat.
      num_joints, maxlen: sizes of the joint and frame position embeddings; T may be less.
      design: Table 7: "st" (a), "ts" (b), "parallel" (c), "one_mlp" (d), "average" (e),
        "adaptive" (f, the DSTformer).
      norm: "pre" as the official code, "post" as the paper's text.
      dtype: compute dtype; parameters, LayerNorm statistics, softmax and fusion are float32.
      attention: see `attend`.
      temporal_layout: "native" mixes frames where they are, "swap" transposes the tokens once for
        a temporal half (see `Half`). The same numbers; which is faster depends on the machine.
      scan_layers: runs the levels as one `lax.scan`. Parameters stay one subtree a level.
      remat: "layer" recomputes every level in the backward pass, "dots" keeps matrix products.
      initialiser: "official" (normal 0.02), or "fan_in", which follows the width (`init` in a
        config; Flax owns that name here).
      dropout, attention_dropout, drop_path: rates, 0 in every official configuration;
        drop_path grows linearly with depth.

    Source: MotionBERT, ICCV 2023, sec. 3.2; official DSTformer for everything unsaid there.
    """

    dim_feat: int = 512
    dim_rep: int = 512
    depth: int = 5
    num_heads: int = 8
    mlp_ratio: float = 2.0
    num_joints: int = 17
    maxlen: int = 243
    design: Design = "adaptive"
    norm: Norm = "pre"
    dtype: Any = jnp.float32
    attention: Implementation = "auto"
    temporal_layout: Layout = "native"
    scan_layers: bool = False
    remat: Remat = "none"
    initialiser: Init = "official"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0

    def setup(self) -> None:
        self._check_options()
        options = Options(
            self.num_heads,
            self.mlp_ratio,
            self.norm,
            self.dropout,
            self.attention_dropout,
            self.dtype,
            self.attention,
            self.initialiser,
            self.temporal_layout,
        )
        embedding = embedding_initialiser(self.initialiser)
        self.joints_embed = options.dense(self.dim_feat, "joints_embed")
        self.pos_embed = self.param("pos_embed", embedding, (self.num_joints, self.dim_feat))
        self.temp_embed = self.param("temp_embed", embedding, (self.maxlen, self.dim_feat))
        self.pos_drop = nn.Dropout(self.dropout)
        rates = [self.drop_path * i / max(self.depth - 1, 1) for i in range(self.depth)]
        layer = Layer
        if self.remat != "none" and not self.scan_layers:
            layer = nn.remat(Layer, static_argnums=(2,), policy=_remat_policy(self.remat))
        self.layers = [
            layer(self.design, options, rate, name=f"layer_{i}") for i, rate in enumerate(rates)
        ]
        self.norm_out = options.layer_norm("norm")
        self.pre_logits = options.dense(self.dim_rep, "pre_logits")

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
        frames = check_motion(motion, self.num_joints, self.maxlen)
        batch_shape = motion.shape[:-3]
        x = self.joints_embed(motion.reshape(-1, *motion.shape[-3:]))
        x = x + self.pos_embed.astype(x.dtype)[None, None]
        x = x + self.temp_embed[:frames].astype(x.dtype)[None, :, None]
        x = self.pos_drop(x, deterministic=deterministic)
        self.sow("intermediates", "embed", x)
        x = self._levels(x, deterministic)
        x = self.norm_out(x)
        self.sow("intermediates", "final_norm", x)
        x = jnp.tanh(self.pre_logits(x))
        return x.reshape(*batch_shape, *x.shape[1:])

    def _levels(self, x: Array, deterministic: bool) -> Array:
        observed = self.is_mutable_collection("intermediates")
        if self.scan_layers and not self.is_initializing() and not observed:
            return self._scan(x, deterministic)
        for layer in self.layers:
            x = layer(x, deterministic)
        return x

    def _scan(self, x: Array, deterministic: bool) -> Array:
        """The levels as one loop over their stacked parameters; the same numbers as unrolled.

        Drop path rates differ by level and are static, so they rule a scan out (checked).
        """
        layer = Layer(self.design, self.layers[0].options, parent=None)
        trees = [self.variables["params"][f"layer_{i}"] for i in range(self.depth)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
        random = not deterministic and (self.dropout or self.attention_dropout)
        keys = jax.random.split(self.make_rng("dropout"), self.depth) if random else None

        def level(carry: Array, inputs: tuple[Any, Array | None]) -> tuple[Array, None]:
            params, key = inputs
            rngs = None if key is None else {"dropout": key}
            output: Any = layer.apply({"params": params}, carry, deterministic, rngs=rngs)
            return output, None

        if self.remat != "none":
            level = jax.checkpoint(level, policy=_remat_policy(self.remat), prevent_cse=False)
        return jax.lax.scan(level, x, (stacked, keys))[0]

    def _check_options(self) -> None:
        for field, choices in (
            ("design", Design),
            ("norm", Norm),
            ("initialiser", Init),
            ("remat", Remat),
            ("attention", Implementation),
            ("temporal_layout", Layout),
        ):
            got, expected = getattr(self, field), get_args(choices)
            if got not in expected:
                raise ValueError(f"got model.{field}={got!r}, expected one of {expected}")
        if self.dim_feat < self.num_heads:
            raise ValueError(
                f"got model.num_heads={self.num_heads} of {self.dim_feat} channels, expected at "
                "most a head a channel"
            )
        if self.scan_layers and self.drop_path:
            raise ValueError(
                f"got model.scan_layers=True with model.drop_path={self.drop_path}, expected "
                "drop_path 0 under scan (its rate differs by level); do turn one of them off"
            )
        if self.remat != "none" and not self.scan_layers:
            warnings.warn(
                f"model.remat={self.remat!r} saves little memory without model.scan_layers=True: "
                "XLA:CPU computes the levels of an unrolled network again before they are needed",
                stacklevel=2,
            )


def _remat_policy(remat: Remat) -> Callable[..., bool] | None:
    """What the backward pass may keep: nothing of a level, or its weight products."""
    if remat == "dots":
        return jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims
    return None


def fusion_weights(intermediates: dict[str, Any]) -> Array:
    """Fusion weights [depth, B, T, J, 2] (index 0: the spatial-first stream) of one forward pass.

    Args:
      intermediates: the collection returned by `apply(..., mutable="intermediates")`, at the
        level of the backbone.
    """
    levels = sorted(
        (name for name in intermediates if name.startswith("layer_")),
        key=lambda name: int(name.removeprefix("layer_")),
    )
    return jnp.stack([intermediates[name]["fusion"]["alpha"][0] for name in levels])


def encoder_flops(model: DSTformer, frames: int) -> int:
    """Operations of the matrix products of one clip in any design (multiply-add counts two)."""
    c, j, t = model.dim_feat, model.num_joints, frames
    inner = model.num_heads * (c // model.num_heads)
    attention = {
        "spatial": 4 * c * inner + 2 * inner * j,
        "temporal": 4 * c * inner + 2 * inner * t,
    }
    mlp = 2 * c * int(c * model.mlp_ratio)
    both = attention["spatial"] + attention["temporal"] + 2 * mlp
    fusion = 4 * c
    per_level = {
        "st": both,
        "ts": both,
        "parallel": both + fusion,
        "one_mlp": both - mlp,
        "average": 2 * both,
        "adaptive": 2 * both + fusion,
    }[model.design]
    per_token = 3 * c + model.depth * per_level + c * model.dim_rep
    return 2 * per_token * t * j
