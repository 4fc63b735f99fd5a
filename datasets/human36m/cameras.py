"""Human3.6M cameras: world to camera, and the 2.5D image pose that the protocol is measured in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.geometry import Camera, image_box
from dstformer_jax.files.pickles import load_pickle

# In the order of the endings _ca_01 to _ca_04; width and height in pixels.
SIZES = {
    "54138969": (1000, 1002),
    "55011271": (1000, 1000),
    "58860488": (1000, 1000),
    "60457274": (1000, 1002),
}
CAMERAS = tuple(SIZES)
SHIPPED = Path(__file__).with_name("cameras.json")
HALF_WIDTH_MM = 1000  # the root is moved by so much to both sides to find the pixels of a mm


@dataclass(frozen=True, eq=False)
class PlacedCamera:
    """A camera and its place in the studio.

    lens: without distortion, as in the recipe of the ground truth; rotation [3, 3] world to
    camera; position [3] in world mm.
    """

    lens: Camera
    rotation: np.ndarray
    position: np.ndarray

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points `[..., 3]` in mm -> camera axes (x right, y down, z away), mm."""
        return (points - self.position) @ self.rotation.T


def image_pose(pose: np.ndarray, lens: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The joints as the official pickle has them (reference: integral human pose).

    Args:
      pose: `[T, 17, 3]` mm in camera axes.
      lens: the camera.

    Returns:
      joint3d_image `[T, 17, 3]`: x, y projected, z = depth behind the root, all in pixels; and
      2.5d_factor `[T]`, mm per pixel at the depth of the root. Their product is
      joints_2.5d_image, the truth that errors are measured against.
    """
    if (pose[..., 2] <= 0).any():
        raise ValueError("got joints behind the camera, expected camera axes with z away, in mm")
    root, side = pose[:, 0], np.array([HALF_WIDTH_MM, 0, 0])
    left, right = lens.project(root - side)[:, 0], lens.project(root + side)[:, 0]
    ratio = (right - left + 1) / (2 * HALF_WIDTH_MM)  # + 1: a width counts both its end pixels
    depth = (pose[..., 2:] - root[:, None, 2:]) * ratio[:, None, None]
    return np.concatenate([lens.project(pose), depth], axis=-1), 1 / ratio


def normalise(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels `[..., 2 or 3]` -> float32, x in [-1, 1], y and z on the same scale."""
    return image_box(size).encode(pixels).astype(np.float32)


def one_camera(video: str, names: np.ndarray) -> tuple[str, tuple[int, int]]:
    """The camera of a video's frames, `[T]` names, and its image size (width, height).

    Raises:
      ValueError: an unknown camera, or two: a mistake of the file.
    """
    found = sorted(set(names.tolist()))
    if len(found) != 1 or found[0] not in SIZES:
        raise ValueError(
            f"got camera {', '.join(found)} in video {video}, expected one of {', '.join(SIZES)}"
        )
    return found[0], SIZES[found[0]]


def load_cameras(source: Path) -> dict[tuple[str, str], PlacedCamera]:
    """(subject, camera) -> PlacedCamera, such as ("S1", "54138969").

    Taken from cameras.pkl (mmpose) or cameras.json (the layout of the one shipped here) in
    `source`, else from the calibration shipped with the builder.
    """
    if (source / "cameras.pkl").is_file():
        return _from_pickle(source / "cameras.pkl")
    path = source / "cameras.json"
    return _from_json(path if path.is_file() else SHIPPED)


def _from_json(path: Path) -> dict[tuple[str, str], PlacedCamera]:
    try:
        table = json.loads(path.read_text())
        return {
            (subject, name): PlacedCamera(
                lens=_lens(**table["intrinsics"][name]),
                rotation=_rotation(extrinsic["orientation"]).T,
                position=np.array(extrinsic["position"], float),
            )
            for subject, views in table["extrinsics"].items()
            for name, extrinsic in views.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: got no cameras ({error!r}), expected the layout of {SHIPPED}"
        ) from error


def _lens(focal: Any, centre: Any, size: Any) -> Camera:
    fx, fy = np.asarray(focal, float).reshape(2)
    cx, cy = np.asarray(centre, float).reshape(2)
    width, height = size
    return Camera(focal=(fx, fy), centre=(cx, cy), size=(int(width), int(height)))


def _rotation(quaternion: list[float]) -> np.ndarray:
    """The matrix [3, 3] of a quaternion (w, x, y, z)."""
    w, x, y, z = np.array(quaternion, float) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _from_pickle(path: Path) -> dict[tuple[str, str], PlacedCamera]:
    """mmpose's cameras.pkl: R is camera to world, T the camera's place in metres."""
    table = load_pickle(path)
    try:
        return {
            (str(subject), str(name)): PlacedCamera(
                lens=_lens(values["f"], values["c"], (values["w"], values["h"])),
                rotation=np.asarray(values["R"], float).reshape(3, 3).T,
                position=np.asarray(values["T"], float).reshape(3) * 1000,
            )
            for (subject, name), values in table.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}: got no cameras ({error!r}), expected {{(subject, camera): R, T, c, f, w, h}}"
        ) from error
