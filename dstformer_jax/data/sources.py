"""A Source says where clips come from; SourceData is a source with its frames and its windows."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.landmarks import LAYOUTS
from dstformer_jax.body.skeleton import H36M17, Skeleton

from .bank import Bank
from .windows import Windows, few, index_windows, whole_windows

NUM_SHARDS = 8  # virtual shards of every batch: 1, 2, 4 or 8 processes see the same numbers
SUPERVISIONS = ("3d", "2d", "label", "body")
DRAWN = "layouts"  # input: of each clip one of LAYOUTS is drawn
_CHOICES = {
    "supervision": SUPERVISIONS,
    "input": ("pose", "motion", DRAWN, *LAYOUTS),
    "short": ("resample", "pad", "drop"),
    "tail": ("drop", "pad"),
    "window": ("slide", "whole"),
    "persons": (1, 2),
}


@dataclass(frozen=True)
class Views:
    """Orthographic cameras around motion in world axes; angles in degrees.

    Drawn: yaw and pitch are (low, high) ranges, uniform. Fixed: they list the angles, and
    evaluation visits every yaw with every pitch.
    """

    yaw: tuple[float, ...] = (0.0, 360.0)  # about the world's vertical
    pitch: tuple[float, ...] = (0.0, 0.0)  # the camera looks down by this
    fixed: bool = False

    def __post_init__(self) -> None:
        for name in ("yaw", "pitch"):
            angles = tuple(float(angle) for angle in getattr(self, name))
            object.__setattr__(self, name, angles)
            if not angles or (not self.fixed and len(angles) != 2):
                raise ValueError(
                    f"got {name} {angles} of drawn views, expected (low, high) in degrees; "
                    "do fixed=True to list angles"
                )

    def angles(self) -> np.ndarray:
        """Every fixed (yaw, pitch), float32 [V, 2] degrees."""
        if not self.fixed:
            raise ValueError("got drawn views, expected fixed ones; do Views(..., fixed=True)")
        return np.array(list(itertools.product(self.yaw, self.pitch)), np.float32)


@dataclass(frozen=True)
class Source:
    """Clips of one prepared dataset, all of one length, supervised in one way."""

    name: str
    dataset: str  # e.g. "bvh/cmu_mocap"
    split: str = "train"
    frames: int = 243  # T
    stride: int = 81  # between the starts of two windows
    batch: int = 64  # over all processes; a multiple of 8
    supervision: str = "3d"  # 3d | 2d | label | body
    # pose: its x, y with confidence 1; motion: the stored 2D; a name of body.landmarks.LAYOUTS: the
    # joints as this layout has them; layouts: for each clip one of them is drawn
    input: str = "pose"
    views: Views | None = None  # for poses in world axes
    # Degrees, (low, high): pinhole cameras of such fields of view, in which people are small or
    # large and off the centre; None: orthographic. The target stays orthographic.
    lens: tuple[float, float] | None = None
    crop: tuple[float, float] | None = None  # range of the crop ratio; 1 fills [-1, 1]
    scale: float = 1.0  # multiplies the pose; 0.298 a metre is the official AMASS scale
    mask: bool = False
    noise: bool = False
    flip: bool = False
    epochs: tuple[int, int] = (0, -1)  # [first, last), -1: to the end; the curriculum
    short: str = "resample"  # sequences shorter than T: resample | pad | drop
    tail: str = "drop"  # frames after the last full window: drop | pad
    root_seen: bool = False  # only clips whose first root was detected (official InstaVariety)
    fps: float | None = None  # checked, not converted: prepare resamples
    window: str = "slide"  # slide: every `stride` frames; whole: each sequence stretched to T
    persons: int = 1  # people in a clip of supervision "label"
    move: bool = False  # labels: a drawn turn, scale and shift that change along the clip
    accumulate: bool = False  # move what earlier passes have moved already (official loader)
    per_class: int = 0  # labels: batches of this many clips of each class; 0: any clips
    limit_per_class: int = 0  # labels: knows so many clips of each class, repeated; 0: all
    limit_seed: int = 0  # which clips these are

    def __post_init__(self) -> None:
        if isinstance(self.views, Mapping):
            object.__setattr__(self, "views", _build(Views, self.views))
        object.__setattr__(self, "epochs", tuple(int(epoch) for epoch in self.epochs))
        for name in ("crop", "lens"):
            if (ends := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(map(float, ends)))
        _check(self)

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Source:
        """A source from the config's plain dict; an unknown key is an error naming the valid."""
        return _build(cls, settings)

    @property
    def shows_layouts(self) -> bool:
        """Whether the input is the pose as detectors' layouts have it."""
        return self.input == DRAWN or self.input in LAYOUTS

    def active(self, epoch: int) -> bool:
        """Whether the source is drawn in this epoch."""
        first, last = self.epochs
        return first <= epoch and (last < 0 or epoch < last)


def _build(cls: type, settings: Mapping[str, Any]) -> Any:
    valid = [field.name for field in dataclasses.fields(cls)]
    if unknown := sorted(set(settings) - set(valid)):
        raise ValueError(f"got {cls.__name__} keys {unknown}, expected some of {valid}")
    return cls(**settings)


def _check(source: Source) -> None:
    """Raises ValueError for settings that cannot work."""
    where = f"source {source.name!r}"
    for name, choices in _CHOICES.items():
        if getattr(source, name) not in choices:
            raise ValueError(
                f"got {name} {getattr(source, name)!r} in {where}, expected one of {choices}"
            )
    if source.frames < 1 or source.stride < 1 or source.scale <= 0:
        raise ValueError(
            f"got frames {source.frames}, stride {source.stride}, scale {source.scale} in {where}, "
            "expected positive numbers"
        )
    if source.batch < NUM_SHARDS or source.batch % NUM_SHARDS:
        raise ValueError(
            f"got batch {source.batch} in {where}, expected a multiple of {NUM_SHARDS}; "
            f"do batch={max(1, round(source.batch / NUM_SHARDS)) * NUM_SHARDS}"
        )
    if source.crop is not None and not 0 < source.crop[0] <= source.crop[1]:
        raise ValueError(f"got crop {source.crop} in {where}, expected 0 < low <= high")
    if (source.shows_layouts or source.lens) and (
        source.supervision != "3d" or source.input == "motion" or source.crop is None
    ):
        raise ValueError(
            f"got input {source.input!r} and lens {source.lens} in {where}, expected layouts and "
            "lenses with supervision '3d', a crop, and no stored 2D"
        )
    if source.lens is not None and not 0 < source.lens[0] <= source.lens[1] < 180:
        raise ValueError(f"got lens {source.lens} in {where}, expected 0 < low <= high < 180")
    if source.supervision != "label" and (
        source.persons > 1
        or source.move
        or source.per_class
        or source.limit_per_class
        or source.window == "whole"
    ):
        raise ValueError(
            f"got persons, move, per_class, limit_per_class or window='whole' in {where}, "
            f"expected them with supervision 'label', not {source.supervision!r}"
        )
    if source.supervision == "label" and (source.noise or source.mask):
        raise ValueError(f"got noise or mask in {where}, expected neither with supervision 'label'")
    if source.per_class and (source.per_class < 2 or source.batch % source.per_class):
        raise ValueError(
            f"got per_class {source.per_class} in {where}, expected 2 or more that divide the "
            f"batch of {source.batch}"
        )
    if source.accumulate and (not source.move or source.flip or source.limit_per_class):
        raise ValueError(f"got accumulate in {where}, expected move, no flip, no limit_per_class")
    if source.limit_per_class < 0:
        raise ValueError(f"got limit_per_class {source.limit_per_class} in {where}, expected 0 up")
    if source.persons > 1 and source.input == "pose":
        raise ValueError(f"got two persons with input 'pose' in {where}, expected input 'motion'")
    if source.views is not None and source.input == "motion":
        raise ValueError(
            f"got views with input 'motion' in {where}, expected input 'pose': "
            "stored 2D cannot be seen from another side"
        )


def _labels(bank: Bank) -> np.ndarray:
    """The label of every sequence, int32 [S]; -1 where it is not known."""
    return np.array([row.get("label", -1) for row in bank.sequences], np.int32)


@dataclass(frozen=True, eq=False)
class SourceData:
    """A source with its frames and windows; `skeleton` is of their joints."""

    source: Source
    bank: Bank
    windows: Windows
    skeleton: Skeleton = H36M17

    @classmethod
    def open(cls, source: Source, data_dir: str | Path, skeleton: Skeleton = H36M17) -> SourceData:
        """Opens the bank of the source; ValueError when it lacks what the source asks for."""
        return cls.of(source, Bank.open(data_dir, source.dataset, source.split), skeleton)

    @classmethod
    def of(cls, source: Source, bank: Bank, skeleton: Skeleton = H36M17) -> SourceData:
        """The source on a bank at hand."""
        _check_joints(source, bank, skeleton)
        _check_bank(source, bank)
        if source.window == "whole":
            windows = whole_windows(bank.lengths)
        else:
            windows = index_windows(
                bank.lengths, source.frames, source.stride, source.short, source.tail
            )
        if source.root_seen:
            windows = windows.where(np.asarray(bank.motion)[windows.spans[:, 0], 0, 2] > 0)
        if source.limit_per_class:
            labels = _labels(bank)[windows.sequence]
            windows = windows.where(few(labels, source.limit_per_class, source.limit_seed))
        if not len(windows):
            raise ValueError(
                f"got no clip of {source.frames} frames from {bank.path}, expected at least one; "
                "lower frames or do short='resample'"
            )
        return cls(source, bank, windows, skeleton)

    @cached_property
    def resamples(self) -> bool:
        """Whether any clip is resampled in time."""
        return bool(self.windows.resampled.any())

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of every clip, int32 [N]; -1 where it is not known."""
        return _labels(self.bank)[self.windows.sequence]

    @property
    def unit(self) -> str:
        """Unit of the stored pose: m | px | normalised."""
        return self.bank.sequences[0]["unit"]


def _check_joints(source: Source, bank: Bank, skeleton: Skeleton) -> None:
    """Raises ValueError for a bank of other joints than the skeleton's."""
    where = f"source {source.name!r} on {bank.path}"
    for row in bank.sequences:
        found = tuple(row.get("joints", H36M17.names))
        if found != skeleton.names:
            other = next((name for name in skeleton.names if name not in found), "another order")
            raise ValueError(
                f"got {where} of {len(found)} joints, expected the {skeleton.num_joints} of "
                f"{skeleton.name} (lacking: {other}); do prepare it with --skeleton, or set "
                "config.skeleton to what it was prepared with"
            )
    if source.shows_layouts and skeleton != H36M17:
        raise ValueError(
            f"got input {source.input!r} with {skeleton.name} in {where}, expected 'pose' or "
            "'motion': layouts are drawn of the 17 joints of h36m17 alone"
        )


def _check_bank(source: Source, bank: Bank) -> None:
    where = f"source {source.name!r} on {bank.path}"
    needed = {"seen" if source.shows_layouts else source.input}
    if source.supervision == "3d":
        needed.add("pose")
    if source.supervision == "body":
        needed |= {"theta", "beta"}
    if source.persons > 1:
        needed.add("partner")
    for name in sorted(needed):
        if len(getattr(bank, name)) == 0:
            wish = "; do prepare it with --layouts" if name == "seen" else ""
            raise ValueError(
                f"got {where}, which has no {name}, expected it for supervision "
                f"{source.supervision!r} with input {source.input!r}{wish}"
            )
    for fact in ("unit", "axes", "fps"):
        values = sorted({row[fact] for row in bank.sequences})
        if len(values) > 1 and (fact != "fps" or source.fps is not None):
            raise ValueError(f"got {fact} {values} in {where}, expected one; prepare them apart")
        if fact == "fps" and source.fps is not None and abs(values[0] - source.fps) > 0.01:
            raise ValueError(
                f"got fps {values[0]} in {where}, expected {source.fps}; prepare it at that rate"
            )
    is_2d = source.supervision == "2d" or source.input == "motion"
    if is_2d and source.crop is None and bank.sequences[0]["unit"] == "px":
        raise ValueError(f"got pixels in {where}, expected them cropped to [-1, 1]; do crop=(1, 1)")
    if source.supervision == "label" and min(row.get("label", -1) for row in bank.sequences) < 0:
        unlabelled = [row["id"] for row in bank.sequences if row.get("label", -1) < 0]
        raise ValueError(
            f"got {len(unlabelled)} sequences without a label in {where}, such as {unlabelled[0]}, "
            "expected a label for each; do prepare it with labels"
        )
    if source.views is not None and bank.sequences[0]["axes"] != "world":
        raise ValueError(
            f"got views for camera axes in {where}, expected world axes; do views=None"
        )
