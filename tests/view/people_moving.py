"""Two people who walk, in 3D and in a picture: what pages and videos are tested with."""

from dataclasses import replace

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17

# Metres, y up; in H36M17 order.
STANDING = np.array(
    [
        *([0, 0.95, 0], [-0.13, 0.95, 0], [-0.14, 0.5, 0], [-0.14, 0.05, 0]),
        *([0.13, 0.95, 0], [0.14, 0.5, 0], [0.14, 0.05, 0]),
        *([0, 1.2, 0], [0, 1.45, 0], [0, 1.55, 0.05], [0, 1.7, 0]),
        *([0.18, 1.42, 0], [0.24, 1.15, 0], [0.26, 0.9, 0.05]),
        *([-0.18, 1.42, 0], [-0.24, 1.15, 0], [-0.26, 0.9, 0.05]),
    ],
    np.float32,
)
GAP = (60, 80)  # frames without person 7


def walker(id: int, frames: int, x: float, start: int = 0, seed: int = 0) -> Track:
    """Somebody who walks up and down with swinging limbs and a little noise."""
    time = np.arange(frames)[:, None] / 30
    points = np.repeat(STANDING[None], frames, axis=0)
    points[..., 0] += x
    points[..., 2] += 0.5 * np.sin(time)
    swing = 0.3 * np.sin(6 * time)
    points[:, [2, 3, 12, 13], 2] += swing
    points[:, [5, 6, 15, 16], 2] -= swing
    points += np.random.default_rng(seed).normal(0, 0.002, points.shape).astype(np.float32)
    spread = np.full((frames, 17), 0.05, np.float32) + 0.001 * np.arange(17, dtype=np.float32)
    return Track(id, start, points, np.ones((frames, 17), np.float32), spread)


def pair(frames: int = 120) -> Motion:
    """People 3 and 7; 7 comes 10 frames later and is away for a while."""
    first, second = walker(3, frames, -0.6), walker(7, frames - 10, 0.6, 10, 1)
    confidence = second.confidence.copy()
    confidence[GAP[0] - 10 : GAP[1] - 10] = 0
    second = replace(second, confidence=confidence)
    notes = ("Height <assumed> & marked.",)
    return Motion((first, second), H36M17, 30.0, "m", "world", source="walk.json", notes=notes)


def seen_from(pose: Motion, size: tuple[int, int] = (640, 480)) -> Motion:
    """The same people in a picture, with one wrist missing."""
    tracks = []
    for track in pose:
        depth = 5 - track.points[..., 2]
        x = size[0] / 2 + 500 * track.points[..., 0] / depth
        y = size[1] / 2 + 500 * (0.9 - track.points[..., 1]) / depth
        confidence = track.confidence.copy()
        confidence[:, 13] = 0
        tracks.append(Track(track.id, track.start, np.stack([x, y], -1), confidence))
    return Motion(tuple(tracks), pose.skeleton, pose.fps, "px", "image", size)


def to_camera(pose: Motion) -> Motion:
    """The same points for a camera 1 m above the floor and 5 m in front: x right, y down."""
    turn, shift = np.array([1, -1, -1], np.float32), np.array([0, 1, 5], np.float32)
    tracks = tuple(replace(track, points=track.points * turn + shift) for track in pose)
    return replace(pose, tracks=tracks, axes="camera")
