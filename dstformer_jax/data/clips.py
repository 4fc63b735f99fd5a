"""From frames to clips, a whole batch at a time: draw, cut, resample; the rest is `framing`.

In numpy for both feeds: with rows of 3 numbers this is several times faster than the same in
TensorFlow, reads the memory-mapped bank without a copy of it, and makes both feeds give the very
same clips. No Python runs per clip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dstformer_jax.body.geometry import view
from dstformer_jax.body.landmarks import LAYOUTS
from dstformer_jax.body.skeleton import H36M17, Skeleton

from .framing import FRAMES, frame
from .memory import empty
from .sources import DRAWN, Source, SourceData

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
    before: np.ndarray | None = None  # complex64 [B, T, 2]: earlier moves, see `accumulate.compose`
    layout: np.ndarray | None = None  # int64 [B] of LAYOUTS
    lens: np.ndarray | None = None  # float32 [B, 4], see `framing.project`

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
    layout = draw_layout(rng, source) if source.shows_layouts else None
    lens = draw_lens(rng, source.batch, source.lens) if source.lens else None
    return ClipDraws(yaw, pitch, ratio, flip, picks, move, layout=layout, lens=lens)


def draw_layout(rng: np.random.Generator, source: Source) -> np.ndarray:
    """Of each clip the number of a layout, int64 [B]: the source's own, or drawn."""
    if source.input == DRAWN:
        return rng.integers(len(LAYOUTS), size=source.batch)
    return np.full(source.batch, list(LAYOUTS).index(source.input))


def draw_lens(rng: np.random.Generator, clips: int, angles: tuple[float, float]) -> np.ndarray:
    """Half the field of view as a tangent, the share of it that the person fills, and how far off
    the centre they are, right and down: float32 [B, 4]."""
    unit = rng.random((clips, 4), np.float32)
    half = np.tan(np.radians(_between(unit[:, 0], angles)) / 2)
    return np.stack([half, _between(unit[:, 1], (0.3, 1.0)), *(2 * unit[:, 2:] - 1).T], axis=1)


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


def gather_clips(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """What `framing.finish_clips` makes the batch of `make_clips` from: copies and draws alone.

    Returns what is needed of pose, detected and seen [B, T, J, 3], as stored, axes [B, 3, 3],
    ratio [B], flip bool [B], lens [B, 4] where there is one, valid [B, T] and index [B].
    """
    ids, valid = clip_frames(data, rows, draws)
    stored = _stored(data)
    frames = {name: gather(array, _places(name, ids, draws)) for name, array in stored.items()}
    return frames | _camera(data, draws) | {"valid": valid, "index": rows.astype(np.int32)}


def make_clips(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """The clean batch of some windows: int [B] rows of data.windows, one for each draw.

    Returns motion [B, T, J, 3], target [B, T, J, 3], confidence [B, T, J], valid [B, T],
    index [B] (= rows) and scale [B]: mm (of metres) or pixels of a normalised unit, 0 when the
    source is stored normalised.
    """
    ids, valid = clip_frames(data, rows, draws)
    joints = (*ids.shape, data.skeleton.num_joints)
    motion, target, confidence = empty(*joints, 3), empty(*joints, 3), empty(*joints)
    scale, camera, stored = empty(len(rows)), _camera(data, draws), _stored(data)
    for first in range(0, len(rows), CHUNK):
        some = slice(first, first + CHUNK)
        shot = {name: array[some] for name, array in camera.items()}
        for name, array in stored.items():
            places = _places(name, ids[some], draws.rows(some))
            shot[name] = gather_mirrored(array, places, draws.flip[some], data.skeleton)
        framed = frame(shot, data)
        _interleave(framed.motion, motion[some])
        same = 0
        if framed.target[0] is framed.motion[0]:  # so is y: a copy of rows is faster
            target[some], same = motion[some], 2
        _interleave(framed.target[same:], target[some, ..., same:])
        _interleave((framed.confidence,), confidence[some, ..., None])
        scale[some] = framed.scale
    return {
        "motion": motion,
        "target": target,
        "confidence": confidence,
        "scale": scale,
        "valid": valid,
        "index": rows.astype(np.int32),
    }


def _stored(data: SourceData) -> dict[str, np.ndarray]:
    """The arrays of the bank that clips of a source are made of."""
    source = data.source
    needed = (
        source.supervision == "3d" or source.input == "pose",
        source.input == "motion",
        source.shows_layouts,
    )
    seen = np.asarray(data.bank.seen).reshape(-1, data.skeleton.num_joints, 3)
    arrays = zip(FRAMES, (data.bank.pose, data.bank.motion, seen), needed, strict=True)
    return {name: array for name, array, is_needed in arrays if is_needed}


def _places(name: str, ids: np.ndarray, draws: ClipDraws) -> np.ndarray:
    """Where frames [B, T] of an array of `_stored` are: of "seen" those of the drawn layout."""
    if name != "seen" or draws.layout is None:
        return ids
    return ids * len(LAYOUTS) + draws.layout[:, None]


def _camera(data: SourceData, draws: ClipDraws) -> dict[str, np.ndarray]:
    """What `framing.frame` needs beside frames."""
    axes = camera_axes(data.source, draws)
    lens = {} if draws.lens is None else {"lens": draws.lens}
    return {"axes": axes, "ratio": draws.ratio, "flip": draws.flip, **lens}


def gather(array: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Frames [F, J, 3] at ids int64 [B, T] -> [B, T, J, 3]."""
    out = empty(*ids.shape, *array.shape[1:])
    # Frames as rows, which numpy copies each in one go. "clip" only says that nothing needs to be
    # checked: ids are right by construction.
    rows, places = np.asarray(array).reshape(len(array), -1), out.reshape(*ids.shape, -1)
    np.take(rows, ids, axis=0, mode="clip", out=places)
    return out


def gather_mirrored(
    array: np.ndarray, ids: np.ndarray, flip: np.ndarray, skeleton: Skeleton = H36M17
) -> np.ndarray:
    """`gather`, then left and right joints change places where flip [B]; see `framing.swap`."""
    clips = gather(array, ids)
    clips[flip] = np.take(clips[flip], skeleton.mirror, axis=2, mode="clip")
    return clips


def _interleave(planes: tuple[np.ndarray, ...], out: np.ndarray) -> None:
    """Writes C planes [B, T * J] into [B, T, J, C]."""
    for axis, plane in enumerate(planes):
        out[..., axis] = plane.reshape(out.shape[:-1])
