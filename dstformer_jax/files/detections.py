"""From detector records to a Motion: keypoint lists, frame numbers, people, tracks.

What every keypoint format shares. A reader walks its file and adds each person it finds to a
`People`, which makes tracks of them, by the file's own identities or, where it has none, by
`tracking`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion, Track, natural_key
from dstformer_jax.body.skeleton import BODY25, COCO17, COCO18, HALPE26, MEDIAPIPE33, Skeleton
from dstformer_jax.files.records import shown
from dstformer_jax.files.tracking import assign_ids

MAX_ROWS = 2_000_000  # frames of all tracks together: 18 hours of one person at 30 fps
MAX_PEOPLE = 500  # in one frame
MAX_FRAME = 10**9
MAX_NUMBER = 1e9  # larger coordinates are no places in an image
# Skeletons by the number of keypoints; whole-body lists start with the body.
BY_COUNT: dict[int, Skeleton] = {
    17: COCO17,
    18: COCO18,
    25: BODY25,
    26: HALPE26,
    33: MEDIAPIPE33,
    68: HALPE26,
    133: COCO17,
    136: HALPE26,
    308: COCO17,
}
# Sapiens' 308 keypoints keep the wrists with the hands.
_PLACES = {308: np.array([*range(9), 62, 41, 9, 10, 11, 12, 13, 14])}


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """One person in one frame: points float32 `[J, 2]`, confidence float32 `[J]`."""

    frame: int
    points: np.ndarray
    confidence: np.ndarray
    id: int | None = None
    score: float = 0.0


def keypoints(values: Any, where: str, count: int | None = None) -> np.ndarray:
    """Checks a flat list [x, y, c, x, y, c, ...] and returns float32 `[J, 3]`.

    `where` names file and record in errors; `count` is the number of joints expected, if known.
    """
    flat = _numbers(values)
    if flat is None or flat.ndim != 1 or flat.size % 3:
        raise ValueError(
            f"{where}: got keypoints {shown(values)}, expected a list of finite x, y, confidence"
        )
    if count is not None and flat.size != 3 * count:
        raise ValueError(f"{where}: got {flat.size // 3} keypoints, expected {count} as before")
    return flat.reshape(-1, 3)


def joints(points: Any, scores: Any, where: str) -> np.ndarray:
    """Checks [[x, y], ...] (or [[x, y, score], ...]) and its scores, and returns float32 `[J, 3]`.

    Without scores every joint that is not at 0, 0 has confidence 1.
    """
    table = _numbers(points)
    if table is None or table.ndim != 2 or table.shape[1] not in (2, 3):
        raise ValueError(f"{where}: got keypoints {shown(points)}, expected finite [x, y]")
    if table.shape[1] == 3 and scores is not None:
        raise ValueError(
            f"{where}: got keypoints with 3 coordinates, expected x and y in pixels; "
            "give the 2D file of the detector"
        )
    if table.shape[1] == 3:
        return table
    given = (table != 0).any(-1) if scores is None else _numbers(scores)
    if given is None or given.shape not in ((len(table),), (len(table), 1)):
        raise ValueError(
            f"{where}: got scores {shown(scores)}, expected {len(table)} numbers, one a joint"
        )
    return np.column_stack([table, given]).astype(np.float32)


def _numbers(values: Any) -> np.ndarray | None:
    """float32 array of a list (of lists) of numbers in bounds that is not empty, else None."""
    if not isinstance(values, list | np.ndarray):
        return None
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # becomes inf or NaN, refused below
            table = np.array(values, np.float32)
    except (ValueError, TypeError, OverflowError):
        return None
    return table if table.size and (np.abs(table) <= MAX_NUMBER).all() else None


def number(value: Any, default: float = 0.0) -> float:
    """A finite score, or the default where there is none."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < 1e9 else default


def whole_number(value: Any, what: str, where: str, least: int = -(2**31)) -> int:
    """A frame number or identity; anything but a whole number raises ValueError."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,18}(\.0*)?\s*", value):
        value = float(value) if "." in value else int(value)
    value = value.item() if isinstance(value, np.integer | np.floating) else value
    plain = isinstance(value, int | float)
    if isinstance(value, bool) or not plain or not least <= value < 2**31 or value != int(value):
        raise ValueError(f"{where}: got {what} {shown(value)}, expected a whole number")
    return int(value)


def skeleton_of(count: int, where: str) -> Skeleton:
    """The skeleton that a detector with so many keypoints means."""
    if count not in BY_COUNT:
        raise ValueError(
            f"{where}: got {count} keypoints, expected one of {sorted(BY_COUNT)} (COCO, OpenPose, "
            "Halpe, MediaPipe or whole-body)"
        )
    return BY_COUNT[count]


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
    if not distinct or span > 20 * len(numbers) + 200 or max(numbers, default=0) > MAX_FRAME:
        numbers = list(range(len(ordered)))
    return dict(zip(ordered, numbers, strict=True))


class People:
    """The people that a reader finds in a file, in any order, and the Motion they make.

    Args:
      source: the file, for messages.
      skeleton: what the joints are; None tells it by their number.
      places: int `[J]`, where each joint of the skeleton stands in the file's list, -1 nowhere.
    """

    def __init__(
        self, source: str, skeleton: Skeleton | None = None, places: np.ndarray | None = None
    ) -> None:
        self.source = source
        self.skeleton = skeleton
        self._places = places
        self._count = 0
        self._found: list[Detection] = []
        self._names: list[str] = []
        self._crowd: dict[int | str, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(
        self,
        frame: int | str,
        points: np.ndarray,
        where: str,
        identity: int | None = None,
        score: float = 0.0,
    ) -> None:
        """Adds a person.

        Args:
          frame: the frame's number, or the name of its image (one kind throughout the file).
          points: float32 `[K, 3]`, x, y and confidence as they stand in the file.
          where: file and record, for messages.
          identity: the person's number, None where the file gives none.
          score: of two detections of a person in one frame the higher stays.
        """
        if self.skeleton is None:
            self.skeleton = skeleton_of(len(points), where)
            self._places = _PLACES.get(len(points), np.arange(self.skeleton.num_joints))
        if self._count and len(points) != self._count:
            raise ValueError(
                f"{where}: got {len(points)} keypoints, expected {self._count} as before"
            )
        self._count = len(points)
        crowd = self._crowd[frame] = self._crowd.get(frame, 0) + 1
        if crowd > MAX_PEOPLE or len(self._found) >= MAX_ROWS:
            raise ValueError(
                f"{where}: got more than {MAX_PEOPLE} people in a frame or {MAX_ROWS} in the file"
            )
        if isinstance(frame, int) and not 0 <= frame < MAX_FRAME:
            raise ValueError(f"{where}: got frame {frame}, expected 0 to {MAX_FRAME}")
        if isinstance(frame, str):
            self._names.append(frame)
        if self._places is not None:
            points = points[self._places] * (self._places >= 0)[:, None]
        number = frame if isinstance(frame, int) else 0
        confidence = points[:, 2].copy()
        self._found.append(Detection(number, points[:, :2].copy(), confidence, identity, score))

    def motion(
        self,
        fps: float = 0.0,
        size: tuple[int, int] = (0, 0),
        unit: str | None = None,
        top: float = 1.0,
        first: int = 0,
        alone: bool = False,
        notes: Sequence[str] = (),
    ) -> Motion:
        """The tracks of all people added.

        Args:
          fps: frames a second; 0 when unknown.
          size: image (width, height); (0, 0) when unknown.
          unit: of the points; None tells pixels from numbers within [-1, 1].
          top: the confidence of a certain joint; it becomes 1, and what is outside [0, 1] is cut.
          first: the number that the file gives the first frame; it becomes 0.
          alone: the file has room for one person a frame, so they are all the same.
          notes: what a reader of the numbers must know.
        """
        if not self._found or self.skeleton is None:
            raise ValueError(f"{self.source}: got no person, expected at least one")
        frames: Mapping[str, int] = frame_numbers(self._names)
        named = len(self._names) == len(self._found)
        if self._names and not named:
            raise ValueError(f"{self.source}: got frames with numbers and with names, expected one")
        alone = alone and max(self._crowd.values()) == 1
        tracked = alone or all(found.id is not None for found in self._found)
        for place, one in enumerate(self._found):
            confidence = np.clip(one.confidence / np.float32(top), 0.0, 1.0)
            self._found[place] = replace(
                one,
                frame=frames[self._names[place]] if named else one.frame - first,
                points=one.points * (confidence > 0)[:, None],  # a missing joint is at 0, 0
                confidence=confidence,
                id=0 if alone else one.id if tracked else None,
            )
        found, self._found = self._found, []
        motion = build_motion(found, self.skeleton, self.source, fps, size, unit)
        return replace(motion, notes=tuple(notes))


def build_motion(
    detections: Sequence[Detection],
    skeleton: Skeleton,
    source: str,
    fps: float = 0.0,
    size: tuple[int, int] = (0, 0),
    unit: str | None = None,
) -> Motion:
    """Groups detections into tracks with gaps; identities are tracked where the file has none.

    Without a unit, coordinates that never leave [-1, 1] are taken as normalised by the image.
    """
    if any(found.id is None for found in detections):
        detections = assign_ids(detections, skeleton)
    groups: dict[int, dict[int, Detection]] = {}
    for found in detections:
        frames = groups.setdefault(found.id or 0, {})
        rival = frames.get(found.frame)
        if rival is None or found.score > rival.score:  # one person cannot be twice in a frame
            frames[found.frame] = found
    if not groups:
        raise ValueError(f"{source}: got no joint of confidence above 0, expected a person")
    rows = sum(max(frames) - min(frames) + 1 for frames in groups.values())
    if rows > min(MAX_ROWS, 200 * len(detections) + 20_000):
        raise ValueError(
            f"{source}: got {len(detections)} people in {rows} frames of tracks, expected frame "
            f"numbers that count frames, at most {MAX_ROWS}"
        )
    tracks = [_track(identity, frames, skeleton) for identity, frames in groups.items()]
    tracks.sort(key=lambda track: (track.start, track.id))
    if unit is None:
        tracks, unit = _unit(tracks)
    return Motion(tuple(tracks), skeleton, fps=fps, unit=unit, size=size, source=source)


def _track(identity: int, frames: dict[int, Detection], skeleton: Skeleton) -> Track:
    """One person's detections as arrays, with zeros in the gaps."""
    start = min(frames)
    length = max(frames) - start + 1
    points = np.zeros((length, skeleton.num_joints, 2), np.float32)
    confidence = np.zeros((length, skeleton.num_joints), np.float32)
    for frame, found in frames.items():
        points[frame - start] = found.points
        confidence[frame - start] = found.confidence
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
        replace(track, points=(track.points + 1) / 2 * (track.confidence[..., None] > 0))
        for track in tracks
    ]
    return moved, "normalised"
