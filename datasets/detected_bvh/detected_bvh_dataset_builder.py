"""Motion capture in BVH files -> takes of a perspective camera with imperfect 2D detections."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bvh.bvh_dataset_builder import Builder as BvhBuilder  # pyright: ignore[reportMissingImports]
from bvh.bvh_dataset_builder import (  # pyright: ignore[reportMissingImports]
    BvhOptions,
    only_h36m17,
)

from dstformer_jax.data.builder import Item, option
from dstformer_jax.data.schema import Sequence

from .detector import Detector
from .filming import film, frame_person, yaw_of_front


@dataclass(frozen=True)
class DetectedBvhOptions(BvhOptions):
    """Settings of the detected_bvh dataset: those of bvh, the camera's and the detector's."""

    seconds: float = option(3.0, "length of a take; a shorter rest is a take of its own")
    cameras: int = option(1, "takes of every piece of motion, each from another side")
    front: float = option(
        180.0, "degrees to either side of the way people face from which they are filmed"
    )
    margin: float = option(1.1, "side of the image over the extent of the detections")
    faults: float = option(1.0, "how much the detector errs; 0: it sees the truth")
    seed: int = option(0, "what every random choice follows from")


class Builder(BvhBuilder):
    """Every BVH file is filmed in takes; a take depends on (seed, sequence, camera) alone."""

    OPTIONS = DetectedBvhOptions

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The takes of one file."""
        options: DetectedBvhOptions = self.options
        _check(options)
        frames = max(options.min_frames, round(options.seconds * options.fps))
        for sequence in super().read(item, notes):
            for start in range(0, sequence.num_frames, frames):
                pose = sequence.pose[start : start + frames]
                if len(pose) < options.min_frames:
                    notes[f"takes under {options.min_frames} frames dropped"] += 1
                    continue
                for camera in range(options.cameras):
                    yield _take(sequence, pose, f"{sequence.id}+{start}", camera, options)


def _check(options: DetectedBvhOptions) -> None:
    """Raises ValueError for settings that cannot work."""
    only_h36m17(options)
    limits = {"seconds": 0.1, "cameras": 1, "margin": 1.0, "faults": 0.0, "front": 0.0, "seed": 0}
    for name, low in limits.items():
        if not getattr(options, name) >= low:
            raise ValueError(f"got --{name}={getattr(options, name)}, expected {low} or more")


def _take(
    sequence: Sequence, pose: np.ndarray, name: str, camera: int, options: DetectedBvhOptions
) -> Sequence:
    """One take of world motion [T, 17, 3], in the layout of the human36m dataset."""
    rng = np.random.default_rng([options.seed, zlib.crc32(name.encode()), camera])
    aside, pitch, distance = rng.uniform((-options.front, 0, 3.5), (options.front, 15, 6))
    yaw = (aside + yaw_of_front(pose)) % 360
    shot = film(pose, yaw, pitch, distance)
    detector = _scaled(Detector(), options.faults)
    detected = detector.detect(shot.pixels, sequence.fps, rng)
    motion, answer, side = frame_person(detected, shot, options.margin)
    return dataclasses.replace(
        sequence,
        id=f"{name}_ca_{camera:02d}",
        camera=f"yaw {yaw:.0f} pitch {pitch:.0f} at {distance:.1f} m",
        unit="normalised",
        axes="camera",
        size=(side, side),
        motion=motion,
        pose=answer,
        factor=shot.factor,
        pose_mm=shot.pose * shot.factor[:, None, None],
        landmarks=np.zeros((0, 0, 3)),
        landmark_names=(),
    )


def _scaled(detector: Detector, faults: float) -> Detector:
    """A detector that errs so many times as much."""
    names = ("jitter", "swaps", "flips", "occlusions")
    return dataclasses.replace(detector, **{n: faults * getattr(detector, n) for n in names})
