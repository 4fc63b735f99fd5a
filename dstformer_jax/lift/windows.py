"""Long motion through a network of fixed clip length: windows that overlap, blended."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def window_rows(length: int, frames: int, overlap: float = 0.5) -> np.ndarray:
    """Rows of each window, int [N, frames].

    Windows lie evenly, the first at the start and the last at the end. Motion shorter than a window
    runs on backwards and forwards (as in a mirror of time) until the window is full.

    Args:
      length: frames of the motion, 1 or more.
      frames: of a window.
      overlap: share of a window that the next one covers at least, 0 <= overlap < 1.

    Raises:
      ValueError: a length or window below 1, or an overlap out of range.
    """
    if length < 1 or frames < 1 or not 0 <= overlap < 1:
        raise ValueError(
            f"got length={length}, frames={frames}, overlap={overlap}, expected positive numbers "
            "and 0 <= overlap < 1"
        )
    if length < frames:
        return mirrored(np.arange(frames), length)[None]
    stride = max(1, int(frames * (1 - overlap)))
    count = -(-(length - frames) // stride) + 1
    starts = np.round(np.linspace(0, length - frames, count)).astype(np.int64)
    return starts[:, None] + np.arange(frames)


def mirrored(rows: np.ndarray, length: int) -> np.ndarray:
    """Rows beyond the ends, back inside: ... 2 1 0 1 2 ... n-2 n-1 n-2 ..."""
    period = max(2 * (length - 1), 1)
    rows = np.mod(rows, period)
    return np.minimum(rows, period - rows) if length > 1 else np.zeros_like(rows)


def blend_weights(frames: int, overlap: float = 0.5) -> np.ndarray:
    """How much each frame of a window counts, float32 [frames], above 0.

    sin⁴ from end to end: a window comes and goes without a step, even of its second difference.
    Without any overlap every frame counts alike.
    """
    if not overlap:
        return np.ones(frames, np.float32)
    phase = np.pi * (np.arange(frames) + 0.5) / frames
    return np.maximum(np.sin(phase) ** 4, 1e-4).astype(np.float32)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one perhaps shorter."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class Blend:
    """The weighted mean and spread of the answers of windows, of motion [L, J, 3].

    Memory does not grow with the number of windows.
    """

    def __init__(self, length: int, joints: int) -> None:
        """Nothing seen yet."""
        self._sum = np.zeros((length, joints, 3))
        self._square = np.zeros((length, joints))
        self._weight = np.zeros(length)

    def add(self, rows: np.ndarray, answer: np.ndarray, weights: np.ndarray) -> None:
        """Takes one window's answer [T, J, 3], for rows [T], weighing [T]."""
        by_joint = weights[:, None]
        np.add.at(self._sum, rows, by_joint[..., None] * answer)
        np.add.at(self._square, rows, by_joint * (answer.astype(np.float64) ** 2).sum(-1))
        np.add.at(self._weight, rows, weights)

    @property
    def mean(self) -> np.ndarray:
        """float64 [L, J, 3]."""
        return self._sum / self._weight[:, None, None]

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the answers around the mean, as a distance: float64 [L, J]."""
        variance = self._square / self._weight[:, None] - (self.mean**2).sum(-1)
        return np.sqrt(np.maximum(variance, 0))


def seam_ratio(pose: np.ndarray, rows: np.ndarray) -> float:
    """Median acceleration at the borders of windows over that elsewhere; 1 where no seam shows.

    Args:
      pose: [L, J, 3] of one track.
      rows: int [N, T] of its windows, see `window_rows`.

    Raises:
      ValueError: a single window, which has no border inside.
    """
    speed = np.linalg.norm(np.diff(pose, 2, axis=0), axis=-1).mean(-1)  # [L - 2], of rows 1 ... L-2
    borders = np.unique(np.concatenate([rows[1:, 0], rows[:-1, -1] + 1]))
    near = np.zeros(len(pose), bool)
    for step in (-1, 0):  # a jump between rows b - 1 and b shows in the accelerations of both
        near[borders[(borders + step > 0) & (borders + step < len(pose) - 1)] + step] = True
    if not near.any():
        raise ValueError("got a single window, expected several: one window has no seam")
    return float(np.median(speed[near[1:-1]]) / np.median(speed[~near[1:-1]]))
