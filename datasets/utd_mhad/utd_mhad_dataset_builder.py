"""UTD-MHAD skeletons (Kinect, 27 actions, 8 people) -> labelled 3D clips in metres, y up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.labelled import LabelOptions, deal, open_labels, to_items, unlisted
from dstformer_jax.data.labels import Row
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.npz import load_npz

SKELETONS = "skeletons.npz"
_ARM = ("shoulder", "elbow", "wrist", "hand")
_LEG = ("hip", "knee", "ankle", "foot")
_LIMBS = tuple(
    f"{side}_{joint}" for limb in (_ARM, _LEG) for side in ("left", "right") for joint in limb
)
# Kinect v1; its shoulder centre is our neck, its hip centre our root. In Human3.6M the nose lies
# half way between the neck and the top of the head, and so does the face here.
KINECT20 = Skeleton(
    "kinect20",
    ("head", "neck", "belly", "root", *_LIMBS),
    (1, 2, 3, -1, 1, 4, 5, 6, 1, 8, 9, 10, 3, 12, 13, 14, 3, 16, 17, 18),
)
_NOSE, _NECK, _HEAD = (H36M17.index(name) for name in ("nose", "neck", "head"))


@dataclass(frozen=True)
class UtdOptions(LabelOptions):
    """Settings of the utd_mhad dataset."""

    fps: float = option(30.0, "frames a second, about; the files do not say")


class Builder(SequenceBuilder):
    """One sequence a recording. Turned so that people face yaw 0, the frontal view."""

    OPTIONS = UtdOptions
    EXPECTS = "a folder with skeletons.npz and labels.csv (columns key, action_name, subject)"
    _arrays: dict[str, np.ndarray]

    def items(self, source: Path) -> list[Item]:
        """The recordings that the CSV lists."""
        options: UtdOptions = self.options
        if not options.fps > 0:
            raise ValueError(f"got --fps={options.fps}, expected more than 0")
        if not (source / SKELETONS).is_file():
            raise ValueError(f"got {source} without {SKELETONS}, expected {self.EXPECTS}")
        if not (options.classes or options.class_from):  # in the order of the data set's numbers
            options = replace(options, classes=str(Path(__file__).with_name("classes.txt")))
        labels = open_labels(options, source, "key")
        self._arrays = load_npz(source / SKELETONS)
        self.notes.update(unlisted(self._arrays, labels, options))
        items = to_items(deal(labels, options), source)
        return [replace(item, path=source / SKELETONS) for item in items]

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """One recording."""
        row: Row = item.about["row"]
        if item.key not in self._arrays:
            raise ValueError(f"got no array {item.key} in {SKELETONS}, expected one for each row")
        yield Sequence(
            id=item.key,
            fps=self.options.fps,
            subject=row.get(self.options.group),
            action=row.name,
            label=row.label,
            rig=KINECT20.name,
            pose=to_pose(self._arrays[item.key]),
        )


def to_pose(points: np.ndarray) -> np.ndarray:
    """Kinect joints `[T, 20, 3]` of the sensor's frame -> H36M17 `[T, 17, 3]`, facing +z.

    The sensor's axes are x to its left, y up, z away from it: right-handed. People stand before it
    and look at it, along -z; half a turn about y makes them look along +z, into the camera of
    yaw 0 (`geometry.view`).
    """
    if points.ndim != 3 or points.shape[1:] != (20, 3) or not len(points):
        raise ValueError(f"got joints of shape {points.shape}, expected [frames, 20, 3]")
    if points.dtype.kind != "f" or not np.isfinite(points).all():
        raise ValueError("got joints that are no finite numbers, expected metres")
    pose, _ = KINECT20.convert(points.astype(np.float32), None, H36M17)
    pose[:, _NOSE] = (pose[:, _NECK] + pose[:, _HEAD]) / 2
    return pose * np.array([-1, 1, -1], np.float32)
