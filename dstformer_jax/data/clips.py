"""From frames to clips, a whole batch at a time: cut, resample, mirror, view, scale.

In numpy for both feeds: with rows of 3 numbers this is several times faster than the same in
TensorFlow, reads the memory-mapped bank without a copy of it, and makes both feeds give the very
same clips. No Python runs per clip.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dstformer_jax.body.geometry import view
from dstformer_jax.body.skeleton import H36M17

from .memory import empty
from .sources import Source, SourceData

Batch = dict[str, np.ndarray]


class ClipDraws(NamedTuple):
    """What is drawn for B clips."""

    yaw: np.ndarray  # float32 [B] radians
    pitch: np.ndarray  # float32 [B] radians
    ratio: np.ndarray  # float32 [B] of the crop
    flip: np.ndarray  # bool [B]
    resample: np.ndarray | None  # float32 [B, T] in [0, 1); None: even steps

    def rows(self, rows: slice) -> ClipDraws:
        """The draws of some of the clips."""
        resample = None if self.resample is None else self.resample[rows]
        return ClipDraws(
            self.yaw[rows], self.pitch[rows], self.ratio[rows], self.flip[rows], resample
        )


def draw_clips(rng: np.random.Generator, source: Source) -> ClipDraws:
    """Draws views, crops, mirroring and resampling of one batch of the source."""
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
    return ClipDraws(yaw, pitch, ratio, flip, rng.random((source.batch, source.frames), np.float32))


def _between(unit: np.ndarray, ends: tuple[float, ...] | np.ndarray) -> np.ndarray:
    low, high = np.asarray(ends, np.float32)
    return low + unit * (high - low)


def frame_ids(
    spans: np.ndarray, resampled: np.ndarray, frames: int, draws: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Bank frames of windows: int64 [B, T] and which of them are real, bool [B, T].

    Windows shorter than T repeat their last frame (not real), or are stretched if `resampled`
    [B]: every place of an even spacing takes the frame before or after it by draws [B, T] in
    [0, 1), then they are sorted; without draws the one before (reference 3.2).
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
            up = draws[resampled] < 0.5
            picked = np.sort(np.where(up, np.ceil(even), np.floor(even)), axis=1)
        offset[resampled] = np.minimum(picked, some - 1).astype(np.int64)
    return start + offset, valid


def places(ids: np.ndarray, flip: np.ndarray) -> np.ndarray:
    """Where the joints of frames int64 [B, T] lie in the bank's rows of joints, int64 [B, T, 17].

    Left and right have changed places where flip [B].
    """
    joints = np.where(flip[:, None], H36M17.mirror, np.arange(H36M17.num_joints))
    return ids[..., None] * H36M17.num_joints + joints[:, None]


def gather(array: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Frames [F, 17, 3] at `places` [B, T, 17] -> [B, T, 17, 3]."""
    # "clip" only says that nothing needs to be checked: places are right by construction.
    return np.take(
        np.asarray(array).reshape(-1, 3), where, axis=0, out=empty(*where.shape, 3), mode="clip"
    )


def make_clips(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """The clean batch of some windows: int [B] rows of data.windows, one for each draw.

    Returns motion [B, T, 17, 3], target [B, T, 17, 3], confidence [B, T, 17], valid [B, T],
    index [B] (= rows) and scale [B]: mm (of metres) or pixels of a normalised unit, 0 when the
    source is stored normalised.
    """
    source, windows = data.source, data.windows
    ids, valid = frame_ids(
        windows.spans[rows], windows.resampled[rows], source.frames, draws.resample
    )
    make = _supervised_3d if source.supervision == "3d" else _supervised_2d
    batch = make(data, places(ids, draws.flip), draws)
    return batch | {"valid": valid, "index": rows.astype(np.int32)}


def _supervised_3d(data: SourceData, where: np.ndarray, draws: ClipDraws) -> Batch:
    """Target: the pose, seen from the drawn side. Motion: its x, y, or the stored detections."""
    source = data.source
    target = turn(gather(data.bank.pose, where), source, draws)
    factor = np.ones(len(where), np.float32)
    offset = np.zeros((len(where), 3), np.float32)
    if source.crop is not None:
        offset, factor = fill_square(target, draws.ratio)
    confidence = empty(*where.shape)
    if source.input == "motion":
        motion = _mirrored(gather(data.bank.motion, where), draws.flip)
        if source.crop is not None:
            motion[..., :2] -= offset[:, None, None, :2]
            motion[..., :2] *= factor[:, None, None, None]
        confidence[...] = motion[..., 2]
    else:
        motion = empty(*target.shape)
        motion[...] = target
        motion[..., 2] = confidence[...] = 1
    scale = 1000 / (source.scale * factor) if data.unit == "m" else np.zeros_like(factor)
    return {
        "motion": motion,
        "target": target,
        "confidence": confidence,
        "scale": scale.astype(np.float32),
    }


def _supervised_2d(data: SourceData, where: np.ndarray, draws: ClipDraws) -> Batch:
    """Target: the clean x, y, weighted by confidence. Joints that were not seen are zero."""
    source, clips = data.source, len(where)
    if source.input == "pose":
        motion = turn(gather(data.bank.pose, where), source, draws)
        motion[..., 2] = 1
    else:
        motion = _mirrored(gather(data.bank.motion, where), draws.flip)
    # Channels apart: long rows are several times as fast.
    x, y, confidence = (motion[..., axis].reshape(clips, -1) for axis in range(3))
    scale = np.ones(clips, np.float32)
    if source.crop is not None:
        scale = crop_square(x, y, confidence, draws.ratio)
    seen = confidence != 0
    motion[..., 0] = np.multiply(x, seen, out=x).reshape(where.shape)
    motion[..., 1] = np.multiply(y, seen, out=y).reshape(where.shape)
    kept = empty(*where.shape)
    motion[..., 2] = kept[...] = confidence.reshape(where.shape)
    target = empty(*motion.shape)
    target[...] = motion
    target[..., 2] = 0
    if data.unit == "normalised":
        scale = np.zeros_like(scale)
    elif source.input == "pose":
        scale = scale * np.float32(1000 / source.scale)
    return {"motion": motion, "target": target, "confidence": kept, "scale": scale}


def _mirrored(motion: np.ndarray, flip: np.ndarray) -> np.ndarray:
    """Changes the sign of x in place where flip; joints have changed places in `places`."""
    motion[..., 0] *= np.where(flip, np.float32(-1), np.float32(1))[:, None, None]
    return motion


def turn(pose: np.ndarray, source: Source, draws: ClipDraws) -> np.ndarray:
    """Pose [B, T, J, 3] in the drawn camera's axes, times the source's scale, mirrored in x."""
    axes = np.tile(np.eye(3, dtype=np.float32), (len(pose), 1, 1))
    if source.views is not None:
        # A view is linear: what it does to the three axes is its matrix.
        axes = view(axes[:, None], draws.yaw, draws.pitch)[:, 0]
    axes = _mirrored(axes[:, None] * np.float32(source.scale), draws.flip)[:, 0]
    points = (len(pose), -1, 3)
    out = empty(*pose.shape)
    np.matmul(pose.reshape(points), axes, out=out.reshape(points))
    return out


def fill_square(pose: np.ndarray, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales each clip in place so that the square around it, times ratio [B], is [-1, 1].

    pose [B, T, J, 3]: x and y are centred on their bounding box over all frames and joints; z is
    scaled alike and measured from the root of the first frame.
    Returns what was subtracted [B, 3] and then multiplied [B].
    """
    clips, frames, joints, _ = pose.shape
    flat = pose.reshape(clips, frames, -1)  # long rows are several times as fast
    low, high = _extreme(np.min, flat), _extreme(np.max, flat)
    offset = (low + high) / 2
    offset[:, 2] = pose[:, 0, 0, 2]
    extent = (high - low)[:, :2].max(axis=1) * ratio
    factor = (2 / np.where(extent > 0, extent, 2)).astype(np.float32)
    flat -= np.tile(offset, joints)[:, None]
    pose.reshape(clips, -1)[...] *= factor[:, None]
    return offset, factor


def _extreme(extreme: Any, flat: np.ndarray, blocks: int = 16) -> np.ndarray:
    """Minimum or maximum of [B, T, J * 3] over time and joints, [B, 3]; long rows first."""
    clips, frames, width = flat.shape
    even = frames // blocks * blocks
    parts = [flat[:, even:]]
    if even:
        rows = extreme(flat[:, :even].reshape(clips, blocks, -1), axis=1)
        parts.append(rows.reshape(clips, -1, width))
    over_time = extreme(np.concatenate(parts, axis=1), axis=1)
    return extreme(over_time.reshape(clips, -1, 3), axis=1)


def crop_square(
    x: np.ndarray, y: np.ndarray, confidence: np.ndarray, ratio: np.ndarray
) -> np.ndarray:
    """`geometry.crop_scale` with ratio [B] of N points in B clips, each [B, N], in place.

    Ten times as fast as there, where the last axis is x, y, confidence.
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
