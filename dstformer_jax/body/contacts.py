"""When the feet are on the floor, from the height and speed of the ankles."""

import numpy as np

from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.body.smoothing import fill

SIDES = ("left", "right")  # order of the columns
# Metres above the height at which ankles stand, and metres a second: a contact begins when both are
# below the first number and ends when one is above the second.
HEIGHT = (0.05, 0.08)
SPEED = (0.4, 0.8)
_STANDING = 10  # percentile of the lower ankle's height that counts as standing
_SPAN = 0.04  # seconds before and after, over which a speed is taken
_SHORTEST = 0.1  # seconds; shorter contacts and breaks are noise
_TRAVEL = 0.02  # metres; the root of a motion without a place in the world moves less


def foot_contacts(
    points: np.ndarray, skeleton: Skeleton, fps: float, confidence: np.ndarray | None = None
) -> np.ndarray:
    """Which feet are on the floor.

    The floor is where the ankles are when they are lowest (10th percentile over time), so the
    motion may float at any height, but must not climb. Where the root stays above one point (motion
    lifted without a place in the world), only the vertical speed is looked at. An ankle leaves the
    floor before its toes do: contacts end at about heel-off.

    Args:
      points: [T, J, 3] in metres, y up.
      skeleton: with ankles.
      fps: frames a second.
      confidence: [T, J]; frames without an ankle are no contact.

    Returns:
      bool [T, 2], left and right.
    """
    joints = [skeleton.index(f"{side}_ankle") for side in SIDES]
    known = np.ones(points.shape[:2], bool) if confidence is None else np.asarray(confidence) > 0
    seen = known[:, joints]
    if not seen.any():
        return np.zeros((len(points), 2), bool)
    ankles = fill(points[:, joints], seen)
    lowest = np.where(seen, ankles[..., 1], np.inf).min(1)
    height = ankles[..., 1] - np.percentile(lowest[np.isfinite(lowest)], _STANDING)
    speed = _speed(ankles, fps, _travels(points, skeleton, known))
    begins = (height < HEIGHT[0]) & (speed < SPEED[0])
    ends = (height > HEIGHT[1]) | (speed > SPEED[1])
    width = 2 * int(_SHORTEST * fps / 2) + 1
    from scipy.ndimage import median_filter  # slow to import

    steady = median_filter(_held(begins, ends).astype(np.uint8), size=(width, 1), mode="nearest")
    return (steady > 0) & seen


def _speed(ankles: np.ndarray, fps: float, travels: bool) -> np.ndarray:
    """Metres a second [T, 2], by central differences."""
    frames = np.arange(len(ankles))
    span = max(1, round(_SPAN * fps))
    after = np.minimum(frames + span, len(ankles) - 1)
    before = np.maximum(frames - span, 0)
    change = ankles[after] - ankles[before]
    step = np.linalg.norm(change, axis=-1) if travels else np.abs(change[..., 1])
    return step * fps / np.maximum(after - before, 1)[:, None]


def _travels(points: np.ndarray, skeleton: Skeleton, known: np.ndarray) -> bool:
    """Whether the body goes anywhere: its root does, seen from above."""
    names = ("root",) if "root" in skeleton.names else ("left_hip", "right_hip")
    middle = [skeleton.index(name) for name in names if name in skeleton.names]
    rows = known[:, middle].all(1) if middle else np.zeros(len(points), bool)
    if not rows.any():
        return True
    return bool(np.ptp(points[rows][:, middle].mean(1)[:, [0, 2]], axis=0).max() > _TRAVEL)


def _held(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Hysteresis: True from a frame of `begins` to the next of `ends`, [T, 2]."""
    frames = np.arange(len(begins))[:, None]
    last_begin = np.maximum.accumulate(np.where(begins, frames, -1), axis=0)
    last_end = np.maximum.accumulate(np.where(ends, frames, -1), axis=0)
    return last_begin > last_end
