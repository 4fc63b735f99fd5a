"""mesh_det_h36m.pkl of MotionBERT: Human3.6M detections with SMPL parameters (MoSh)."""

from __future__ import annotations

from collections.abc import Iterable

from human36m.cameras import one_camera
from human36m.names import describe

from dstformer_jax.files.motionbert import runs

from .meshes import Columns, MeshBuilder, Rows, View


class Builder(MeshBuilder):
    """One sequence a video; pixels are normalised by the image of its camera."""

    EXPECTS = "mesh_det_h36m.pkl of MotionBERT, or a folder with it"
    FILE = "mesh_det_h36m.pkl"
    FPS = 10.0  # every fifth frame of the 50 Hz videos
    MORE = ("camera_name",)

    def tracks(self, columns: Columns) -> Iterable[tuple[str, Rows]]:
        """Every video: one person alone."""
        return runs(columns["source"])

    def view(self, name: str, rows: Columns) -> View:
        """The camera that the rows name; subject and action from the name of the video."""
        camera, size = one_camera(name, rows["camera_name"])
        subject, action = describe(str(rows["source"][0]))
        return View(size, camera, subject, action)
