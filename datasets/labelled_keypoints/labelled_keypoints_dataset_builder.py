"""Keypoints of any detector, or lifted motion, and a CSV of labels -> clips for recognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keypoints2d.keypoints2d_dataset_builder import image_size, motions, videos

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.detected import best_seen, on_frames, picture_size, to_motion
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
        size = picture_size(motion, _row_size(row), motion.size, image_size(options.size))
        yield Sequence(
            id=item.key,
            subject=row.get(options.group),
            action=row.name,
            label=row.label,
            rig=motion.skeleton.name,
            fps=number(row, "fps", at_least=1e-3) or motion.fps or options.fps,
            **_placed(arrays, motion, size, options.persons),
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
    people = [to_motion(array, motion, size) for array in arrays[:persons]]
    empty = np.zeros_like(people[0])
    partner = {"partner": (people[1:] or [empty])[0]} if persons == 2 else {}
    return {"motion": people[0], **partner, "axes": "camera", "unit": "normalised", "size": size}


def _row_size(row: Row) -> tuple[int, int]:
    width, height = (number(row, side, at_least=1, whole=True) for side in ("width", "height"))
    return (int(width), int(height)) if width and height else (0, 0)
