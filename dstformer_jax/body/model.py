"""BodyModel: any linear-blend body (SMPL and others) in JAX: shape, pose, vertices and joints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.skinning import JointBody, chain, pose_feature, reduce_body

CHUNK = 16  # frames whose vertices are posed at once: bounds the memory of large bodies


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A surface on bones: V vertices, B bones, S shape coefficients, J joints. Metres.

    Attributes:
      name: for messages.
      bone_names: B names.
      parents: int [B], a bone's parent before it, -1 for the root, which is bone 0.
      template: surface at rest, [V, 3].
      shapes: shape directions [V, 3, S].
      bends: pose directions [V, 3, 9 (B - 1)]; [V, 3, 0] for a body without them.
      weights: [V, B], rows sum to 1.
      bone_template, bone_shapes: where the bones are at rest: [B, 3], and [B, 3, S] by shape.
      regressor: the 17 joints [J, V] of posed vertices, or [J, V + B] of posed bones too.
      faces: int [F, 3].
      mirror: int [B], the bone on the other side.
    """

    name: str
    bone_names: tuple[str, ...]
    parents: np.ndarray
    template: np.ndarray
    shapes: np.ndarray
    bends: np.ndarray
    weights: np.ndarray
    bone_template: np.ndarray
    bone_shapes: np.ndarray
    regressor: np.ndarray
    faces: np.ndarray
    mirror: np.ndarray

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_bones(self) -> int:
        """B; a pose has 3 B numbers."""
        return len(self.parents)

    @property
    def num_shapes(self) -> int:
        """S, shape coefficients."""
        return self.shapes.shape[-1]

    @cached_property
    def joint_body(self) -> JointBody:
        """The body reduced to its joints, in float64."""
        return reduce_body(
            _basis(self.template, self.shapes),
            self.bends.astype(np.float64),
            self.weights.astype(np.float64),
            _basis(self.bone_template, self.bone_shapes),
            self.parents,
            self.regressor.astype(np.float64),
        )

    def joints(self, turns: jax.Array, shape: jax.Array) -> jax.Array:
        """Joints [..., J, 3] in metres, without posing the vertices.

        Args:
          turns: rotation of each bone relative to its parent, the root's in space
            [..., B, 3, 3].
          shape: [..., S].
        """
        return self.joint_body.joints(turns, shape, jnp)

    def vertices(self, turns: jax.Array, shape: jax.Array) -> jax.Array:
        """Surface [..., V, 3] in metres; arguments as in `joints`. Linear-blend skinning."""
        lead = shape.shape[:-1]
        frames = (
            turns.reshape(-1, self.num_bones, 3, 3),
            shape.reshape(-1, self.num_shapes),
        )
        surface = jax.lax.map(lambda one: self._surface(*one), frames, batch_size=CHUNK)
        return surface.reshape(*lead, *surface.shape[1:])

    def _surface(self, turns: jax.Array, shape: jax.Array) -> jax.Array:
        """One frame: [B, 3, 3] and [S] -> [V, 3]."""
        rest = self._at_rest(self.template, self.shapes, shape)
        if self.bends.shape[-1]:
            rest += jnp.asarray(self.bends, turns.dtype) @ pose_feature(turns, jnp)
        bones = self._at_rest(self.bone_template, self.bone_shapes, shape)
        turned, placed = chain(turns, bones, self.parents, jnp)
        offset = placed - jnp.einsum("bij,bj->bi", turned, bones)
        blended = jnp.einsum(
            "vb,bij->vij",
            jnp.asarray(self.weights, turns.dtype),
            jnp.concatenate([turned, offset[..., None]], axis=-1),
        )
        return jnp.einsum("vij,vj->vi", blended[..., :3], rest) + blended[..., 3]

    def _at_rest(self, template: np.ndarray, shapes: np.ndarray, shape: jax.Array) -> jax.Array:
        return jnp.asarray(template, shape.dtype) + jnp.asarray(shapes, shape.dtype) @ shape

    def turns(self, theta: jax.Array) -> jax.Array:
        """Axis-angles [..., 3 B] in radians to rotations [..., B, 3, 3]."""
        return rotations.to_matrix(theta.reshape(*theta.shape[:-1], self.num_bones, 3), jnp)

    def flip_turns(self, turns: jax.Array) -> jax.Array:
        """The pose seen in a mirror (x changes sign): [..., B, 3, 3] -> [..., B, 3, 3]."""
        sign = jnp.array([-1, 1, 1], turns.dtype)
        sign = (sign[:, None] * sign[None]).reshape((1,) * (turns.ndim - 2) + (3, 3))
        return jnp.take(turns, self.mirror, axis=-3) * sign

    def flip_theta(self, theta: jax.Array) -> jax.Array:
        """As `flip_turns`, of axis-angles [..., 3 B]."""
        vectors = theta.reshape(*theta.shape[:-1], self.num_bones, 3)
        return rotations.flip_vectors(vectors, jnp, self.mirror).reshape(theta.shape)


def _basis(template: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    return np.concatenate([template[..., None], shapes], axis=-1).astype(np.float64)


def mirrored_bones(names: tuple[str, ...]) -> np.ndarray:
    """int [B]: the bone on the other side, by name (left_knee, LeftLeg, LThumb, L_Knee, lfemur).

    A bone without a partner of that name is its own.
    """
    return np.array([_partner(name, names) for name in names], np.int32)


_SIDES = (("left", "right"), ("Left", "Right"), ("L", "R"), ("l", "r"))


def _partner(name: str, names: tuple[str, ...]) -> int:
    for one, other in (pair for sides in _SIDES for pair in (sides, sides[::-1])):
        for found in re.finditer(one, name):
            candidate = name[: found.start()] + other + name[found.end() :]
            at_edge = found.start() == 0 or name[found.start() - 1] in "_.:"
            if at_edge and candidate in names:
                return names.index(candidate)
    return names.index(name)


def _check(body: BodyModel) -> None:
    """Raises ValueError when arrays do not belong together."""
    vertices, bones, shapes = len(body.template), len(body.parents), body.shapes.shape[-1]
    columns = vertices + (bones if body.regressor.shape[1:] != (vertices,) else 0)
    wanted = {
        "template": (vertices, 3),
        "shapes": (vertices, 3, shapes),
        "bends": (vertices, 3, 9 * (bones - 1) if body.bends.shape[-1] else 0),
        "weights": (vertices, bones),
        "bone_template": (bones, 3),
        "bone_shapes": (bones, 3, shapes),
        "regressor": (len(body.regressor), columns),
        "mirror": (bones,),
    }
    for name, shape in wanted.items():
        if getattr(body, name).shape != shape:
            raise ValueError(
                f"got {name} of shape {getattr(body, name).shape} in body {body.name}, "
                f"expected {shape} for {vertices} vertices and {bones} bones"
            )
    parents = np.asarray(body.parents)
    if parents[0] != -1 or (parents[1:] >= np.arange(1, bones)).any() or (parents[1:] < 0).any():
        raise ValueError(
            f"got parents {parents.tolist()} of body {body.name}, expected -1 for the first bone "
            "alone and every other bone after its parent"
        )
    if not np.array_equal(np.asarray(body.mirror)[body.mirror], np.arange(bones)):
        raise ValueError(f"got a mirror of body {body.name} that is not its own inverse")
