"""Writes skeletal animation of any animation program: .bvh."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dstformer_jax.body.kinematics import Articulation, articulate
from dstformer_jax.body.motion import Motion
from dstformer_jax.body.rotations import to_zxy
from dstformer_jax.files.output import from_frame_zero, in_metres, person_files, save_lines

CENTIMETRES = 100.0
_POSITIONS = "Xposition Yposition Zposition"
_ROTATIONS = "Zrotation Xrotation Yrotation"
_TIP = 0.25  # length of the end of a last bone, as a share of that bone


def write_bvh(motion: Motion, stem: Path) -> list[Path]:
    """A file for each person, centimetres, y up, rotations Z X Y (`body.kinematics` has the rules).

    Frame 0 of the video is the first of every file. Missing joints are interpolated, and the pose
    is held before a person's first frame. The format has no place for notes.
    """
    metric = in_metres(motion, "BVH")
    paths = []
    for track, path in person_files(metric, stem, ".bvh"):
        whole = from_frame_zero(track)
        body = articulate(whole.points, metric.skeleton, whole.confidence)
        paths.append(save_lines(path, _lines(body, metric.fps)))
    return paths


def _lines(body: Articulation, fps: float) -> Iterator[str]:
    yield "HIERARCHY"
    yield from _hierarchy(body)
    yield "MOTION"
    yield f"Frames: {len(body.turns)}"
    yield f"Frame Time: {1 / fps:.10f}"
    angles = np.rad2deg(continuous(to_zxy(body.turns)))
    values = np.concatenate([CENTIMETRES * body.path, angles.reshape(len(angles), -1)], axis=1)
    for row in np.round(values, 5).tolist():
        yield " ".join(f"{x:.5f}" for x in row)


def _hierarchy(body: Articulation) -> Iterator[str]:
    """The nodes, nested; those without children get an end site along their bone."""
    parents = body.parents.tolist()
    depth = [0] * len(parents)
    for node, parent in enumerate(parents):
        depth[node] = depth[parent] + 1 if parent >= 0 else 0
        space = "  " * depth[node]
        yield f"{space}{'JOINT' if parent >= 0 else 'ROOT'} {body.names[node]}"
        yield f"{space}{{"
        yield f"{space}  OFFSET {_numbers(body.offsets[node])}"
        count = f"3 {_ROTATIONS}" if parent >= 0 else f"6 {_POSITIONS} {_ROTATIONS}"
        yield f"{space}  CHANNELS {count}"
        last = node + 1 == len(parents)
        if last or parents[node + 1] != node:
            tip = _TIP * body.offsets[node]
            yield f"{space}  End Site"
            yield f"{space}  {{"
            yield f"{space}    OFFSET {_numbers(tip if tip.any() else np.array([0, 0.01, 0]))}"
            yield f"{space}  }}"
            below = -1 if last else depth[parents[node + 1]]
            for level in range(depth[node], below, -1):
                yield f"{'  ' * level}}}"


def _numbers(offset: np.ndarray) -> str:
    return " ".join(f"{CENTIMETRES * x:.5f}" for x in offset.tolist())


def continuous(angles: np.ndarray) -> np.ndarray:
    """Angles z, x, y [T, ..., 3] in radians of the same rotations, without jumps over time.

    (z, x, y) and (z + pi, pi - x, y + pi) are one rotation, and whole turns change nothing: of all
    these the nearest to the frame before is taken.
    """
    out = angles.copy()
    flipped = np.stack(
        [angles[..., 0] + np.pi, np.pi - angles[..., 1], angles[..., 2] + np.pi], axis=-1
    )
    both = np.stack([angles, flipped])
    for now in range(1, len(out)):
        before = out[now - 1]
        near = both[:, now] + 2 * np.pi * np.round((before - both[:, now]) / (2 * np.pi))
        further = np.abs(near - before).sum(-1)
        out[now] = np.where((further[0] <= further[1])[..., None], near[0], near[1])
    return out
