"""A camera before moving people: perspective projection and Human3.6M's 2.5D answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dstformer_jax.body.geometry import Camera, crop_box, view
from dstformer_jax.body.skeleton import H36M17

FOCAL = 1145.0  # px, about that of the Human3.6M cameras
NEAREST = 1.5  # metres between the camera and the nearest joint


@dataclass(frozen=True)
class Shot:
    """One take of T frames. Pixels are measured from the image centre.

    pixels [T, 17, 2]; pose [T, 17, 3]: x and y in pixels, depth from the root at the root's scale;
    factor [T]: mm per pixel at the root (2.5d_factor of Human3.6M).
    """

    pixels: np.ndarray
    pose: np.ndarray
    factor: np.ndarray


def film(pose: np.ndarray, yaw: float, pitch: float, distance: float) -> Shot:
    """Films world motion [T, 17, 3] (metres, y up) from `distance` metres.

    The camera looks at the middle of the root's path and stands farther away where a joint would
    come nearer than 1.5 m. yaw and pitch in degrees, see `geometry.view`.
    """
    points = view(pose.astype(np.float64), *np.radians([yaw, pitch]))
    points = points - points[:, 0].mean(axis=0)
    points[..., 2] += max(distance, NEAREST - float(points[..., 2].min()))
    pixels = Camera((FOCAL, FOCAL), (0.0, 0.0)).project(points)
    depth = points[:, :1, 2]
    answer = np.concatenate([pixels, ((points[..., 2] - depth) * FOCAL / depth)[..., None]], -1)
    return Shot(pixels, answer, 1000 * depth[:, 0] / FOCAL)


def yaw_of_front(pose: np.ndarray) -> float:
    """The yaw of `film`, in degrees, that sees a person [T, 17, 3] (y up) from the front.

    People face at right angles to their hips and shoulders; of a take, on average.
    """
    across = sum(
        pose[:, H36M17.index(f"left_{name}")] - pose[:, H36M17.index(f"right_{name}")]
        for name in ("hip", "shoulder")
    )
    x, _, z = np.mean(across, axis=0)
    return float(np.degrees(np.arctan2(z, x)))


def frame_person(
    detected: np.ndarray, shot: Shot, margin: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Cuts the image to the detected person over the whole take, times `margin`.

    The square is that of the detections: nothing of the truth is used to normalise the input.

    Returns:
      motion [T, 17, 3] and pose [T, 17, 3], in which the square is [-1, 1], and its side in px.
      Undetected joints (confidence 0) stay zero.
    """
    box, _ = crop_box(detected, margin)
    side = max(2, round(2 * float(np.squeeze(box.half))))
    centre = np.reshape(box.centre, (1, 1, 2))
    motion = detected.copy()
    motion[..., :2] = (detected[..., :2] - centre) / (side / 2)
    motion[detected[..., 2] == 0] = 0
    pose = shot.pose.copy()
    pose[..., :2] -= centre
    return motion, pose / (side / 2), side
