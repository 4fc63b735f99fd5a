"""Loss terms of body parameters (paper eq. 9 and 10), beside those of joints in `losses`.

Rotations are [B, T, N, 3, 3] of N bones. `mean` as in `losses`. Source: paper sec. 3.4 and
appendix; official MeshLoss: mean errors of rotation matrices, where the paper compares theta.
"""

import jax.numpy as jnp

from dstformer_jax.tasks.losses import Array, Mean, distance, plain_mean

KINDS = ("l1", "mse")


def difference(pred: Array, target: Array, kind: str = "l1", mean: Mean = plain_mean) -> Array:
    """Mean absolute ("l1") or squared ("mse") difference of [B, T, ...]."""
    apart = pred - target
    return mean(jnp.abs(apart) if kind == "l1" else apart * apart)


def rotation(pred: Array, target: Array, kind: str = "l1", mean: Mean = plain_mean) -> Array:
    """Difference of rotation matrices; official loss_pose, L_theta of paper eq. 9."""
    return difference(pred, target, kind, mean)


def parameter_norm(theta: Array, beta: Array, mean: Mean = plain_mean) -> Array:
    """Mean length of (theta, beta) of a frame, paper's L_norm; official loss_norm.

    theta [B, T, 3 N] axis-angles, beta [B, T, S].
    """
    both = jnp.concatenate([theta, beta], axis=-1)
    return mean(distance(both)[..., None])


def parameter_norms(theta: Array, beta: Array, mean: Mean = plain_mean) -> Array:
    """As the paper writes it: the lengths of theta and of beta, added."""
    return mean(distance(theta)[..., None]) + mean(distance(beta)[..., None])


def over_valid(valid: Array, mean: Mean) -> Mean:
    """`mean` without padded frames: of [B, T or T - 1, ...], where valid is bool [B, T]."""

    def scored(values: Array, weight: Array | None = None) -> Array:
        del weight  # terms here weigh frames alone
        both = valid if values.shape[1] == valid.shape[1] else valid[:, 1:] & valid[:, :-1]
        both = both.reshape(*both.shape, *(1,) * (values.ndim - 2))
        return mean(values, jnp.broadcast_to(both, values.shape).astype(jnp.float32))

    return scored
