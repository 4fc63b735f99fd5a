"""Batch normalisation with PyTorch's running statistics, averaged over every device."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
    """Normalises channels by their statistics over the batch. [N, C] -> [N, C], float32.

    As PyTorch's BatchNorm1d, which Flax's differs from: the running variance is of the unbiased
    estimate. Under pmap the statistics are those of all devices together.

    Attributes:
      momentum: share of the old running statistics that an update keeps (PyTorch's is 1 - this).
      epsilon: added to the variance.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self, x: jax.Array, use_running_average: bool, axis_name: str | None = None
    ) -> jax.Array:
        channels = x.shape[-1]
        x = x.astype(jnp.float32)
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        if use_running_average:
            centre, spread = mean.value, var.value
        else:
            centre, spread, count = _statistics(x, axis_name)
            if not self.is_initializing():
                unbiased = spread * (count / jnp.maximum(count - 1, 1))
                mean.value = self.momentum * mean.value + (1 - self.momentum) * centre
                var.value = self.momentum * var.value + (1 - self.momentum) * unbiased
        inverse = jax.lax.rsqrt(spread + self.epsilon) * scale
        return (x - centre[None]) * inverse[None] + bias[None]


def _statistics(x: jax.Array, axis_name: str | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean and biased variance [C] of the rows of every device, and how many rows there are."""
    count = jnp.asarray(x.shape[0], jnp.float32)
    mean = x.mean(0)
    if axis_name is not None:
        count = jax.lax.psum(count, axis_name)
        mean = jax.lax.pmean(mean, axis_name)
    var = jnp.square(x - mean[None]).mean(0)
    if axis_name is not None:
        var = jax.lax.pmean(var, axis_name)
    return mean, var, count
