"""The layout of VideoPose3D: data_3d_h36m.npz and data_2d_h36m_*.npz."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.skeleton import COCO17, H36M17
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.npz import load_npz

from .cameras import CAMERAS, PlacedCamera, image_pose, normalise
from .names import FPS, plain_action, video_name

POSES = "data_3d_h36m.npz"
# The 17 of the 32 recorded joints, in the order of H36M17.
KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
# What to read when a folder holds several detections: the usual ones, then any, then the truth.
PREFERRED = ("cpn_ft_h36m_dbb", "detectron_ft_h36m", "sh_ft_h36m")


def find_detections(source: Path, wanted: str) -> Path | None:
    """The data_2d_h36m_*.npz to read: `wanted` (e.g. cpn_ft_h36m_dbb) or the best there is."""
    files = {path.stem.removeprefix("data_2d_h36m_"): path for path in source.glob("data_2d_*.npz")}
    if wanted == "none" or not (files or wanted):
        return None
    if wanted and wanted not in files:
        raise ValueError(
            f"got detections {wanted!r}, expected one of {', '.join(sorted(files)) or 'none'}"
        )
    order = [wanted, *PREFERRED, *sorted(files.keys() - {"gt"}), "gt"]
    return next(files[name] for name in order if name in files)


def subjects_of(path: Path) -> list[str]:
    """The subjects of data_3d_h36m.npz."""
    return sorted(_table(path, "positions_3d"), key=lambda name: (len(name), name))


def read_subject(
    path: Path,
    subject: str,
    cameras: dict[tuple[str, str], PlacedCamera],
    detections: Path | None,
    notes: Counter[str],
) -> Iterator[Sequence]:
    """One sequence a take and camera; without detections the motion is the projected pose."""
    takes = _table(path, "positions_3d")[subject]
    found = _detections(detections)
    for take, world in takes.items():
        pose = _kept(path, subject, take, world)
        for place, name in enumerate(CAMERAS):
            if (subject, name) not in cameras:
                raise ValueError(
                    f"got no camera {name} of {subject}; put cameras.json or cameras.pkl "
                    f"beside {path}"
                )
            camera = cameras[subject, name]
            image, factor = image_pose(camera.to_camera(pose), camera.lens)
            motion = np.concatenate([image[..., :2], np.ones((*image.shape[:2], 1))], axis=-1)
            if detections:
                motion = _motion(found, subject, take, place)
                if motion is None:
                    notes["videos without detections, left out"] += 1
                    continue
            # Detections go on after the mocap in some videos; VideoPose3D cuts them too.
            frames = min(len(image), len(motion))
            notes["videos with fewer detections than poses, cut"] += frames < len(image)
            yield _sequence(
                video_name(subject, take, list(takes), name),
                (subject, plain_action(take), name),
                camera.lens.size,
                motion[:frames],
                image[:frames],
                factor[:frames],
            )


def _kept(path: Path, subject: str, take: str, world: Any) -> np.ndarray:
    """World positions in mm, `[T, 17, 3]`, of a take in metres with 32 (or already 17) joints."""
    points = np.asarray(world, np.float64)
    if points.ndim != 3 or points.shape[1] not in (32, 17) or points.shape[2] != 3:
        raise ValueError(
            f"{path}: got {subject} {take} of shape {points.shape}, expected [T, 32, 3]"
        )
    return (points[:, KEPT] if points.shape[1] == 32 else points) * 1000


def _detections(path: Path | None) -> dict[str, Any]:
    """{subject: {take: [array of each camera]}} in H36M17, or empty."""
    if path is None:
        return {}
    facts = _table(path, "metadata")
    joints, layout = facts.get("num_joints", 17), str(facts.get("layout_name", "h36m"))
    if joints != 17 or layout not in ("h36m", "coco"):
        raise ValueError(
            f"{path}: got {joints} joints of layout {layout!r}, expected 17 of h36m or coco; "
            "give --detections another"
        )
    table = _table(path, "positions_2d")
    if layout == "h36m":
        return table
    return {
        subject: {take: [_from_coco(view) for view in views] for take, views in takes.items()}
        for subject, takes in table.items()
    }


def _from_coco(view: np.ndarray) -> np.ndarray:
    """`[T, 17, 2 or 3]` in the order of COCO -> `[T, 17, 3]` in ours."""
    view = np.asarray(view, np.float32)
    score = view[..., 2] if view.shape[-1] > 2 else None
    points, confidence = COCO17.convert(view[..., :2], score, H36M17)
    return np.concatenate([points, confidence[..., None]], axis=-1)


def _motion(found: dict[str, Any], subject: str, take: str, place: int) -> np.ndarray | None:
    """x, y, confidence `[T, 17, 3]` in pixels of one video, or None when it has no detections."""
    views = found.get(subject, {}).get(take, [])
    if place >= len(views) or len(views[place]) == 0:
        return None
    view = np.asarray(views[place], np.float64)
    if view.ndim != 3 or view.shape[1] != 17 or view.shape[2] not in (2, 3):
        raise ValueError(f"got 2D of {subject} {take} as {view.shape}, expected [T, 17, 2 or 3]")
    ones = np.ones((*view.shape[:2], 1))
    return view if view.shape[2] == 3 else np.concatenate([view, ones], axis=-1)


def _sequence(
    key: str,
    facts: tuple[str, str, str],
    size: tuple[int, int],
    motion: np.ndarray,
    image: np.ndarray,
    factor: np.ndarray,
) -> Sequence:
    subject, action, name = facts
    return Sequence(
        id=key,
        subject=subject,
        action=action,
        camera=name,
        fps=FPS,
        unit="normalised",
        axes="camera",
        size=size,
        motion=np.concatenate([normalise(motion[..., :2], size), motion[..., 2:]], axis=-1),
        pose=normalise(image, size),
        factor=factor,
        pose_mm=image * factor[:, None, None],
    )


def _table(path: Path, key: str) -> dict[str, Any]:
    """The dict that an .npz of VideoPose3D keeps in an array of one object."""
    value = _arrays(path).get(key)
    table = value.item() if isinstance(value, np.ndarray) and value.shape == () else None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: got no {key}, expected the layout of VideoPose3D")
    return table


@lru_cache(maxsize=2)
def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The file, kept while one subject after the other is read."""
    return load_npz(path)
