"""People's tracks in a PoseTrack18 annotation file (COCO style, one file a video)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.skeleton import H36M17, POSETRACK17
from dstformer_jax.files.detections import keypoints
from dstformer_jax.files.records import load_json

# The lists of the file must mean the joints in this order; some files name them.
_NAMES = {"head_bottom": "neck", "head_top": "head"}


@dataclass(frozen=True, eq=False)
class TrackedPerson:
    """One person of a video: points `[T, 17, 3]` x px, y px, visible (0 or 1), in PoseTrack17."""

    id: int
    points: np.ndarray


def read_tracks(path: Path) -> tuple[list[TrackedPerson], tuple[int, int]]:
    """All people of a file in the order they appear, and the (width, height) of the images.

    Annotations of a person follow the order of the file, as in the official reader; those without
    a track or without joints are left out.
    """
    table = load_json(path)
    if not isinstance(table, dict) or not isinstance(table.get("annotations"), list):
        raise ValueError(f"{path}: got no annotations, expected the COCO style of PoseTrack18")
    _check_joints(path, table.get("categories"))
    tracks: dict[int, list[np.ndarray]] = {}
    for place, annotation in enumerate(table["annotations"]):
        where = f"{path}: annotation {place}"
        if not isinstance(annotation, dict):
            raise ValueError(f"{where}: got {type(annotation).__name__}, expected an object")
        if annotation.get("track_id") is None or not annotation.get("keypoints"):
            continue
        points = keypoints(annotation["keypoints"], where, POSETRACK17.num_joints)
        points[:, 2] = points[:, 2] > 0
        tracks.setdefault(_number(annotation["track_id"], where), []).append(points)
    people = [TrackedPerson(track, np.stack(rows)) for track, rows in tracks.items()]
    return people, _size(table.get("images"))


def to_motion(points: np.ndarray) -> np.ndarray:
    """`[T, 17, 3]` of PoseTrack17 -> H36M17 (reference 3.7), zero where not visible.

    The belly is half way from the hips to the neck; PoseTrack marks the top of the head itself.
    """
    points, confidence = POSETRACK17.convert(points[..., :2], points[..., 2], H36M17)
    motion = np.concatenate([points, confidence[..., None]], axis=-1)
    return np.where(confidence[..., None] > 0, motion, 0).astype(np.float32)


def _check_joints(path: Path, categories: Any) -> None:
    """Refuses a file that names other joints than PoseTrack's (plain COCO has 17 too)."""
    first = categories[0] if isinstance(categories, list) and categories else None
    names = first.get("keypoints") if isinstance(first, dict) else None
    if not isinstance(names, list):
        return
    ours = tuple(_NAMES.get(str(name), str(name)) for name in names)
    if ours != POSETRACK17.names:
        raise ValueError(
            f"{path}: got joints {', '.join(map(str, names))}, expected those of PoseTrack18: "
            "nose, head_bottom, head_top, left_ear, ..."
        )


def _number(track: Any, where: str) -> int:
    try:
        return int(track)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where}: got track_id {track!r:.40}, expected a number") from None


def _size(images: Any) -> tuple[int, int]:
    """(width, height) of the first image, or (0, 0) when the file does not say."""
    first = images[0] if isinstance(images, list) and images else {}
    if not isinstance(first, dict):
        return 0, 0
    width, height = first.get("width"), first.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)
