"""Reads plain tables with named joints: ours, a row a joint, or any with columns for each joint.

Ours: `# key: value` lines (skeleton, joints, parents, fps, unit, axes, size, note), then columns
frame, time, track, joint, x, y, z, confidence and perhaps uncertainty. Hand-made tables may leave
out the lines and all but frame, joint, x and y. Tables with a row a frame are those of `wide`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.files.detections import MAX_ROWS
from dstformer_jax.files.long import Long, is_long, read_long
from dstformer_jax.files.plain import described, named_skeleton
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.rows import comments, read_rows
from dstformer_jax.files.wide import read_wide, wide_layout


def looks_like(probe: Probe) -> bool:
    """A header with frame, joint, x and y, or with x and y of each joint."""
    return bool(probe.rows) and (is_long(probe.rows[0]) or wide_layout(probe.rows[0]) is not None)


def read_csv(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a table; what it does not say is unknown, but pixels are told from parts of an image.

    A joint is missing where x or y is empty or confidence is 0.
    """
    header, _ = next(read_rows(path), ([], ""))
    if not is_long(header):
        return read_wide(path, fps)
    table = read_long(path)
    facts = _facts(comments(path), table, str(path))
    known = facts.get("joints") or list(table.joints)
    skeleton, places = named_skeleton({**facts, "joints": known}, len(known), str(path))
    rank = {known[place]: joint for joint, place in enumerate(places) if place >= 0}
    order = np.array([rank.get(name, -1) for name in table.joints])
    tracks = [
        _track(table, order, identity, skeleton.num_joints, str(path))
        for identity in np.unique(table.track).tolist()
    ]
    tracks.sort(key=lambda track: (track.start, track.id))
    return described(tracks, skeleton, facts, str(path), fps)


def _facts(lines: dict[str, list[str]], table: Long, where: str) -> dict[str, Any]:
    """The `# key: value` lines as values; a table without them says its unit by its numbers."""
    facts: dict[str, Any] = {
        key: lines[key][0] for key in ("skeleton", "unit", "axes") if key in lines
    }
    for key in ("joints", "parents", "size"):
        if key in lines:
            facts[key] = lines[key][0].split()
    try:
        facts["fps"] = float(lines.get("fps", ["0"])[0])
    except ValueError:
        raise ValueError(f"{where}: got fps {lines['fps'][0]!r:.40}, expected a number") from None
    facts["notes"] = lines.get("note", [])
    if "unit" not in facts and np.isnan(table.values[:, 2]).all():
        far = np.nanmax(np.abs(table.values[:, :2]), initial=0)
        facts["unit"] = "normalised" if 0 < far <= 1 else "px"
    return facts


def _track(table: Long, order: np.ndarray, identity: int, joints: int, where: str) -> Track:
    """One person's rows as arrays."""
    rows = np.flatnonzero((table.track == identity) & (order[table.joint] >= 0))
    if not len(rows):
        raise ValueError(f"{where}: got no joint that is known of track {identity}, expected some")
    start = int(table.frame[rows].min())
    length = int(table.frame[rows].max()) - start + 1
    if length > min(MAX_ROWS, 200 * len(rows) + 20_000):
        raise ValueError(f"{where}: got {length} frames of track {identity}, expected fewer")
    at = (table.frame[rows] - start, order[table.joint[rows]])
    width = 2 if np.isnan(table.values[rows, 2]).all() else 3
    places = table.values[rows, :width]
    score = table.values[rows, 3]
    score = np.where(np.isnan(score), 1, score) * ~np.isnan(places).any(-1)
    points = np.zeros((length, joints, width), np.float32)
    confidence = np.zeros((length, joints), np.float32)
    points[at] = np.where((score > 0)[:, None], places, 0)
    confidence[at] = np.clip(score, 0, None)
    unsure = table.values[rows, 4]
    uncertainty = None
    if not np.isnan(unsure).all():
        uncertainty = np.zeros((length, joints), np.float32)
        uncertainty[at] = np.nan_to_num(np.clip(unsure, 0, None))
    return Track(max(identity, 0), start, points, confidence, uncertainty)
