"""Reads COCO keypoint JSON: result lists, annotation files with images, PoseTrack18's annotations.

Results are `[{image_id, category_id, keypoints, score}, ...]`; annotation files are
`{images, annotations, categories}`, with `track_id` and `vid_id` in PoseTrack18.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import COCO17, COCO18, HALPE26, POSETRACK17, Skeleton
from dstformer_jax.files.detections import (
    Detection,
    build_motion,
    detection,
    frame_numbers,
    keypoints,
    load_json,
    skeleton_of,
)

_NAMED = (COCO17, COCO18, HALPE26)


@dataclass(frozen=True, eq=False)
class Annotation:
    """One person in one image of an annotation file.

    Attributes:
      video: the image's `vid_id`, or its folder.
      image: the image's file name.
      track_id: identity within the video, or None.
      points: float32 `[J, 3]` x, y in pixels and the visibility flag as it stands in the file.
      size: image (width, height), (0, 0) when unknown.
    """

    video: str
    image: str
    track_id: int | None
    points: np.ndarray
    size: tuple[int, int]


def read_coco(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads results or annotations of ONE video; several videos raise and say how many.

    Any visibility above 0 becomes confidence 1 (annotations); results keep their scores, cut to
    [0, 1]. Frames are the numbers in the image names or ids where those count frames, else ranks.
    """
    content = load_json(path)
    if isinstance(content, list):
        return _read_results(content, str(path), fps)
    videos = _videos(content, str(path), fps)
    if len(videos) != 1:
        raise ValueError(
            f"{path}: got annotations of {len(videos)} videos ({', '.join(list(videos)[:4])}), "
            "expected one; use read_coco_videos"
        )
    return next(iter(videos.values()))


def read_coco_videos(path: str | Path, fps: float = 0.0) -> dict[str, Motion]:
    """Reads an annotation file of any number of videos: video name -> Motion."""
    return _videos(load_json(path), str(path), fps)


def read_annotations(path: str | Path) -> tuple[list[Annotation], Skeleton]:
    """The annotations with keypoints, in file order, and the skeleton that the file names."""
    return _annotations(load_json(path), str(path))


def _read_results(content: list[Any], path: str, fps: float) -> Motion:
    """A result list: image ids are frames, people are tracked."""
    records = []
    for number, record in enumerate(content):
        where = f"{path}, record {number}"
        image = record.get("image_id") if isinstance(record, dict) else None
        if not isinstance(image, int | str) or "keypoints" not in record:
            raise ValueError(f"{where}: got {record!r:.60}, expected image_id and keypoints")
        count = len(records[0][1]) if records else None
        points = keypoints(record["keypoints"], where, count)
        score = record.get("score")
        score = float(score) if isinstance(score, int | float) and abs(score) < 1e9 else 0.0
        track = record.get("track_id")
        records.append((str(image), points, _track_id(track, where), score))
    if not records:
        raise ValueError(f"{path}: got no record, expected at least one person")
    numbers = frame_numbers(image for image, *_ in records)
    tracked = all(track is not None for _, _, track, _ in records)
    found = [
        detection(numbers[image], points, track if tracked else None, score)
        for image, points, track, score in records
    ]
    return build_motion(found, skeleton_of(len(records[0][1]), path), path, fps)


def _videos(content: Any, path: str, fps: float) -> dict[str, Motion]:
    """Groups annotations by video, numbers their frames and builds the tracks."""
    annotations, skeleton = _annotations(content, path)
    groups: dict[str, list[Annotation]] = {}
    for annotation in annotations:
        groups.setdefault(annotation.video, []).append(annotation)
    if not groups:
        raise ValueError(f"{path}: got no annotation with keypoints, expected at least one")
    return {name: _video(group, skeleton, path, fps) for name, group in groups.items()}


def _video(group: list[Annotation], skeleton: Skeleton, path: str, fps: float) -> Motion:
    """One video's annotations as a Motion."""
    numbers = frame_numbers(annotation.image for annotation in group)
    tracked = all(annotation.track_id is not None for annotation in group)
    found: list[Detection] = []
    for annotation in group:
        points = annotation.points.copy()
        points[:, 2] = points[:, 2] > 0
        identity = annotation.track_id if tracked else None
        found.append(detection(numbers[annotation.image], points, identity))
    sizes = {annotation.size for annotation in group}
    size = group[0].size if len(sizes) == 1 else (0, 0)  # photos, not a video
    return build_motion(found, skeleton, path, fps, size)


def _annotations(content: Any, path: str) -> tuple[list[Annotation], Skeleton]:
    """Checks an annotation file and joins annotations with their images."""
    lists = [content.get(key) for key in ("images", "annotations")] if _is(content) else [None]
    if not all(isinstance(rows, list) for rows in lists):
        raise ValueError(f"{path}: got no images and annotations, expected COCO's JSON")
    images = {row.get("id"): row for row in content["images"] if _is(row) and _plain(row.get("id"))}
    found = []
    for number, row in enumerate(content["annotations"]):
        where = f"{path}, annotation {number}"
        image = (
            images.get(row.get("image_id")) if _is(row) and _plain(row.get("image_id")) else None
        )
        if image is None or not isinstance(image.get("file_name"), str):
            raise ValueError(f"{where}: got {row!r:.60}, expected the image_id of a listed image")
        if not row.get("keypoints"):
            continue  # boxes only: COCO and PoseTrack18 hold such rows
        points = keypoints(row["keypoints"], where, len(found[0].points) if found else None)
        track = _track_id(row.get("track_id"), where)
        found.append(_annotation(image, points, track, where))
    return found, _skeleton(content, len(found[0].points) if found else 17, path)


def _annotation(
    image: Mapping[str, Any], points: np.ndarray, track: int | None, where: str
) -> Annotation:
    """One annotation with what its image says."""
    name = image["file_name"]
    video = str(image.get("vid_id") or Path(name).parent)
    size = (image.get("width", 0), image.get("height", 0))
    if not all(isinstance(side, int) and 0 <= side < 2**20 for side in size):
        raise ValueError(f"{where}: got image size {size!r:.40}, expected width and height")
    return Annotation(video, name, track, points, size)


def _skeleton(content: Mapping[str, Any], count: int, path: str) -> Skeleton:
    """The skeleton by the category's keypoint names, else by their number."""
    categories = content.get("categories")
    first = categories[0] if isinstance(categories, list) and categories else {}
    names = first.get("keypoints") if _is(first) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return skeleton_of(count, path)
    if len(names) == count == 17 and "head_bottom" in names:
        return POSETRACK17
    known = [skeleton for skeleton in _NAMED if skeleton.names == tuple(names)]
    if known or (len(names) == 17 and count > 17):  # whole-body files name the body only
        return known[0] if known else skeleton_of(count, path)
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"{path}: got {len(names)} keypoint names for {count} keypoints")
    return Skeleton("custom", tuple(names), (-1,) * count)


def _track_id(value: Any, where: str) -> int | None:
    """A track id, or None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**31:
        raise ValueError(f"{where}: got track_id {value!r:.40}, expected a number")
    return value


def _is(content: Any) -> bool:
    return isinstance(content, dict)


def _plain(key: Any) -> bool:
    return isinstance(key, int | str)
