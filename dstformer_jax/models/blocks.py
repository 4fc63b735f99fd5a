"""The blocks of a stream: attention over joints or frames, MLP, and their residual halves.

Axes: B clips, T frames, J joints, C channels, H heads, D channels of a head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from dstformer_jax.models.functional import gelu, layer_norm, rows

Array = jax.Array
Axis = Literal["spatial", "temporal"]
Norm = Literal["pre", "post"]
Init = Literal["official", "fan_in"]
Implementation = Literal["xla", "cudnn", "auto"]
Layout = Literal["native", "swap"]


@dataclass(frozen=True)
class Options:
    """How a block computes, shared by every module of one backbone."""

    num_heads: int = 8
    mlp_ratio: float = 2.0
    norm: Norm = "pre"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    dtype: Any = jnp.float32
    attention: Implementation = "auto"
    init: Init = "official"
    temporal_layout: Layout = "native"

    def dense(self, features: int, name: str) -> nn.Dense:
        """A linear layer with this backbone's compute dtype and initialisation."""
        return nn.Dense(
            features, dtype=self.dtype, kernel_init=kernel_initialiser(self.init), name=name
        )

    def layer_norm(self, name: str) -> "LayerNorm":
        """A normalisation over channels in this backbone's compute dtype."""
        return LayerNorm(self.dtype, name=name)


class LayerNorm(nn.Module):
    """`layer_norm` with its scale and bias, named as of nn.LayerNorm. [..., C] -> [..., C]."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones_init(), channels)
        bias = self.param("bias", nn.initializers.zeros_init(), channels)
        return layer_norm(x, scale, bias).astype(self.dtype)


def kernel_initialiser(init: Init) -> Callable[..., Array]:
    """Weights N(0, 0.02) as the official code, or with variance 1 / fan_in, by the width."""
    if init == "official":
        return nn.initializers.normal(0.02)
    return nn.initializers.variance_scaling(1.0, "fan_in", "normal")


def embedding_initialiser(init: Init) -> Callable[..., Array]:
    """Position embeddings: N(0, 0.02), or 0.3 so that joints differ from the first step."""
    return nn.initializers.normal(0.02 if init == "official" else 0.3)


def check_motion(motion: Array, num_joints: int, maxlen: int | None = None) -> int:
    """The frames of motion [..., T, J, 3]; ValueError when a backbone cannot take it.

    Args:
      num_joints: joints the backbone is made for.
      maxlen: most frames it is made for; None: any number.
    """
    if motion.ndim < 3 or motion.shape[-2:] != (num_joints, 3):
        raise ValueError(
            f"got motion of shape {motion.shape}, expected [..., T, {num_joints}, 3] "
            "(x, y, confidence)"
        )
    frames = motion.shape[-3]
    if frames < 1 or (maxlen is not None and frames > maxlen):
        raise ValueError(
            f"got {frames} frames, expected 1 to {maxlen or 'any number'} (model.maxlen); "
            "do cut the motion into windows"
        )
    return frames


def attend(
    query: Array,
    key: Array,
    value: Array,
    axis: Axis,
    implementation: Implementation = "xla",
    dropout: Callable[[Array], Array] | None = None,
    swapped: bool = False,
) -> Array:
    """Scaled dot-product attention over joints or over frames.

    Args:
      query, key, value: [B, T, J, H, D], or [B, J, T, H, D] where `swapped`.
      axis: "spatial" mixes the J joints of a frame, "temporal" the T frames of a joint.
      implementation: "xla" (float32 softmax), "cudnn" (bfloat16 on NVIDIA GPUs), or "auto":
        cudnn for temporal attention where it applies. Seventeen joints fill too little of a
        flash-attention tile, so "auto" keeps spatial attention on xla.
      dropout: applied to the attention weights ("xla" only).
      swapped: frames and joints have changed places; answers in the same order.

    Returns:
      [B, T, J, H, D], or [B, J, T, H, D] where `swapped`.

    Raises:
      ValueError: "cudnn" where it cannot run.
    """
    if implementation == "auto":
        flash = axis == "temporal" and _cudnn_applies(query)
        implementation = "cudnn" if flash and dropout is None else "xla"
    inner = (axis == "spatial") != swapped  # the second of the two axes is mixed
    if implementation == "cudnn":
        _check_cudnn(query, dropout)
        return _flash_attention(query, key, value, inner)
    return _softmax_attention(query, key, value, axis, inner, dropout)


def _softmax_attention(
    query: Array,
    key: Array,
    value: Array,
    axis: Axis,
    inner: bool,
    dropout: Callable[[Array], Array] | None,
) -> Array:
    """Attention that stores its weights; products in the arrays' type, the softmax in float32."""
    place = "b t h j d" if inner else "b j h t d"
    query, key, value = (rearrange(x, f"b t j h d -> {place}") for x in (query, key, value))
    logits = jnp.matmul(
        query * query.shape[-1] ** -0.5,
        jnp.swapaxes(key, -1, -2),
        preferred_element_type=jnp.float32,
    )
    # A softmax may divide after mixing: where more is attended to than D, that is less work. Frames
    # mostly are more; their number may be unknown (an exported program takes any).
    total = None
    if axis == "temporal" or logits.shape[-1] > value.shape[-1]:
        weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True)))
        total = weights.sum(axis=-1, keepdims=True)
    else:
        weights = jax.nn.softmax(logits, axis=-1)
    weights = weights.astype(value.dtype)
    if dropout is not None:
        weights = dropout(weights)
    mixed = jnp.matmul(weights, value)
    if total is not None:
        mixed = (mixed.astype(jnp.float32) / total).astype(value.dtype)
    return rearrange(mixed, f"{place} -> b t j h d")


def _cudnn_applies(query: Array) -> bool:
    """cuDNN attention needs an NVIDIA GPU, half precision and a head size divisible by 8."""
    half = query.dtype in (jnp.bfloat16, jnp.float16)
    return jax.default_backend() == "gpu" and half and query.shape[-1] % 8 == 0


def _check_cudnn(query: Array, dropout: Callable[[Array], Array] | None) -> None:
    if dropout is not None or not _cudnn_applies(query):
        raise ValueError(
            f"got model.attention='cudnn' on {jax.default_backend()} for {query.dtype} heads of "
            f"size {query.shape[-1]}{' with attention dropout' * (dropout is not None)}, expected "
            "an NVIDIA GPU, bfloat16, a multiple of 8 and no dropout; do use 'auto'"
        )


def _flash_attention(query: Array, key: Array, value: Array, inner: bool) -> Array:
    """cuDNN's fused attention; it never stores the weights [T, T] (or [J, J])."""
    fold, unfold = (
        ("b t j h d -> (b t) j h d", "(b t) j h d -> b t j h d")
        if inner
        else ("b t j h d -> (b j) t h d", "(b j) t h d -> b t j h d")
    )
    arrays = [rearrange(x, fold) for x in (query, key, value)]
    count, length = arrays[0].shape[:2]
    lengths = None
    if length % 2:  # jax refuses the gradient of odd lengths: one more place, which nobody reads
        arrays = [jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0))) for x in arrays]
        lengths = jnp.full((count,), length, jnp.int32)
    mixed = jax.nn.dot_product_attention(
        *arrays,
        query_seq_lengths=lengths,
        key_value_seq_lengths=lengths,
        implementation="cudnn",
    )
    return rearrange(mixed[:, :length], unfold, b=query.shape[0])


class Attention(nn.Module):
    """Multi-head self-attention over one axis (paper eq. 1-3). [B, T, J, C] -> [B, T, J, C].

    Where `swapped`, [B, J, T, C] -> [B, J, T, C].
    """

    axis: Axis
    options: Options
    swapped: bool = False

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        options, channels = self.options, x.shape[-1]
        heads, size = options.num_heads, channels // options.num_heads
        width = 3 * heads * size
        qkv = options.dense(width, "qkv")(rows(x)).reshape(*x.shape[:-1], width)
        query, key, value = rearrange(qkv, "b t j (three h d) -> three b t j h d", three=3, h=heads)
        dropout = None
        if options.attention_dropout and not deterministic:
            dropout = nn.Dropout(options.attention_dropout, deterministic=False)
        mixed = attend(query, key, value, self.axis, options.attention, dropout, self.swapped)
        mixed = rearrange(mixed, "b t j h d -> b t j (h d)")
        out = options.dense(channels, "proj")(rows(mixed)).reshape(x.shape)
        return nn.Dropout(options.dropout, deterministic=deterministic)(out)


class Mlp(nn.Module):
    """Linear, exact GELU, linear. [B, T, J, C] -> [B, T, J, C]."""

    options: Options

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        options, channels = self.options, x.shape[-1]
        drop = nn.Dropout(options.dropout, deterministic=deterministic)
        hidden = options.dense(int(channels * options.mlp_ratio), "fc1")(rows(x))
        hidden = drop(gelu(hidden))
        return drop(options.dense(channels, "fc2")(hidden).reshape(x.shape))


class Half(nn.Module):
    """One spatial or one temporal half of a stream: attention and, where it has one, an MLP.

    `drop_path` zeroes a whole residual branch of a frame, as the official code does. With
    `temporal_layout="swap"` a temporal half computes in [B, J, T, C], where the frames of a joint
    lie together: the tokens are transposed once in and once out rather than in every product.
    """

    axis: Axis
    options: Options
    drop_path: float = 0.0
    with_mlp: bool = True

    def setup(self) -> None:
        self.swapped = swap = self.axis == "temporal" and self.options.temporal_layout == "swap"
        self.norm_attention = self.options.layer_norm("norm_attention")
        self.attention = Attention(self.axis, self.options, swap)
        if self.with_mlp:
            self.norm_mlp = self.options.layer_norm("norm_mlp")
            self.mlp = Mlp(self.options)
        self.drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 3) if swap else (2, 3))

    def __call__(self, x: Array, deterministic: bool) -> Array:
        x = jnp.swapaxes(x, 1, 2) if self.swapped else x
        x = self._residual(x, self.norm_attention, self.attention, deterministic)
        if self.with_mlp:
            x = self._residual(x, self.norm_mlp, self.mlp, deterministic)
        return jnp.swapaxes(x, 1, 2) if self.swapped else x

    def _residual(self, x: Array, norm: LayerNorm, branch: nn.Module, deterministic: bool) -> Array:
        if self.options.norm == "pre":
            return x + self.drop(branch(norm(x), deterministic), deterministic=deterministic)
        return norm(x + self.drop(branch(x, deterministic), deterministic=deterministic))


class Stream(nn.Module):
    """A spatial and a temporal half in the given order (paper sec. 3.2, one of two streams).

    With `one_mlp` both attentions come first and a single MLP follows (Table 7 d).
    """

    order: Literal["st", "ts"]
    options: Options
    drop_path: float = 0.0
    one_mlp: bool = False

    def setup(self) -> None:
        first_has_mlp = not self.one_mlp
        self.spatial = Half(
            "spatial", self.options, self.drop_path, first_has_mlp or self.order == "ts"
        )
        self.temporal = Half(
            "temporal", self.options, self.drop_path, first_has_mlp or self.order == "st"
        )

    def __call__(self, x: Array, deterministic: bool) -> Array:
        halves = (self.spatial, self.temporal)
        for half in halves if self.order == "st" else reversed(halves):
            x = half(x, deterministic)
        return x
