"""AMASS: SMPL+H motion, or joints computed from it before -> H36M17 in metres, camera axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence

from . import joints, motions
from .models import find_model, load_body

REGRESSOR = "J_regressor_h36m_correct.npy"
CHUNK = 2000  # frames posed at once


@dataclass(frozen=True)
class AmassOptions:
    """Settings of the amass dataset."""

    body_models: str = option(
        "", "folder with smplh/{female,male}/model.npz and dmpls/ [<source>/body_models]"
    )
    regressor: str = option("", f"joint regressor (17, 6890) in .npy [<source>/{REGRESSOR}]")
    fps: float = option(60.0, "frames a second to store")
    official_rate: bool = option(
        False, "thin by round(rate / 60) as the official script, so that 100 Hz becomes 50"
    )
    pieces: int = option(0, "cut recordings after so many frames (official: 2916); 0: whole")
    test: tuple[str, ...] = option((), "sub-folders that go to the split test")


class Builder(SequenceBuilder):
    """One sequence a recording; metres (give the source scale 0.298), y down, in no camera."""

    OPTIONS = AmassOptions
    EXPECTS = (
        "a folder of SMPL+H .npz files of AMASS, amass_joints_h36m_60.pkl, or the clip folder "
        "MB3D_f243s81/AMASS"
    )

    def items(self, source: Path) -> list[Item]:
        """The motion files below `source`, the official joints pickle, or the official clips."""
        options: AmassOptions = self.options
        if options.fps <= 0 or options.pieces < 0:
            raise ValueError(
                f"got --fps={options.fps} --pieces={options.pieces}, expected a rate above 0 and "
                "a number of frames"
            )
        found = _pickle(source) or _clips(source)
        if found:
            return found
        body_models = [source / "body_models", Path(options.body_models or source)]
        paths = [
            path
            for path in motions.find_motions(source)
            if not any(
                path.is_relative_to(folder / kind) for folder in body_models for kind in _KINDS
            )
        ]
        if not paths:
            raise ValueError(f"got {source}, expected {self.EXPECTS}")
        self._files(source)
        keys = {path.relative_to(source).as_posix(): path for path in paths}
        return [
            Item(
                key,
                path,
                "test" if _under(key, options.test) else "train",
                {"layout": "motion", "root": source},
            )
            for key, path in sorted(keys.items())
        ]

    def _files(self, source: Path) -> tuple[Path, Path]:
        """Folder of the body models, file of the regressor; ValueError says what is missing."""
        folder = Path(self.options.body_models or source / "body_models")
        regressor = Path(self.options.regressor or source / REGRESSOR)
        if not any(find_model(folder, "smplh", gender) for gender in ("female", "male")):
            raise ValueError(
                f"got no SMPL+H model in {folder}, expected smplh/{{female,male}}/model.npz "
                "(https://mano.is.tue.mpg.de); do --body_models=DIR"
            )
        if not regressor.is_file():
            raise ValueError(
                f"got no joint regressor {regressor}, expected {REGRESSOR} of MotionBERT's "
                "data/mesh; do --regressor=FILE"
            )
        return folder, regressor

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The sequences of one file."""
        layout = item.about["layout"]
        if layout == "joints":
            for place, (name, fps, pose) in enumerate(joints.read_joints(item.path)):
                yield from self._pieces(f"{place:05d}", name, joints.to_camera(pose), fps)
        elif layout == "clip":
            yield from self._pieces(_stem(item.key), "", joints.read_clip(item.path), 60.0)
        else:
            pose, fps = self._posed(item, notes)
            yield from self._pieces(_stem(item.key), item.key, joints.to_camera(pose), fps)

    def _posed(self, item: Item, notes: Counter[str]) -> tuple[np.ndarray, float]:
        """A motion file through its body and the regressor: `[T, 17, 3]` metres, and its rate."""
        folder, regressor = self._files(item.about["root"])
        motion = motions.read_motion(item.path)
        notes["files without soft tissue (dmpls)"] += not motion.dmpls.shape[1]
        motion = motion.every(self._step(motion.fps))
        gender = motion.gender
        if gender == "neutral" and not find_model(folder, "smplh", gender):
            gender = "female"  # as the official preprocessing
        body = load_body(folder, regressor, gender)
        pose = motions.poses_for(motion, len(body.parents))
        shape = motions.shape_for(motion, body.bones.shape[-1] - 1, body.num_dmpls)
        parts = [slice(start, start + CHUNK) for start in range(0, len(pose), CHUNK)]
        points = [body.joints(pose[part], shape[part], motion.place[part]) for part in parts]
        fps = joints.whole(motion.fps)
        if self.options.official_rate:
            return np.concatenate(points), fps
        return _resample(np.concatenate(points), fps, self.options.fps)

    def _step(self, fps: float) -> int:
        """Every how many frames to pose: what is left out again later need not be posed."""
        if self.options.official_rate:
            return joints.thinned_rate(fps)[0]
        ratio = fps / self.options.fps
        step = max(round(ratio), 1)
        return step if abs(ratio - step) <= 0.005 * step else 1

    def _pieces(self, key: str, name: str, pose: np.ndarray, fps: float) -> Iterator[Sequence]:
        """The recording whole, or in pieces; `name` is its path in AMASS, where that is known."""
        if not np.isfinite(pose).all():
            raise ValueError(f"got joints of {name or key} that are not finite")
        length = self.options.pieces or len(pose)
        for start in range(0, len(pose), length):
            yield Sequence(
                id=f"{key}#{start}" if length < len(pose) else key,
                subject=PurePosixPath(name).parent.as_posix() if name else "",
                action=PurePosixPath(name).stem.removesuffix("_poses") if name else "",
                fps=fps,
                unit="m",
                axes="camera",
                pose=pose[start : start + length],
            )


def _stem(key: str) -> str:
    return PurePosixPath(key).with_suffix("").as_posix()


_KINDS = ("smplh", "dmpls")


def _resample(pose: np.ndarray, fps: float, target: float) -> tuple[np.ndarray, float]:
    """Linear between frames where the rates differ; `[T, 17, 3]`."""
    if abs(fps - target) <= 0.005 * target:
        return pose, target
    times = np.arange(int((len(pose) - 1) * target / fps + 1e-6) + 1) * fps / target
    before = np.minimum(times.astype(int), len(pose) - 1)
    after = np.minimum(before + 1, len(pose) - 1)
    weight = (times - before)[:, None, None]
    return pose[before] * (1 - weight) + pose[after] * weight, target


def _under(key: str, folders: tuple[str, ...]) -> bool:
    return any(key.startswith(folder.rstrip("/") + "/") for folder in folders)


def _pickle(source: Path) -> list[Item]:
    path = source / "amass_joints_h36m_60.pkl" if source.is_dir() else source
    if path.suffix != ".pkl" or not path.is_file():
        return []
    return [Item(path.name, path, "train", {"layout": "joints"})]


def _clips(source: Path) -> list[Item]:
    """Files 00000000.pkl ... below train/ (and test/, which the official AMASS leaves empty)."""
    return [
        Item(f"{split}/{path.name}", path, split, {"layout": "clip"})
        for split in ("train", "test")
        for path in sorted((source / split).glob("[0-9]*.pkl"))
    ]
