"""Human3.6M in the layout of MotionBERT, mmpose or VideoPose3D -> normalised 2D and 2.5D poses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.motionbert import SPLITS

from . import mmpose, official, videopose
from .cameras import load_cameras
from .names import split_of

LAYOUTS = ("official", "mmpose", "videopose")


@dataclass(frozen=True)
class Human36mOptions:
    """Settings of the human36m dataset."""

    layout: str = option("auto", f"{', '.join(LAYOUTS)}, or auto: the first one found")
    detections: str = option(
        "",
        "videopose: which data_2d_h36m_*.npz, e.g. cpn_ft_h36m_dbb or gt; none: the projected pose",
    )
    fps: int = option(50, "mmpose: which folder, fps50 or fps10")


class Builder(SequenceBuilder):
    """Subjects 1, 5, 6, 7, 8 in train, 9 and 11 in test; one sequence a video."""

    OPTIONS = Human36mOptions
    EXPECTS = (
        "a folder (or the file itself) with h36m_sh_conf_cam_source_final.pkl of MotionBERT, "
        "h36m_train.npz and h36m_test.npz of mmpose, or data_3d_h36m.npz of VideoPose3D"
    )

    def items(self, source: Path) -> list[Item]:
        """The splits (official, mmpose) or subjects (videopose) of the files in `source`."""
        options: Human36mOptions = self.options
        if options.layout not in (*LAYOUTS, "auto"):
            raise ValueError(f"got --layout={options.layout}, expected one of {', '.join(LAYOUTS)}")
        finders = {"official": _official, "mmpose": self._mmpose, "videopose": _videopose}
        for name in LAYOUTS if options.layout == "auto" else (options.layout,):
            if found := finders[name](source):
                return found
        raise ValueError(f"got {source}, expected {self.EXPECTS}")

    def _mmpose(self, source: Path) -> list[Item]:
        root = source if source.is_dir() else source.parent
        wanted = f"fps{self.options.fps}"
        files = [
            (split, path)
            for split in ("train", "test")
            for path in sorted(root.rglob(f"h36m_{split}.npz"))
            if path.parent.name in (wanted, root.name) or not path.parent.name.startswith("fps")
        ]
        return [
            Item(path.relative_to(root).as_posix(), path, split, {"layout": "mmpose", "root": root})
            for split, path in files
        ]

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The videos of one split or subject, without those that hold no numbers."""
        for sequence in self._read(item, notes):
            if all(np.isfinite(array).all() for array in (sequence.motion, sequence.pose)):
                yield sequence
            else:
                notes["videos with values that are not finite, left out"] += 1

    def _read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        layout = item.about["layout"]
        if layout == "official":
            return official.read_official(item.path, item.split)
        if layout == "mmpose":
            return mmpose.read_mmpose(item.path, _camera_folder(item.path, item.about["root"]))
        folder = item.path.parent
        detections = videopose.find_detections(folder, self.options.detections)
        cameras = load_cameras(folder)
        return videopose.read_subject(item.path, item.about["subject"], cameras, detections, notes)


def _official(source: Path) -> list[Item]:
    """Both splits of the pickle; other pickles of the three layouts are not mistaken for it."""
    candidates = [source] if source.is_file() else sorted(source.glob("*.pkl"))
    files = [
        path
        for path in candidates
        if path.suffix == ".pkl" and path.name != "cameras.pkl" and "stats" not in path.stem
    ]
    if len(files) > 1:
        files = [path for path in files if path.name.startswith("h36m")][:1] or files[:1]
    return [
        Item(f"{path.name}:{split}", path, split, {"layout": "official"})
        for path in files
        for split in SPLITS
    ]


def _videopose(source: Path) -> list[Item]:
    path = source / videopose.POSES if source.is_dir() else source
    if path.name != videopose.POSES or not path.is_file():
        return []
    return [
        Item(
            f"{path.name}:{subject}",
            path,
            split_of(subject),
            {"layout": "videopose", "subject": subject},
        )
        for subject in videopose.subjects_of(path)
    ]


def _camera_folder(path: Path, root: Path) -> Path:
    """The nearest folder above an annotation file that has cameras."""
    for folder in (path.parent, path.parent.parent, root):
        if (folder / "cameras.pkl").is_file() or (folder / "cameras.json").is_file():
            return folder
    return root
