"""Reads Ultralytics YOLO pose results: `to_json()`/`summary()` JSON, or the files of `save_txt`.

JSON: a list of people (one image), or a list of such lists, one a frame. A person has `keypoints`
`{"x", "y", "visible"}` and, with a tracker, `track_id`. Text: a file a frame (those of frames
without people are not written), a line a person: class, box (4), x y visibility of each joint (or x
y alone), then the box's confidence if it was saved and the identity if there was one; coordinates
are parts of the image.
"""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import BY_COUNT, People, joints, number, whole_number
from dstformer_jax.files.frames import identity_of, persons
from dstformer_jax.files.members import Members
from dstformer_jax.files.probe import Probe, is_single
from dstformer_jax.files.records import shown

INNER = ("detections", "predictions", "people", "objects")
BOX = 5  # class and box come before the joints


def looks_like(probe: Probe) -> bool:
    """People whose keypoints are columns, or lines of a class, a box and joints."""
    person = probe.person_inside(INNER)
    columns = person.get("keypoints")
    if isinstance(columns, dict) and isinstance(columns.get("x"), list):
        return True
    if probe.path.is_file() and not probe.members and probe.path.suffix.lower() != ".txt":
        return False
    return _reads_as_text(probe.head)


def read_ultralytics(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a JSON file, a folder (or zip archive) of text files, or one such text file.

    Frames of text files are the numbers in their names; of JSON the positions of its lists.
    Confidence is the joints' visibility, 1 where none was saved and the joint is not at 0, 0.
    """
    path = Path(path)
    people = People(str(path))
    if is_single(path):
        with path.open("rb") as file:
            head = file.read(64).lstrip()
        if head[:1] in (b"[", b"{", b"\xef"):
            for frame, person, where in persons(path, "keypoints", INNER):
                people.add(frame, *_person(person, where))
            return people.motion(fps)
        with Members(path.parent) as members:
            _add_text(people, 0, members.read(path.name), str(path))
    else:
        with Members(path) as members:
            for name in members.of_one_video(".txt"):
                _add_text(people, PurePosixPath(name).name, members.read(name), members.where(name))
    return people.motion(fps, unit="normalised")


def _person(person: dict[str, Any], where: str) -> tuple[np.ndarray, str, int | None, float]:
    """The arguments of `People.add` after the frame."""
    columns = person["keypoints"]
    x, y = (columns.get(key) if isinstance(columns, dict) else None for key in "xy")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        raise ValueError(f"{where}: got keypoints {shown(columns)}, expected lists x and y")
    points = joints([list(pair) for pair in zip(x, y, strict=True)], columns.get("visible"), where)
    return points, where, identity_of(person, where), number(person.get("confidence"))


def _reads_as_text(head: bytes) -> bool:
    """Whether the first line is one of `save_txt`."""
    words = head.split(b"\n", 1)[0].split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        return False
    return _layout(len(values)) is not None and values[0] == int(values[0])


def _add_text(people: People, frame: int | str, data: bytes, where: str) -> None:
    """The people of one text file."""
    try:
        lines = data.decode("ascii").splitlines()
        rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
    except ValueError as error:  # of decoding or of a number
        raise ValueError(f"{where}: got no numbers ({error!s:.80}), expected save_txt") from None
    for place, row in enumerate(rows):
        record = f"{where}, line {place + 1}"
        layout = _layout(len(row))
        if layout is None:
            raise ValueError(f"{record}: got {len(row)} numbers, expected class, box and joints")
        count, width = layout
        table = [row[BOX + width * j : BOX + width * (j + 1)] for j in range(count)]
        extra = row[BOX + width * count :]
        score = extra[0] if len(extra) == 2 else 0.0
        named = len(extra) == 2 or (len(extra) == 1 and extra[0] == int(extra[0]) and extra[0] > 1)
        identity = whole_number(extra[-1], "identity", record) if named else None
        people.add(frame, joints(table, None, record), record, identity, score)


def _layout(length: int) -> tuple[int, int] | None:
    """(joints, numbers a joint) of a line of so many numbers; 17 joints are tried first."""
    for count in BY_COUNT:
        for width in (3, 2):
            if 0 <= length - BOX - width * count <= 2:
                return count, width
    return None
