"""From frames to clips, a whole batch at a time: cut, resample, mirror, view, scale.

In numpy for both feeds: with rows of 3 numbers this is several times faster than the same in
TensorFlow, reads the memory-mapped bank without a copy of it, and makes both feeds give the very
same clips. No Python runs per clip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dstformer_jax.body.geometry import view
from dstformer_jax.body.skeleton import H36M17

from .memory import empty
from .sources import Source, SourceData

Batch = dict[str, np.ndarray]
CHUNK = 16  # clips worked on at a time: what they take stays in the processor's cache


class ClipDraws(NamedTuple):
    """What is drawn for B clips."""

    yaw: np.ndarray  # float32 [B] radians
    pitch: np.ndarray  # float32 [B] radians
    ratio: np.ndarray  # float32 [B] of the crop
    flip: np.ndarray  # bool [B]
    resample: np.ndarray | None  # float32 [B, T] in [0, 1); None: even steps
    move: np.ndarray | None = None  # float32 [B, 2, 4] at both ends of the clip, see `draw_move`

    def rows(self, rows: slice) -> ClipDraws:
        """The draws of some of the clips."""
        taken = {k: None if v is None else v[rows] for k, v in self._asdict().items()}
        return self._replace(**taken)


def draw_clips(rng: np.random.Generator, source: Source, resample: bool = True) -> ClipDraws:
    """Draws views, crops, mirroring and (if any of its clips are) resampling of one batch."""
    unit = rng.random((source.batch, 4), np.float32)
    yaw, pitch = np.zeros((2, source.batch), np.float32)
    if source.views is not None and source.views.fixed:
        angles = np.radians(source.views.angles())
        yaw, pitch = angles[(unit[:, 0] * len(angles)).astype(int)].T
    elif source.views is not None:
        yaw = _between(unit[:, 0], np.radians(source.views.yaw))
        pitch = _between(unit[:, 1], np.radians(source.views.pitch))
    ratio = _between(unit[:, 2], source.crop or (1.0, 1.0))
    flip = (unit[:, 3] < 0.5) & source.flip
    picks = rng.random((source.batch, source.frames), np.float32) if resample else None
    move = draw_move(rng, source.batch) if source.move else None
    return ClipDraws(yaw, pitch, ratio, flip, picks, move)


def draw_move(rng: np.random.Generator, clips: int) -> np.ndarray:
    """Angle (degrees), scale, and shifts in x and y at both ends of a clip, float32 [B, 2, 4]."""
    low = np.array([-10, 0.9, -0.1, -0.1], np.float32)
    return low + rng.random((clips, 2, 4), np.float32) * np.array([20, 0.2, 0.2, 0.2], np.float32)


def _between(unit: np.ndarray, ends: tuple[float, ...] | np.ndarray) -> np.ndarray:
    low, high = np.asarray(ends, np.float32)
    return low + unit * (high - low)


def frame_ids(
    spans: np.ndarray, resampled: np.ndarray, frames: int, draws: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Bank frames of windows: int64 [B, T] and which of them are real, bool [B, T].

    Windows shorter than T repeat their last frame (not real). Those that are `resampled` [B] are
    stretched: every place of an even spacing takes the frame before or after it by draws [B, T]
    in [0, 1), then they are sorted; or thinned: a frame drawn between a place and the next.
    Without draws the frame before each place (reference 3.2).
    """
    start, length = np.asarray(spans, np.int64).T[..., None]
    step = np.arange(frames)
    offset = np.minimum(step, length - 1)
    valid = (step < length) | resampled[:, None]
    if resampled.any():
        some = length[resampled]
        even = step * (some / frames)
        if draws is None:
            picked = np.floor(even)
        else:
            drawn = draws[resampled]
            stretched = np.sort(np.where(drawn < 0.5, np.ceil(even), np.floor(even)), axis=1)
            thinned = np.floor(even + drawn * (some / frames))
            picked = np.where(some < frames, stretched, thinned)
        offset[resampled] = np.minimum(picked, some - 1).astype(np.int64)
    return start + offset, valid


def clip_frames(
    data: SourceData, rows: np.ndarray, draws: ClipDraws
) -> tuple[np.ndarray, np.ndarray]:
    """`frame_ids` of some windows of a source."""
    windows = data.windows
    resampled = windows.resampled[rows]
    return frame_ids(windows.spans[rows], resampled, data.source.frames, draws.resample)


def gather(array: np.ndarray, ids: np.ndarray, flip: np.ndarray) -> np.ndarray:
    """Frames [F, 17, 3] at ids int64 [B, T] -> [B, T, 17, 3]; left and right swapped where flip."""
    joints = np.where(flip[:, None], H36M17.mirror, np.arange(H36M17.num_joints))
    where = (ids * H36M17.num_joints)[..., None] + joints[:, None]
    # "clip" only says that nothing needs to be checked: ids are right by construction.
    return np.take(np.asarray(array).reshape(-1, 3), where, axis=0, mode="clip")


def make_clips(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """The clean batch of some windows: int [B] rows of data.windows, one for each draw.

    Returns motion [B, T, 17, 3], target [B, T, 17, 3], confidence [B, T, 17], valid [B, T],
    index [B] (= rows) and scale [B]: mm (of metres) or pixels of a normalised unit, 0 when the
    source is stored normalised.
    """
    source = data.source
    ids, valid = clip_frames(data, rows, draws)
    shape = (len(rows), source.frames, H36M17.num_joints)
    batch = {
        "motion": empty(*shape, 3),
        "target": empty(*shape, 3),
        "confidence": empty(*shape),
        "scale": empty(len(rows)),
    }
    fill = _fill_3d if source.supervision == "3d" else _fill_2d
    axes = camera_axes(source, draws)
    for first in range(0, len(rows), CHUNK):
        some = slice(first, first + CHUNK)
        part = {name: array[some] for name, array in batch.items()}
        fill(part, data, ids[some], draws.rows(some), axes[some])
    return batch | {"valid": valid, "index": rows.astype(np.int32)}


def _fill_3d(
    batch: Batch, data: SourceData, ids: np.ndarray, draws: ClipDraws, axes: np.ndarray
) -> None:
    """Target: the pose, seen from the drawn side. Motion: its x, y, or the stored detections."""
    source = data.source
    pose = gather(data.bank.pose, ids, draws.flip)
    offset, factor = np.zeros((len(ids), 3), np.float32), np.ones(len(ids), np.float32)
    if source.crop is None:
        points = (len(ids), -1, 3)
        np.matmul(pose.reshape(points), axes, out=batch["target"].reshape(points))
    else:
        planes = turn(pose, axes)
        offset, factor = fill_square(planes, draws.ratio)
        _interleave(planes, batch["target"])
    if source.input == "motion":
        detected = _channels(gather(data.bank.motion, ids, draws.flip), draws.flip)
        for plane, start in zip(detected[:2], offset.T, strict=False):
            plane -= start[:, None]
            plane *= factor[:, None]
        _interleave(detected, batch["motion"])
        batch["confidence"][...] = batch["motion"][..., 2]
    else:
        batch["motion"][...] = batch["target"]
        batch["motion"][..., 2] = batch["confidence"][...] = 1
    batch["scale"][:] = 1000 / (source.scale * factor) if data.unit == "m" else 0


def _fill_2d(
    batch: Batch, data: SourceData, ids: np.ndarray, draws: ClipDraws, axes: np.ndarray
) -> None:
    """Target: the clean x, y, weighted by confidence. Joints that were not seen are zero."""
    source = data.source
    if source.input == "pose":
        x, y, confidence = turn(gather(data.bank.pose, ids, draws.flip), axes)
        confidence[...] = 1
    else:
        x, y, confidence = _channels(gather(data.bank.motion, ids, draws.flip), draws.flip)
    half = np.ones(len(ids), np.float32)
    if source.crop is not None:
        half = crop_square(x, y, confidence, draws.ratio)
    seen = confidence != 0
    x *= seen
    y *= seen
    _interleave((x, y, confidence), batch["motion"])
    batch["target"][...] = batch["motion"]
    batch["target"][..., 2] = 0
    batch["confidence"][...] = confidence.reshape(batch["confidence"].shape)
    unit = 1000 / source.scale if source.input == "pose" else 1
    batch["scale"][:] = 0 if data.unit == "normalised" else half * np.float32(unit)


# x, y and z (or confidence) are worked on apart, [B, T * J] each: rows of 3 numbers are several
# times as slow.
Planes = np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]


def _channels(motion: np.ndarray, flip: np.ndarray) -> Planes:
    """Motion [B, T, J, 3] apart, x mirrored where flip; joints have changed places already."""
    planes = np.stack([motion[..., axis].reshape(len(motion), -1) for axis in range(3)])
    planes[0] *= np.where(flip, np.float32(-1), np.float32(1))[:, None]
    return planes


def _interleave(planes: Planes, out: np.ndarray) -> None:
    """Writes three [B, T * J] into [B, T, J, 3]."""
    for axis, plane in enumerate(planes):
        out[..., axis] = plane.reshape(out.shape[:-1])


def camera_axes(source: Source, draws: ClipDraws) -> np.ndarray:
    """The drawn view times the source's scale, mirrored in x where flip: float32 [B, 3, 3].

    A point of the pose as a row, times this, is in the camera's axes.
    """
    axes = np.tile(np.eye(3, dtype=np.float32), (len(draws.yaw), 1, 1))
    if source.views is not None:
        # A view is linear: what it does to the three axes is its matrix.
        axes = view(axes[:, None], draws.yaw, draws.pitch)[:, 0]
    axes = axes * np.float32(source.scale)
    axes[..., 0] *= np.where(draws.flip, np.float32(-1), np.float32(1))[:, None]
    return axes


def turn(pose: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Pose [B, T, J, 3] times `camera_axes` [B, 3, 3]; x, y and z apart, [3, B, T * J]."""
    points = pose.reshape(len(pose), -1, 3)
    turned = np.matmul(axes.transpose(0, 2, 1), points.transpose(0, 2, 1))
    return turned.transpose(1, 0, 2)


def fill_square(planes: Planes, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales each clip in place so that the square around it, times ratio [B], is [-1, 1].

    planes: x, y and z apart, each [B, T * J]. x and y are centred on their bounding box over all
    frames and joints; z is scaled alike and measured from the root of the first frame.
    Returns what was subtracted [B, 3] and then multiplied [B].
    """
    low = np.stack([plane.min(axis=1) for plane in planes[:2]], axis=1)
    high = np.stack([plane.max(axis=1) for plane in planes[:2]], axis=1)
    offset = np.concatenate([(low + high) / 2, planes[2][:, :1]], axis=1)
    extent = (high - low).max(axis=1) * ratio
    factor = (2 / np.where(extent > 0, extent, 2)).astype(np.float32)
    for plane, start in zip(planes, offset.T, strict=True):
        plane -= start[:, None]
        plane *= factor[:, None]
    return offset, factor


def crop_square(
    x: np.ndarray, y: np.ndarray, confidence: np.ndarray, ratio: np.ndarray
) -> np.ndarray:
    """`geometry.crop_scale` with ratio [B] of N points in B clips, each [B, N], in place.

    Returns half the side of each square, float32 [B]: what 1 is afterwards, in the unit before.
    """
    seen = confidence != 0
    ends = [
        (np.where(seen, plane, np.inf).min(axis=1), np.where(seen, plane, -np.inf).max(axis=1))
        for plane in (x, y)
    ]
    extent = np.maximum(*(high - low for low, high in ends))
    valid = (seen.sum(axis=1) >= 4) & (extent > 0)
    half = np.where(valid, extent * ratio / 2, 1).astype(np.float32)
    for plane, (low, high) in zip((x, y), ends, strict=True):
        plane -= np.where(valid, (low + high) / 2, 0).astype(np.float32)[:, None]
        plane /= half[:, None]
    for plane in (x, y, confidence):
        np.minimum(np.maximum(plane, np.float32(-1), out=plane), np.float32(1), out=plane)
        plane[~valid] = 0
    return half
