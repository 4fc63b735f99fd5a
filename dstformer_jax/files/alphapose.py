"""Reads AlphaPose results: one JSON list over all frames, or its `cmu` and `open` layouts.

Traps handled here: image names sort as text ("10.jpg" before "2.jpg"), frames without a person
are absent, `idx` is a number, a list or a nested list, and old COCO models score joints up to 6.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import (
    build_motion,
    detection,
    frame_numbers,
    keypoints,
    load_json,
    skeleton_of,
)
from dstformer_jax.files.openpose import read_people

OLD_TOP = 6.0  # the highest joint score of old COCO models (docs/output.md of AlphaPose)


def read_alphapose(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads an AlphaPose results file; identities are its `idx`, or tracked where it has none."""
    content = load_json(path)
    records = list(_records(content, str(path)))
    if not records:
        raise ValueError(f"{path}: got no record, expected at least one person")
    count = len(records[0][1])
    for number, (_, points, _, _) in enumerate(records):
        if len(points) != count:
            raise ValueError(
                f"{path}, record {number}: got {len(points)} keypoints, expected {count} as before"
            )
    skeleton = skeleton_of(count, str(path))
    top = max(float(points[:, 2].max()) for _, points, _, _ in records)
    scale = np.array([1, 1, 1 / OLD_TOP if top > 2 else 1], np.float32)
    numbers = frame_numbers(image for image, _, _, _ in records)
    tracked = all(identity is not None for _, _, identity, _ in records)
    found = [
        detection(numbers[image], points * scale, identity if tracked else None, score)
        for image, points, identity, score in records
    ]
    return build_motion(found, skeleton, str(path), fps)


Record = tuple[str, np.ndarray, int | None, float]  # image, [J, 3], identity, score


def _records(content: Any, path: str) -> Iterator[Record]:
    """Each person of the file: its list, or its object of frames by image name."""
    if isinstance(content, dict):
        for image, frame in content.items():
            for points in read_people(frame, f"{path}, image {image!r:.60}"):
                yield image, points, None, 0.0
        return
    if not isinstance(content, list):
        raise ValueError(f"{path}: got {type(content).__name__}, expected AlphaPose's list")
    for number, record in enumerate(content):
        where = f"{path}, record {number}"
        if not isinstance(record, dict) or not isinstance(record.get("image_id"), str | int):
            raise ValueError(f"{where}: got {record!r:.60}, expected image_id and keypoints")
        points = keypoints(record.get("keypoints"), where)
        score = record.get("score")
        score = float(score) if isinstance(score, int | float) and abs(score) < 1e9 else 0.0
        yield str(record["image_id"]), points, _identity(record.get("idx"), where), score


def _identity(idx: Any, where: str) -> int | None:
    """The person's number: `3`, `[3.0]` or `[[3.0, ...]]`; None when there is none."""
    value = idx
    for _ in range(4):
        if not isinstance(value, list):
            break
        value = value[0] if value else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**31:
        raise ValueError(f"{where}: got idx {idx!r:.60}, expected a number or a list of one")
    return int(value)
