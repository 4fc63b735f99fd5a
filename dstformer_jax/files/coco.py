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
from dstformer_jax.files.detections import People, keypoints, number, skeleton_of
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.records import parts, shown

LISTS = ("images", "annotations", "categories")
_IMAGE_FIELDS = ("file_name", "vid_id", "width", "height")
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


def looks_like(probe: Probe) -> bool:
    """Annotations with their images, or a list of results by image number."""
    if probe.members:
        return False
    if isinstance(probe.json, dict):
        return any(isinstance(probe.json.get(key), list) for key in LISTS[:2])
    record = probe.first_record
    return isinstance(record.get("image_id"), int | str) and not probe.nested_keypoints


def read_coco(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads results or annotations of ONE video; several videos raise and say how many.

    Any visibility above 0 becomes confidence 1 (annotations); results keep their scores, cut to
    [0, 1]. Frames are the numbers in the image names or ids where those count frames, else ranks.
    """
    people = People(str(path))
    for key, value in parts(path, LISTS):
        if isinstance(key, str):  # an object: annotations
            return _only_video(read_coco_videos(path, fps), str(path))
        _add_result(people, value, f"{path}, record {key}")
    return people.motion(fps)


def _only_video(videos: dict[str, Motion], path: str) -> Motion:
    if len(videos) != 1:
        raise ValueError(
            f"{path}: got annotations of {len(videos)} videos ({', '.join(list(videos)[:4])}), "
            "expected one; do keep the images of one in a file, or call files.coco.read_coco_videos"
        )
    return next(iter(videos.values()))


def read_coco_videos(path: str | Path, fps: float = 0.0) -> dict[str, Motion]:
    """Reads an annotation file of any number of videos: video name -> Motion.

    Annotations are grouped by video, frames are numbered by their names, and people without
    identities are tracked.
    """
    annotations, skeleton = read_annotations(path)
    groups: dict[str, list[Annotation]] = {}
    for annotation in annotations:
        groups.setdefault(annotation.video, []).append(annotation)
    if not groups:
        raise ValueError(f"{path}: got no annotation with keypoints, expected at least one")
    return {name: _video(group, skeleton, str(path), fps) for name, group in groups.items()}


def read_annotations(path: str | Path) -> tuple[list[Annotation], Skeleton]:
    """The annotations with keypoints, in file order, and the skeleton that the file names."""
    images: dict[int | str, Mapping[str, Any]] = {}
    rows: list[_Row] = []
    names, place = None, 0
    for key, value in parts(path, LISTS):
        if key == "images" and _is(value) and isinstance(value.get("id"), int | str):
            images[value["id"]] = {field: value.get(field) for field in _IMAGE_FIELDS}
        elif key == "annotations":
            where = f"{path}, annotation {place}"
            place += 1
            if (row := _row(value, where, len(rows[0].points) if rows else None)) is not None:
                rows.append(row)
        elif key == "categories" and names is None and _is(value):
            names = value.get("keypoints")
        elif isinstance(key, int):
            raise ValueError(f"{path}: got a list, expected COCO's images and annotations")
    skeleton = _skeleton(names, len(rows[0].points) if rows else 17, str(path))
    return [_annotation(images.get(row.image), row) for row in rows], skeleton


def _add_result(people: People, record: Any, where: str) -> None:
    """A person of a result list: image ids are frames."""
    image = record.get("image_id") if isinstance(record, dict) else None
    if not isinstance(image, int | str) or "keypoints" not in record:
        raise ValueError(f"{where}: got {shown(record)}, expected image_id and keypoints")
    points = keypoints(record["keypoints"], where)
    identity = _track_id(record.get("track_id"), where)
    people.add(str(image), points, where, identity, number(record.get("score")))


def _video(group: list[Annotation], skeleton: Skeleton, path: str, fps: float) -> Motion:
    """One video's annotations as a Motion."""
    people = People(path, skeleton, np.arange(skeleton.num_joints))
    for annotation in group:
        points = annotation.points.copy()
        points[:, 2] = points[:, 2] > 0
        people.add(annotation.image, points, path, annotation.track_id)
    sizes = {annotation.size for annotation in group}
    return people.motion(fps, group[0].size if len(sizes) == 1 else (0, 0))  # photos, not a video


@dataclass(frozen=True, eq=False)
class _Row:
    """A row of the annotations, before its image is known; `where` names it in messages."""

    image: int | str
    track_id: int | None
    points: np.ndarray
    where: str


def _row(row: Any, where: str, count: int | None) -> _Row | None:
    """Checks an annotation; None for one of boxes only, which COCO and PoseTrack18 hold."""
    image = row.get("image_id") if _is(row) else None
    if not isinstance(image, int | str):
        raise ValueError(f"{where}: got {shown(row)}, expected the image_id of a listed image")
    if not row.get("keypoints"):
        return None
    points = keypoints(row["keypoints"], where, count)
    return _Row(image, _track_id(row.get("track_id"), where), points, where)


def _annotation(image: Mapping[str, Any] | None, row: _Row) -> Annotation:
    """One annotation with what its image says."""
    name = image.get("file_name") if image else None
    if image is None or not isinstance(name, str):
        raise ValueError(
            f"{row.where}: got image_id {shown(row.image)}, expected that of a listed image"
        )
    video = str(image.get("vid_id") or Path(name).parent)
    size = tuple(0 if side is None else side for side in (image["width"], image["height"]))
    if not all(isinstance(side, int) and 0 <= side < 2**20 for side in size):
        raise ValueError(f"{row.where}: got image size {shown(size)}, expected width and height")
    return Annotation(video, name, row.track_id, row.points, (size[0], size[1]))


def _skeleton(names: Any, count: int, path: str) -> Skeleton:
    """The skeleton by the category's keypoint names, else by their number."""
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
        raise ValueError(f"{where}: got track_id {shown(value)}, expected a number")
    return value


def _is(content: Any) -> bool:
    return isinstance(content, dict)
