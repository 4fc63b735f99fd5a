"""The official MotionBERT pickle, h36m_sh_conf_cam_source_final.pkl (reference: DataReaderH36M)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.pickles import load_pickle

from .cameras import SIZES, normalise
from .names import FPS, describe

SPLITS = ("train", "test")


def read_official(path: Path, split: str) -> Iterator[Sequence]:
    """One sequence a video of a split: detections as the motion, image pose as the pose."""
    table = load_pickle(path)
    if not isinstance(table, dict) or split not in table:
        raise ValueError(f"{path}: got no {split!r}, expected a dict with train and test")
    columns = _columns(path, split, table[split])
    source, camera = columns["source"], columns["camera_name"]
    unknown = sorted(set(camera.tolist()) - SIZES.keys())
    if unknown:
        raise ValueError(f"{path}: got camera {unknown[0]!r}, expected one of {', '.join(SIZES)}")
    changes = np.flatnonzero(source[1:] != source[:-1]) + 1
    seen: dict[str, int] = {}
    for start, end in zip([0, *changes], [*changes, len(source)], strict=True):
        name = str(source[start])
        seen[name] = seen.get(name, 0) + 1
        # As in the official code, a name that comes again later is another video.
        key = name if seen[name] == 1 else f"{name}#{seen[name]}"
        yield _sequence(key, {field: column[start:end] for field, column in columns.items()})


def _columns(path: Path, split: str, table: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a split, all of N frames; text columns become arrays of str."""
    wanted = {"joint_2d", "joint3d_image", "camera_name", "source"}
    if not isinstance(table, dict) or not wanted <= table.keys():
        missing = sorted(wanted - set(table))
        raise ValueError(f"{path}: got no {', '.join(missing)} in {split}, expected them")
    columns = {
        "joint_2d": np.asarray(table["joint_2d"], np.float32)[..., :2],
        "joint3d_image": np.asarray(table["joint3d_image"], np.float32),
        "camera_name": np.array([_text(name) for name in table["camera_name"]]),
        "source": np.array([_text(name) for name in table["source"]]),
    }
    count = len(columns["joint_2d"])
    confidence = np.asarray(table.get("confidence", np.ones((count, 17))), np.float32)
    columns["confidence"] = confidence.reshape(len(confidence), -1)
    if "action" in table:
        columns["action"] = np.array([_text(name) for name in table["action"]])
    if "2.5d_factor" in table and "joints_2.5d_image" in table:
        columns["2.5d_factor"] = np.asarray(table["2.5d_factor"], np.float32).reshape(-1)
        columns["joints_2.5d_image"] = np.asarray(table["joints_2.5d_image"], np.float32)
    for name, column in columns.items():
        if column.shape != (count, *_TAILS.get(name, ())) or count == 0:
            raise ValueError(
                f"{path}: got {name} of shape {column.shape} in {split}, "
                f"expected {(count, *_TAILS.get(name, ()))}, at least one frame"
            )
    return columns


_TAILS = {
    "joint_2d": (17, 2),
    "confidence": (17,),
    "joint3d_image": (17, 3),
    "joints_2.5d_image": (17, 3),
}


def _sequence(key: str, rows: dict[str, np.ndarray]) -> Sequence:
    """One video. Different cameras within one name are a mistake of the file."""
    camera = str(rows["camera_name"][0])
    if (rows["camera_name"] != camera).any():
        raise ValueError(f"got two cameras in video {key}, expected one")
    size = SIZES[camera]
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


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
