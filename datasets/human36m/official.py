"""The official MotionBERT pickle, h36m_sh_conf_cam_source_final.pkl (reference: DataReaderH36M)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.motionbert import read_columns, runs

from .cameras import normalise, one_camera
from .names import FPS, describe

_NEEDED = ("joint_2d", "joint3d_image", "camera_name", "source")
_TEST = ("action", "2.5d_factor", "joints_2.5d_image")


def read_official(path: Path, split: str) -> Iterator[Sequence]:
    """One sequence a video of a split: detections as the motion, image pose as the pose."""
    columns = read_columns(path, split, _NEEDED, _TEST)
    for key, rows in runs(columns["source"]):
        yield _sequence(key, {field: column[rows] for field, column in columns.items()})


def _sequence(key: str, rows: dict[str, np.ndarray]) -> Sequence:
    """One video."""
    camera, size = one_camera(key, rows["camera_name"])
    xy = normalise(rows["joint_2d"], size)
    subject, action = describe(str(rows["source"][0]))
    return Sequence(
        id=key,
        subject=subject,
        action=str(rows["action"][0]) if "action" in rows else action,
        camera=camera,
        fps=FPS,
        unit="normalised",
        axes="camera",
        size=size,
        motion=np.concatenate([xy, rows["confidence"][..., None]], axis=-1),
        pose=normalise(rows["joint3d_image"], size),
        factor=rows.get("2.5d_factor", np.zeros(0)),
        pose_mm=rows.get("joints_2.5d_image", np.zeros((0, 17, 3))),
    )
