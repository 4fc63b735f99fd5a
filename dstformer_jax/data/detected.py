"""Detections as recognition is trained on them: who is in a clip, in which joints and unit."""

from __future__ import annotations

import numpy as np

from dstformer_jax.body.geometry import make_cam
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17, Skeleton

from .labels import shown


def best_seen(motion: Motion, frames: slice, person: int | None = None) -> list[Track]:
    """The tracks in these frames, those seen in the most frames first (then the more confident).

    person: the id of the track that comes first, whatever it shows.
    """
    start, end = frames.start, frames.stop or motion.num_frames
    ranks = {}
    for track in motion.tracks:
        rows = slice(max(start - track.start, 0), max(end - track.start, 0))
        shown_in = int((track.confidence[rows] > 0).any(-1).sum())
        ranks[track.id] = (shown_in, float(track.confidence[rows].sum()))
    if person is not None and person not in ranks:
        raise ValueError(f"got person {person}, expected one of {shown(map(str, ranks))}")
    tracks = [t for t in motion.tracks if ranks[t.id][0] or t.id == person]
    return sorted(tracks, key=lambda t: (t.id == person, *ranks[t.id]), reverse=True)


def on_frames(track: Track, frames: slice, length: int) -> np.ndarray:
    """A track on the frames of a clip: points and confidence `[T, J, C + 1]`, zero where unseen."""
    first, last, _ = frames.indices(length)
    rows = slice(max(first - track.start, 0), max(last - track.start, 0))
    part = np.concatenate([track.points[rows], track.confidence[rows, :, None]], axis=-1)
    clip = np.zeros((max(last - first, 0), *part.shape[1:]), np.float32)
    start = max(track.start - first, 0)
    clip[start : start + len(part)] = part
    return clip


def to_motion(
    array: np.ndarray, motion: Motion, size: tuple[int, int], skeleton: Skeleton = H36M17
) -> np.ndarray:
    """x, y, confidence `[T, J, 3]` of a skeleton; what was not seen is zero."""
    points = array[..., :2]
    if motion.unit == "normalised":
        points = points * np.array(size, np.float32)
    points, confidence = motion.skeleton.convert(points, np.minimum(array[..., -1], 1), skeleton)
    joined = np.concatenate([make_cam(points, size), confidence[..., None]], axis=-1)
    return joined * np.greater(joined[..., 2:], 0)


def picture_size(motion: Motion, *sizes: tuple[int, int]) -> tuple[int, int]:
    """(width, height): the first that is known, and without any what the points fill."""
    for size in sizes:
        if min(size) > 0:
            return size
    if motion.axes == "image" and motion.unit == "normalised":
        raise ValueError("got points in [0, 1] of the image, expected its --size=WIDTHxHEIGHT")
    corners = [t.points[t.confidence > 0][:, :2].max(0) for t in motion.tracks if t.seen.any()]
    width, height = np.ceil(np.max(corners, axis=0)).astype(int).tolist() if corners else (1, 1)
    return max(width, 1), max(height, 1)
