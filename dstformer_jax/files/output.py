"""What all writers of motion share: whole files, one a person, metres with y up, and headers."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.contacts import foot_contacts
from dstformer_jax.body.motion import Motion, Track

GENERATOR = "dstformer_jax"
_METRES = {"m": 1.0, "mm": 0.001}
_MEANING = {
    "image": "x right, y down",
    "camera": "x right, y down, z away from the camera",
    "world": "x right, y up, z towards the viewer",
}
_CAMERA_TO_WORLD = np.array([1, -1, -1], np.float32)
_TURNED = "Camera axes were turned upside down: y is up only as far as the camera was level."


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file appears under its own name when all of it is there, or never."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays: libraries go by it.
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def save_lines(path: Path, lines: Iterable[str]) -> Path:
    """Writes a text file whole: UTF-8, a line break after each line."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


def beside(stem: Path, ending: str) -> Path:
    """The path `stem` with an ending; a dot in the stem is part of its name."""
    return stem.with_name(stem.name + ending)


def file_stem(name: str) -> str:
    """A name without what files cannot be called: letters, digits, `_ . -` stay, the rest is `_`.

    Different names may become one.
    """
    return re.sub(r"[^\w.-]", "_", name)


def person_files(motion: Motion, stem: Path, ending: str) -> list[tuple[Track, Path]]:
    """The people who are seen at all, and the file of each.

    One person: `STEM + ending`; several: `STEM_person<id> + ending`.

    Raises:
      ValueError: nobody is seen.
    """
    tracks = [track for track in motion if track.seen.any()]
    if not tracks:
        raise ValueError(f"got nobody in {motion.source or 'the motion'}, expected a person")
    if len(motion.tracks) == 1:
        return [(tracks[0], beside(stem, ending))]
    return [(track, beside(stem, f"_person{track.id}{ending}")) for track in tracks]


def in_metres(motion: Motion, what: str) -> Motion:
    """The motion in metres with y up, for formats that have no other.

    Args:
      motion: 3D, m or mm, camera or world axes, with a frame rate.
      what: the format, for messages.

    Raises:
      ValueError: a motion that cannot be written in metres or seconds.
    """
    flat = any(track.points.shape[-1] != 3 for track in motion)
    if flat or motion.unit not in _METRES or motion.axes == "image":
        raise ValueError(
            f"got points in {motion.unit} and {motion.axes} axes, expected 3D in m or mm for "
            f"{what}; lift the motion first"
        )
    if not motion.fps > 0:
        raise ValueError(f"got no frame rate, expected frames a second for {what}; give the fps")
    factor = np.full(3, _METRES[motion.unit], np.float32)
    notes = motion.notes
    if motion.axes == "camera":
        factor = factor * _CAMERA_TO_WORLD
        notes = (*notes, _TURNED)
    scaled = tuple(
        replace(
            track,
            points=track.points * factor,
            uncertainty=None
            if track.uncertainty is None
            else track.uncertainty * np.float32(_METRES[motion.unit]),
        )
        for track in motion
    )
    return replace(motion, tracks=scaled, unit="m", axes="world", notes=notes)


def from_frame_zero(track: Track) -> Track:
    """The track with missing joints from frame 0 of the video to its start."""

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, [(track.start, 0)] + [(0, 0)] * (values.ndim - 1))

    uncertainty = None if track.uncertainty is None else padded(track.uncertainty)
    return Track(track.id, 0, padded(track.points), padded(track.confidence), uncertainty)


def contacts_by_person(motion: Motion) -> dict[int, np.ndarray]:
    """bool [T, 2] by track id: left and right foot on the floor; empty where nothing can tell."""
    try:
        metric = in_metres(motion, "foot contacts")
        return {
            track.id: foot_contacts(track.points, motion.skeleton, motion.fps, track.confidence)
            for track in metric
            if track.seen.any()
        }
    except ValueError:  # pixels, no frame rate, or a skeleton without ankles
        return {}


def description(motion: Motion) -> dict[str, Any]:
    """What a reader must know of the numbers, for headers: unit, axes, fps, joints, notes."""
    return {
        "unit": motion.unit,
        "axes": motion.axes,
        "axes_meaning": _MEANING[motion.axes],
        "fps": motion.fps,
        "skeleton": motion.skeleton.name,
        "joints": list(motion.skeleton.names),
        "parents": list(motion.skeleton.parents),
        "size": list(motion.size),
        "source": Path(motion.source).name,
        "notes": list(motion.notes),
    }


def comment_lines(motion: Motion) -> Iterator[str]:
    """The description as `# key: value` lines."""
    for key, value in description(motion).items():
        if key == "notes":
            yield from (f"# note: {' '.join(note.split())}" for note in value)
        else:
            words = value if isinstance(value, list) else [value]
            text = " ".join(f"{w:g}" if isinstance(w, float) else str(w) for w in words)
            yield f"# {key}: {' '.join(text.split())}"


def decimals(unit: str) -> int:
    """Digits after the point that positions are rounded to: a micrometre, or 1/1000 px."""
    return 3 if unit in ("mm", "px") else 6
