"""Reads plain arrays and objects with a named skeleton: .npz and .json, ours or hand-made.

An archive of ours has `points_ID` [T, J, C], `confidence_ID` [T, J], `start_ID` and perhaps
`uncertainty_ID` for each track; a hand-made one of a single person may say `points`, `confidence`,
`start` instead. Beside them: `skeleton` (a name such as coco17) or `joints` (J names), and where
known `fps`, `unit`, `axes`, `size`, `notes`, `parents`. NaN or confidence 0 is a missing joint.
Our JSON has the same words, and a list `tracks`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import AXES, UNITS, Motion, Track
from dstformer_jax.body.skeleton import SKELETONS, Skeleton
from dstformer_jax.files.detections import MAX_FRAME, MAX_NUMBER, whole_number
from dstformer_jax.files.joint_names import skeleton_of_names
from dstformer_jax.files.npz import load_npz
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.records import parts, shown

MAX_BYTES = 4 * 2**30
MARK = "dstformer_jax motion"
_POINTS = re.compile(r"points(_-?\d{1,10})?")


def is_npz(probe: Probe) -> bool:
    """An archive with points and what joints they are."""
    return any(_POINTS.fullmatch(name) for name in probe.arrays)


def is_json(probe: Probe) -> bool:
    """An object that says what it is."""
    return isinstance(probe.json, dict) and probe.json.get("format") == MARK


def read_npz(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads an archive of points; what it does not say is unknown."""
    arrays = load_npz(path, max_bytes=MAX_BYTES)
    where = str(path)
    facts = {key: _plain(arrays[key], f"{where}[{key}]") for key in _FACTS if key in arrays}
    found = [match for name in arrays if (match := _POINTS.fullmatch(name))]
    if not found:
        raise ValueError(f"{where}: got arrays {sorted(arrays)!s:.80}, expected points")
    records = []
    for match in found:
        tail = match[1] or ""
        record = {key: arrays.get(key + tail) for key in ("confidence", "uncertainty", "start")}
        records.append({**record, "points": arrays[match[0]], "id": int(tail[1:] or 0)})
    return _motion(records, facts, where, fps)


def read_json(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads the JSON that this package writes."""
    facts: dict[str, Any] = {}
    records = []
    for key, value in parts(path, ("tracks",)):
        if key != "tracks":
            facts[str(key)] = value
        elif isinstance(value, dict):
            records.append(value)
        else:
            raise ValueError(f"{path}: got track {shown(value)}, expected an object")
    if facts.get("format") != MARK:
        raise ValueError(f"{path}: got format {shown(facts.get('format'))}, expected {MARK!r}")
    return _motion(records, facts, str(path), fps)


def _plain(value: np.ndarray, where: str) -> Any:
    """A small array as a Python object."""
    if value.dtype == object or value.size > 4096:
        raise ValueError(f"{where}: got {value.dtype} {value.shape}, expected a text or numbers")
    return value.tolist()


_FACTS = ("skeleton", "joints", "parents", "fps", "unit", "axes", "size", "notes")


def _motion(
    records: list[dict[str, Any]], facts: Mapping[str, Any], where: str, fps: float
) -> Motion:
    """The motion of some tracks and what is said of them all."""
    if not records:
        raise ValueError(f"{where}: got no track, expected at least one")
    points = [_array(record.get("points"), 3, f"{where}, points") for record in records]
    skeleton, places = named_skeleton(facts, points[0].shape[1], where)
    tracks = [
        _track({**record, "points": own}, skeleton, places, where)
        for record, own in zip(records, points, strict=True)
    ]
    tracks.sort(key=lambda track: (track.start, track.id))
    return described(tracks, skeleton, facts, where, fps)


def named_skeleton(facts: Mapping[str, Any], count: int, where: str) -> tuple[Skeleton, np.ndarray]:
    """What a file's `skeleton`, `joints` and `parents` mean, and the place of each joint in it."""
    name, joints, parents = (facts.get(key) for key in ("skeleton", "joints", "parents"))
    known = SKELETONS.get(name) if isinstance(name, str) else None
    if isinstance(joints, list) and joints and all(isinstance(joint, str) for joint in joints):
        if known is not None and known.names == tuple(joints):
            return known, np.arange(len(joints))
        if isinstance(name, str) and known is None and isinstance(parents, list):
            above = [whole_number(parent, "parent", where, -1) for parent in parents]
            if not all(parent < len(joints) for parent in above):
                raise ValueError(f"{where}: got parents {above!s:.60}, expected places of joints")
            return Skeleton(name, tuple(joints), tuple(above)), np.arange(len(joints))
        return skeleton_of_names(joints, where)
    if known is None:
        raise ValueError(
            f"{where}: got skeleton {shown(name)} and no joints, expected one of "
            f"{', '.join(SKELETONS)}, or the names of the joints"
        )
    if known.num_joints != count:
        raise ValueError(f"{where}: got {count} joints, expected {known.num_joints} of {name}")
    return known, np.arange(count)


def _track(record: Mapping[str, Any], skeleton: Skeleton, places: np.ndarray, where: str) -> Track:
    """One track, its joints in the skeleton's order."""
    identity = whole_number(record.get("id"), "id", where)
    where = f"{where}, track {identity}"
    points: np.ndarray = record["points"]
    missing: np.ndarray = np.any(np.isnan(points), axis=-1)
    confidence = record.get("confidence")
    score = ~missing if confidence is None else _array(confidence, 2, f"{where}, confidence")
    if score.shape != points.shape[:2] or points.shape[-1] not in (2, 3) or not len(points):
        raise ValueError(
            f"{where}: got points {points.shape} and confidence {score.shape}, expected "
            "[frames, joints, 2 or 3] and [frames, joints]"
        )
    score = np.clip(np.where(missing | np.isnan(score), 0, score), 0, None).astype(np.float32)
    points = np.where(missing[..., None] | (score == 0)[..., None], np.float32(0), points)
    unsure = record.get("uncertainty")
    unsure = None if unsure is None else _array(unsure, 2, f"{where}, uncertainty")
    start = whole_number(np.asarray(record.get("start", 0)).tolist() or 0, "start", where, 0)
    if start > MAX_FRAME or places.max(initial=0) >= points.shape[1]:
        raise ValueError(
            f"{where}: got {points.shape[1]} joints from frame {start}, expected fewer"
        )
    there = places >= 0
    return Track(
        identity,
        start,
        points[:, places] * there[:, None],
        score[:, places] * there,
        None if unsure is None else np.nan_to_num(unsure[:, places] * there),
    )


def _array(value: Any, axes: int, where: str) -> np.ndarray:
    """float32 array of so many axes; null and NaN stay NaN, what is too large raises."""
    try:
        if isinstance(value, list) and axes == 3:  # a missing joint is null
            width = next((len(p) for row in value for p in row if p is not None), 2)
            value = [[[np.nan] * width if p is None else p for p in row] for row in value]
        with np.errstate(over="ignore", invalid="ignore"):
            table = np.asarray(value)
            if table.dtype.kind not in "fiubO":  # neither texts nor complex numbers
                raise TypeError
            table = table.astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where}: got no array of numbers, expected {axes} axes") from None
    if table.ndim != axes or (np.abs(table) > MAX_NUMBER).any():
        raise ValueError(
            f"{where}: got shape {table.shape}, expected {axes} axes of numbers to {MAX_NUMBER:g}"
        )
    return table


def described(
    tracks: list[Track], skeleton: Skeleton, facts: Mapping[str, Any], where: str, fps: float
) -> Motion:
    """A motion with the unit, axes, fps, size and notes that a file states."""
    unit, axes = facts.get("unit") or "unknown", facts.get("axes") or "image"
    if unit not in UNITS or axes not in AXES:
        raise ValueError(
            f"{where}: got unit {shown(unit)} and axes {shown(axes)}, expected one of {UNITS} and "
            f"{AXES}"
        )
    rate, size, notes = facts.get("fps") or 0, facts.get("size") or (0, 0), facts.get("notes") or ()
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1e5:
        raise ValueError(f"{where}: got fps {shown(rate)}, expected frames a second")
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f"{where}: got size {shown(size)}, expected width and height")
    sides = [whole_number(side, "size", where, 0) for side in size]
    lines = [notes] if isinstance(notes, str) else notes
    if not isinstance(lines, list | tuple) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"{where}: got notes {shown(notes)}, expected texts")
    return Motion(
        tuple(tracks),
        skeleton,
        fps=float(rate or fps),
        unit=unit,
        axes=axes,
        size=(sides[0], sides[1]),
        source=where,
        notes=tuple(lines),
    )
