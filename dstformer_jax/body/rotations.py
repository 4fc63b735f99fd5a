"""Rotations as vectors (axis times angle), matrices and the 6D form, with finite gradients.

The textbook formulas divide by the angle, and their gradients are NaN at the rest pose; here every
division is by something that is never 0. `xp` is numpy or jax.numpy.
"""

from types import ModuleType
from typing import Any

import numpy as np

from dstformer_jax.body.skeleton import SMPL24

Array = Any
_SMALL = 1e-6  # squared angles below this use the series; its next term is under float32's step
_LOCKED = 1e-7  # cosine of the middle angle below which the outer two turn about one axis


def to_matrix(vectors: Array, xp: ModuleType = np) -> Array:
    """Rotation vectors `[..., 3]` (radians) to matrices `[..., 3, 3]`, by Rodrigues' formula."""
    square = xp.sum(vectors**2, axis=-1)[..., None, None]
    safe = xp.where(square < _SMALL, xp.ones_like(square), square)
    angle = xp.sqrt(safe)
    first = xp.where(square < _SMALL, 1 - square / 6, xp.sin(angle) / angle)
    second = xp.where(square < _SMALL, 0.5 - square / 24, (1 - xp.cos(angle)) / safe)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    zero = xp.zeros_like(x)
    rows = [xp.stack(row, axis=-1) for row in ([zero, -z, y], [z, zero, -x], [-y, x, zero])]
    cross = xp.stack(rows, axis=-2)
    eye = xp.broadcast_to(xp.eye(3, dtype=vectors.dtype), cross.shape)
    return eye + first * cross + second * xp.einsum("...ij,...jk->...ik", cross, cross)


def to_vector(matrices: Array, xp: ModuleType = np) -> Array:
    """Rotation matrices `[..., 3, 3]` to rotation vectors `[..., 3]` of angle 0 to pi."""
    w, imaginary = _quaternion(matrices, xp)
    square = xp.sum(imaginary**2, axis=-1, keepdims=True)
    safe = xp.where(square < _SMALL, xp.ones_like(square), square)
    length = xp.sqrt(safe)
    scale = xp.where(square < _SMALL, 2 - square / 3, 2 * xp.arctan2(length, w) / length)
    return scale * imaginary


def to_quaternion(matrices: Array, xp: ModuleType = np) -> Array:
    """Rotation matrices `[..., 3, 3]` to unit quaternions `[..., 4]` as x, y, z, w with w >= 0."""
    w, imaginary = _quaternion(matrices, xp)
    return xp.concatenate([imaginary, w], axis=-1)


def to_zxy(matrices: np.ndarray) -> np.ndarray:
    """Matrices `[..., 3, 3]` to angles z, x, y `[..., 3]` in radians: R = Rz(z) Rx(x) Ry(y).

    x is from -pi/2 to pi/2. At its ends only z + y or z - y is known, and y is 0.
    """
    across = np.hypot(matrices[..., 2, 0], matrices[..., 2, 2])
    locked = across < _LOCKED
    x = np.arctan2(matrices[..., 2, 1], across)
    z = np.where(
        locked,
        np.arctan2(matrices[..., 1, 0], matrices[..., 0, 0]),
        np.arctan2(-matrices[..., 0, 1], matrices[..., 1, 1]),
    )
    y = np.where(locked, 0.0, np.arctan2(-matrices[..., 2, 0], matrices[..., 2, 2]))
    return np.stack([z, x, y], axis=-1)


def from_six(six: Array, xp: ModuleType = np) -> Array:
    """The 6D form `[..., 6]` to matrices `[..., 3, 3]` (Zhou et al. 2019).

    The six numbers are the first two columns, interleaved as a `[3, 2]` matrix, as in the official
    head; Gram-Schmidt makes them a rotation.
    """
    first = _unit(six[..., 0::2], xp)
    along = xp.sum(first * six[..., 1::2], axis=-1, keepdims=True)
    second = _unit(six[..., 1::2] - along * first, xp)
    third = xp.cross(first, second)
    return xp.stack([first, second, third], axis=-1)


def to_six(matrices: Array) -> Array:
    """Matrices `[..., 3, 3]` to the 6D form `[..., 6]` that `from_six` reads."""
    return matrices[..., :2].reshape(*matrices.shape[:-2], 6)


def nearest(matrices: Array, xp: ModuleType = np) -> Array:
    """The rotations nearest to matrices `[..., 3, 3]`, such as means of rotations."""
    u, _, vt = xp.linalg.svd(matrices)
    sign = xp.sign(xp.linalg.det(u) * xp.linalg.det(vt))[..., None, None]
    last = xp.concatenate([u[..., :2], sign * u[..., 2:]], axis=-1)
    return xp.einsum("...ij,...jk->...ik", last, vt)


def flip_vectors(vectors: Array, xp: ModuleType = np, mirror: np.ndarray = SMPL24.mirror) -> Array:
    """Mirrors poses `[..., B, 3]`: left and right change places, y and z their sign.

    `mirror` int [B] is the bone on the other side, by default SMPL's.
    """
    swapped = xp.take(vectors, mirror, axis=-2)
    return xp.concatenate([swapped[..., :1], -swapped[..., 1:]], axis=-1)


def _unit(vectors: Array, xp: ModuleType) -> Array:
    """Unit vectors; lengths below 1e-6 count as 1e-6, as torch's normalize does."""
    square = xp.sum(vectors**2, axis=-1, keepdims=True)
    floor = xp.asarray(1e-12, dtype=vectors.dtype)
    return vectors / xp.sqrt(xp.maximum(square, floor))


def _quaternion(matrices: Array, xp: ModuleType) -> tuple[Array, Array]:
    """Unit quaternions with w >= 0, as w `[..., 1]` and imaginary part `[..., 3]`.

    Each of the four products with one component is a column read off the matrix; the one with the
    largest component is well conditioned, at half turns too (Shepperd 1978).
    """
    m = [[matrices[..., i, j] for j in range(3)] for i in range(3)]
    xx, yy, zz = m[0][0], m[1][1], m[2][2]
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    products = [
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ]
    table = xp.stack([xp.stack(row, axis=-1) for row in products], axis=-2)
    best = xp.argmax(xp.stack([products[i][i] for i in range(4)], axis=-1), axis=-1)
    chosen = xp.take_along_axis(table, best[..., None, None], axis=-2)[..., 0, :]
    quaternion = chosen / xp.sqrt(xp.sum(chosen**2, axis=-1, keepdims=True))
    sign = xp.where(quaternion[..., :1] < 0, -1, 1).astype(quaternion.dtype)
    return sign * quaternion[..., :1], sign * quaternion[..., 1:]
