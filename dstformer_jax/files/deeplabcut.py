"""Reads DeepLabCut's tables: three header rows, or four with several individuals.

`scorer`, (`individuals`,) `bodyparts` and `coords` (x, y, likelihood) name the columns; the first
column is the frame's number or its image's path. The body parts must be a person's, by name.
"""

from pathlib import Path

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import People, whole_number
from dstformer_jax.files.joint_names import skeleton_of_names
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.rows import numbers, read_rows

HEADERS = ("scorer", "individuals", "bodyparts", "coords")
SCORE = "likelihood"


def looks_like(probe: Probe) -> bool:
    """The words of the header rows."""
    return len(probe.rows) > 2 and {"bodyparts", "coords"} <= {row[0] for row in probe.rows[:4]}


def read_deeplabcut(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a table; individuals are identities, confidence is the likelihood (1 in labels)."""
    rows = read_rows(path)
    header: dict[str, list[str]] = {}
    for cells, _ in rows:
        header[cells[0]] = cells
        if cells[0] == "coords" or cells[0] not in HEADERS:
            break
    if not {"bodyparts", "coords"} <= set(header):
        raise ValueError(f"{path}: got {', '.join(header)!s:.60}, expected rows bodyparts, coords")
    persons = _columns(header, str(path))
    parts, _ = persons[0]
    people = People(str(path), *skeleton_of_names(parts, str(path)))
    for cells, where in rows:
        frame = _frame(cells[0], where)
        for identity, (names, columns) in enumerate(persons):
            if names != parts:
                raise ValueError(f"{path}: got individuals of other bodyparts, expected the same")
            points = numbers(cells, columns, where)
            unscored = columns[:, 2] < 0
            points[unscored, 2] = 1
            points[np.isnan(points).any(-1)] = 0
            if (points[:, 2] > 0).any():
                people.add(frame, points, where, identity)
    return people.motion(fps)


def _columns(header: dict[str, list[str]], where: str) -> list[tuple[list[str], np.ndarray]]:
    """For each individual: the parts, and int `[K, 3]` the columns of x, y and likelihood."""
    coords = header["coords"]
    owners = header.get("individuals", [""] * len(coords))
    found: dict[str, dict[str, dict[str, int]]] = {}
    for place in range(1, len(coords)):
        if coords[place]:  # labelled data begin with three columns of paths
            part = found.setdefault(owners[place], {}).setdefault(header["bodyparts"][place], {})
            part[coords[place]] = place
    whole = {
        owner: {part: at for part, at in parts.items() if "x" in at and "y" in at}
        for owner, parts in found.items()
    }
    persons = [
        (list(parts), np.array([[at["x"], at["y"], at.get(SCORE, -1)] for at in parts.values()]))
        for parts in whole.values()
        if parts
    ]
    if not persons:
        raise ValueError(f"{where}: got no columns x and y, expected coords x, y, {SCORE}")
    return persons


def _frame(cell: str, where: str) -> int | str:
    """A frame's number, or the name of its image."""
    return cell if not cell.isdecimal() else whole_number(cell, "frame", where, 0)
