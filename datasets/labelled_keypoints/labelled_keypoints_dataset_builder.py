"""Keypoints of any detector, or lifted motion, and a CSV of labels -> clips for recognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keypoints2d.keypoints2d_dataset_builder import image_size, motions, videos

from dstformer_jax.body.geometry import make_cam
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.labelled import (
    LabelOptions,
    cut,
    deal,
    number,
    open_labels,
    span,
    to_items,
    unlisted,
)
from dstformer_jax.data.labels import Row, shown
from dstformer_jax.data.schema import Sequence

METRES = {"m": 1.0, "mm": 0.001}


@dataclass(frozen=True)
class LabelledKeypointOptions(LabelOptions):
    """Settings of the labelled_keypoints dataset."""

    persons: int = option(1, "1, or 2 to keep the next best seen person as the partner")
    fps: float = option(30.0, "frames a second of files that do not say")
    size: str = option("", "WIDTHxHEIGHT of the videos, where neither the file nor the CSV says")
    min_frames: int = option(8, "a clip in which the person is seen in fewer frames is refused")


class Builder(SequenceBuilder):
    """One sequence a row of the CSV: a video's best seen person, or the track it names.

    2D keypoints become H36M17 with the image's longer side as [-1, 1] (unit normalised); 3D motion
    keeps its axes, in metres.
    """

    OPTIONS = LabelledKeypointOptions
    EXPECTS = "a folder of keypoint files with labels.csv (columns file, label)"
    _last: tuple[Path, Motion] | None = None  # rows that share a file follow each other

    def items(self, source: Path) -> list[Item]:
        """The clips that the CSV lists; each goes to one split or, with --leave_out, to many."""
        options: LabelledKeypointOptions = self.options
        image_size(options.size)
        if options.persons not in (1, 2) or not options.fps > 0 or options.min_frames < 1:
            raise ValueError(
                f"got --persons={options.persons} --fps={options.fps} "
                f"--min_frames={options.min_frames}, expected 1 or 2 and numbers above 0"
            )
        labels = open_labels(options, source)
        names = (path.relative_to(source).as_posix() for path in _files(source, labels.path))
        self.notes.update(unlisted(names, labels, options))
        items = to_items(deal(labels, options), source, ("person", "start", "end"))
        try:
            for item in items:
                _check(item.about["row"])
        except ValueError as error:
            raise ValueError(f"{labels.path}, {error}") from None
        return items

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """One clip."""
        options: LabelledKeypointOptions = self.options
        row: Row = item.about["row"]
        motion = self._load(item.path)
        frames = cut(motion.num_frames, row)
        tracks = best_seen(motion, frames, _person(row))
        notes["people beside those kept"] += len(tracks) - min(len(tracks), options.persons)
        arrays = [on_frames(track, frames, motion.num_frames) for track in tracks[:2]]
        seen = np.flatnonzero(arrays[0][..., -1].any(-1)) if arrays else []
        if len(seen) < options.min_frames:
            raise ValueError(
                f"got a person seen in {len(seen)} frames, expected {options.min_frames} or more"
            )
        arrays = [array[seen[0] : seen[-1] + 1] for array in arrays]
        yield Sequence(
            id=item.key,
            subject=row.get(options.group),
            action=row.name,
            label=row.label,
            rig=motion.skeleton.name,
            fps=number(row, "fps", at_least=1e-3) or motion.fps or options.fps,
            **_placed(arrays, motion, _size(row, motion, options.size), options.persons),
        )

    def _load(self, path: Path) -> Motion:
        """The motion of one video."""
        if self._last is None or self._last[0] != path:
            found = motions(path)
            if len(found) != 1:
                raise ValueError(
                    f"got {len(found)} videos ({shown(found, 4)}), expected one a file; do split it"
                )
            self._last = (path, next(iter(found.values())))
        return self._last[1]


def _files(source: Path, labels: Path) -> Iterator[Path]:
    """Keypoint files and folders of frames; not the labels themselves."""
    return (path for path in videos(source) if path != labels and path != source)


def _check(row: Row) -> None:
    """Refuses numbers in a row that no file could be read with."""
    span(row)
    _person(row)
    _row_size(row)
    number(row, "fps", at_least=1e-3)


def _person(row: Row) -> int | None:
    value = number(row, "person", whole=True)
    return None if value is None else int(value)


def best_seen(motion: Motion, frames: slice, person: int | None = None) -> list[Track]:
    """The tracks in these frames, those seen in the most frames first (then the more confident).

    person: the id of the track that comes first, whatever it shows.
    """
    start, end = frames.start, frames.stop or motion.num_frames
    ranks = {}
    for track in motion.tracks:
        rows = slice(max(start - track.start, 0), max(end - track.start, 0))
        shown_in = int(track.seen[rows].sum())
        ranks[track.id] = (shown_in, float(track.confidence[rows].sum()))
    if person is not None and person not in ranks:
        raise ValueError(f"got person {person}, expected one of {shown(map(str, ranks))}")
    tracks = [t for t in motion.tracks if ranks[t.id][0] or t.id == person]
    return sorted(tracks, key=lambda t: (t.id == person, *ranks[t.id]), reverse=True)


def on_frames(track: Track, frames: slice, length: int) -> np.ndarray:
    """A track on the frames of a clip: points and confidence `[T, J, C + 1]`, zero where unseen."""
    joined = np.concatenate([track.points, track.confidence[..., None]], axis=-1)
    whole = np.zeros((length, *joined.shape[1:]), np.float32)
    whole[track.start : track.start + len(track)] = joined
    return whole[frames]


def _placed(
    arrays: list[np.ndarray], motion: Motion, size: tuple[int, int], persons: int
) -> dict[str, Any]:
    """The arrays of a Sequence, with unit, axes and size."""
    if motion.unit in METRES and motion.axes in ("world", "camera"):
        points, _ = motion.skeleton.convert(arrays[0][..., :3], arrays[0][..., 3], H36M17)
        return {"pose": points * np.float32(METRES[motion.unit]), "axes": motion.axes, "unit": "m"}
    if motion.axes != "image" or motion.unit not in ("px", "normalised"):
        raise ValueError(
            f"got points in {motion.unit} and {motion.axes} axes, expected pixels or metres"
        )
    people = [_to_motion(array, motion, size) for array in arrays[:persons]]
    empty = np.zeros_like(people[0])
    partner = {"partner": (people[1:] or [empty])[0]} if persons == 2 else {}
    return {"motion": people[0], **partner, "axes": "camera", "unit": "normalised", "size": size}


def _to_motion(array: np.ndarray, motion: Motion, size: tuple[int, int]) -> np.ndarray:
    """H36M17 x, y, confidence `[T, 17, 3]`; what was not seen is zero."""
    points = array[..., :2]
    if motion.unit == "normalised":
        points = points * np.array(size, np.float32)
    points, confidence = motion.skeleton.convert(points, np.minimum(array[..., -1], 1), H36M17)
    joined = np.concatenate([make_cam(points, size), confidence[..., None]], axis=-1)
    return joined * np.greater(joined[..., 2:], 0)


def _row_size(row: Row) -> tuple[int, int]:
    width, height = (number(row, side, at_least=1, whole=True) for side in ("width", "height"))
    return (int(width), int(height)) if width and height else (0, 0)


def _size(row: Row, motion: Motion, given: str) -> tuple[int, int]:
    """(width, height) by the CSV, the file, the flag or, at last, what the points fill."""
    for size in (_row_size(row), motion.size, image_size(given)):
        if min(size) > 0:
            return size
    if motion.axes == "image" and motion.unit == "normalised":
        raise ValueError("got points in [0, 1] of the image, expected its --size=WIDTHxHEIGHT")
    corners = [t.points[t.confidence > 0][:, :2].max(0) for t in motion.tracks if t.seen.any()]
    width, height = np.ceil(np.max(corners, axis=0)).astype(int).tolist() if corners else (1, 1)
    return max(width, 1), max(height, 1)
