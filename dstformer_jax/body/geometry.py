"""Where joints are: mirror, views of mocap, cameras, normalisation, resampling, alignment.

Functions with a parameter `xp` work on any numpy-like namespace (numpy, jax.numpy,
tensorflow.experimental.numpy; alignment needs linalg, so not the last) and keep the dtype of their
input. World axes of mocap: y up.
Camera axes: x right, y down, z away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from dstformer_jax.body.skeleton import H36M17, Skeleton

Array = Any  # an array of the namespace `xp`
MODES = ("image", "crop", "pixel")


def flip(motion: Array, skeleton: Skeleton = H36M17, xp: ModuleType = np) -> Array:
    """Mirrors `[..., J, C]`: x changes sign, left and right change places (reference 3.7)."""
    swapped = xp.take(motion, skeleton.mirror, axis=-2)
    return xp.concatenate([-swapped[..., :1], swapped[..., 1:]], axis=-1)


def view(pose: Array, yaw: Array, pitch: Array, xp: ModuleType = np) -> Array:
    """Turns world poses (y up) into the axes of an orthographic camera, without moving the origin.

    The person is turned by `yaw` about the vertical, then the camera is raised by `pitch` to look
    down on them. At yaw 0 the camera looks along the world's -z.

    Args:
      pose: `[..., T, J, 3]`, world axes, any unit.
      yaw, pitch: radians, scalars or `[...]` like the leading axes of pose.
      xp: numpy-like namespace.

    Returns:
      `[..., T, J, 3]` in camera axes, same unit.
    """
    cos_yaw, sin_yaw = _turn(yaw, pose, xp)
    cos_pitch, sin_pitch = _turn(pitch, pose, xp)
    x, y, z = pose[..., 0], pose[..., 1], pose[..., 2]
    right = cos_yaw * x + sin_yaw * z
    away = sin_yaw * x - cos_yaw * z
    down = -cos_pitch * y - sin_pitch * away
    return xp.stack([right, down, cos_pitch * away - sin_pitch * y], axis=-1)


def _turn(angle: Array, like: Array, xp: ModuleType) -> tuple[Array, Array]:
    """Cosine and sine, shaped to multiply `[..., T, J]`."""
    angle = xp.asarray(angle, dtype=like.dtype)
    if len(angle.shape):
        angle = angle[..., None, None]
    return xp.cos(angle), xp.sin(angle)


class Box(NamedTuple):
    """An image square: normalised = (pixels - centre) / half.

    centre `[..., 2]` and half `[..., 1]`, in pixels (or metres), with axes that broadcast against
    the points they normalise.
    """

    centre: Array
    half: Array

    def encode(self, points: Array, xp: ModuleType = np) -> Array:
        """Pixels `[..., C]` to normalised; the third channel of a pose (C = 3) is z, not moved."""
        moved = (points[..., :2] - self.centre) / self.half
        return xp.concatenate([moved, points[..., 2:] / self.half], axis=-1)

    def decode(self, points: Array, xp: ModuleType = np) -> Array:
        """The inverse of `encode`."""
        placed = points[..., :2] * self.half + self.centre
        return xp.concatenate([placed, points[..., 2:] * self.half], axis=-1)


def image_box(size: Sequence[int], short_side: bool = False) -> Box:
    """The square of an image of (width, height): its width, or its short side, becomes [-1, 1].

    Width is the official training normalisation, x/w*2-1 and y/w*2-h/w (reference 3.1); the short
    side is `--pixel` of the official in-the-wild script, (xy-[w,h]/2)/(min(w,h)/2).
    """
    width, height = size
    if width <= 0 or height <= 0:
        raise ValueError(f"got image size {tuple(size)}, expected (width, height) above 0")
    half = min(width, height) if short_side else width
    return Box(np.array([width, height], np.float32) / 2, np.array([half], np.float32) / 2)


def crop_box(
    motion: Array,
    ratio: Array = 1.0,
    xp: ModuleType = np,
    axes: tuple[int, ...] = (-3, -2),
) -> tuple[Box, Array]:
    """The square around all visible joints, `ratio` times their larger extent (reference 3.8).

    Args:
      motion: `[..., T, J, 3]` x, y, confidence; joints with confidence 0 do not count.
      ratio: scalar, or an array that broadcasts against `[..., 1, 1, 1]`.
      xp: numpy-like namespace.
      axes: the axes one square covers; add -4 to share it between people.

    Returns:
      the box, with axes kept, and bool `[..., 1, 1, 1]`: at least 4 joints span a square.
    """
    seen = motion[..., 2:3] != 0
    points = motion[..., :2]
    far = xp.asarray(1e30, dtype=motion.dtype)
    low = xp.min(xp.where(seen, points, far), axis=axes, keepdims=True)
    high = xp.max(xp.where(seen, points, -far), axis=axes, keepdims=True)
    count = xp.sum(xp.where(seen, 1, 0), axis=axes, keepdims=True)
    extent = xp.max(high - low, axis=-1, keepdims=True)
    valid = (count >= 4) & (extent > 0) & (xp.asarray(ratio, dtype=motion.dtype) > 0)
    one = xp.ones_like(extent)
    half = xp.where(valid, extent * xp.asarray(ratio, dtype=motion.dtype) / 2, one)
    return Box(xp.where(valid, (low + high) / 2, xp.zeros_like(low)), half), valid


def crop_scale(
    motion: Array,
    ratio: Array = 1.0,
    xp: ModuleType = np,
    axes: tuple[int, ...] = (-3, -2),
) -> Array:
    """Official 2D crop: the square around the person fills [-1, 1], the rest is clipped.

    Arguments as in `crop_box`. Fewer than 4 visible joints give zeros. As in the official code all
    channels are clipped, confidence too; ratio < 1 zooms in, ratio > 1 shrinks (reference 3.8).
    """
    box, valid = crop_box(motion, ratio, xp, axes)
    moved = (motion[..., :2] - box.centre) / box.half
    out = xp.clip(xp.concatenate([moved, motion[..., 2:]], axis=-1), -1.0, 1.0)
    return xp.where(valid, out, xp.zeros_like(out))


def crop_scale_3d(pose: Array, ratio: Array = 1.0, xp: ModuleType = np) -> Array:
    """Official 3D crop of `[..., T, J, 3]`: here ratio DIVIDES the square (reference 3.8).

    z is taken from the root of the first frame, scaled as x and y, and ends up shifted by -1: the
    official code centres all three channels.
    """
    ratio = xp.asarray(ratio, dtype=pose.dtype)
    low = xp.min(pose[..., :2], axis=(-3, -2), keepdims=True)
    high = xp.max(pose[..., :2], axis=(-3, -2), keepdims=True)
    half = xp.max(high - low, axis=-1, keepdims=True) / ratio / 2
    depth = (pose[..., 2:] - pose[..., :1, :1, 2:]) / half - 1
    return xp.concatenate([(pose[..., :2] - (low + high) / 2) / half, depth], axis=-1)


def make_cam(points: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Official action normalisation of `[..., 2]` pixels: xy/max(w,h)*2-1, short side uncentred."""
    return points / max(size) * 2 - 1


@dataclass(frozen=True)
class Normaliser:
    """How pixels become network input and network output becomes pixels again.

    mode `image`: the image's width is [-1, 1]; `pixel`: its short side is; `crop`: the square
    around the person over the whole clip is, times `ratio`. Saved in every checkpoint.
    """

    mode: str = "image"
    ratio: float = 1.0  # crop only

    def __post_init__(self) -> None:
        if self.mode not in MODES or not self.ratio > 0:
            raise ValueError(
                f"got normaliser {self.mode!r} with ratio {self.ratio}, expected one of "
                f"{', '.join(MODES)} and a ratio above 0"
            )

    def encode(self, motion: np.ndarray, size: Sequence[int] = (0, 0)) -> tuple[np.ndarray, Box]:
        """Normalises `motion [T, J, 3]` (px, px, confidence) and returns the box to come back by.

        `size` is (width, height) in pixels; crop does not need it. Joints with confidence 0 stay
        in the array; crop clips them to the square as the official code does.
        """
        if self.mode == "crop":
            return crop_scale(motion, self.ratio), crop_box(motion, self.ratio)[0]
        box = image_box(size, short_side=self.mode == "pixel")
        moved = (motion[..., :2] - box.centre) / box.half
        return np.concatenate([moved, motion[..., 2:]], axis=-1), box

    def decode(self, pose: np.ndarray, box: Box) -> np.ndarray:
        """Normalised `pose [T, J, 3]` to pixels; z in pixels too, its zero unmoved."""
        return box.decode(pose)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with OpenCV's distortion; points are in its axes, metres or millimetres."""

    focal: tuple[float, float]
    centre: tuple[float, float]
    size: tuple[int, int] = (0, 0)  # width, height in pixels
    radial: tuple[float, ...] = field(default=(0.0, 0.0, 0.0))  # k1, k2, k3
    tangential: tuple[float, float] = (0.0, 0.0)  # p1, p2

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera-space `[..., 3]` to pixels `[..., 2]`."""
        flat = points[..., :2] / points[..., 2:]
        return self._distort(flat) * np.asarray(self.focal) + np.asarray(self.centre)

    def back_project(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Pixels `[..., 2]` at `depth [...]` to camera-space points `[..., 3]`."""
        bent = (pixels - np.asarray(self.centre)) / np.asarray(self.focal)
        flat = bent
        for _ in range(20):  # fixed point: the distortion is a small change
            flat = flat - (self._distort(flat) - bent)
        return np.concatenate([flat * depth[..., None], depth[..., None]], axis=-1)

    def _distort(self, flat: np.ndarray) -> np.ndarray:
        """Applies the lens to points on the plane z = 1."""
        square = np.sum(flat**2, axis=-1, keepdims=True)
        p1, p2 = self.tangential
        bend = 1 + sum(k * square ** (i + 1) for i, k in enumerate(self.radial))
        bend = bend + 2 * (p2 * flat[..., :1] + p1 * flat[..., 1:])
        return flat * bend + square * np.array([p2, p1])


class Similarity(NamedTuple):
    """x -> scale * rotation x + translation; scale `[...]`, rotation `[..., 3, 3]`."""

    scale: Array
    rotation: Array
    translation: Array


def similarity(source: Array, target: Array, xp: ModuleType = np) -> Similarity:
    """The similarity (never a reflection) that best maps `source [..., J, 3]` onto `target`.

    Least squares by SVD (Umeyama 1991), as the official rigid_transform. A source without extent
    gets scale 0: it lands on the target's centre.
    """
    source_mean = xp.mean(source, axis=-2, keepdims=True)
    target_mean = xp.mean(target, axis=-2, keepdims=True)
    from_, onto = source - source_mean, target - target_mean
    u, s, vt = xp.linalg.svd(xp.einsum("...ji,...jk->...ik", from_, onto), full_matrices=False)
    sign = xp.sign(xp.linalg.det(xp.einsum("...ij,...jk->...ik", u, vt)))[..., None]
    signs = xp.concatenate([xp.ones_like(s[..., :2]), sign * xp.ones_like(s[..., 2:])], axis=-1)
    rotation = xp.einsum("...ji,...j,...kj->...ik", vt, signs, u)
    extent = xp.sum(from_**2, axis=(-2, -1))
    scale = xp.sum(s * signs, axis=-1) / xp.where(extent > 0, extent, xp.ones_like(extent))
    moved = xp.einsum("...ij,...kj->...ki", rotation, source_mean)[..., 0, :]
    return Similarity(scale, rotation, target_mean[..., 0, :] - scale[..., None] * moved)


def align(source: Array, target: Array, xp: ModuleType = np) -> Array:
    """`source [..., J, 3]` moved onto `target` by the best similarity."""
    fit = similarity(source, target, xp)
    turned = xp.einsum("...ij,...kj->...ki", fit.rotation, source)
    return fit.scale[..., None, None] * turned + fit.translation[..., None, :]


def resample_indices(
    length: int, target: int, mode: str = "even", draws: np.ndarray | int | None = None
) -> np.ndarray:
    """Which of `length` frames make a clip of `target` frames (reference 3.2).

    Args:
      length: frames there are, at least 1.
      target: frames wanted.
      mode: `even`: floor of an even spacing. `random`: jittered; up-sampling picks floor or ceil
        of the even spacing, down-sampling a place inside each interval. `replay`: a window of a
        longer sequence, or a shorter one played again.
      draws: for `random` numbers in [0, 1) `[target]` (or the recorded bits when up-sampling);
        for `replay` of a longer sequence the first frame.

    Returns:
      int64 `[target]`, within [0, length).
    """
    if length < 1 or target < 1:
        raise ValueError(f"got {length} frames to make {target}, expected at least 1 of each")
    even = np.linspace(0, length, num=target, endpoint=False)
    if mode == "even":
        return even.astype(np.int64)
    if mode == "replay":
        start = int(draws) if length > target and draws is not None else 0
        return (start + np.arange(target)) % length
    draws = np.asarray(() if draws is None else draws)
    if mode != "random" or draws.shape != (target,):
        raise ValueError(
            f"got mode {mode!r} with draws of shape {draws.shape}, expected even, replay, or "
            f"random with draws of shape ({target},)"
        )
    if length < target:
        picked = np.sort(np.where(draws >= 0.5, np.floor(even), np.ceil(even)))
    else:
        picked = even + draws * (length / target)
    return np.clip(picked, 0, length - 1).astype(np.int64)
