"""Keypoints of many frames in arrays, as detectors without a file format of their own are saved.

Layouts (`N` people in all, `F` frames, `n` people a frame, padded with score 0 or NaN):
`[N, K, C]` beside the array `frames` `[N]`; `[F, K, C]`, one person; `[F, n, K, C]`; or an array of
F objects `[n, K, C]`. C is 2 (x, y) or 3 (x, y, score).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dstformer_jax.files.detections import MAX_NUMBER, People, whole_number

FRAMES = ("frames", "frame", "frame_id", "frame_ids", "image_id")
IDENTITIES = ("track_ids", "track_id", "ids", "person_id")


def add_stacks(
    people: People, arrays: Mapping[str, np.ndarray], points: str, scores: str | None, where: str
) -> None:
    """Adds the people of an archive's arrays.

    Args:
      people: takes them.
      arrays: all arrays of the file.
      points: name of the keypoints' array.
      scores: name of the scores' array, the same layout without C; None where C is 3.
      where: the file, for messages.
    """
    numbers = _first(arrays, FRAMES)
    names = _first(arrays, IDENTITIES)
    counted = numbers is not None and np.shape(numbers) == np.shape(arrays[points])[:1]
    per_person = numbers is not None and np.ndim(arrays[points]) == 3
    for place, table in enumerate(_frames(arrays, points, scores, where)):
        record = f"{where}, row {place}"
        frame = place
        if counted and numbers is not None:
            frame = whole_number(numbers[place], "frame", record, 0)
        identity = None
        if names is not None and per_person and len(names) > place:
            identity = whole_number(names[place], "identity", record)
        for person in table:
            if (person[:, 2] > 0).any():
                people.add(frame, person, record, identity)


def _first(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    """The first of these arrays that is there, one row a person or frame."""
    found = next((arrays[name] for name in names if name in arrays), None)
    return found if found is not None and found.ndim == 1 else None


def _frames(
    arrays: Mapping[str, np.ndarray], points: str, scores: str | None, where: str
) -> Iterator[np.ndarray]:
    """float32 `[n, K, 3]` of each row of the file."""
    rows, values = arrays[points], None if scores is None else arrays[scores]
    if rows.ndim == 0 or (rows.dtype != object and rows.ndim not in (3, 4)):
        raise ValueError(
            f"{where}: got {points} {rows.shape}, expected [frames, people, joints, 2]"
        )
    if values is not None and values.shape[:1] != rows.shape[:1]:
        raise ValueError(f"{where}: got {scores} {values.shape}, expected {len(rows)} as {points}")
    for place in range(len(rows)):
        score = None if values is None else values[place]
        yield _table(rows[place], score, f"{where}, {points}[{place}]")


def _table(row: Any, score: Any, where: str) -> np.ndarray:
    """float32 `[n, K, 3]` of one frame; NaN becomes a missing joint."""
    try:
        table = _floats(row if row is not None else [])
        given = None if score is None else _floats(score)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{where}: got no array of numbers, expected [people, joints, 2]"
        ) from None
    if table.size == 0:
        return np.zeros((0, 1, 3), np.float32)
    if table.ndim == 2:
        table = table[None]
        given = given if given is None or given.ndim > 1 else given[None]
    if given is not None and given.ndim == 3 and given.shape[-1] == 1:
        given = given[..., 0]
    width = 3 if given is None else 2
    if table.ndim != 3 or table.shape[-1] != width:
        raise ValueError(f"{where}: got shape {table.shape}, expected [people, joints, {width}]")
    if given is not None and given.shape != table.shape[:2]:
        raise ValueError(f"{where}: got scores {given.shape}, expected {table.shape[:2]}")
    whole = table if given is None else np.concatenate([table, given[..., None]], axis=-1)
    whole = np.where(np.isnan(whole).any(-1, keepdims=True), np.float32(0), whole)
    if not (np.abs(whole) <= MAX_NUMBER).all():
        raise ValueError(f"{where}: got numbers beyond {MAX_NUMBER:g}, expected pixels and scores")
    return whole


def _floats(value: Any) -> np.ndarray:
    """float32 array of real numbers; TypeError for texts and complex numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiubO":
        raise TypeError
    with np.errstate(over="ignore", invalid="ignore"):  # becomes inf, refused by the caller
        return array.astype(np.float32)
