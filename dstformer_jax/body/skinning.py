"""Linear-blend skinning: bone transforms, vertices, and joints without posing vertices.

`xp` is numpy or jax.numpy. Leading axes `...` are free (clips, frames); B bones, S shape and P
pose coefficients, V vertices, J joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

Array = Any


def chain(turns: Array, rest: Array, parents: np.ndarray, xp: ModuleType) -> tuple[Array, Array]:
    """Rotations `[..., B, 3, 3]` and places `[..., B, 3]` of posed bones in the world.

    Args:
      turns: each bone's rotation relative to its parent, `[..., B, 3, 3]`.
      rest: where the bones are at rest, `[..., B, 3]`.
      parents: int [B], a bone's parent before it, -1 for the one root.
      xp: numpy or jax.numpy.
    """
    levels = _levels(parents)
    turned, placed = [turns[..., levels[0], :, :]], [rest[..., levels[0], :]]
    for above, level in pairwise(levels):
        parent = parents[level]
        where = [above.index(bone) for bone in parent]
        frame = turned[-1][..., where, :, :]
        step = rest[..., level, :] - rest[..., parent, :]
        placed.append(placed[-1][..., where, :] + _apply(frame, step))
        turned.append(_compose(frame, turns[..., level, :, :]))
    order = np.argsort(np.concatenate(levels))
    return (
        xp.concatenate(turned, axis=-3)[..., order, :, :],
        xp.concatenate(placed, axis=-2)[..., order, :],
    )


def _levels(parents: np.ndarray) -> list[list[int]]:
    """Bones by their distance from the root: what a level needs is in the one before it."""
    depth = np.zeros(len(parents), int)
    for bone in range(1, len(parents)):
        depth[bone] = depth[parents[bone]] + 1
    return [np.flatnonzero(depth == level).tolist() for level in range(depth.max() + 1)]


# Products of 3x3 matrices as sums: XLA fuses them, where a batched matmul calls a routine for each.
def _compose(first: Array, second: Array) -> Array:
    return (first[..., :, :, None] * second[..., None, :, :]).sum(-2)


def _apply(matrix: Array, vector: Array) -> Array:
    return (matrix * vector[..., None, :]).sum(-1)


def pose_feature(turns: Array, xp: ModuleType) -> Array:
    """What bends the surface: R - I of all bones but the root. `[..., B, 3, 3]` -> `[..., P]`."""
    eye = xp.asarray(np.eye(3), dtype=turns.dtype)
    moved = turns[..., 1:, :, :] - xp.broadcast_to(eye, turns[..., 1:, :, :].shape)
    return moved.reshape(*turns.shape[:-3], -1)


@dataclass(frozen=True, eq=False)
class JointBody:
    """A body reduced to its joints.

    Skinned vertices are linear in the rest surface, and joints are linear in the vertices, so the
    sum over vertices is done once per body: of every joint j and bone k remains one point (and one
    mass) that the bone carries. Equal to regressor @ vertices.

    parents [B]; bones [B, 3, 1 + S]: where the bones are at rest, for (1, shape); mass [J, B];
    points [J, B, 3, 1 + S + P]: what bone k carries of joint j, for (1, shape, pose feature); the
    last P may be left out where the pose does not bend the surface.
    """

    parents: np.ndarray
    bones: np.ndarray
    mass: np.ndarray
    points: np.ndarray

    def joints(self, turns: Array, shape: Array, xp: ModuleType = np) -> Array:
        """Joints `[..., J, 3]` of rotations `[..., B, 3, 3]` and shape `[..., S]`."""
        factors = xp.concatenate([xp.ones_like(shape[..., :1]), shape], axis=-1)
        rest = xp.einsum("bcs,...s->...bc", self._cast(self.bones, turns, xp), factors)
        turned, placed = chain(turns, rest, self.parents, xp)
        if self.points.shape[-1] > factors.shape[-1]:
            factors = xp.concatenate([factors, pose_feature(turns, xp)], axis=-1)
        points, mass = (self._cast(array, turns, xp) for array in (self.points, self.mass))
        size = points.shape
        carried = (factors @ points.reshape(-1, size[-1]).T).reshape(*shape.shape[:-1], *size[:3])
        # A point p of bone k goes to R_k (p - rest_k) + placed_k.
        moved = xp.einsum("...kab,...jkb->...ja", turned, carried)
        offset = placed - _apply(turned, rest)
        return moved + xp.einsum("jk,...ka->...ja", mass, offset)

    def _cast(self, array: np.ndarray, like: Array, xp: ModuleType) -> Array:
        return xp.asarray(array, dtype=like.dtype)


def reduce_body(
    basis: np.ndarray,
    bends: np.ndarray,
    weights: np.ndarray,
    bones: np.ndarray,
    parents: np.ndarray,
    regressor: np.ndarray,
) -> JointBody:
    """The reduction of a body to the joints of a regressor, in float64.

    Args:
      basis: surface at rest for (1, shape), `[V, 3, 1 + S]`.
      bends: pose directions `[V, 3, P]`, P = 9 (B - 1) or 0.
      weights: `[V, B]`.
      bones: bones at rest for (1, shape), `[B, 3, 1 + S]`.
      parents: int [B].
      regressor: `[J, V]` over posed vertices, or `[J, V + B]`: over posed bones too.
    """
    vertices, count = weights.shape
    seen = np.flatnonzero(regressor[:, :vertices].any(0))  # regressors are sparse
    part = regressor[:, None, seen] * weights[seen].T
    mass = part.sum(-1)
    points = np.tensordot(part, np.concatenate([basis[seen], bends[seen]], axis=-1), axes=1)
    if regressor.shape[1] > vertices:  # a bone is the point at its own rest place
        own = regressor[:, vertices:]
        mass = mass + own
        points[..., : bones.shape[-1]] += own[:, :, None, None] * bones
    if mass.shape != (len(regressor), count):
        raise ValueError(
            f"got a regressor of {regressor.shape} for {vertices} vertices and {count} bones, "
            "expected [J, vertices] or [J, vertices + bones]"
        )
    return JointBody(np.asarray(parents), bones, mass, points)
