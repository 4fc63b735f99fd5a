"""What lies between the matrix products: layer normalisation, GELU, weighted sums of channels.

Memory bounds it, not arithmetic: for the backward pass layer norm and GELU keep their input (a norm
two numbers of a token more) and compute the rest again (docs/benchmarks.md).
"""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

LAYER_NORM_EPSILON = 1e-6


def rows(x: Array) -> Array:
    """Tokens [..., C] as one matrix [N, C], for the linear layers.

    The same numbers. With several token axes XLA:CPU computes a kernel's gradient from a transposed
    copy of its operand, by its slowest product: a quarter of a train step (docs/benchmarks.md).
    """
    return x.reshape(-1, x.shape[-1])


def channel_sum(x: Array, weights: Array) -> Array:
    """Sum over channels of x [..., C] times `weights` [C], in float32: [..., 1].

    On a CPU a matrix product, which XLA vectorises and a sum over the last axis not; elsewhere a
    reduction, which fuses with what computes x.
    """
    matrix = rows(x).astype(jnp.float32)
    if jax.default_backend() == "cpu":
        total = jnp.matmul(matrix, weights[:, None], precision=jax.lax.Precision.HIGHEST)
    else:
        total = jnp.sum(matrix * weights[None], axis=-1)
    return total.reshape(*x.shape[:-1], 1)


def layer_norm(x: Array, scale: Array, bias: Array) -> Array:
    """Normalises the channels of x [..., C], with float32 statistics, in the dtype of x.

    Ba et al., 2016, eq. 4. Differentiable in reverse mode, as often as wanted; forward mode raises.

    Args:
      scale, bias: [C], applied to the normalised channels.
    """
    return _normalise(rows(x), scale, bias).reshape(x.shape)


@jax.custom_vjp
def _normalise(x: Array, scale: Array, bias: Array) -> Array:
    return _forward(x, scale, bias)[0]


def _forward(x: Array, scale: Array, bias: Array) -> tuple[Array, tuple[Array, ...]]:
    """The answer [N, C], and what its gradient needs: input, mean, 1 / deviation and scale."""
    centred = x.astype(jnp.float32)
    mean = jnp.mean(centred, axis=-1, keepdims=True)
    centred = centred - mean
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    rate = jax.lax.rsqrt(variance + LAYER_NORM_EPSILON)
    answer = centred * rate * scale[None] + bias[None]
    return answer.astype(x.dtype), (x, mean, rate, scale)


def _backward(saved: tuple[Array, ...], gradient: Array) -> tuple[Array, Array, Array]:
    """With n the normalised input and g the gradient of n: (g - mean(g) - n mean(g n)) rate."""
    # The barrier keeps the compiler from holding the normalised input since the forward pass.
    x, mean, rate, gradient = jax.lax.optimization_barrier((*saved[:3], gradient))
    scale, channels = saved[3], x.shape[-1]
    normalised = (x.astype(jnp.float32) - mean) * rate
    gradient = gradient.astype(jnp.float32)
    product = gradient * normalised
    inner = gradient * scale[None]
    inner -= channel_sum(gradient, scale) / channels
    inner -= normalised * (channel_sum(product, scale) / channels)
    return (inner * rate).astype(x.dtype), product.sum(axis=0), gradient.sum(axis=0)


_normalise.defvjp(_forward, _backward)


@jax.checkpoint
def gelu(x: Array) -> Array:
    """Exact GELU, x Phi(x); in float32 by erf, as PyTorch computes it.

    `jax.nn.gelu` is by erfc, which half precision needs in the tail, and which takes 2.5 times as
    long on a CPU. Between -8 and 8 it is within 4e-7 of float64, this within 1.1e-6.
    """
    if x.dtype != jnp.float32:
        return jax.nn.gelu(x, approximate=False)
    return 0.5 * x * (1 + jax.lax.erf(x * np.float32(0.5**0.5)))
