"""Tables with a row for each joint: frame, joint, x, y and what else there is."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.files.detections import MAX_FRAME, whole_number
from dstformer_jax.files.rows import FRAME_COLUMNS, TRACK_COLUMNS, column, float_of, read_rows

JOINT_COLUMNS = ("joint", "landmark", "landmark_id", "landmark_index", "landmark_idx")
JOINT_COLUMNS += ("landmark_name", "joint_name", "keypoint", "keypoint_id", "name", "index")
VALUES = (("x",), ("y",), ("z",), ("confidence", "visibility", "score", "likelihood", "v", "c"))
MAX_JOINTS = 1000


@dataclass(frozen=True, eq=False)
class Long:
    """The rows of a long table.

    Attributes:
      joints: names or numbers of the joints, in order of appearance.
      frame, track, joint: int `[N]`; joint is a place in `joints`, track -1 where there is none.
      values: float32 `[N, 5]`: x, y, z, score and uncertainty, NaN where there is none.
    """

    joints: tuple[str, ...]
    frame: np.ndarray
    track: np.ndarray
    joint: np.ndarray
    values: np.ndarray

    def groups(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """(frame, track, rows) of each person in each frame, in order of frames."""
        order = np.lexsort((self.joint, self.track, self.frame))
        keys = np.stack([self.frame, self.track], -1)[order]
        cuts = np.flatnonzero((keys[1:] != keys[:-1]).any(-1)) + 1
        for rows in np.split(order, cuts):
            yield int(self.frame[rows[0]]), int(self.track[rows[0]]), rows


def is_long(header: Sequence[str]) -> bool:
    """Whether a header has a frame, a joint, x and y."""
    needed = (FRAME_COLUMNS, JOINT_COLUMNS, *VALUES[:2])
    return all(column(header, names) >= 0 for names in needed)


def read_long(path: str | Path) -> Long:
    """Reads a long table; a row that does not fit raises ValueError naming the line."""
    rows = read_rows(path)
    header, where = next(rows, ([], str(path)))
    if not is_long(header):
        raise ValueError(f"{where}: got {','.join(header)!r:.80}, expected frame, joint, x, y")
    at = [column(header, names) for names in (FRAME_COLUMNS, TRACK_COLUMNS, JOINT_COLUMNS)]
    places = [column(header, names) for names in (*VALUES, ("uncertainty",))]
    joints: dict[str, int] = {}
    keys, values = array("q"), array("f")
    for cells, where in rows:
        frame = whole_number(cells[at[0]], "frame", where, 0)
        if frame > MAX_FRAME:
            raise ValueError(f"{where}: got frame {frame}, expected at most {MAX_FRAME}")
        track = cells[at[1]] if at[1] >= 0 else ""
        keys.append(frame)
        keys.append(whole_number(track, "person", where) if track else -1)
        keys.append(joints.setdefault(cells[at[2]], len(joints)))
        values.extend(float_of(cells[k], where) if k >= 0 else float("nan") for k in places)
        if len(joints) > MAX_JOINTS:
            raise ValueError(f"{where}: got more than {MAX_JOINTS} joints, expected a person's")
    if not values:
        raise ValueError(f"{path}: got no row, expected at least one")
    frame, track, joint = np.array(keys, np.int64).reshape(-1, 3).T
    return Long(tuple(joints), frame, track, joint, np.array(values, np.float32).reshape(-1, 5))
