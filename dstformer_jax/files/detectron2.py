"""Reads Detectron2's `pred_keypoints [n, 17, 3]` (x, y, score), saved as JSON or .npz.

JSON: a list of frames, each an object with `pred_keypoints` (under `instances` or not). Archive:
the layouts of `stacks`. What its COCO evaluator writes is read as COCO results.
"""

from pathlib import Path
from typing import Any

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import People, joints
from dstformer_jax.files.frames import frames
from dstformer_jax.files.npz import load_npz
from dstformer_jax.files.probe import Probe, is_single
from dstformer_jax.files.records import shown
from dstformer_jax.files.rtmlib import MAX_BYTES
from dstformer_jax.files.stacks import add_stacks

POINTS = "pred_keypoints"


def looks_like(probe: Probe) -> bool:
    """The word, in an archive or in the first frame."""
    content = probe.json if isinstance(probe.json, dict) else probe.first_person
    return POINTS in probe.arrays or _instances(content) is not None


def read_detectron2(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads the people of one video; confidence is the third number of a joint, cut to [0, 1]."""
    path = Path(path)
    people = People(str(path))
    if not is_single(path):
        arrays = load_npz(path, [POINTS, "frames", "track_ids"], MAX_BYTES)
        if POINTS not in arrays:
            raise ValueError(f"{path}: got no array {POINTS}, expected Detectron2's")
        add_stacks(people, arrays, POINTS, None, str(path))
        return people.motion(fps)
    for frame, content, where in frames(path):
        found = _instances(content)
        if frame in (POINTS, "instances"):  # the object is one frame
            found, frame = (content if frame == POINTS else found), 0
        elif isinstance(frame, str) and not isinstance(content, dict):
            continue  # what else that frame holds
        if not isinstance(found, list):
            raise ValueError(f"{where}: got {shown(content)}, expected {POINTS}")
        for place, points in enumerate(found):
            record = f"{where}, person {place}"
            people.add(frame, joints(points, None, record), record)
    return people.motion(fps)


def _instances(content: Any) -> list[Any] | None:
    """The keypoints of the people of a frame, None where the content is none."""
    if isinstance(content, dict) and isinstance(content.get("instances"), dict):
        content = content["instances"]
    found = content.get(POINTS) if isinstance(content, dict) else None
    return found if isinstance(found, list) else None
