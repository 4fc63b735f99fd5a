"""How a clip is framed: mirrored, seen from the drawn side, cropped, scaled.

The arithmetic is the same for numpy, on the host, and jax.numpy, on the device (`xp`). It works on
x, y and z (or confidence) apart, each [B, T * J]: rows of 3 numbers are several times as slow.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from dstformer_jax.body.skeleton import H36M17, Skeleton

from .sources import SourceData

Array = Any  # an array of the namespace `xp`
Planes = tuple[Array, Array, Array]  # x, y and z or confidence, each [B, T * J]
FRAMES = ("pose", "detected", "seen")  # what a clip is made of
CAMERA = ("axes", "ratio", "flip", "lens")
FAR = np.float32(1e30)


class Framed(NamedTuple):
    """A clean batch, its channels apart."""

    motion: Planes
    target: Planes
    confidence: Array  # [B, T * J]
    scale: Array  # [B]


def finish_clips(batch: dict[str, Array], data: SourceData, xp: ModuleType) -> dict[str, Array]:
    """`clips.make_clips` of what `clips.gather_clips` has gathered.

    xp: jax.numpy under jit or pmap, with exact matrix products; or numpy. Arrays that have no part
    in it pass.
    """
    shot = {name: batch[name] for name in (*FRAMES, *CAMERA) if name in batch}
    swapped = {
        name: swap(shot[name], shot["flip"], xp, data.skeleton) for name in FRAMES if name in shot
    }
    framed = frame(shot | swapped, data, xp)
    joints = (*batch["valid"].shape, data.skeleton.num_joints)
    finished = {
        "motion": xp.stack(framed.motion, axis=-1).reshape(*joints, 3),
        "target": xp.stack(framed.target, axis=-1).reshape(*joints, 3),
        "confidence": framed.confidence.reshape(joints),
        "scale": framed.scale,
    }
    return {name: array for name, array in batch.items() if name not in shot} | finished


def swap(clips: Array, flip: Array, xp: ModuleType = np, skeleton: Skeleton = H36M17) -> Array:
    """Left and right joints of clips [B, T, J, 3] change places where flip [B]."""
    mirrored = xp.take(clips, skeleton.mirror, axis=2)
    return xp.where(flip[:, None, None, None], mirrored, clips)


def frame(shot: dict[str, Array], data: SourceData, xp: ModuleType = np) -> Framed:
    """Clean clips of a source from frames [B, T, J, 3] whose joints have changed places already.

    shot: the pose, the detected motion, the pose as a layout has it: what the source needs of them;
    axes [B, 3, 3] from `camera_axes`, ratio [B] of the crop, flip [B], lens [B, 4] or none.
    """
    return (_frame_3d if data.source.supervision == "3d" else _frame_2d)(shot, data, xp)


def _frame_3d(shot: dict[str, Array], data: SourceData, xp: ModuleType) -> Framed:
    """Target: the pose, seen from the drawn side. Motion: its x, y, or what is seen instead.

    Layouts and lenses have the square around what is seen, as files of detections will have.
    """
    source = data.source
    target, square = turn(shot["pose"], shot["axes"], xp), None
    shown = turn(shot["seen"], shot["axes"], xp) if "seen" in shot else target
    if "lens" in shot:
        shown = project(shown, shot["lens"], xp)
    if source.crop is not None:
        square = fill_square(shown, shot["ratio"], xp)
        moved = square.move(target)
        shown = moved if shown is target else square.move(shown)
        target = moved
    if source.input == "motion":
        motion = channels(shot["detected"], shot["flip"], xp)
        if square is not None:
            motion = (*square.move(motion[:2]), motion[2])
    else:
        motion = (*shown[:2], xp.ones_like(shown[2]))
    factor = xp.ones_like(shot["ratio"]) if square is None else square.factor
    scale = 1000 / (source.scale * factor) if data.unit == "m" else xp.zeros_like(factor)
    return Framed(motion, target, motion[2], scale)


def _frame_2d(shot: dict[str, Array], data: SourceData, xp: ModuleType) -> Framed:
    """Target: the clean x, y, weighted by confidence. Joints that were not seen are zero."""
    source = data.source
    if source.input == "pose":
        x, y, _ = turn(shot["pose"], shot["axes"], xp)
        confidence = xp.ones_like(x)
    else:
        x, y, confidence = channels(shot["detected"], shot["flip"], xp)
    half = xp.ones_like(shot["ratio"])
    if source.crop is not None:
        (x, y, confidence), half = crop_square((x, y, confidence), shot["ratio"], xp)
    seen = confidence != 0
    x, y = x * seen, y * seen
    unit = 1000 / source.scale if source.input == "pose" else 1
    scale = xp.zeros_like(half) if data.unit == "normalised" else half * np.float32(unit)
    return Framed((x, y, confidence), (x, y, xp.zeros_like(x)), confidence, scale)


def turn(pose: Array, axes: Array, xp: ModuleType = np) -> Planes:
    """Pose [B, T, J, 3] times `clips.camera_axes` [B, 3, 3]."""
    points = pose.reshape(len(pose), -1, 3)
    turned = xp.matmul(axes.transpose(0, 2, 1), points.transpose(0, 2, 1))
    return turned[:, 0], turned[:, 1], turned[:, 2]


def project(planes: Planes, lens: Array, xp: ModuleType = np) -> Planes:
    """Clips before pinhole cameras, as long as they were at the depth of their middle.

    lens: [B, 4] from `clips.draw_lens`: the camera is as far away as makes the person fill the
    drawn share of its view, and looks past them by the drawn part of the rest.
    """
    low = xp.stack([plane.min(axis=1) for plane in planes], axis=1)
    high = xp.stack([plane.max(axis=1) for plane in planes], axis=1)
    middle = (low + high) / 2
    half = (high - low)[:, :2].max(axis=1) / 2
    near = (high - low)[:, 2] / 2
    view, share, aside = lens[:, 0], lens[:, 1], lens[:, 2:]
    # Never so near that somebody reaches through the lens.
    distance = xp.maximum(half / (share * view), 1.5 * near)
    distance = xp.where(distance > 0, distance, np.float32(1))
    off = (distance * view - half)[:, None].clip(0) * aside
    x, y, z = (plane - middle[:, axis, None] for axis, plane in enumerate(planes))
    nearer = distance[:, None] / (distance[:, None] + z)
    x, y = ((plane + off[:, axis, None]) * nearer for axis, plane in enumerate((x, y)))
    return x, y, planes[2]


def channels(motion: Array, flip: Array, xp: ModuleType = np) -> Planes:
    """Motion [B, T, J, 3] apart, x mirrored where flip [B]."""
    x, y, confidence = (motion[..., axis].reshape(len(motion), -1) for axis in range(3))
    return x * xp.where(flip, np.float32(-1), np.float32(1))[:, None], y, confidence


class Square(NamedTuple):
    """What is subtracted from a clip, and what it is then multiplied by."""

    offset: Array  # [B, 3]
    factor: Array  # [B]

    def move(self, planes: tuple[Array, ...]) -> tuple[Array, ...]:
        """The square becomes [-1, 1]; of as many channels as are given."""
        factor = self.factor[:, None]
        return tuple(
            (plane - start[:, None]) * factor
            for plane, start in zip(planes, self.offset.T, strict=False)
        )


def fill_square(planes: Planes, ratio: Array, xp: ModuleType = np) -> Square:
    """The square around each clip, over all its frames and joints, times ratio [B].

    x and y are centred; z is scaled alike and measured from the root of the first frame.
    """
    low = xp.stack([plane.min(axis=1) for plane in planes[:2]], axis=1)
    high = xp.stack([plane.max(axis=1) for plane in planes[:2]], axis=1)
    offset = xp.concatenate([(low + high) / 2, planes[2][:, :1]], axis=1)
    extent = (high - low).max(axis=1) * ratio
    return Square(offset, 2 / xp.where(extent > 0, extent, np.float32(2)))


def crop_square(planes: Planes, ratio: Array, xp: ModuleType = np) -> tuple[Planes, Array]:
    """`geometry.crop_scale` with ratio [B] of N points in B clips: x, y and confidence [B, N].

    Returns them and half the side of each square, [B]: what 1 is now, in the unit before.
    """
    x, y, confidence = planes
    seen = confidence != 0
    least = xp.stack([xp.where(seen, plane, FAR).min(axis=1) for plane in (x, y)])
    most = xp.stack([xp.where(seen, plane, -FAR).max(axis=1) for plane in (x, y)])
    extent = (most - least).max(axis=0)
    valid = (seen.sum(axis=1) >= 4) & (extent > 0)
    half = xp.where(valid, extent * ratio / 2, np.float32(1))
    low, high = (xp.where(valid, np.float32(end), np.float32(0))[:, None] for end in (-1, 1))
    x, y = (
        (plane - centre[:, None]) / half[:, None]
        for plane, centre in zip((x, y), (least + most) / 2, strict=True)
    )
    x, y, confidence = (xp.clip(plane, low, high) for plane in (x, y, confidence))
    return (x, y, confidence), half
