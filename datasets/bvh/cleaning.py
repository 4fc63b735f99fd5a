"""Cleaning of joint positions: T-pose first frames, glitches, frame rates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dstformer_jax.body.skeleton import H36M17

LEADING = 5  # a T-pose is looked for in so many first frames
JUMP_SPEED = 5.0  # m/s: a body that leaves a T-pose faster than this was never in it
_ARMS = [
    [H36M17.index(f"{side}_{j}") for j in ("shoulder", "elbow", "wrist")]
    for side in ("left", "right")
]
_LEGS = [
    [H36M17.index(f"{side}_{j}") for j in ("hip", "knee", "ankle")] for side in ("left", "right")
]


def joint_speeds(points: np.ndarray, fps: float) -> np.ndarray:
    """Fastest joint at every step, [T-1] in units a second, of points [T, P, 3]."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    return steps.max(axis=-1, initial=0.0) * fps


def leading_rest_frames(pose: np.ndarray, rest: np.ndarray, fps: float) -> int:
    """Number of first frames in a T-pose or the file's zero pose that the motion then jumps from.

    Args:
      pose: [T, 17, 3] metres, y up.
      rest: [17, 3] the pose of all rotations zero.
      fps: frames a second.
    """
    speeds = joint_speeds(pose[: LEADING + 2], fps)
    found = 0
    for frame in range(min(LEADING, len(speeds))):
        if not (_same_pose(pose[frame], rest) or is_t_pose(pose[frame])):
            break
        if speeds[frame] > JUMP_SPEED:
            found = frame + 1
    return found


def is_t_pose(pose: np.ndarray) -> bool:
    """Whether arms are straight out to the sides and legs straight down, in a pose [17, 3]."""
    return all(abs(_direction(pose, arm)[1]) < 0.2 for arm in _ARMS) and all(
        _direction(pose, leg)[1] < -0.97 for leg in _LEGS
    )


def _direction(pose: np.ndarray, limb: list[int]) -> np.ndarray:
    """End of a three-joint limb seen from its start, over its length: a unit vector if straight."""
    start, middle, end = pose[limb]
    length = np.linalg.norm(middle - start) + np.linalg.norm(end - middle)
    direction = (end - start) / max(length, 1e-9)
    return direction if np.linalg.norm(direction) > 0.95 else np.full(3, np.inf)


def _same_pose(pose: np.ndarray, rest: np.ndarray) -> bool:
    """Whether a pose is the rest pose but for its place, to 2 cm on average."""
    apart = (pose - pose[0]) - (rest - rest[0])
    return bool(np.linalg.norm(apart, axis=-1).mean() < 0.02)


def smooth_pieces(pose: np.ndarray, fps: float, max_speed: float) -> list[tuple[int, int]]:
    """[start, end) runs of frames in which no joint moves faster than `max_speed` m/s."""
    cuts = np.flatnonzero(joint_speeds(pose, fps) > max_speed) + 1
    bounds = [0, *cuts.tolist(), len(pose)]
    return list(pairwise(bounds))


def places(count: int, fps: float, target: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where frames at another rate fall among `count` frames: the ones before, after, and shares.

    Every n-th frame, or between two of them: share [T] of the one after. A ratio within half a
    percent of a whole number counts as whole (29.97 is 30).
    """
    ratio = fps / target
    whole = round(ratio)
    if whole >= 1 and abs(ratio - whole) <= 0.005 * whole:
        before = np.arange(0, count, whole)
        return before, before, np.zeros(len(before))
    times = np.arange(int((count - 1) / ratio + 1e-6) + 1) * ratio
    before = np.minimum(times.astype(int), count - 1)
    return before, np.minimum(before + 1, count - 1), times - before


def resample(points: np.ndarray, fps: float, target: float) -> np.ndarray:
    """Points [T, P, 3] at another frame rate: see `places`; linear between frames."""
    before, after, share = places(len(points), fps, target)
    if not share.any():
        return points[before]
    weight = share[:, None, None].astype(points.dtype)
    return points[before] * (1 - weight) + points[after] * weight
