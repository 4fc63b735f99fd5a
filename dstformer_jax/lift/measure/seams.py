"""Do the borders of windows show in long motion, and does memory grow with its length?"""

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.files.formats import read
from dstformer_jax.lift.lifter import Lifter
from dstformer_jax.lift.measure.report import Report, Row
from dstformer_jax.lift.tracks import FPS, prepare
from dstformer_jax.lift.windows import mirrored, seam_ratio, window_rows

ALLOWED = 0.05
ABOUT = (
    "Seam ratio: median acceleration at the borders of windows over that elsewhere "
    "(`lift.windows.seam_ratio`), of the longest person of each file; 1 is no seam, and the goal "
    "is within 5 % of it. *Elsewhere* is the middle 90 % of the same ratio at places as far apart "
    "as the borders that are none: what chance makes of a motion. Without overlap the seams "
    "show: the metric must fail there. Long tracks run through a real one forwards and backwards; "
    "their peak memory is that of the process up to there. frames/s are of wall time, and of "
    "processor time beside it, compiling left out."
)


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    parser.add_argument("--files", nargs="+", type=Path, required=True, help="keypoints")
    parser.add_argument(
        "--minutes", default="", help="instead tracks of so many minutes of the first, by comma"
    )
    parser.add_argument("--cut", action="store_true", help="long tracks also without overlap")


def run(values: argparse.Namespace, lifter: Lifter) -> Report:
    """Files with and without overlap, then long tracks made of the first."""
    minutes = [float(each) for each in values.minutes.split(",") if each]
    if minutes != sorted(minutes):
        raise ValueError(f"got --minutes={values.minutes}, expected them ascending")
    motions = {path: longest(path, lifter) for path in values.files}
    least = lifter.window + 1
    if not minutes and (short := [p for p, m in motions.items() if len(m.tracks[0]) < least]):
        raise ValueError(f"{short[0]}: got nobody in {least} frames, expected several windows")
    lifter(_first(motions[values.files[0]], 1))  # compiles
    cut = replace(lifter, overlap=0.0)
    rows = []
    if not minutes:
        for path, motion in motions.items():
            rows += [_row(_name(path), motion, each) for each in (lifter, cut)]
    first = motions[values.files[0]]
    for each in minutes:
        long = looped(first, round(60 * each * first.fps))
        rows += [_row(f"{each:g} minutes", long, way) for way in (lifter, cut)[: 1 + values.cut]]
    setting = (
        f"Windows of {lifter.window} frames, {'with' if lifter.flip else 'no'} flip averaging."
    )
    return Report("Seams of long motion", f"{ABOUT} {setting}", {"Seam ratio": rows})


def longest(path: Path, lifter: Lifter) -> Motion:
    """The person of a file who is there longest, as `lift` prepares them."""
    motion = prepare(read(path), lifter.model.skeleton)
    return replace(motion, tracks=(max(motion.tracks, key=len),), fps=motion.fps or FPS)


def looped(motion: Motion, frames: int) -> Motion:
    """One person's motion, forwards and backwards until it has so many frames."""
    (track,) = motion.tracks
    rows = mirrored(np.arange(frames), len(track))
    return replace(motion, tracks=(Track(0, 0, track.points[rows], track.confidence[rows]),))


def elsewhere(pose: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """5th and 95th percentile of the seam ratio at places that are no borders of windows.

    Args:
      pose: [L, J, 3].
      rows: int [N, T] of its windows, all of which are moved by less than half of their distance.
    """
    step = int(rows[1, 0] - rows[0, 0])
    moves = np.unique(np.linspace(2, step - 2, 40).astype(int))
    ratios = []
    for move in moves[moves > 0]:
        moved = rows + move
        moved = moved[moved[:, -1] < len(pose)]
        if len(moved) > 1:
            ratios.append(seam_ratio(pose, moved))
    low, high = np.percentile(ratios, [5, 95]) if ratios else (np.nan, np.nan)
    return float(low), float(high)


def _row(name: str, motion: Motion, lifter: Lifter) -> Row:
    """One motion through one lifter."""
    (track,) = motion.tracks
    start, cpu = time.perf_counter(), time.process_time()
    (pose,) = lifter(motion).tracks
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = peak_megabytes()
    rows = window_rows(len(track), lifter.window, lifter.overlap)
    ratio = seam_ratio(pose.points, rows)
    low, high = elsewhere(pose.points, rows)
    return {
        "track": name,
        "frames": len(track),
        "overlap": lifter.overlap,
        "seam ratio": f"{ratio:.3f}",
        "elsewhere": f"{low:.3f} to {high:.3f}" if low > 0 else "too short",
        "within 5 %": "yes" if abs(ratio - 1) <= ALLOWED else "no",
        "frames/s": f"{len(track) / seconds:.0f}",
        "frames per cpu second": f"{len(track) / cpu:.0f}",
        "peak MB": peak,
    }


def peak_megabytes() -> int:
    """Most memory that the process has had so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _first(motion: Motion, frames: int) -> Motion:
    (track,) = motion.tracks
    return replace(
        motion,
        tracks=(Track(track.id, 0, track.points[:frames], track.confidence[:frames]),),
    )


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
