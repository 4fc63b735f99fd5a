"""Reads SLEAP's analysis tables: `track,frame_idx,instance.score,<part>.x,<part>.y,<part>.score`.

The parts must be a person's, by name. Tracks are names or empty.
"""

from pathlib import Path

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import People, whole_number
from dstformer_jax.files.joint_names import skeleton_of_names
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.rows import float_of, numbers, read_rows

FIRST = ("track", "frame_idx")
SCORE = "instance.score"


def looks_like(probe: Probe) -> bool:
    """Its columns."""
    return probe.header[:2] == FIRST and any(name.endswith(".x") for name in probe.header)


def read_sleap(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a table; tracks are identities, confidence is each part's score (1 without)."""
    rows = read_rows(path)
    header, where = next(rows, ([], str(path)))
    place = {name: at for at, name in enumerate(header)}
    parts = [name[:-2] for name in header if name.endswith(".x") and f"{name[:-2]}.y" in place]
    if tuple(header[:2]) != FIRST or not parts:
        raise ValueError(f"{where}: got {','.join(header)!r:.80}, expected track,frame_idx,...")
    columns = np.array(
        [[place[f"{p}.x"], place[f"{p}.y"], place.get(f"{p}.score", -1)] for p in parts]
    )
    people = People(str(path), *skeleton_of_names(parts, str(path)))
    tracks: dict[str, int] = {}
    for cells, where in rows:
        points = numbers(cells, columns, where)
        points[columns[:, 2] < 0, 2] = 1
        points[np.isnan(points).any(-1)] = 0
        if not (points[:, 2] > 0).any():
            continue
        identity = tracks.setdefault(cells[0], len(tracks)) if cells[0] else None
        score = float_of(cells[place[SCORE]], where) if SCORE in place else 0.0
        frame = whole_number(cells[1], "frame_idx", where, 0)
        people.add(frame, points, where, identity, 0.0 if np.isnan(score) else score)
    return people.motion(fps)
