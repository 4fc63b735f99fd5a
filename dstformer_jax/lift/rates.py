"""Tracks at the frame rate that a network was trained at, and its answers back at their own frames.

A network that learned motion at 30 fps takes the same motion at 60 fps for slow motion.
"""

import numpy as np

from dstformer_jax.body.motion import Track

TOLERANCE = 0.1  # rates this near to the network's are taken as it
MOST = 10.0  # slower than this many times, nothing between frames can be told


def rate_ratio(fps: float, trained: float | None) -> float:
    """Frames of the network for each frame of the input; 1 where nothing is to be done.

    Args:
      fps: of the input.
      trained: of the network's training; None: unknown or mixed.
    """
    if not trained or not fps or abs(fps - trained) <= TOLERANCE * trained:
        return 1.0
    return 1.0 if trained > MOST * fps else trained / fps


def rate_note(fps: float, trained: float | None) -> tuple[str, ...]:
    """What is to be said of the rate: nothing, or a sentence."""
    if rate_ratio(fps, trained) != 1:
        return (f"Frame rate: resampled from {fps:g} to the network's {trained:g} fps and back.",)
    if trained and fps and trained > MOST * fps:
        return (f"Frame rate: {fps:g} fps is too slow for a network of {trained:g} fps.",)
    return ()


def frame_times(length: int, ratio: float) -> np.ndarray:
    """When the network's frames are, float64 [N] in rows of a track: even steps, then its end."""
    times = np.arange(int((length - 1) * ratio + 1e-6) + 1) / ratio
    return times if length - 1 - times[-1] < 1e-6 else np.append(times, length - 1.0)


def resampled(track: Track, ratio: float) -> Track:
    """A track of 2D joints at the network's rate: linear between the frames that show a joint.

    A joint is missing where none of those lies nearer than one frame, of the slower of both rates:
    gaps stay gaps. The first row stays the first; `start` counts the input's frames.
    """
    times, near = frame_times(len(track), ratio), max(1.0, 1 / ratio)
    joints = track.points.shape[1]
    motion = np.zeros((len(times), joints, 3))
    for joint in range(joints):
        rows = np.flatnonzero(track.confidence[:, joint] > 0)
        if not len(rows):
            continue
        after = np.searchsorted(rows, times).clip(0, len(rows) - 1)
        apart = [np.abs(rows[at] - times) for at in (after, np.maximum(after - 1, 0))]
        seen = np.minimum(*apart) < near
        for axis in range(3):
            values = np.interp(times, rows, track.motion[rows, joint, axis])
            motion[:, joint, axis] = np.where(seen, values, 0)
    return Track(track.id, track.start, motion[..., :2], motion[..., 2])


def restored(values: np.ndarray, length: int, ratio: float, smooth: bool = True) -> np.ndarray:
    """Answers [N, ...] to the frames of `frame_times` at the track's own frames, [length, ...].

    By a cubic spline, so that no kinks show where the network's frames are; linear where not
    `smooth`, which stays within the numbers that there are.
    """
    times = frame_times(length, ratio)
    degree = min(3 if smooth else 1, len(times) - 1)
    if not degree:
        return np.repeat(values, length, axis=0)
    from scipy.interpolate import make_interp_spline  # slow to import

    return make_interp_spline(times, values, k=degree)(np.arange(length))
