"""A simulated 2D detector whose mistakes are of another family than the pretraining noise.

Pretraining draws a Gaussian-uniform mixture on key frames and masks; real detectors tremble with
memory, take one leg for the other, see people the wrong way round, and lose joints for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dstformer_jax.body.skeleton import H36M17

# What is lost or swapped together: the outer joints of an arm or of a leg.
LIMBS = {
    f"{side}_{name}": [H36M17.index(f"{side}_{joint}") for joint in joints]
    for side in ("left", "right")
    for name, joints in (("arm", ("elbow", "wrist")), ("leg", ("knee", "ankle")))
}
OUTER = sorted(joint for limb in LIMBS.values() for joint in limb)


@dataclass(frozen=True)
class Detector:
    """How often and how badly it errs; lengths are shares of the person's height in the image."""

    jitter: float = 0.006  # standard deviation of an axis; twice that on the outer joints
    memory: float = 0.9  # of the jitter, from one frame to the next at 30 fps
    swaps: float = 0.15  # a second, of the two arms or the two legs
    flips: float = 0.05  # a second, of the whole person's left and right
    occlusions: float = 0.5  # a second, of an arm or a leg
    missing: float = 0.5  # share of occlusions that yield nothing; the others are guessed
    guess: float = 0.06  # standard deviation of a guessed joint

    def detect(self, points: np.ndarray, fps: float, rng: np.random.Generator) -> np.ndarray:
        """Detections [T, 17, 3] (x, y, confidence) of true points [T, 17, 2], in their unit.

        The order of the mistakes is that of causes: what is seen trembles, what is hidden is lost
        or guessed, and labels go wrong last. Swapped joints keep a high confidence, as they do in
        real detections.
        """
        height = _height(points)
        spread = np.full(H36M17.num_joints, self.jitter)
        spread[OUTER] *= 2
        memory = self.memory ** (30 / fps)
        error = autoregressive(len(points), spread, memory, rng)
        confidence = 0.95 - 8 * np.linalg.norm(error, axis=-1)
        confidence += 0.04 * rng.standard_normal(confidence.shape)
        seen = points + error * height
        self._occlude(seen, confidence, height, fps, rng)
        motion = np.concatenate([seen, np.clip(confidence, 0.0, 1.0)[..., None]], axis=-1)
        motion[motion[..., 2] == 0] = 0
        for frames in spans(len(points), self.swaps, (0.1, 0.4), fps, rng):
            name = ("arm", "leg")[rng.integers(2)]
            left, right = LIMBS[f"left_{name}"], LIMBS[f"right_{name}"]
            motion[frames, [*left, *right]] = motion[frames, [*right, *left]]
        for frames in spans(len(points), self.flips, (0.1, 0.6), fps, rng):
            motion[frames] = motion[frames][:, H36M17.mirror]
        return motion.astype(np.float32)

    def _occlude(
        self,
        seen: np.ndarray,
        confidence: np.ndarray,
        height: float,
        fps: float,
        rng: np.random.Generator,
    ) -> None:
        """Hides limbs for 0.3 to 1 s, in place: no detection, or a guess near the last one."""
        for frames in spans(len(seen), self.occlusions, (0.3, 1.0), fps, rng):
            limb = list(LIMBS.values())[rng.integers(len(LIMBS))]
            count = len(range(*frames.indices(len(seen))))
            if rng.random() < self.missing:
                confidence[frames, limb] = 0
                continue
            wander = autoregressive(count, np.full(len(limb), self.guess), 0.97, rng)
            seen[frames, limb] = seen[frames.start, limb] + (wander - wander[:1]) * height
            confidence[frames, limb] = rng.uniform(0.05, 0.4, (count, len(limb)))


def autoregressive(
    frames: int, spread: np.ndarray, memory: float, rng: np.random.Generator, axes: int = 2
) -> np.ndarray:
    """A stationary AR(1) path along some axes, [T, J, axes], of standard deviation `spread` [J]."""
    fresh = rng.standard_normal((frames, len(spread), axes)) * spread[:, None]
    path = fresh.copy()
    share = np.sqrt(1 - memory**2)
    for frame in range(1, frames):
        path[frame] = memory * path[frame - 1] + share * fresh[frame]
    return path


def _height(points: np.ndarray) -> float:
    """The person's usual height in the image: the median of every frame's larger extent."""
    return float(np.median(np.ptp(points, axis=1).max(axis=-1)))


def spans(
    frames: int,
    rate: float,
    seconds: tuple[float, float],
    fps: float,
    rng: np.random.Generator,
) -> Iterator[slice]:
    """Spans of frames that begin at `rate` a second and last between `seconds`."""
    for _ in range(rng.poisson(rate * frames / fps)):
        start = int(rng.integers(frames))
        length = max(1, round(rng.uniform(*seconds) * fps))
        yield slice(start, min(start + length, frames))
