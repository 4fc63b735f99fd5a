"""Motion capture in BVH files -> a linear-blend body in those poses: theta, beta and 17 joints."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bvh import cleaning
from bvh.bvh_dataset_builder import Builder as BvhBuilder
from bvh.bvh_dataset_builder import BvhOptions, Take, only_h36m17, open_take
from bvh.index import Entry
from mesh_h36m.answers import HELP, InitialFolder

from dstformer_jax.body.rotations import to_vector
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.builder import Item, option
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.bodies import read_body
from dstformer_jax.files.bvh import Bvh

from .initial import Guesser
from .retarget import between, bone_turns, fit, load_names, to_local

MOST = 2.0  # deviations: shapes beyond are cut, where bodies become caricatures
_LEGS = [
    (H36M17.index(f"{side}_{start}"), H36M17.index(f"{side}_{end}"))
    for side in ("left", "right")
    for start, end in (("hip", "knee"), ("knee", "ankle"))
]


@dataclass(frozen=True)
class BodyBvhOptions(BvhOptions):
    """Settings of the body_bvh dataset: those of bvh, the body's and the initial answer's."""

    body: str = option("", ".npz of the body (docs: files/bodies.py), or the folder data/mesh")
    names: str = option("", "JSON of your joint names in the layout of skeletons.json")
    folders: tuple[str, ...] = option((), "folders of --source to read, each with its CSV [itself]")
    skeletons: tuple[str, ...] = option((), "values of the CSV column skeleton to take [all]")
    shape: float = option(1.0, "standard deviation of the shape coefficients of a sequence")
    still: bool = option(False, "leave the root where it is")
    initial: bool = option(False, "also write what another method might have answered")
    initial_from: str = option("", HELP)
    noise: float = option(Guesser.noise, "initial: degrees about each axis of every bone")
    memory: float = option(Guesser.memory, "initial: of the noise, from frame to frame at 30 fps")
    shape_noise: float = option(Guesser.shape, "initial: noise of every shape coefficient")
    outliers: float = option(Guesser.outliers, "initial: share of frames with a bone turned wrong")
    turned: float = option(Guesser.turned, "initial: degrees by which such a bone is turned")
    freezes: float = option(Guesser.freezes, "initial: how often a second the answer hangs")
    hang: float = option(Guesser.hang, "initial: seconds for which it hangs")
    seed: int = option(0, "what every random choice follows from, with the sequence's id")

    @property
    def guesser(self) -> Guesser:
        """The maker of initial answers."""
        return Guesser(
            self.noise, self.memory, self.shape_noise, self.outliers, self.turned, self.freezes,
            self.hang,
        )  # fmt: skip


class Builder(BvhBuilder):
    """One body of a random shape a sequence, in metres, y up."""

    OPTIONS = BodyBvhOptions
    _initial: InitialFolder | None
    EXPECTS = "a folder of .bvh files, or (--folders) a folder of such folders"

    def items(self, source: Path) -> list[Item]:
        """The files of one folder or of several, of the wanted skeletons."""
        options: BodyBvhOptions = self.options
        only_h36m17(options)
        _check(options)
        self._initial = InitialFolder(options.initial_from) if options.initial_from else None
        items = [] if options.folders else super().items(source)
        for folder in options.folders:
            if not (source / folder).is_dir():
                raise ValueError(f"got no folder {source / folder}, expected it for --folders")
            items += [
                dataclasses.replace(item, key=f"{folder}/{item.key}")
                for item in super().items(source / folder)
            ]
        if not options.skeletons:
            return items
        taken = [item for item in items if item.about["entry"].rig in options.skeletons]
        self.notes["files of other skeletons, left out"] += len(items) - len(taken)
        if not taken:
            raise ValueError(
                f"got {len(items)} files, none of skeleton {', '.join(options.skeletons)}, "
                "expected some; do name those of the CSV"
            )
        return taken

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The smooth pieces of one file."""
        bvh = self.load(item)
        take = open_take(bvh, item.about["entry"], self.options, notes)
        for start, end in take.pieces:
            piece = dataclasses.replace(bvh, values=bvh.values[start:end])
            name = take.piece_name(item.key, start)
            pose = take.pose[start:end]
            sequence = self._sequence(name, item.about["entry"], piece, take, pose)
            yield self._initial.add(sequence) if self._initial else sequence

    def _sequence(
        self, name: str, entry: Entry, bvh: Bvh, take: Take, pose: np.ndarray
    ) -> Sequence:
        """The body posed as one piece of a file; pose [T, 17, 3] is the file's own."""
        options: BodyBvhOptions = self.options
        body = read_body(options.body)
        rng = np.random.default_rng([options.seed, zlib.crc32(name.encode())])
        drawn = rng.standard_normal(body.num_shapes)
        shape = options.shape * np.clip(drawn, -MOST, MOST)
        places = body.bone_template + body.bone_shapes @ shape
        fitted = fit(body, places, bvh, load_names(options.names), options.up)
        local = to_local(bone_turns(fitted, body, bvh, options.up), body.parents)
        before, after, share = cleaning.places(len(local), take.fps, options.fps)
        turns = between(local[before], local[after], share)
        beta = np.repeat(shape[None], len(turns), axis=0)
        joints = body.joint_body.joints(turns, beta)
        if not options.still:
            joints += _path(joints, pose, take.fps, options.fps)
        none = np.zeros((0, 0))
        guess = options.guesser.guess(turns, beta, options.fps, rng) if options.initial else None
        return Sequence(
            id=name,
            subject=entry.subject,
            action=entry.action,
            label=entry.label,
            rig=take.rig.name,
            fps=options.fps,
            pose=joints,
            theta=to_vector(turns).reshape(len(turns), -1),
            beta=beta,
            initial_theta=guess[0] if guess else none,
            initial_beta=guess[1] if guess else none,
        )


def _path(joints: np.ndarray, pose: np.ndarray, fps: float, target: float) -> np.ndarray:
    """What moves joints [T, 17, 3] along the root's path of `pose`, [T, 1, 3].

    The path is as much longer as the body's legs are: feet slide little.
    """
    path = cleaning.resample(pose[:, :1], fps, target)
    return _legs(joints[0]) / _legs(pose[0]) * path - joints[:, :1]


def _legs(pose: np.ndarray) -> float:
    """Length of both legs of a pose [17, 3]."""
    return float(sum(np.linalg.norm(pose[end] - pose[start]) for start, end in _LEGS))


def _check(options: BodyBvhOptions) -> None:
    """Raises ValueError for settings that cannot work."""
    if not options.body:
        raise ValueError("got no --body, expected an .npz of a body or the folder data/mesh")
    if options.initial and options.initial_from:
        raise ValueError("got --initial and --initial_from, expected one of them")
    read_body(options.body)
    load_names(options.names)
    for name in ("shape", "noise", "shape_noise", "turned", "freezes", "hang", "seed"):
        if not getattr(options, name) >= 0:
            raise ValueError(f"got --{name}={getattr(options, name)}, expected 0 or more")
    for name in ("memory", "outliers"):
        if not 0 <= getattr(options, name) <= 1:
            raise ValueError(f"got --{name}={getattr(options, name)}, expected 0 to 1")
