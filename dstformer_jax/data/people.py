"""Clips beyond one person's pose: labelled motion of one or two people, and body parameters."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .clips import (
    Batch,
    ClipDraws,
    camera_axes,
    clip_frames,
    gather_clips,
    gather_mirrored,
    make_clips,
)
from .framing import crop_square, finish_clips, turn
from .memory import empty
from .sources import SourceData

BODY = ("theta", "beta", "initial_theta", "initial_beta")


def make_batch(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """The clean batch of some windows: int [B] rows of data.windows, one for each draw.

    Supervision "3d" and "2d": `clips.make_clips`; "label": `make_labelled`; "body": those of "2d"
    and `body_arrays`.
    """
    if data.source.supervision == "label":
        return make_labelled(data, rows, draws)
    batch = make_clips(data, rows, draws)
    if data.source.supervision == "body":
        batch |= body_arrays(data, rows, draws)
    return batch


def gather_batch(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """What `finish_batch` makes the batch of `make_batch` from, on the device.

    Clips of supervision "label" are complete: nothing is corrupted in them, so a device is not
    needed, and their people are cropped together after a move.
    """
    if data.source.supervision == "label":
        return make_labelled(data, rows, draws)
    batch = gather_clips(data, rows, draws)
    if data.source.supervision == "body":
        batch |= body_arrays(data, rows, draws)
    return batch


def finish_batch(batch: dict[str, Any], data: SourceData, xp: ModuleType) -> dict[str, Any]:
    """The clean batch of what `gather_batch` gathered; xp as in `framing.finish_clips`."""
    return batch if data.source.supervision == "label" else finish_clips(batch, data, xp)


def make_labelled(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """A labelled batch.

    Returns motion [B, M, T, J, 3] of M people, label int32 [B], present bool [B, M], valid
    [B, T] and index [B] (= rows). An absent person is zeros before the drawn move and crop, which
    then treat it like the other (its confidence stays 0), as the official loader does.
    """
    source = data.source
    ids, valid = clip_frames(data, rows, draws)
    motion = empty(len(rows), source.persons, source.frames, data.skeleton.num_joints, 3)
    if source.input == "pose":
        pose = gather_mirrored(data.bank.pose, ids, draws.flip, data.skeleton)
        planes = turn(pose, camera_axes(source, draws))
        motion[:, 0] = np.stack(planes, axis=-1).reshape(motion[:, 0].shape)
        motion[..., 2] = 1
    else:
        for person, name in zip(range(source.persons), ("motion", "partner"), strict=False):
            motion[:, person] = gather_mirrored(
                getattr(data.bank, name), ids, draws.flip, data.skeleton
            )
        motion[..., 0] *= np.where(draws.flip, np.float32(-1), np.float32(1))[:, None, None, None]
    present = (motion[..., 2] != 0).any(axis=(2, 3))
    if draws.before is not None:
        place(motion, draws.before)
    if draws.move is not None:
        move(motion, draws.move)
    if source.crop is not None:
        _crop(motion, draws.ratio)
    return {
        "motion": motion,
        "label": data.labels[rows],
        "present": present,
        "valid": valid,
        "index": rows.astype(np.int32),
    }


def along(ends: np.ndarray, frames: int) -> np.ndarray:
    """Of moves [B, 2, 4] at both ends of a clip those of its T frames, linear, [B, T, 4]."""
    share = np.linspace(0, 1, frames, dtype=np.float32)[:, None]
    return ends[:, :1] + share * (ends[:, 1:] - ends[:, :1])


def move(motion: np.ndarray, ends: np.ndarray) -> None:
    """Turns, scales and shifts x and y of motion [B, M, T, J, 3] in place (reference 3.10).

    ends: [B, 2, 4] angle in degrees, scale, and shifts in x and y at the first and last frame;
    linear between them.
    """
    moves = along(ends, motion.shape[2])
    angle, scale, right, down = np.moveaxis(moves, -1, 0)[:, :, None, :, None]
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y = motion[..., 0], motion[..., 1]
    motion[..., 0], motion[..., 1] = (
        scale * (cosine * x - sine * y) + right,
        scale * (sine * x + cosine * y) + down,
    )


def place(motion: np.ndarray, moves: np.ndarray) -> None:
    """Moves motion [B, M, T, J, 3] in place by complex64 [B, T, 2], see `accumulate.compose`."""
    turn, shift = np.moveaxis(moves, -1, 0)[:, :, None, :, None]
    point = turn * (motion[..., 0] + 1j * motion[..., 1]) + shift
    motion[..., 0], motion[..., 1] = point.real, point.imag


def _crop(motion: np.ndarray, ratio: np.ndarray) -> None:
    """`framing.crop_square` around all people of a clip together, in place."""
    x, y, confidence = (motion[..., axis].reshape(len(motion), -1) for axis in range(3))
    planes, _ = crop_square((x, y, confidence), ratio)
    for axis, plane in enumerate(planes):
        motion[..., axis] = plane.reshape(motion.shape[:-1])


def body_arrays(data: SourceData, rows: np.ndarray, draws: ClipDraws) -> Batch:
    """Body parameters of some windows, as stored, and how the camera sees them.

    Returns theta [B, T, P] and beta [B, T, S] (and initial_theta, initial_beta where the source
    has them), camera [B, 3, 3], the rotation of the drawn view (columns: camera = R @ world), and
    mirrored bool [B]: the task, which knows the body, turns its root and mirrors it.
    """
    ids, _ = clip_frames(data, rows, draws)
    arrays = {name: getattr(data.bank, name) for name in BODY}
    batch = {name: np.asarray(array[ids]) for name, array in arrays.items() if len(array)}
    still = draws._replace(flip=np.zeros_like(draws.flip))
    axes = camera_axes(data.source, still) / np.float32(data.source.scale)
    return batch | {"camera": axes.transpose(0, 2, 1).copy(), "mirrored": draws.flip}
