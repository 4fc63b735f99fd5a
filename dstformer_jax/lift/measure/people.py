"""People whom the network has not seen, filmed: mocap of test subjects as detectors see it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dstformer_jax.body import geometry
from dstformer_jax.body.landmarks import LAYOUTS
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.corrupt import SHIPPED, corrupt
from dstformer_jax.tasks.metrics import centre

PIXELS = 250.0  # a metre
YAWS = np.radians([0, 90, 180, 270])
PITCH = np.radians(10)
SPACING = 3  # frames between keyframes of the noise, as in clips of 81 frames with 27
ABOUT = (
    "People are those of the test split of {datasets}, seen by cameras without perspective "
    "from four sides in turn, looking down by 10 degrees, {layouts}, with the noise of the "
    "training (`data.corrupt`), scaled to the person. Errors are relative to the root, of joints "
    "other than the root, at the true size."
)


@dataclass(frozen=True)
class Clip:
    """One filmed sequence: motion [T, J, 3] in pixels with confidence, truth [T, J, 3] in metres.

    The truth is in camera axes, relative to the root.
    """

    subject: str
    name: str
    motion: np.ndarray
    truth: np.ndarray

    def cut(self, first: int, frames: int) -> Clip:
        """Some of its frames."""
        rows = slice(first, first + frames)
        return replace(self, motion=self.motion[rows], truth=self.truth[rows])

    def masked(self, missing: np.ndarray) -> Clip:
        """Where missing [T, J] nothing is seen."""
        return replace(self, motion=np.where(missing[..., None], 0, self.motion))

    def as_motion(self) -> Motion:
        """For `Lifter`."""
        return together([self])

    def errors(self, pose: np.ndarray) -> np.ndarray:
        """Metres by which a pose [T, J, 3] in pixels is off: [T, J]."""
        return np.linalg.norm(centre(pose) / PIXELS - self.truth, axis=-1)


def together(clips: Sequence[Clip]) -> Motion:
    """A track a clip, in an image that holds them all; lifted at once, they share batches."""
    tracks = [Track(i, 0, c.motion[..., :2], c.motion[..., 2]) for i, c in enumerate(clips)]
    width, height = np.max([np.ceil(track.points.max((0, 1))) for track in tracks], axis=0)
    return Motion(tuple(tracks), H36M17, fps=30.0, size=(int(width), int(height)))


def flags(parser: argparse.ArgumentParser) -> None:
    """Where the people are."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="prepared data (with --layouts)")
    add("--datasets", default="bvh/cmu_mocap,bvh/cmu_mocap_more", help="by comma [CMU's]")


def filmed(
    values: argparse.Namespace, least: int = 1, layouts: tuple[str, ...] = ("h36m17",)
) -> Iterator[Clip]:
    """Every test sequence of `least` frames or more, its view and layout in turn.

    Raises:
      ValueError: data that are not prepared, or no sequence of that length.
    """
    found = 0
    for dataset in values.datasets.split(","):
        bank = Bank.open(values.data, dataset, "test")
        for row in bank.sequences:
            if row["frames"] < least:
                continue
            rows = slice(row["start"], row["start"] + row["frames"])
            pose = np.asarray(bank.pose[rows])
            layout = layouts[found // len(YAWS) % len(layouts)]
            seen = (
                np.asarray(bank.seen[rows])[:, list(LAYOUTS).index(layout)]
                if len(bank.seen)
                else pose
            )
            yield film(row["subject"], row["id"], pose, seen, found)
            found += 1
    if not found:
        raise ValueError(f"got no sequence of {least} frames, expected some in {values.datasets}")


def film(subject: str, name: str, pose: np.ndarray, seen: np.ndarray, number: int) -> Clip:
    """World poses [T, J, 3] in metres, and what is seen of them, from side `number`."""
    yaw = YAWS[number % len(YAWS)]
    truth = geometry.view(pose, yaw, PITCH)
    shown = geometry.view(seen, yaw, PITCH)[..., :2]
    extent = (shown.max(1) - shown.min(1)).max(-1)
    half = float(np.median(extent)) / 2
    motion = np.concatenate([shown / half, np.ones_like(shown[..., :1])], -1).astype(np.float32)
    keyframes = max(2, len(motion) // SPACING)
    keys = np.array([[number, 1]], np.uint32)
    table = replace(SHIPPED, keyframes=keyframes)
    noisy = corrupt(motion[None], keys, noise=True, mask=False, table=table, xp=np)[0]
    noisy[..., :2] *= half * PIXELS
    noisy[..., :2] -= noisy[..., :2].min((0, 1)) - 10
    return Clip(subject, name, noisy, centre(truth))


def about(values: argparse.Namespace, layouts: tuple[str, ...] = ("h36m17",)) -> str:
    """How the people were filmed, in sentences."""
    names = " and ".join(values.datasets.split(","))
    joints = "as their own joints" if layouts == ("h36m17",) else f"as {', '.join(layouts)} in turn"
    return ABOUT.format(datasets=names, layouts=joints)
