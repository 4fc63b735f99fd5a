"""mesh_det_coco.pkl of MotionBERT: people in COCO images with SMPL parameters (EFT)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from mesh_h36m.meshes import Columns, MeshBuilder, Rows, View


class Builder(MeshBuilder):
    """One sequence of one frame a person; every image counts as 640 x 640 (as official)."""

    EXPECTS = "mesh_det_coco.pkl of MotionBERT, or a folder with it"
    FILE = "mesh_det_coco.pkl"
    FPS = 1.0  # images, not videos

    def tracks(self, columns: Columns) -> Iterable[tuple[str, Rows]]:
        """Every row: people of one image stay apart."""
        seen: dict[str, int] = {}
        for row, name in enumerate(columns["source"].tolist()):
            number = seen[name] = seen.get(name, 0) + 1
            yield (name if number == 1 else f"{name}#{number}"), np.array([row])

    def view(self, name: str, rows: Columns) -> View:
        """One resolution for all."""
        return View((640, 640))
