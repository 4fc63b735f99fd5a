"""Reads tables of tf-pose-estimation: 18 joints, x and y as parts of the image, without scores.

A row a frame, `nose_x,nose_y,neck_x,...`, with 0, 0 for a missing joint and often a column with the
action's name.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import COCO18
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.rows import LABEL_COLUMNS, column, read_rows
from dstformer_jax.files.wide import read_wide, wide_layout


def looks_like(probe: Probe) -> bool:
    """A wide table of the 18 joints without scores."""
    layout = wide_layout(probe.rows[0]) if probe.rows else None
    if layout is None or layout.scored or len(layout.joints) != COCO18.num_joints:
        return False
    try:
        return layout.skeleton("")[0] is COCO18
    except ValueError:
        return False


def read_tfpose(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a table as one video; joints that are not at 0, 0 have confidence 1."""
    return read_wide(path, fps)


def read_tfpose_actions(path: str | Path, fps: float = 0.0) -> list[tuple[str, Motion]]:
    """The runs of rows with one action: (its name, the frames of that run from 0), in order."""
    motion = read_tfpose(path, fps)
    rows = read_rows(path)
    header, where = next(rows)
    place = column(header, LABEL_COLUMNS)
    if place < 0:
        raise ValueError(f"{where}: got no column {' or '.join(LABEL_COLUMNS)}, expected one")
    labels = np.array([cells[place] for cells, _ in rows])
    cuts = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    bounds = pairwise([0, *cuts.tolist(), len(labels)])
    return [(str(labels[a]), piece) for a, b in bounds if (piece := _between(motion, a, b)).tracks]


def _between(motion: Motion, first: int, last: int) -> Motion:
    """The frames [first, last) of a motion, numbered from 0."""
    tracks = []
    for track in motion:
        a, b = max(first - track.start, 0), last - track.start
        if b > a and track.seen[a:b].any():
            start = max(track.start - first, 0)
            tracks.append(Track(track.id, start, track.points[a:b], track.confidence[a:b]))
    return replace(motion, tracks=tuple(tracks))
