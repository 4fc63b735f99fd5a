"""What the datasets of the official mesh_det pickles share: 2D detections with SMPL parameters.

A subclass says which file it is, how its rows become tracks of one person, and how pixels are
normalised (reference: DataReaderMesh of MotionBERT).
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dstformer_jax.body.geometry import image_box
from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.motionbert import SPLITS, read_columns

from .answers import HELP, InitialFolder

CHUNK = 512  # tracks in an item: COCO has 75,000 of one frame
_NEEDED = ("joint_2d", "source", "smpl_pose", "smpl_shape")
_INITIAL = ("pred_smpl_pose", "pred_smpl_shape")  # of the refiner's files

Columns = Mapping[str, np.ndarray]
Rows = slice | np.ndarray


@dataclass(frozen=True)
class MeshOptions:
    """Settings of the mesh datasets."""

    fps: float = option(0.0, "frames a second; the file does not say [that of this dataset]")
    initial_from: str = option("", f"{HELP} [those of the pickle]")


@dataclass(frozen=True)
class View:
    """What saw a track. Its image decides how pixels are normalised: the width is [-1, 1]."""

    size: tuple[int, int]
    camera: str = ""
    subject: str = ""
    action: str = ""


class MeshBuilder(SequenceBuilder):
    """One sequence a person in a video: motion, theta, beta, and what a refiner starts from."""

    OPTIONS = MeshOptions
    FILE: ClassVar[str]
    FPS: ClassVar[float]
    MORE: ClassVar[tuple[str, ...]] = ()  # columns that this file has besides
    _columns: dict[str, Columns]
    _initial: InitialFolder | None

    @abc.abstractmethod
    def tracks(self, columns: Columns) -> Iterable[tuple[str, Rows]]:
        """Name and rows of every person in every video."""

    @abc.abstractmethod
    def view(self, name: str, rows: Columns) -> View:
        """What saw the rows of one track; ValueError where they do not belong together."""

    def items(self, source: Path) -> list[Item]:
        """Some tracks of a split each; one that says why for what cannot be read."""
        if not self.options.fps >= 0:
            raise ValueError(f"got --fps={self.options.fps}, expected more than 0")
        path = _find(source, self.FILE, self.EXPECTS)
        given = self.options.initial_from
        self._initial = InitialFolder(given) if given else None
        optional = ("action",) if given else (*_INITIAL, "action")
        self._columns, items = {}, []
        for split in SPLITS:
            key = f"{path.name}:{split}"
            try:
                columns = read_columns(path, split, (*_NEEDED, *self.MORE), optional)
            except ValueError as error:
                items.append(Item(key, path, split, {"error": str(error)}))
                continue
            self._columns[split] = columns
            tracks, bad = self._seen(columns)
            items += [Item(f"{key}:{n}", path, split, {"error": bad[n]}) for n in bad]
            items += [
                Item(f"{key}[{start}]", path, split, {"tracks": tracks[start : start + CHUNK]})
                for start in range(0, len(tracks), CHUNK)
            ]
        return items

    def _seen(self, columns: Columns) -> tuple[list[tuple[str, Rows, View]], dict[str, str]]:
        """The tracks of a split and what saw them; of the others, why they cannot be used."""
        tracks, bad = [], {}
        for name, rows in self.tracks(columns):
            try:
                tracks.append((name, rows, self.view(name, _take(columns, rows))))
            except ValueError as error:
                bad[name] = str(error)
        return tracks, bad

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The tracks of one item, without those that hold no numbers."""
        if "error" in item.about:
            raise ValueError(item.about["error"])
        for name, rows, view in item.about["tracks"]:
            track = _take(self._columns[item.split], rows)
            if all(np.isfinite(c).all() for c in track.values() if c.dtype.kind == "f"):
                sequence = _sequence(name, track, view, self.options.fps or self.FPS)
                yield self._initial.add(sequence) if self._initial else sequence
            else:
                notes["tracks with values that are not finite, left out"] += 1


def _take(columns: Columns, rows: Rows) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _sequence(name: str, rows: Columns, view: View, fps: float) -> Sequence:
    xy = image_box(view.size).encode(rows["joint_2d"])
    confidence = np.clip(rows["confidence"], 0, 1)[..., None]
    absent = np.zeros((0, 0))
    return Sequence(
        id=name,
        fps=fps,
        unit="normalised",
        axes="camera",
        subject=view.subject,
        action=str(rows["action"][0]) if "action" in rows else view.action,
        camera=view.camera,
        rig="smpl",
        size=view.size,
        motion=np.concatenate([xy, confidence], axis=-1),
        theta=rows["smpl_pose"],
        beta=rows["smpl_shape"],
        initial_theta=rows.get("pred_smpl_pose", absent),
        initial_beta=rows.get("pred_smpl_shape", absent),
    )


def _find(source: Path, name: str, expects: str) -> Path:
    """The file itself, or in a folder the one of this name, or the only one of a longer name."""
    if source.is_file():
        return source
    if (source / name).is_file():
        return source / name
    found = sorted(source.glob(f"{Path(name).stem}*.pkl"))  # mesh_det_pw3d_spin.pkl
    if len(found) != 1:
        what = ", ".join(path.name for path in found) or f"no {name}"
        raise ValueError(f"got {source} with {what}, expected {expects}; do name the file")
    return found[0]
