"""Motion capture in BVH files -> H36M17 (or declared) joints in metres, y up, at one rate."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.body.declared import skeleton_of
from dstformer_jax.body.landmarks import facing, seen_poses, virtual_landmarks
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.bvh import Bvh, read_bvh
from dstformer_jax.files.rigs import Rig, choose_rig, guess_unit, load_rigs

from . import cleaning
from .index import Entry, find_index, read_index

# Metres per file unit; cgspeed's CMU files count 1 / 0.45 inches.
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "cgspeed": 0.0254 / 0.45}


@dataclass(frozen=True)
class MotionOptions:
    """How BVH files are read."""

    fps: float = option(30.0, "frames a second to store")
    unit: str = option(
        "auto",
        f"{', '.join(UNITS)}, a number (metres per file unit), or auto: the CSV column unit_to_m, "
        "else guessed from the length of the legs",
    )
    up: str = option("y", "upward axis of the files, y or z")
    rigs: str = option("", "JSON file of your skeleton maps {name: 17 joint expressions}")
    skeleton: str = option(H36M17.name, "joints to write: a built-in skeleton, or a JSON of yours")
    max_speed: float = option(15.0, "m/s: a sequence is cut where a joint moves faster")
    min_frames: int = option(8, "shorter pieces are dropped")
    layouts: bool = option(False, "also write the joints as detectors see them, 4 times the size")


@dataclass(frozen=True)
class BvhOptions(MotionOptions):
    """Settings of the bvh dataset."""

    index: str = option("", "CSV of subjects, actions, labels, splits [index.csv or labels.csv]")
    split_from: str = option("split", "CSV column of the split; none: everything is train")
    test: tuple[str, ...] = option((), "subjects or files (without suffix) that go to split test")
    action_from: str = option("", "CSV column of the action [action, label_name or label]")


class Builder(SequenceBuilder):
    """Any folder of BVH files, recursive; one sequence a file or, cut at glitches, several."""

    OPTIONS = BvhOptions
    EXPECTS = "a folder of .bvh files"

    @property
    def num_joints(self) -> int:
        """Joints J of its sequences."""
        return skeleton_of(self.options.skeleton).num_joints

    def items(self, source: Path) -> list[Item]:
        """The BVH files below `source`: those that the CSV lists or, without one, all of them."""
        options: BvhOptions = self.options
        check(options)
        index = find_index(source, options.index)
        paths = [path for path in source.rglob("*") if path.suffix.lower() == ".bvh"]
        found = {path.relative_to(source).as_posix() for path in paths}
        if not found:
            raise ValueError(f"got {source} without any .bvh file, expected {self.EXPECTS}")
        if index:
            entries = read_index(index, options.action_from, options.split_from)
            self.notes["files not in the CSV, left out"] += len(found - entries.keys())
        else:
            entries = {key: Entry(subject=Path(key).parent.name) for key in found}
        return [
            Item(key, source / key, _split(key, entry, options.test), {"entry": entry})
            for key, entry in sorted(entries.items())
        ]

    def load(self, item: Item) -> Bvh:
        """The frames of an item: its whole file."""
        return read_bvh(item.path)

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The smooth pieces of one file, at the wanted frame rate."""
        options: MotionOptions = self.options
        entry: Entry = item.about["entry"]
        take = open_take(self.load(item), entry, options, notes)
        seen = take.seen.reshape(len(take.seen), -1, 3)
        points = np.concatenate([take.joints, take.landmarks, seen], axis=1)
        skeleton = skeleton_of(options.skeleton)
        own = skeleton.num_joints
        known = own + len(take.names)
        for start, end in take.pieces:
            piece = cleaning.resample(points[start:end], take.fps, options.fps)
            yield Sequence(
                id=take.piece_name(item.key, start),
                subject=entry.subject,
                action=entry.action,
                label=entry.label,
                rig=take.rig.name,
                fps=options.fps,
                pose=piece[:, :own],
                joints=skeleton.names,
                landmarks=piece[:, own:known] if take.names else np.zeros((0, 0, 3)),
                landmark_names=take.names,
                seen=_layouts(piece[:, known:]),
            )


@dataclass(frozen=True, eq=False)
class Take:
    """One person's motion as a file has it, and where it can be used.

    pose [T, 17, 3] and landmarks [T, L, 3]: metres, y up; names: of the landmarks; unit: metres per
    file unit; pieces: [start, end) of the smooth pieces that are long enough, of `cuts` in all.
    seen [T, 5, 17, 3]: the pose as detectors' layouts have it; [T, 0, 17, 3] where not wanted.
    joints [T, J, 3]: the pose in the joints that are wanted.
    """

    rig: Rig
    unit: float
    fps: float
    pose: np.ndarray
    landmarks: np.ndarray
    names: tuple[str, ...]
    pieces: list[tuple[int, int]]
    cuts: int
    seen: np.ndarray
    joints: np.ndarray

    def piece_name(self, key: str, start: int) -> str:
        """The id of a piece: the file without its suffix, and the first frame where it is cut."""
        stem = key.rsplit(".", 1)[0]
        return stem if self.cuts == 1 else f"{stem}@{start}"


def open_take(bvh: Bvh, entry: Entry, options: MotionOptions, notes: Counter[str]) -> Take:
    """Reads the motion of a file and finds its smooth pieces; what is left out goes to `notes`."""
    rig = _rig(bvh, options.rigs, entry.rig)
    unit = _unit(options.unit, entry, rig, bvh)
    pose, landmarks, names = _points(bvh, rig, unit, options.up)
    fps = entry.fps or bvh.fps
    rest, _, _ = _points(_zero_pose(bvh), rig, unit, options.up)
    first = cleaning.leading_rest_frames(pose, rest[0], fps)
    notes["T-pose first frames dropped"] += first
    joints = _wanted(pose, landmarks, names, rig, skeleton_of(options.skeleton))
    smooth = cleaning.smooth_pieces(joints[first:], fps, options.max_speed)
    notes["cuts at glitches"] += len(smooth) - 1
    notes["files cut at glitches"] += len(smooth) > 1
    pieces = []
    for start, end in smooth:
        if len(cleaning.places(end - start, fps, options.fps)[0]) < options.min_frames:
            notes[f"pieces under {options.min_frames} frames dropped"] += 1
        else:
            pieces.append((first + start, first + end))
    seen = np.zeros((len(pose), 0, 17, 3), np.float32)
    if options.layouts:
        seen = _seen(bvh, rig, pose, rest[0], options.up)
    return Take(rig, unit, fps, pose, landmarks, names, pieces, len(smooth), seen, joints)


def check(options: MotionOptions) -> None:
    """Refuses settings that no file could be read with."""
    load_rigs(options.rigs or None)
    if options.layouts and skeleton_of(options.skeleton) != H36M17:
        raise ValueError(
            f"got --layouts with --skeleton={options.skeleton}, expected them apart: layouts are "
            "drawn of the 17 joints of h36m17 alone"
        )
    if options.unit != "auto":
        _metres(options.unit)
    if options.up not in ("y", "z"):
        raise ValueError(f"got --up={options.up}, expected y or z")
    for name in ("fps", "max_speed", "min_frames"):
        if not getattr(options, name) > 0:
            raise ValueError(f"got --{name}={getattr(options, name)}, expected more than 0")


def only_h36m17(options: MotionOptions) -> None:
    """Refuses other joints, for datasets that know no others."""
    if skeleton_of(options.skeleton) != H36M17:
        raise ValueError(f"got --skeleton={options.skeleton}, expected h36m17 for this dataset")


def _split(key: str, entry: Entry, test: tuple[str, ...]) -> str:
    names = {entry.subject, Path(key).stem, key}
    return "test" if names.intersection(test) else entry.split


def _rig(bvh: Bvh, path: str, name: str) -> Rig:
    """The rig the CSV names, where it is one of ours, else the one whose joints the file has.

    A user's own maps are tried before the shipped ones.
    """
    shipped = load_rigs()
    own = load_rigs(path) if path else {}
    both = shipped | own
    if name in both:
        return choose_rig(bvh, both, name)
    if any(not rig.missing(bvh.names) for rig in own.values()):
        return choose_rig(bvh, own)
    return choose_rig(bvh, both)


def _metres(unit: str) -> float:
    """Metres per file unit of a name or a number."""
    try:
        metres = UNITS[unit] if unit in UNITS else float(unit)
    except ValueError:
        metres = 0.0
    if not 0 < metres < float("inf"):
        raise ValueError(
            f"got --unit={unit}, expected auto, {', '.join(UNITS)} or a number above 0"
        )
    return metres


def _unit(given: str, entry: Entry, rig: Rig, bvh: Bvh) -> float:
    if given != "auto":
        return _metres(given)
    return entry.unit or guess_unit(rig.pose(bvh, 1.0))


def _points(
    bvh: Bvh, rig: Rig, unit: float, up: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Pose [T, 17, 3], landmarks [T, L, 3] in metres with y up, and the names of the landmarks."""
    pose = rig.pose(bvh, unit)
    landmarks, names = rig.present_landmarks(bvh, unit)
    if up == "z":
        pose, landmarks = (
            p[..., [0, 2, 1]] * np.array([1, 1, -1], np.float32) for p in (pose, landmarks)
        )
    return pose, landmarks, names


def _wanted(
    pose: np.ndarray, landmarks: np.ndarray, names: tuple[str, ...], rig: Rig, skeleton: Skeleton
) -> np.ndarray:
    """The joints [T, J, 3] of a skeleton, of a rig's pose [T, 17, 3] and landmarks [T, L, 3].

    Raises:
      ValueError: a joint that the rig cannot tell.
    """
    if skeleton == H36M17:
        return pose
    parents = (*H36M17.parents, *(-1 for _ in names))
    source = Skeleton(f"rig {rig.name}", (*H36M17.names, *names), parents)
    points = np.concatenate([pose, landmarks], axis=1)
    joints, known = source.convert(points, None, skeleton)
    if not known.all():
        missing = [name for name, k in zip(skeleton.names, known[0], strict=True) if not k]
        raise ValueError(
            f"got rig {rig.name} with landmarks {', '.join(names) or 'none'}, expected what "
            f"{skeleton.name} makes {', '.join(missing)} of; do give them in --rigs"
        )
    return joints


def _seen(bvh: Bvh, rig: Rig, pose: np.ndarray, rest: np.ndarray, up: str) -> np.ndarray:
    """The pose [T, 17, 3] in every layout: face and feet turn with their bones."""
    nodes = [rig.node(bvh, H36M17.index(name)) for name in ("nose", "left_ankle", "right_ankle")]
    turns = bvh.turns[:, nodes]
    if up == "z":  # the same change of axes as of the points
        axes = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
        turns = axes @ turns @ axes.T
    turns = turns @ facing(rest.astype(np.float64), np.array([0.0, 1.0, 0.0]))
    return seen_poses(pose, virtual_landmarks(pose, *np.moveaxis(turns, 1, 0)))


def _layouts(points: np.ndarray) -> np.ndarray:
    """[T, 5 * 17, 3] -> [T, 5, 17, 3]; no points: of no frames."""
    if not points.shape[1]:
        return np.zeros((0, 0, 17, 3), np.float32)
    return points.reshape(len(points), -1, 17, 3)


def _zero_pose(bvh: Bvh) -> Bvh:
    """The first frame with all rotations zero."""
    values = bvh.values[:1].copy()
    kinds = [kind for channels in bvh.channels for kind, _ in channels]
    values[:, [kind == "rotation" for kind in kinds]] = 0.0
    return dataclasses.replace(bvh, values=values)
