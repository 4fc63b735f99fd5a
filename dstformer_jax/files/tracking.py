"""Tracking for detectors that give no identities: where everybody is expected, and who fits best.

In each frame every known person is moved on at their own speed, the similarity of each prediction
with each detection is COCO's object keypoint similarity (OKS), widened with the time since the
person was last seen, and the pairing of highest total similarity is taken (Hungarian algorithm).
People who cross, or are lost for up to `MAX_GAP` frames, keep their identity. Files with identities
never come here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from dstformer_jax.body.skeleton import Skeleton

if TYPE_CHECKING:
    from dstformer_jax.files.detections import Detection

MAX_GAP = 30  # frames a person may be lost
MAX_KNOWN = 1000  # people looked for at a time, those seen last
LEAST = 0.15  # similarity below which a detection is somebody new
DRIFT = 0.06  # sizes of the person by which a prediction errs after one frame
DRIFT_TOP = 0.35  # and at most, after many
DAMPING = 0.92  # of the speed, a frame: nobody walks on straight for ever
SPEED_SPAN = 8  # frames that the speed is measured over: half a stride, so that limbs cancel
# Standard deviations of COCO's annotators by part of the body, in sizes of the person.
SIGMAS = {
    **{"nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072},
    **{"wrist": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089},
}
OTHER_SIGMA = 0.08


@dataclass
class _Person:
    """What is known of a track: the last sightings, and the speed in units a frame."""

    id: int
    recent: deque[Detection]
    speed: np.ndarray = field(default_factory=lambda: np.zeros(2, np.float32))

    @property
    def last(self) -> Detection:
        return self.recent[-1]

    def expected(self, frame: int) -> np.ndarray:
        """Where the joints should be, float32 `[J, 2]`."""
        steps = (1 - DAMPING ** (frame - self.last.frame)) / (1 - DAMPING)
        return self.last.points + np.float32(steps) * self.speed

    def see(self, found: Detection) -> None:
        """Takes a sighting over; the speed is the median step of the joints since a while ago."""
        for before in self.recent:
            both = (before.confidence > 0) & (found.confidence > 0)
            if found.frame - before.frame <= SPEED_SPAN and both.any():
                step = np.median(found.points[both] - before.points[both], axis=0)
                self.speed = (step / (found.frame - before.frame)).astype(np.float32)
                break
        self.recent.append(found)


def assign_ids(
    detections: Sequence[Detection], skeleton: Skeleton | None = None
) -> list[Detection]:
    """The same detections, in frame order, with identities 0, 1, ... by order of appearance.

    `skeleton` tells how sure each joint is; without it all count alike. Detections without a joint
    are left out.
    """
    sigmas = joint_sigmas(skeleton) if skeleton else np.array([OTHER_SIGMA], np.float32)
    frames: dict[int, list[Detection]] = {}
    for found in detections:
        if (found.confidence > 0).any():
            frames.setdefault(found.frame, []).append(found)
    people: list[_Person] = []
    count = 0
    out = []
    for frame in sorted(frames):
        people = [person for person in people if frame - person.last.frame <= MAX_GAP]
        people = sorted(people, key=lambda person: -person.last.frame)[:MAX_KNOWN]
        matched = _match(people, frames[frame], frame, sigmas)
        for index, found in enumerate(frames[frame]):
            person = matched.get(index)
            if person is None:
                person = _Person(count, deque([found], maxlen=SPEED_SPAN))
                people.append(person)
                count += 1
            else:
                person.see(found)
            out.append(replace(found, id=person.id))
    return out


def joint_sigmas(skeleton: Skeleton) -> np.ndarray:
    """float32 `[J]`: COCO's sigma of each joint, those of like joints for others."""
    parts = [name.split("_", 1)[-1].split("_")[0] for name in skeleton.names]
    return np.array([SIGMAS.get(part, OTHER_SIGMA) for part in parts], np.float32)


def _match(
    people: Sequence[_Person], found: Sequence[Detection], frame: int, sigmas: np.ndarray
) -> dict[int, _Person]:
    """Detection -> person: the pairing of the highest total similarity."""
    if not people:
        return {}
    likeness = np.stack(
        [similarity(person.expected(frame), person.last, found, sigmas) for person in people]
    )
    # Who was just seen is sharper to predict, so of two people at one place it is rather them.
    gaps = np.array([frame - person.last.frame for person in people])
    value = likeness * (DRIFT / _drift(gaps))[:, None] ** 0.5
    from scipy.optimize import linear_sum_assignment  # slow to import

    rows, columns = linear_sum_assignment(np.where(likeness < LEAST, 0.0, value), maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {column: people[row] for row, column in pairs if likeness[row, column] >= LEAST}


def similarity(
    expected: np.ndarray,
    last: Detection,
    found: Sequence[Detection],
    sigmas: np.ndarray,
) -> np.ndarray:
    """Object keypoint similarity in [0, 1] of a prediction with each detection of a frame.

    Args:
      expected: float32 `[J, 2]`, where the person should be.
      last: their last sighting, for the joints that were seen and the time since.
      found: D detections of one frame.
      sigmas: `[J]` or `[1]`, in sizes of the person.

    Returns:
      float32 `[D]`: the mean of exp(-d^2 / 2 s^2 (4 sigma^2 + drift^2)) over the joints seen in
      both, s being 0.58 of the diagonal of the larger person's box (the root of COCO's area of a
      standing person). Fewer common joints than half of the smaller set count as half.
    """
    points = np.stack([one.points for one in found])
    seen = np.stack([one.confidence for one in found]) > 0
    before = last.confidence > 0
    both = seen & before
    size = np.maximum(_diagonal(points, seen), _diagonal(last.points[None], before[None]))
    drift = _drift(np.array(found[0].frame - last.frame))
    spread = (4 * np.square(sigmas) + drift**2) * np.square(0.58 * size)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        away = np.square(points - expected).sum(-1) / (2 * spread)
    alike = np.exp(-np.where(np.isnan(away), np.inf, away), where=both, out=np.zeros_like(away))
    least = 0.5 * np.minimum(seen.sum(-1), before.sum())
    return (alike.sum(-1) / np.maximum(both.sum(-1), np.maximum(least, 1))).astype(np.float32)


def _drift(gaps: np.ndarray) -> np.ndarray:
    """Sizes by which predictions err after so many frames: a random walk that ends somewhere."""
    return np.minimum(DRIFT * np.sqrt(gaps), DRIFT_TOP)


def _diagonal(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """float32 `[D]`: diagonals of the boxes around the joints that are seen."""
    low = np.where(seen[..., None], points, np.inf).min(1)
    high = np.where(seen[..., None], points, -np.inf).max(1)
    return np.linalg.norm(high - low, axis=-1)
