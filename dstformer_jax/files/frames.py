"""JSON that holds one part a frame: a list of frames, or an object of frames by number or name."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from dstformer_jax.files.detections import whole_number
from dstformer_jax.files.records import parts, shown

FRAME_KEYS = ("frame", "frame_id", "frame_idx", "frame_index", "frame_number", "frame_num")
LISTS = ("frames", "results", "predictions")
ID_KEYS = ("track_id", "track", "person_id", "id")


def frames(path: str | Path) -> Iterator[tuple[int | str, Any, str]]:
    """(frame, content, how messages call it) of each frame of a file.

    A frame is the content's own number under one of `FRAME_KEYS`, else its key in an object, else
    its position. An object that is one frame itself must be told by the caller.
    """
    place = -1
    for key, value in parts(path, LISTS):
        if isinstance(key, str) and key not in LISTS and not isinstance(value, list | dict):
            continue  # settings beside the frames
        place += 1
        frame = place if isinstance(key, int) or key in LISTS else key
        where = f"{path}, {'frame' if isinstance(frame, int) else 'image'} {frame!s:.60}"
        own = frame_of(value, where)
        yield (frame if own is None else own), value, where


def persons(
    path: str | Path, mark: str, inner: Collection[str]
) -> Iterator[tuple[int | str, dict[str, Any], str]]:
    """(frame, person, how messages call them) of files whose frames are lists of people.

    Args:
      path: the file. A list of people without frames is one image, frame 0.
      mark: the key that makes an object a person.
      inner: keys under which a frame that is an object holds its people.
    """
    for frame, content, where in frames(path):
        if content is None:
            continue
        people = content
        if isinstance(content, dict) and mark in content:
            own = frame_of(content, where)
            people, frame = [content], (0 if own is None and isinstance(frame, int) else frame)
        elif isinstance(content, dict):
            people = next((content[key] for key in inner if key in content), None)
        if not isinstance(people, list):
            raise ValueError(f"{where}: got {shown(content)}, expected a list of people")
        for place, person in enumerate(people):
            record = f"{where}, person {place}"
            if not isinstance(person, dict) or mark not in person:
                raise ValueError(f"{record}: got {shown(person)}, expected an object with {mark!r}")
            yield frame, person, record


def frame_of(content: Any, where: str) -> int | None:
    """The number that a frame or person carries, None where it has none."""
    if not isinstance(content, dict):
        return None
    own = next((content[key] for key in FRAME_KEYS if content.get(key) is not None), None)
    return None if own is None else whole_number(own, "frame", where, 0)


def identity_of(person: dict[str, Any], where: str) -> int | None:
    """The identity that a person carries, None where they have none."""
    own = next((person[key] for key in ID_KEYS if person.get(key) is not None), None)
    return None if own is None else whole_number(own, "identity", where)
