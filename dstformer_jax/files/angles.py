"""Writes joint angles: a table (.csv) and a motion of OpenSim's models (.mot)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dstformer_jax.body.angles import ANGLES, joint_angles, pelvis_frame
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.rotations import to_zxy
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.body.smoothing import fill
from dstformer_jax.files.output import comment_lines, in_metres, person_files, save_lines


def write_angles(motion: Motion, stem: Path) -> list[Path]:
    """A table for each person, `STEM_angles.csv`: frame, time (s), and angles in degrees.

    Comment lines say where each angle is positive. Angles of missing joints are empty.
    """
    metric = in_metres(motion, "joint angles")
    return [
        save_lines(path, _table(metric, track))
        for track, path in person_files(metric, stem, "_angles.csv")
    ]


def _table(motion: Motion, track: Track) -> Iterator[str]:
    angles = joint_angles(track.points, motion.skeleton, track.confidence)
    yield from comment_lines(motion)
    yield "# angles: degrees"
    yield from (f"# positive {a.name}: {a.positive}" for a in ANGLES if a.name in angles)
    yield ",".join(("frame", "time", *angles))
    for row, values in enumerate(np.stack(list(angles.values()), -1).tolist()):
        frame = track.start + row
        cells = ("" if np.isnan(value) else f"{value:.3f}" for value in values)
        yield ",".join((str(frame), f"{frame / motion.fps:.6f}", *cells))


def write_mot(motion: Motion, stem: Path) -> list[Path]:
    """A motion for each person, with the coordinates of OpenSim's Rajagopal (2016) model.

    Pelvis place in metres (of the middle of the hips) and angles in degrees with the model's signs,
    which are not all those of the table. Every angle is continuous; gaps are interpolated and held
    at the ends, as OpenSim takes no empty cells. A coordinate that is never known is left out.
    """
    metric = in_metres(motion, "joint angles")
    return [
        save_lines(path, _storage(metric, track))
        for track, path in person_files(metric, stem, ".mot")
    ]


def _storage(motion: Motion, track: Track) -> Iterator[str]:
    columns = opensim_coordinates(motion, track)
    if not columns:
        raise ValueError(
            f"got person {track.id} of whom no angle is known, expected limbs or a trunk for MOT"
        )
    yield "Coordinates"
    yield "version=1"
    yield f"nRows={len(track)}"
    yield f"nColumns={len(columns) + 1}"
    yield "inDegrees=yes"
    yield ""
    yield "Joint angles by dstformer_jax; rotations in degrees, translations in metres."
    yield from (" ".join(note.split()) for note in motion.notes)
    yield ""
    yield "endheader"
    yield "\t".join(("time", *columns))
    for row, values in enumerate(np.stack(list(columns.values()), -1).tolist()):
        time = (track.start + row) / motion.fps
        yield "\t".join((f"{time:.8f}", *(f"{value:.6f}" for value in values)))


def opensim_coordinates(motion: Motion, track: Track) -> dict[str, np.ndarray]:
    """The columns of a .mot: [T] each, degrees and metres, without gaps."""
    body, score = motion.skeleton.convert(track.points.astype(np.float64), track.confidence, H36M17)
    joints = {name: body[:, index] for index, name in enumerate(H36M17.names)}
    used = [H36M17.index(name) for name in ("left_hip", "right_hip", "root", "belly")]
    gone = np.where((score[:, used] > 0).all(1), 0.0, np.nan)
    turn = np.rad2deg(to_zxy(pelvis_frame(joints)))
    columns = {
        name: turn[:, index] + gone
        for index, name in enumerate(("pelvis_tilt", "pelvis_list", "pelvis_rotation"))
    }
    columns |= {f"pelvis_t{axis}": joints["root"][:, i] + gone for i, axis in enumerate("xyz")}
    angles = joint_angles(track.points, motion.skeleton, track.confidence)
    columns |= {a.opensim: a.sign * angles[a.name] for a in ANGLES if a.name in angles}
    out = {}
    for name, values in columns.items():
        known = np.isfinite(values)
        if known.any():
            period = np.inf if name.startswith("pelvis_t") and name != "pelvis_tilt" else 360.0
            out[name] = _continuous(values, known, period)
    return out


def _continuous(values: np.ndarray, known: np.ndarray, period: float) -> np.ndarray:
    """Values without gaps or jumps of a whole turn."""
    out = values.copy()
    if np.isfinite(period):
        out[known] = np.unwrap(out[known], period=period)
    return fill(np.where(known, out, 0.0)[:, None], known[:, None])[:, 0]
