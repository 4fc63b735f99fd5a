"""Reads OpenPose JSON: one file a frame, `NAME_000000000012_keypoints.json`, or a single image.

Versions 1.0 to 1.3, BODY_25 and the 18-joint COCO model, several people. AlphaPose's
`--format open` and `--format cmu` write the same per-image files with other words. A missing joint
is 0, 0, 0; identities are tracked, as OpenPose gives none.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dstformer_jax.body.motion import Motion, natural_key
from dstformer_jax.files.detections import (
    Detection,
    build_motion,
    detection,
    frame_numbers,
    keypoints,
    load_json,
    skeleton_of,
)

LISTS = ("people", "bodies")
WORDS = ("pose_keypoints_2d", "pose_keypoints", "joints")
MAX_BYTES = 64 * 2**20  # one frame


def read_openpose(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a folder of per-frame files (one video), or one such file.

    Frame numbers are those in the names, so that tracks fit the video; frames without a file or a
    person become gaps. Anything malformed raises ValueError naming the file.
    """
    path = Path(path)
    files = frame_files(path) if path.is_dir() else [path]
    numbers = frame_numbers(file.name for file in files) if path.is_dir() else {path.name: 0}
    found: list[Detection] = []
    count = None
    for file in files:
        for points in read_people(load_json(file, MAX_BYTES), str(file), count):
            count = len(points)
            found.append(detection(numbers[file.name], points))
    if count is None:
        raise ValueError(f"{path}: got no person in {len(files)} files, expected at least one")
    return build_motion(found, skeleton_of(count, str(path)), str(path), fps)


def frame_files(folder: Path) -> list[Path]:
    """The per-frame files of one video in natural order."""
    files = [file for file in folder.iterdir() if file.suffix == ".json" and file.is_file()]
    files = [file for file in files if file.name.endswith("_keypoints.json")] or files
    videos = {re.sub(r"\d+(_keypoints)?\.json$", "", file.name) for file in files}
    if len(videos) != 1:
        raise ValueError(
            f"{folder}: got {len(files)} JSON files of {len(videos)} videos "
            f"({', '.join(sorted(videos)[:4])}), expected the frames of one video a folder"
        )
    return sorted(files, key=lambda file: natural_key(file.name))


def read_people(content: Any, where: str, count: int | None = None) -> Sequence[Any]:
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
