"""3D motion with bones of constant length, built by forward kinematics of its own."""

import numpy as np
from scipy.spatial.transform import Rotation

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17, Skeleton

# Metres, from the parent, y up, facing +z, left at +x; arms hang down.
STANDING = {
    "root": (0, 0, 0),
    "hip": (0.11, 0, 0),
    "knee": (0, -0.44, 0),
    "ankle": (0, -0.43, 0),
    "belly": (0, 0.24, 0),
    "neck": (0, 0.25, 0),
    "nose": (0, 0.1, 0.05),
    "head": (0, 0.12, -0.02),
    "shoulder": (0.17, -0.02, 0),
    "elbow": (0, -0.29, 0),
    "wrist": (0, -0.25, 0),
}
HEIGHT = 1.7


def offsets() -> np.ndarray:
    """[17, 3]: each joint from its parent in `STANDING`."""
    rows = []
    for name, side in zip(H36M17.names, H36M17.sides, strict=True):
        stem = name.split("_")[-1]
        rows.append(np.array(STANDING[stem], float) * [-1 if side == "right" else 1, 1, 1])
    return np.stack(rows)


def posed(
    turns: dict[str, np.ndarray], place: np.ndarray, skeleton: Skeleton = H36M17
) -> np.ndarray:
    """[T, 17, 3] of rotations [T, 3, 3] relative to the parent's by joint; others do not turn.

    A rotation at a joint turns all bones that start there and what follows them.
    """
    bones = offsets()
    points = np.zeros((len(place), skeleton.num_joints, 3))
    frames = np.zeros((len(place), skeleton.num_joints, 3, 3))
    for joint, (name, parent) in enumerate(zip(skeleton.names, skeleton.parents, strict=True)):
        above = frames[:, parent] if parent >= 0 else np.eye(3)
        points[:, joint] = (
            points[:, parent] + np.einsum("tij,j->ti", above, bones[joint])
            if parent >= 0
            else place
        )
        frames[:, joint] = above @ turns.get(name, np.eye(3))
    return points


def smooth_noise(times: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """[T, size] smooth random functions between -1 and 1, the same ones at any sampling."""
    waves = rng.uniform(0.2, 1.0, (4, size)), rng.uniform(0, 6, (4, size))
    return np.mean(np.sin(2 * np.pi * waves[0] * times[:, None, None] + waves[1]), axis=1)


def moving(times: np.ndarray, seed: int = 0, most: float = 1.4) -> np.ndarray:
    """[T, 17, 3] of a body whose joints all turn at random, smoothly, by up to `most` radians."""
    rng = np.random.default_rng(seed)
    turns = {
        name: Rotation.from_rotvec(most * smooth_noise(times, 3, rng)).as_matrix()
        for name in H36M17.names
    }
    return posed(turns, smooth_noise(times, 3, rng) + np.array([0, 1, 0]))


def two_people(frames: int = 24, fps: float = 30.0) -> Motion:
    """Two people of which the second comes 5 frames later, with a gap and a missing joint."""
    times = np.arange(frames) / fps
    first = moving(times).astype(np.float32)
    second = moving(times, seed=1)[: frames - 8].astype(np.float32) + np.float32([1.5, 0, -1])
    scores = np.full(second.shape[:2], 0.5, np.float32)
    scores[6:9] = 0
    scores[3, H36M17.index("left_wrist")] = 0
    second = np.where(scores[..., None] > 0, second, 0)
    unsure = np.full(first.shape[:2], 0.02, np.float32)
    tracks = (
        Track(0, 0, first, np.ones(first.shape[:2], np.float32), unsure),
        Track(7, 5, second, scores),
    )
    notes = ("Scale: people of 1.7 m are assumed.", "Größe\nunbekannt.")
    return Motion(tracks, H36M17, fps, "m", "world", (640, 480), "folder/clip.json", notes)
