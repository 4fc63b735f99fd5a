"""Reads AlphaPose results: one JSON list over all frames, or its `cmu` and `open` layouts.

Traps handled here: image names sort as text ("10.jpg" before "2.jpg"), frames without a person
are absent, `idx` is a number, a list or a nested list, and old COCO models score joints up to 6.
"""

from pathlib import Path
from typing import Any

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import People, keypoints, number
from dstformer_jax.files.openpose import LISTS, read_people
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.records import parts, shown

OLD_TOP = 6.0  # the highest joint score of old COCO models (docs/output.md of AlphaPose)


def looks_like(probe: Probe) -> bool:
    """A list with image names or person numbers, or an object of frames by image name."""
    if probe.members:
        return False
    if isinstance(probe.json, dict):
        first = next(iter(probe.json.values()), None)
        return isinstance(first, dict) and any(isinstance(first.get(key), list) for key in LISTS)
    record = probe.first_record
    flat = isinstance(record.get("keypoints"), list) and not probe.nested_keypoints
    return flat and ("idx" in record or isinstance(record.get("image_id"), str))


def read_alphapose(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads an AlphaPose results file; identities are its `idx`, or tracked where it has none."""
    people = People(str(path))
    top = 1.0
    for key, value in parts(path):
        if isinstance(key, str):  # a frame by image name
            for points in read_people(value, f"{path}, image {shown(key)}"):
                people.add(key, points, f"{path}, image {shown(key)}")
            continue
        where = f"{path}, record {key}"
        if not isinstance(value, dict) or not isinstance(value.get("image_id"), str | int):
            raise ValueError(f"{where}: got {shown(value)}, expected image_id and keypoints")
        points = keypoints(value.get("keypoints"), where)
        top = max(top, float(points[:, 2].max()))
        identity = _identity(value.get("idx"), where)
        people.add(str(value["image_id"]), points, where, identity, number(value.get("score")))
    return people.motion(fps, top=OLD_TOP if top > 2 else 1.0)


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
        raise ValueError(f"{where}: got idx {shown(idx)}, expected a number or a list of one")
    return int(value)
