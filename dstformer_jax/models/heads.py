"""Heads: small modules that turn the motion representation E into what a task predicts."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dstformer_jax.models.blocks import Init, kernel_initialiser


class PoseHead(nn.Module):
    """3D pose from E by one linear layer. [B, T, J, dim_rep] -> [B, T, J, 3], float32.

    Source: paper sec. 3.3, "a linear layer" after E; official `head`.
    """

    dim_out: int = 3
    initialiser: Init = "official"

    @nn.compact
    def __call__(
        self, representation: jax.Array, train: bool = False, axis_name: str | None = None
    ) -> jax.Array:
        dense = nn.Dense(
            self.dim_out,
            dtype=jnp.float32,
            kernel_init=kernel_initialiser(self.initialiser),
            name="dense",
        )
        return dense(representation.astype(jnp.float32))
