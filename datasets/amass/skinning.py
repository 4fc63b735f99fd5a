"""The 17 joints that a regressor finds on a posed SMPL+H body with soft tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dstformer_jax.body.rotations import to_matrix
from dstformer_jax.body.skinning import JointBody, reduce_body


@dataclass(frozen=True, eq=False)
class RegressedBody:
    """A body reduced to its joints; the last `num_dmpls` shape coefficients are soft tissue."""

    body: JointBody
    num_dmpls: int

    @property
    def parents(self) -> np.ndarray:
        """[B]."""
        return self.body.parents

    @property
    def bones(self) -> np.ndarray:
        """Where the bones are at rest for (1, shape), [B, 3, 1 + S]."""
        return self.body.bones

    def joints(self, pose: np.ndarray, shape: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Joints `[T, J, 3]` in metres.

        Args:
          pose: axis-angle `[T, B, 3]`, the root first.
          shape: `[T, S]` betas, then the soft-tissue coefficients (DMPL).
          place: translation `[T, 3]` in metres.
        """
        return self.body.joints(to_matrix(pose), shape) + place[:, None]


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
    parents = model["kintree_table"][0].astype(np.int64)
    rest = np.tensordot(model["J_regressor"], basis, axes=1)
    return RegressedBody(
        reduce_body(basis, bending, weights, rest, parents, regressor), dmpls.shape[-1]
    )
