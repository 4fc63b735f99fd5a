"""From detector records to a Motion: bounded JSON, keypoint lists, frame numbers, tracks.

What every keypoint format shares. A reader turns its file into `Detection`s, and `build_motion`
makes tracks of them, by the file's own identities or, where it has none, by `tracking`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion, Track, natural_key
from dstformer_jax.body.skeleton import BODY25, COCO17, COCO18, HALPE26, Skeleton
from dstformer_jax.files.tracking import assign_ids

MAX_BYTES = 512 * 2**20
MAX_ROWS = 2_000_000  # frames of all tracks together: 18 hours of one person at 30 fps
# Skeletons by the number of keypoints; whole-body lists start with the body.
BY_COUNT: dict[int, Skeleton] = {
    17: COCO17,
    18: COCO18,
    25: BODY25,
    26: HALPE26,
    133: COCO17,
    136: HALPE26,
}


@dataclass(frozen=True, eq=False)
class Detection:
    """One person in one frame: points float32 `[J, 2]`, confidence float32 `[J]`."""

    frame: int
    points: np.ndarray
    confidence: np.ndarray
    id: int | None = None
    score: float = 0.0


def load_json(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Reads a JSON file of bounded size; anything wrong is a ValueError that names the file."""
    path = Path(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: got {size} bytes, expected at most {max_bytes}")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: got no valid JSON ({error!s:.120}), expected a whole file"
        ) from None


def keypoints(values: Any, where: str, count: int | None = None) -> np.ndarray:
    """Checks a flat list [x, y, c, x, y, c, ...] and returns float32 `[J, 3]`.

    `where` names file and record in errors; `count` is the number of joints expected, if known.
    """
    try:
        with np.errstate(over="ignore"):  # too large becomes inf, refused below
            flat = np.array(values, np.float32) if isinstance(values, list) else np.zeros(())
    except (ValueError, TypeError, OverflowError):
        flat = np.zeros(())
    if flat.ndim != 1 or flat.size == 0 or flat.size % 3 or not np.isfinite(flat).all():
        raise ValueError(
            f"{where}: got keypoints {values!r:.60}, expected a list of finite x, y, confidence"
        )
    if count is not None and flat.size != 3 * count:
        raise ValueError(f"{where}: got {flat.size // 3} keypoints, expected {count} as before")
    return flat.reshape(-1, 3)


def skeleton_of(count: int, where: str) -> Skeleton:
    """The skeleton that a detector with so many keypoints means."""
    if count not in BY_COUNT:
        raise ValueError(
            f"{where}: got {count} keypoints, expected one of {sorted(BY_COUNT)} (COCO, OpenPose, "
            "Halpe or whole-body)"
        )
    return BY_COUNT[count]


def detection(
    frame: int, points: np.ndarray, identity: int | None = None, score: float = 0.0
) -> Detection:
    """A detection from `[J, 3]`; x and y of a missing joint (confidence 0 or less) become 0."""
    confidence = np.clip(points[:, 2], 0.0, 1.0)
    return Detection(frame, points[:, :2] * (confidence[:, None] > 0), confidence, identity, score)


def frame_numbers(names: Iterable[str]) -> dict[str, int]:
    """The frame number of each distinct image name.

    It is the last number in the name, if all names have one, all differ, and they are dense enough
    to count frames; else the rank in natural order.
    """
    ordered = sorted(set(names), key=natural_key)
    found = [re.findall(r"\d{1,18}", Path(name).stem or name) for name in ordered]
    numbers = [int(digits[-1]) if digits else -1 for digits in found]
    distinct = len(set(numbers)) == len(numbers) and min(numbers, default=0) >= 0
    span = max(numbers, default=0) - min(numbers, default=0) + 1
    if not distinct or span > 20 * len(numbers) + 200:
        numbers = list(range(len(ordered)))
    return dict(zip(ordered, numbers, strict=True))


def build_motion(
    detections: Sequence[Detection],
    skeleton: Skeleton,
    source: str,
    fps: float = 0.0,
    size: tuple[int, int] = (0, 0),
) -> Motion:
    """Groups detections into tracks with gaps; identities are tracked where the file has none.

    Coordinates that never leave [-1, 1] are taken as normalised by the image.
    """
    if any(found.id is None for found in detections):
        detections = assign_ids(detections)
    groups: dict[int, dict[int, Detection]] = {}
    for found in detections:
        frames = groups.setdefault(found.id or 0, {})
        rival = frames.get(found.frame)
        if rival is None or found.score > rival.score:  # one person cannot be twice in a frame
            frames[found.frame] = found
    rows = sum(max(frames) - min(frames) + 1 for frames in groups.values())
    if rows > MAX_ROWS:
        raise ValueError(f"{source}: got {rows} frames of tracks, expected at most {MAX_ROWS}")
    tracks = [_track(identity, frames, skeleton) for identity, frames in groups.items()]
    tracks.sort(key=lambda track: (track.start, track.id))
    tracks, unit = _unit(tracks)
    return Motion(tuple(tracks), skeleton, fps=fps, unit=unit, size=size, source=source)


def _track(identity: int, frames: dict[int, Detection], skeleton: Skeleton) -> Track:
    """One person's detections as arrays, with zeros in the gaps."""
    start = min(frames)
    length = max(frames) - start + 1
    points = np.zeros((length, skeleton.num_joints, 2), np.float32)
    confidence = np.zeros((length, skeleton.num_joints), np.float32)
    for frame, found in frames.items():
        points[frame - start] = found.points[: skeleton.num_joints]
        confidence[frame - start] = found.confidence[: skeleton.num_joints]
    return Track(identity, start, points, confidence)


def _unit(tracks: list[Track]) -> tuple[list[Track], str]:
    """Tells pixels from [0, 1] and [-1, 1] (OpenPose's keypoint_scale); the last becomes [0, 1]."""
    seen = [track.points[track.confidence > 0] for track in tracks]
    far = max((float(np.abs(points).max()) for points in seen if points.size), default=0.0)
    if not 0 < far <= 1:
        return tracks, "px"
    if min(float(points.min()) for points in seen if points.size) >= 0:
        return tracks, "normalised"
    moved = [
        Track(
            track.id,
            track.start,
            (track.points + 1) / 2 * (track.confidence[..., None] > 0),
            track.confidence,
        )
        for track in tracks
    ]
    return moved, "normalised"
