"""The 17 joints that a regressor finds on a posed linear-blend body, without posing its vertices.

Skinned vertices are linear in the rest pose, and the joints are linear in the vertices, so the sum
over vertices can be done once per body: for every joint j and bone k what remains is one point
(and one mass) that the bone carries. The result equals regressor @ vertices exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dstformer_jax.body.rotations import to_matrix


@dataclass(frozen=True, eq=False)
class RegressedBody:
    """A body reduced to its joints: B bones, J joints, S shape and P = 9 (B - 1) pose coefficients.

    parents [B]; bones [B, 3, 1 + S]: where the bones are at rest, for (1, shape); mass [J, B];
    points [J, B, 3, 1 + S + P]: what bone k carries of joint j, for (1, shape, pose feature).
    """

    parents: np.ndarray
    bones: np.ndarray
    mass: np.ndarray
    points: np.ndarray
    num_dmpls: int  # how many of the S shape coefficients, at the end, are soft tissue

    def joints(self, pose: np.ndarray, shape: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Joints `[T, J, 3]` in metres.

        Args:
          pose: axis-angle `[T, B, 3]`, the root first.
          shape: `[T, S]` betas, then the soft-tissue coefficients (DMPL).
          place: translation `[T, 3]` in metres.
        """
        turns = to_matrix(pose)
        ones = np.ones((len(pose), 1))
        feature = (turns[:, 1:] - np.eye(3)).reshape(len(pose), -1)
        rest = np.einsum("bcs,ts->tbc", self.bones, np.concatenate([ones, shape], 1))
        turns, places = _chain(turns, rest, self.parents)
        weights = np.concatenate([ones, shape, feature], axis=1)
        size = self.points.shape
        carried = (weights @ self.points.reshape(-1, size[-1]).T).reshape(-1, *size[:3])
        # A point p of bone k goes to R_k (p - rest_k) + place_k.
        moved = np.einsum("tkab,tjkb->tja", turns, carried)
        offset = places - np.einsum("tkab,tkb->tka", turns, rest)
        return moved + np.einsum("jk,tka->tja", self.mass, offset) + place[:, None]


def _chain(
    turns: np.ndarray, rest: np.ndarray, parents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Global rotations `[T, B, 3, 3]` and places `[T, B, 3]` of the bones."""
    turns, places = turns.copy(), rest.copy()
    for bone in range(1, len(parents)):
        above = parents[bone]
        step = rest[:, bone] - rest[:, above]
        places[:, bone] = places[:, above] + np.einsum("tab,tb->ta", turns[:, above], step)
        turns[:, bone] = turns[:, above] @ turns[:, bone]
    return turns, places


def reduce(model: dict[str, np.ndarray], regressor: np.ndarray, dmpls: np.ndarray) -> RegressedBody:
    """The reduction of a model to the joints of `regressor [J, V]`.

    Args:
      model: float64 arrays by the names of SMPL: v_template [V, 3], shapedirs [V, 3, S], posedirs
        [V, 3, P], J_regressor [B, V], weights [V, B], and kintree_table [2, B].
      regressor: `[J, V]`.
      dmpls: soft-tissue directions `[V, 3, D]`, D may be 0.
    """
    template, weights, bending = model["v_template"], model["weights"], model["posedirs"]
    basis = np.concatenate([template[..., None], model["shapedirs"], dmpls], axis=-1)
    bones = weights.shape[1]
    if regressor.shape[1:] != template.shape[:1] or bending.shape[-1] != 9 * (bones - 1):
        raise ValueError(
            f"got a regressor {regressor.shape}, {len(template)} vertices, {bones} bones and "
            f"{bending.shape[-1]} pose directions, expected [17, V] and 9 directions a bone but one"
        )
    seen = np.flatnonzero(regressor.any(0))  # the regressor is sparse: few vertices count
    part = regressor[:, None, seen] * weights[seen].T
    full = np.concatenate([basis[seen], bending[seen]], axis=-1)
    parents = model["kintree_table"][0].astype(np.int64)
    return RegressedBody(
        parents=parents,
        bones=np.tensordot(model["J_regressor"], basis, axes=1),
        mass=part.sum(-1),
        points=np.tensordot(part, full, axes=1),
        num_dmpls=dmpls.shape[-1],
    )
