"""mesh_det_pw3d.pkl of MotionBERT: 3DPW with 2D detections and SMPL parameters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from mesh_h36m.meshes import Columns, MeshBuilder, Rows, View

from dstformer_jax.files.motionbert import runs


class Builder(MeshBuilder):
    """One sequence a person in a video; every image counts as 1920 x 1920 (as official)."""

    EXPECTS = "mesh_det_pw3d.pkl of MotionBERT, or a folder with it"
    FILE = "mesh_det_pw3d.pkl"
    FPS = 30.0

    def tracks(self, columns: Columns) -> Iterable[tuple[str, Rows]]:
        """Every person of every video.

        The official file ends a video's name with the number of the person. Where people share a
        name, they are told apart by their shape, which 3DPW gives once a person.
        """
        for name, rows in runs(columns["source"]):
            people = people_by_shape(columns["smpl_shape"][rows])
            for number, person in enumerate(people):
                yield (name if len(people) == 1 else f"{name}:{number}"), rows.start + person

    def view(self, name: str, rows: Columns) -> View:
        """One resolution for all."""
        return View((1920, 1920))


def people_by_shape(shapes: np.ndarray) -> list[np.ndarray]:
    """The rows of each of some people, from the shapes `[T, S]` of their frames.

    They may follow one another or take turns. Where hardly any two rows share a shape, shapes were
    fitted frame by frame and tell nothing: all rows are one person's.
    """
    _, first, person = np.unique(shapes, axis=0, return_index=True, return_inverse=True)
    if 2 * len(first) > len(shapes):
        return [np.arange(len(shapes))]
    return [np.flatnonzero(person.reshape(-1) == who) for who in np.argsort(first)]
