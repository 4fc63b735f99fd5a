"""Reads OpenPose JSON: one file a frame, `NAME_000000000012_keypoints.json`, or a single image.

Versions 1.0 to 1.3, BODY_25 and the 18-joint COCO model, several people, a folder or a zip archive
of one. AlphaPose's `--format open` and `--format cmu` write the same per-image files with other
words. A missing joint is 0, 0, 0; identities are tracked, as OpenPose gives none.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import People, keypoints, skeleton_of
from dstformer_jax.files.members import Members
from dstformer_jax.files.probe import Probe, is_single
from dstformer_jax.files.records import load_json, parse_json

LISTS = ("people", "bodies")
WORDS = ("pose_keypoints_2d", "pose_keypoints", "joints")
ENDING = "_keypoints.json"
MAX_BYTES = 64 * 2**20  # one frame


def looks_like(probe: Probe) -> bool:
    """An object with the list of people, the content of one frame."""
    return isinstance(probe.json, dict) and any(
        isinstance(probe.json.get(key), list) for key in LISTS
    )


def read_openpose(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a folder or zip archive of per-frame files (one video), or one such file.

    Frame numbers are those in the names, so that tracks fit the video; frames without a file or a
    person become gaps. Anything malformed raises ValueError naming the file.
    """
    path = Path(path)
    people = People(str(path))
    count, files = None, 0
    for name, content, where in _frames(path):
        files += 1
        for points in read_people(content, where, count):
            count = len(points)
            people.add(name, points, where)
    if not len(people):
        raise ValueError(f"{path}: got no person in {files} files, expected at least one")
    return people.motion(fps)


def _frames(path: Path) -> Iterator[tuple[int | str, Any, str]]:
    """(name, content, how messages call it) of each frame; a single file is frame 0."""
    if is_single(path):
        yield 0, load_json(path, MAX_BYTES), str(path)
        return
    with Members(path) as members:
        for name in members.of_one_video(".json", ENDING):
            where = members.where(name)
            yield name, parse_json(members.read(name), where), where


def read_people(content: Any, where: str, count: int | None = None) -> Sequence[np.ndarray]:
    """float32 `[J, 3]` for each person of one frame's content."""
    people = next((content[key] for key in LISTS if key in content), None) if _is(content) else None
    if not isinstance(people, list):
        raise ValueError(f"{where}: got no list 'people', expected OpenPose's JSON of one frame")
    found = []
    for number, person in enumerate(people):
        record = f"{where}, person {number}"
        values = (
            next((person[key] for key in WORDS if key in person), None) if _is(person) else None
        )
        points = keypoints(values, record, count)
        skeleton_of(len(points), record)
        count = len(points)
        found.append(points)
    return found


def _is(content: Any) -> bool:
    return isinstance(content, dict)
