"""From root-relative poses in pixels to metres: size, camera position, gravity and floor.

A single uncalibrated camera shows neither a person's size nor its own lens, so both are assumed
unless they are given, and every assumption is noted in the motion.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.body.smoothing import savitzky_golay

HEIGHT = 1.70  # metres, about the mean of adults
FOCAL = 1.2  # times the longer side of the image
# Lengths of bones as shares of body height (Winter, Biomechanics and Motor Control of Human
# Movement, after Drillis and Contini 1966), by the joint at the lower end.
SHARES = {"knee": 0.245, "ankle": 0.246, "elbow": 0.186, "wrist": 0.146}
ANKLE = 0.039  # height of the ankle above the floor, as a share of body height
SIZE_SECONDS = 2.0  # over which a person's size in the image is taken as one
SPACES = ("local", "camera", "world")
UPRIGHT = 0.9  # legs this straight (hip to ankle over their length) belong to a standing person
CAMERA_TO_WORLD = np.diag([1.0, -1.0, -1.0])  # x right, y up, z towards the viewer


class Placed(NamedTuple):
    """Poses [T, J, 3] in metres, the rotation [3, 3] of their axes, what these are, and notes."""

    poses: list[np.ndarray]
    turn: np.ndarray
    axes: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """What is known of person and camera.

    Attributes:
      height: of the people in metres; None: assumed.
      focal: focal length in pixels; None: assumed to be 1.2 times the longer side of the image.
      space: local (y up, the root above the origin, feet or what is lower on y = 0) | camera (x
        right, y down, z away from the camera, metres from it) | world (y up, the floor at y = 0,
        people move); None: local of one person, world of several, who would stand in each other.
      constant_bones: every bone as long as its median.
      smooth: a filter of [T, J, 3], applied last; None: none.
    """

    height: float | None = None
    focal: float | None = None
    space: str | None = None
    constant_bones: bool = False
    smooth: Callable[[np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.space not in (None, *SPACES):
            raise ValueError(f"got space {self.space!r}, expected one of {', '.join(SPACES)}")
        for name in ("height", "focal"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"got {name}={value}, expected a finite number above 0")

    def __call__(self, lifted: Motion, seen: Motion) -> Motion:
        """The motion in metres, in the wanted space.

        Args:
          lifted: root-relative poses in camera axes and pixels (`Lifter`).
          seen: the 2D tracks that they were lifted from.
        """
        height = self.height or HEIGHT
        notes = list(lifted.notes)
        if self.height is None:
            notes.append(f"Scale: people of {HEIGHT:g} m with mean adult proportions are assumed.")
        sizes = [metres_per_pixel(t.points, lifted.skeleton, height, lifted.fps) for t in lifted]
        poses = [t.points * size[:, None, None] for t, size in zip(lifted, sizes, strict=True)]
        if self.constant_bones:
            poses = [constant_bones(pose, lifted.skeleton) for pose in poses]
        placed = self.place(poses, seen)
        poses = [self.smooth(pose) for pose in placed.poses] if self.smooth else placed.poses
        tracks = tuple(
            _track(track, pose, size)
            for track, pose, size in zip(lifted, poses, sizes, strict=True)
        )
        notes = (*notes, *placed.notes)
        return replace(lifted, tracks=tracks, unit="m", axes=placed.axes, notes=notes)

    def place(self, poses: list[np.ndarray], seen: Motion) -> Placed:
        """Where people stand, in the wanted space.

        Args:
          poses: root-relative joints [T, J, 3] in metres and camera axes.
          seen: the 2D tracks of the same people and frames.
        """
        space = self.space or ("world" if len(poses) > 1 else "local")
        notes, turn = self._assumptions(space, seen), np.eye(3)
        if space != "local":
            focal, centre = self._lens(seen)
            poses = [
                pose + camera_position(pose, track.motion, focal, centre)[:, None]
                for pose, track in zip(poses, seen, strict=True)
            ]
        if space != "camera":
            turn, standing = upright(poses, seen.skeleton)
            if not standing:
                notes.append("Nobody stands upright: the camera is taken as level.")
            turn = turn @ CAMERA_TO_WORLD
            poses = self._floored([pose @ turn.T for pose in poses], seen, space)
        return Placed(poses, turn, "camera" if space == "camera" else "world", tuple(notes))

    def _assumptions(self, space: str, seen: Motion) -> list[str]:
        """What is taken for granted, in sentences."""
        notes = []
        if space == "local":
            return notes
        if self.focal is None:
            notes.append(
                f"Position: a focal length of {FOCAL:g} times the image's longer side "
                f"({self._lens(seen)[0]:.0f} px) is assumed."
            )
        if not all(seen.size):
            notes.append(
                "Position: the image's size is not known; that of the detections is taken."
            )
        return notes

    def _lens(self, seen: Motion) -> tuple[float, np.ndarray]:
        """Focal length and image centre in pixels."""
        size = np.array(seen.size, float)
        if not all(seen.size):
            size = np.maximum(np.max([t.points.max((0, 1)) for t in seen], axis=0), 1.0)
        return self.focal or FOCAL * float(size.max()), size / 2

    def _floored(self, poses: list[np.ndarray], seen: Motion, space: str) -> list[np.ndarray]:
        """Feet, or what lies lower, on y = 0: a local pose in every frame, the world over time."""
        height = self.height or HEIGHT
        ankles = [seen.skeleton.index(f"{side}_ankle") for side in ("left", "right")]
        soles = [pose[:, ankles, 1].min(1) - ANKLE * height for pose in poses]
        lowest = [np.minimum(s, p[..., 1].min(1)) for s, p in zip(soles, poses, strict=True)]
        if space == "world":
            floor = float(np.percentile(np.concatenate(lowest), 10))
            return [pose - np.array([0, floor, 0]) for pose in poses]
        window = _odd(0.3 * seen.fps)
        down = [savitzky_golay(low, window, 1) if window > 1 else low for low in lowest]
        return [
            pose - np.stack([np.zeros_like(d), d, np.zeros_like(d)], -1)[:, None]
            for pose, d in zip(poses, down, strict=True)
        ]


def metres_per_pixel(pose: np.ndarray, skeleton: Skeleton, height: float, fps: float) -> np.ndarray:
    """How long a pixel is at the person, [T]: limbs are compared with those of a grown-up.

    Each frame's limbs together have the length that a person of this height has; the median over
    2 s is taken, in which a person hardly changes distance.

    Args:
      pose: [T, J, 3] in pixels.
      skeleton: of the joints.
      height: in metres.
      fps: frames a second.
    """
    total, goal = limb_lengths(pose, skeleton, height)
    half = int(SIZE_SECONDS * fps / 2)
    padded = np.pad(total, half, mode="edge")
    calm = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=-1)
    return goal / np.maximum(calm, 1e-6)


def limb_lengths(pose: np.ndarray, skeleton: Skeleton, height: float) -> tuple[np.ndarray, float]:
    """Length of both arms and legs together of poses [..., J, 3], and in metres of a grown-up."""
    total, goal = np.zeros(pose.shape[:-2]), 0.0
    for name, share in SHARES.items():
        for side in ("left", "right"):
            joint = skeleton.index(f"{side}_{name}")
            bone = pose[..., joint, :] - pose[..., skeleton.parents[joint], :]
            total = total + np.linalg.norm(bone, axis=-1)
            goal += share * height
    return total, goal


def constant_bones(pose: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The pose [T, J, 3] with every bone as long as its median; directions and root stay.

    Of a skeleton whose joints come after their parents, as the network's.
    """
    out = pose.copy()
    for parent, joint in skeleton.limbs:
        bone = pose[:, joint] - pose[:, parent]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        out[:, joint] = out[:, parent] + bone / np.maximum(length, 1e-9) * np.median(length)
    return out


def camera_position(
    pose: np.ndarray, motion: np.ndarray, focal: float, centre: np.ndarray
) -> np.ndarray:
    """Where the root is before a pinhole camera: least squares on the 2D joints, frame by frame.

    A joint at root + p is seen at f (x, y) / z + centre; multiplied by z this is linear in the
    root. Frames with fewer than two joints take the place of the nearest other.

    Args:
      pose: [T, J, 3] root-relative, metres, camera axes.
      motion: [T, J, 3] x, y in pixels and confidence, the weight of a joint.
      focal: in pixels.
      centre: [2] of the image, in pixels.

    Returns:
      [T, 3] in metres, z away from the camera.
    """
    seen = (motion[..., :2] - centre) / focal  # [T, J, 2]
    weight = motion[..., 2]
    ones, zeros = np.ones_like(weight), np.zeros_like(weight)
    rows = np.stack(
        [
            np.stack([ones, zeros, -seen[..., 0]], -1),
            np.stack([zeros, ones, -seen[..., 1]], -1),
        ],
        axis=-2,
    )  # [T, J, 2, 3]
    goals = seen * pose[..., 2:] - pose[..., :2]
    left = np.einsum("tj,tjki,tjkl->til", weight, rows, rows)
    right = np.einsum("tj,tjki,tjk->ti", weight, rows, goals)
    enough = (weight > 0).sum(-1) >= 2
    safe = np.where(enough[:, None, None], left, np.eye(3)) + 1e-9 * np.eye(3)
    root = np.linalg.solve(safe, right[..., None])[..., 0]
    if not enough.any():
        return np.zeros_like(root)
    return root[_nearest(enough)]


def _nearest(good: np.ndarray) -> np.ndarray:
    """Of each row [T] the nearest that is good, in memory that grows with T alone."""
    rows, known = np.arange(len(good)), np.flatnonzero(good)
    after = np.searchsorted(known, rows).clip(0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(rows - known[before]) <= np.abs(known[after] - rows)
    return known[np.where(nearer, before, after)]


def upright(poses: list[np.ndarray], skeleton: Skeleton) -> tuple[np.ndarray, bool]:
    """The rotation [3, 3] of world axes that makes standing people upright, and if there are any.

    Up is the median direction from the middle of the ankles to the neck in frames with straight
    legs; the camera may look up or down and be rolled, but not by more than half a right angle.

    Args:
      poses: [T, J, 3] each, in camera axes.
    """
    ups = np.concatenate([_ups(pose @ CAMERA_TO_WORLD.T, skeleton) for pose in poses])
    if not len(ups):
        return np.eye(3), False
    up = np.median(ups, axis=0)
    up /= np.linalg.norm(up)
    if up[1] < np.sqrt(0.5):
        return np.eye(3), False
    axis = np.cross(up, [0.0, 1.0, 0.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + up[1]), True


def _ups(pose: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Unit vectors from ankles to neck in frames in which both legs are straight, [N, 3]."""
    straight = np.ones(len(pose), bool)
    feet = np.zeros((len(pose), 3))
    for side in ("left", "right"):
        hip, knee, ankle = (
            pose[:, skeleton.index(f"{side}_{n}")] for n in ("hip", "knee", "ankle")
        )
        legs = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
        straight &= np.linalg.norm(ankle - hip, axis=-1) > UPRIGHT * legs
        feet += ankle / 2
    up = pose[:, skeleton.index("neck")] - feet
    return up[straight] / np.linalg.norm(up[straight], axis=-1, keepdims=True)


def _odd(frames: float) -> int:
    return 2 * int(frames // 2) + 1


def _track(track: Track, pose: np.ndarray, size: np.ndarray) -> Track:
    uncertainty = track.uncertainty
    if uncertainty is not None:
        uncertainty = uncertainty * size[:, None]
    return Track(track.id, track.start, pose, track.confidence, uncertainty)
