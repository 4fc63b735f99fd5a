"""Writes marker files of OpenSim and other motion analysis programs: .trc."""

from collections.abc import Iterator
from pathlib import Path

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.files.output import in_metres, person_files, save_lines

_KEYS = (
    "DataRate",
    "CameraRate",
    "NumFrames",
    "NumMarkers",
    "Units",
    "OrigDataRate",
    "OrigDataStartFrame",
    "OrigNumFrames",
)


def write_trc(motion: Motion, stem: Path) -> list[Path]:
    """A file for each person, metres, y up, as OpenSim reads it: joints are the markers.

    Frames run from the person's first to the last; Frame# counts the video's from 1, Time is that
    of the video. Missing joints are NaN (empty cells are lost where several tabs count as one). The
    format has no place for notes.
    """
    metric = in_metres(motion, "TRC")
    return [
        save_lines(path, _lines(metric, track, path.name))
        for track, path in person_files(metric, stem, ".trc")
    ]


def _lines(motion: Motion, track: Track, name: str) -> Iterator[str]:
    rate, frames = f"{motion.fps:.10g}", str(len(track))
    joints = motion.skeleton.names
    yield f"PathFileType\t4\t(X/Y/Z)\t{name}"
    yield "\t".join(_KEYS)
    yield "\t".join((rate, rate, frames, str(len(joints)), "m", rate, str(track.start + 1), frames))
    yield "\t".join(("Frame#", "Time", *(f"{joint}\t\t" for joint in joints)))
    yield "\t\t" + "\t".join(f"{axis}{n + 1}" for n in range(len(joints)) for axis in "XYZ")
    yield ""
    for row, (points, scores) in enumerate(zip(track.points, track.confidence, strict=True)):
        frame = track.start + row
        cells = [
            f"{x:.6f}" if score > 0 else "NaN"
            for place, score in zip(points.tolist(), scores.tolist(), strict=True)
            for x in place
        ]
        yield "\t".join((str(frame + 1), f"{frame / motion.fps:.8f}", *cells))
