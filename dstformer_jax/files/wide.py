"""Tables with a row a frame (or a person of a frame) and columns for each joint.

Joints are told by number (`x0,y0,z0,v0`, `L0_x`, `landmark_0_x`, from 0 or 1) or by name (`nose_x`,
`LEFT_HIP_y`, `x_left_hip`). Further columns may hold the frame, the person and a label.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import MEDIAPIPE33, Skeleton
from dstformer_jax.files.detections import BY_COUNT, People, skeleton_of, whole_number
from dstformer_jax.files.joint_names import skeleton_of_names
from dstformer_jax.files.rows import (
    FRAME_COLUMNS,
    LABEL_COLUMNS,
    TRACK_COLUMNS,
    column,
    numbers,
    read_rows,
    split_column,
)

FEWEST = 8  # joints that make a wide table


@dataclass(frozen=True, eq=False)
class Wide:
    """What the columns of a wide table are.

    Attributes:
      joints: K names as in the header, or numbers as text.
      columns: int `[K, 3]`, the places of x, y and score (-1 without).
      frame, track, label: places of these columns, -1 without.
      numbered: the joints are told by number.
    """

    joints: tuple[str, ...]
    columns: np.ndarray
    frame: int
    track: int
    label: int
    numbered: bool

    @property
    def scored(self) -> bool:
        """Whether there is a column of scores."""
        return bool((self.columns[:, 2] >= 0).any())

    def skeleton(self, where: str) -> tuple[Skeleton, np.ndarray]:
        """The skeleton, and where each of its joints stands among `joints` (-1 nowhere)."""
        if not self.numbered:
            return skeleton_of_names(self.joints, where)
        count = len(self.joints)
        many = count > MEDIAPIPE33.num_joints and count not in BY_COUNT  # with face and hands
        skeleton = MEDIAPIPE33 if many else skeleton_of(count, where)
        return skeleton, np.arange(skeleton.num_joints)


def wide_layout(header: Sequence[str]) -> Wide | None:
    """What the columns are; None when this is no wide table of joints."""
    found: dict[str, dict[str, int]] = {}
    for place, name in enumerate(header):
        if parts := split_column(name):
            # Headers in the wild spell one joint in two ways (Rwrist_x, RWrist_y).
            found.setdefault(parts[0].lower(), {"name": place}).setdefault(parts[1], place)
    joints = {name: at for name, at in found.items() if "x" in at and "y" in at}
    if len(joints) < FEWEST:
        return None
    spelled = {name: split_column(header[at["name"]]) for name, at in joints.items()}
    order = _order(list(joints))
    names = order or list(joints)
    return Wide(
        joints=tuple((spelled[name] or (name, ""))[0] for name in names),
        columns=np.array(
            [[joints[n]["x"], joints[n]["y"], joints[n].get("score", -1)] for n in names]
        ),
        frame=column(header, FRAME_COLUMNS),
        track=column(header, TRACK_COLUMNS),
        label=column(header, LABEL_COLUMNS),
        numbered=order is not None,
    )


def _order(names: list[str]) -> list[str] | None:
    """The names by the number that they end in, where these count from 0 or 1; else None."""
    matches = [re.fullmatch(r"(\D*)(\d{1,4})", name) for name in names]
    if not all(matches) or len({match[1] for match in matches if match}) != 1:
        return None
    by_number = {int(match[2]): match[0] for match in matches if match}
    first = min(by_number)
    if first > 1 or sorted(by_number) != list(range(first, first + len(names))):
        return None
    return [by_number[number] for number in sorted(by_number)]


def read_wide(path: str | Path, fps: float = 0.0, unit: str | None = None) -> Motion:
    """Reads a wide table.

    Frames are those of the frame column (numbers, or image names), else rows. A joint is missing
    where x or y is empty or the score is 0, or, without scores, at 0, 0. Rows without joints are
    gaps. With one row a frame and no column for people, all rows are one person.
    """
    rows = read_rows(path)
    header, where = next(rows, ([], str(path)))
    layout = wide_layout(header)
    if layout is None:
        raise ValueError(
            f"{where}: got {','.join(header)!r:.80}, expected columns x and y of joints"
        )
    people = People(str(path), *layout.skeleton(str(path)))
    labels: set[str] = set()
    for row, (cells, where) in enumerate(rows):
        points = _points(numbers(cells, layout.columns, where), layout.scored)
        if layout.label >= 0 and len(labels) < 100:
            labels.add(cells[layout.label])
        if (points[:, 2] > 0).any():
            identity = None
            if layout.track >= 0 and cells[layout.track]:
                identity = whole_number(cells[layout.track], "person", where)
            people.add(_frame(cells, layout.frame, row, where), points, where, identity)
    notes = [f"Rows are labelled: {', '.join(sorted(labels))}."[:500]] if labels else []
    return people.motion(fps, unit=unit, alone=layout.track < 0, notes=notes)


def _points(table: np.ndarray, scored: bool) -> np.ndarray:
    """float32 `[K, 3]` x, y, confidence of a row's x, y, score."""
    if not scored:
        table[:, 2] = (table[:, :2] != 0).any(-1)
    table[np.isnan(table).any(-1)] = 0
    return table


def _frame(cells: list[str], place: int, row: int, where: str) -> int | str:
    """The frame of a row: a number, or the name of an image."""
    if place < 0:
        return row
    if re.search(r"[A-Za-z]", cells[place]):
        return cells[place]
    return whole_number(cells[place], "frame", where, 0)
