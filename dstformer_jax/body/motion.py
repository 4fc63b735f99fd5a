"""Motion: people's joints over time, 2D or 3D, on the way in or out; always with its units."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dstformer_jax.body.skeleton import Skeleton

UNITS = ("px", "m", "mm", "normalised", "unknown")
AXES = ("image", "camera", "world")


@dataclass(frozen=True, eq=False)
class Track:
    """One person. Frame t of the arrays is frame `start + t` of the video.

    Attributes:
      id: identity within the motion.
      start: frame number of the first row.
      points: float32 `[T, J, C]`, C = 2 or 3; x and y of an image, or positions in space.
      confidence: float32 `[T, J]`; 0 marks a missing joint, a whole row of 0 a gap.
      uncertainty: float32 `[T, J]`, the expected error of each joint in the unit of the points;
        None where nobody knows.
    """

    id: int
    start: int
    points: np.ndarray
    confidence: np.ndarray
    uncertainty: np.ndarray | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float32)
        confidence = np.asarray(self.confidence, np.float32)
        if points.ndim != 3 or points.shape[-1] not in (2, 3):
            raise ValueError(f"got points of shape {points.shape}, expected [T, J, 2 or 3]")
        if confidence.shape != points.shape[:2]:
            raise ValueError(
                f"got confidence of shape {confidence.shape}, expected {points.shape[:2]}"
            )
        if not np.isfinite(points).all() or not np.isfinite(confidence).all():
            raise ValueError(
                f"got numbers that are not finite in track {self.id}, expected 0 with confidence 0 "
                "for missing joints"
            )
        if (confidence < 0).any():
            raise ValueError(f"got confidence below 0 in track {self.id}, expected 0 or more")
        if self.uncertainty is not None:
            uncertainty = np.asarray(self.uncertainty, np.float32)
            if uncertainty.shape != confidence.shape or not (uncertainty >= 0).all():
                raise ValueError(
                    f"got uncertainty of shape {uncertainty.shape} in track {self.id}, expected "
                    f"{confidence.shape} of numbers from 0"
                )
            object.__setattr__(self, "uncertainty", uncertainty)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "confidence", confidence)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def seen(self) -> np.ndarray:
        """bool `[T]`: frames in which any joint was found."""
        return np.any(self.confidence > 0, axis=-1)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Runs of frames without any joint, as [first, last) rows."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.seen, [True]]).astype(np.int8)))
        return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]

    @property
    def motion(self) -> np.ndarray:
        """float32 `[T, J, 3]`: x, y and confidence, the input of the networks."""
        return np.concatenate([self.points[..., :2], self.confidence[..., None]], axis=-1)


@dataclass(frozen=True)
class Motion:
    """The tracks of one video or recording and all that is needed to read their numbers.

    Attributes:
      tracks: people, in order of appearance.
      skeleton: what the joints are.
      fps: frames a second; 0 when the file does not say.
      unit: of the points: px, m, mm, normalised (by the image), or unknown.
      axes: image (x right, y down), camera (x right, y down, z away) or world (y up).
      size: image (width, height) in pixels; (0, 0) when unknown.
      source: where it came from, for messages.
      notes: what a reader of the numbers must know, such as what was assumed; sentences.
    """

    tracks: tuple[Track, ...]
    skeleton: Skeleton
    fps: float = 0.0
    unit: str = "px"
    axes: str = "image"
    size: tuple[int, int] = (0, 0)
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tracks", tuple(self.tracks))
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "size", tuple(int(side) for side in self.size))
        if self.unit not in UNITS or self.axes not in AXES:
            raise ValueError(
                f"got unit {self.unit!r} and axes {self.axes!r}, expected one of {UNITS} and {AXES}"
            )
        if not 0 <= self.fps < 1e5 or len(self.size) != 2 or min(self.size) < 0:
            raise ValueError(
                f"got fps {self.fps} and size {self.size}, expected fps >= 0 and (width, height)"
            )
        if len({track.id for track in self.tracks}) != len(self.tracks):
            raise ValueError(
                f"got track ids {[track.id for track in self.tracks]}, expected different ones"
            )
        for track in self.tracks:
            if track.points.shape[1] != self.skeleton.num_joints:
                raise ValueError(
                    f"got {track.points.shape[1]} joints in track {track.id}, expected "
                    f"{self.skeleton.num_joints} for {self.skeleton.name}"
                )

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    @property
    def num_frames(self) -> int:
        """Frames from 0 to the end of the last track."""
        return max((track.start + len(track) for track in self.tracks), default=0)

    def convert(self, to: Skeleton, interpolate: bool = True) -> "Motion":
        """The same motion with the joints of another skeleton (`Skeleton.convert`)."""
        if to == self.skeleton:
            return self
        tracks = []
        for track in self.tracks:
            points, confidence = self.skeleton.convert(
                track.points, track.confidence, to, interpolate
            )
            tracks.append(Track(track.id, track.start, points, confidence))
        return replace(self, tracks=tuple(tracks), skeleton=to)

    def in_pixels(self) -> "Motion":
        """Parts of the image as pixels of its size; other motion, or of unknown size, as it is.

        x is a part of the width and y one of the height, so people are squeezed until then.
        """
        if self.unit != "normalised" or self.axes != "image" or not all(self.size):
            return self
        size = np.array(self.size, np.float32)
        tracks = tuple(replace(track, points=track.points * size) for track in self.tracks)
        return replace(self, tracks=tracks, unit="px")


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `2.jpg` before `10.jpg`."""
    return tuple(
        (0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d{1,18})", name)
    )
