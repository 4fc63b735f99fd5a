"""Writes biomechanics' binary marker files: .c3d, with the ezc3d library."""

from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.files.output import (
    GENERATOR,
    from_frame_zero,
    in_metres,
    person_files,
    whole_file,
)

MAX_FRAMES = 65535  # the header counts them in 16 bits


def write_c3d(motion: Motion, stem: Path) -> list[Path]:
    """A file for each person, millimetres, y up; frame 0 of the video is the first of every file.

    Missing joints have residual -1; others the expected error in mm where it is known, else 0.
    The notes are strings of the parameter DSTFORMER:NOTES.

    Raises:
      ValueError: ezc3d is not installed, or more frames than the format can count.
    """
    try:
        import ezc3d
    except ImportError:
        raise ValueError(
            "got no ezc3d, expected it for C3D; do pip install 'dstformer_jax[c3d]'"
        ) from None
    metric = in_metres(motion, "C3D")
    if metric.num_frames > MAX_FRAMES:
        raise ValueError(
            f"got {metric.num_frames} frames, expected at most {MAX_FRAMES} in a C3D; write TRC"
        )
    paths = []
    for track, path in person_files(metric, stem, ".c3d"):
        with whole_file(path) as partial:
            _filled(ezc3d.c3d(), metric, from_frame_zero(track)).write(str(partial))
        paths.append(path)
    return paths


def _filled(file: Any, motion: Motion, track: Track) -> Any:
    """Puts one person into an empty C3D."""
    known = track.confidence.T > 0
    points = np.full((4, *known.shape), np.nan)
    points[:3] = np.where(known, 1000 * track.points.transpose(2, 1, 0), np.nan)
    points[3] = 1
    residuals = np.zeros(known.shape)
    if track.uncertainty is not None:
        residuals = 1000.0 * track.uncertainty.T
    file["parameters"]["POINT"]["RATE"]["value"] = [motion.fps]
    file["parameters"]["POINT"]["LABELS"]["value"] = motion.skeleton.names
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    for name, axis in (("X_SCREEN", "+X"), ("Y_SCREEN", "+Y")):
        file.add_parameter("POINT", name, [axis])
    file.add_parameter("MANUFACTURER", "SOFTWARE", [GENERATOR])
    file.add_parameter("DSTFORMER", "SKELETON", [motion.skeleton.name])
    file.add_parameter("DSTFORMER", "AXES", ["x right, y up, z towards the viewer"])
    if motion.notes:
        file.add_parameter("DSTFORMER", "NOTES", list(motion.notes))
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = np.where(known, residuals, -1.0)[None]
    file["data"]["meta_points"]["camera_masks"] = np.zeros((7, *known.shape), bool)
    return file
