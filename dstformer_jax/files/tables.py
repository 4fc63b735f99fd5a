"""Writes motion as plain tables and objects: .npz, .csv and .json."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.files.output import (
    beside,
    comment_lines,
    contacts_by_person,
    decimals,
    description,
    save_lines,
    whole_file,
)

COLUMNS = ("frame", "time", "track", "joint", "x", "y", "z", "confidence")


def write_npz(motion: Motion, stem: Path) -> list[Path]:
    """One archive of plain arrays (no pickles), the motion as it is: `npz_arrays`."""
    path = beside(stem, ".npz")
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **npz_arrays(motion))
    return [path]


def npz_arrays(motion: Motion) -> dict[str, Any]:
    """The arrays of a motion by name.

    For each track ID: `points_ID` [T, J, C], `confidence_ID` [T, J], `start_ID`, and where known
    `uncertainty_ID` [T, J] and `contacts_ID` bool [T, 2] (left, right foot). For all: `ids`,
    `skeleton`, `joints`, `parents`, `fps`, `unit`, `axes`, `size`, `source`, `notes`. Missing
    joints are 0 with confidence 0.
    """
    arrays: dict[str, Any] = {"ids": np.array([track.id for track in motion], np.int64)}
    about = description(motion)
    for key in ("skeleton", "unit", "axes", "source"):
        arrays[key] = np.array(about[key], np.str_)
    arrays["joints"] = np.array(about["joints"], np.str_)
    arrays["notes"] = np.array(about["notes"], np.str_)
    arrays["parents"] = np.array(about["parents"], np.int32)
    arrays["size"] = np.array(about["size"], np.int64)
    arrays["fps"] = np.array(motion.fps, np.float64)
    for track in motion:
        arrays[f"points_{track.id}"] = track.points
        arrays[f"confidence_{track.id}"] = track.confidence
        arrays[f"start_{track.id}"] = np.array(track.start, np.int64)
        if track.uncertainty is not None:
            arrays[f"uncertainty_{track.id}"] = track.uncertainty
    for person, contacts in contacts_by_person(motion).items():
        arrays[f"contacts_{person}"] = contacts
    return arrays


def write_csv(motion: Motion, stem: Path) -> list[Path]:
    """One table, a row for each joint of each person in each frame, after `# key: value` lines.

    Columns frame, time (s), track, joint, x, y, z, confidence, and uncertainty where it is known.
    A missing joint has empty x, y, z and confidence 0; z is empty in 2D, time without frame rate.
    """
    return [save_lines(beside(stem, ".csv"), _csv_lines(motion))]


def _csv_lines(motion: Motion) -> Iterator[str]:
    yield from comment_lines(motion)
    unsure = any(track.uncertainty is not None for track in motion)
    yield ",".join((*COLUMNS, "uncertainty") if unsure else COLUMNS)
    digits = decimals(motion.unit)
    names = motion.skeleton.names
    for track in motion:
        errors = None if track.uncertainty is None else track.uncertainty.tolist()
        for row, (points, scores) in enumerate(zip(track.points, track.confidence, strict=True)):
            frame = track.start + row
            head = f"{frame},{frame / motion.fps:.6f}" if motion.fps else f"{frame},"
            rows = zip(names, points.tolist(), scores.tolist(), strict=True)
            for joint, (name, place, score) in enumerate(rows):
                cells = [f"{x:.{digits}f}" if score > 0 else "" for x in place]
                cells += [""] * (3 - len(cells))
                line = f"{head},{track.id},{name},{','.join(cells)},{score:g}"
                if unsure:
                    own = errors[row][joint] if errors is not None and score > 0 else None
                    line += "," if own is None else f",{own:.{digits}f}"
                yield line


def write_json(motion: Motion, stem: Path) -> list[Path]:
    """One object: the description and `tracks`, each with id, start and lists over frames.

    `points` [T][J][C], null for a missing joint; `confidence` [T][J]; where known `uncertainty`
    [T][J] and `contacts` [T][2] (left, right foot).
    """
    head = {"format": "dstformer_jax motion", **description(motion)}
    contacts = contacts_by_person(motion)
    path = beside(stem, ".json")
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        # Track by track: a file of hours is larger than need be held as one text.
        file.write(_json(head)[:-1] + ',"tracks":[')
        for number, track in enumerate(motion):
            file.write("," * bool(number) + _json(_record(track, motion.unit, contacts)))
        file.write("]}\n")
    return [path]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _record(track: Track, unit: str, contacts: dict[int, np.ndarray]) -> dict[str, Any]:
    """A track as JSON has it."""
    digits = decimals(unit)
    record = {
        "id": track.id,
        "start": track.start,
        "points": _nulled(track.points, track.confidence, digits),
        "confidence": _rounded(track.confidence, 4),
    }
    if track.uncertainty is not None:
        record["uncertainty"] = _rounded(track.uncertainty, digits)
    if track.id in contacts:
        record["contacts"] = contacts[track.id].tolist()
    return record


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    return np.round(values.astype(np.float64), digits).tolist()


def _nulled(points: np.ndarray, confidence: np.ndarray, digits: int) -> list[list[Any]]:
    """Points as lists, None for joints of confidence 0."""
    return [
        [place if score > 0 else None for place, score in zip(frame, scores, strict=True)]
        for frame, scores in zip(_rounded(points, digits), confidence.tolist(), strict=True)
    ]
