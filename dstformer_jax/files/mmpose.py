"""Reads MMPose's predictions: the demos' JSON, the inferencer's JSON, a folder of one per image.

Demo: `{"meta_info", "instance_info": [{"frame_id": from 1, "instances": [person]}]}`, or the people
of one image alone. Inferencer: a list of `{"frame_id": from 0, "instances": [person]}`, or the
people of one image. A person has `keypoints` [[x, y]], `keypoint_scores` and `bbox_score`. Sapiens
writes the same, an image a file, with up to 308 keypoints. Neither saves identities.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.files.detections import People, joints, number, whole_number
from dstformer_jax.files.joint_names import skeleton_of_names
from dstformer_jax.files.members import Members
from dstformer_jax.files.probe import Probe, is_single
from dstformer_jax.files.records import parse_json, parts, shown, taken_apart

LISTS = ("instance_info", "instances")
WHOLE_BODY = 100  # more names than this are a whole body, known by their number


def looks_like(probe: Probe) -> bool:
    """The demos' object, frames with their instances, or people with `keypoint_scores`."""
    if isinstance(probe.json, dict):
        return any(isinstance(probe.json.get(key), list) for key in LISTS)
    person = probe.first_person
    return isinstance(person.get("instances"), list) or (
        probe.nested_keypoints and "keypoint_scores" in person
    )


def read_mmpose(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads a file of one video or image, or a folder (or zip archive) of one file an image.

    Frames of the demos count from 1 and become 0; those of the inferencer stay. Confidence is
    `keypoint_scores`, cut to [0, 1].
    """
    path = Path(path)
    people, demo, first = People(str(path)), False, 1
    for frame, person, meta, where in _single(path) if is_single(path) else _folder(path):
        if not len(people) and meta:
            people, demo = People(str(path), *_skeleton(meta, str(path))), True
        if isinstance(frame, int):
            first = min(first, frame)
        people.add(frame, *_person(person, where))
    return people.motion(fps, first=first if demo and is_single(path) else 0)


Found = tuple[int | str, Any, dict[str, Any], str]  # frame, person, meta_info, where


def _single(path: Path) -> Iterator[Found]:
    yield from _people(parts(path, LISTS), str(path))


def _folder(path: Path) -> Iterator[Found]:
    """The people of every image of a folder; frames by file name."""
    with Members(path) as members:
        for name in members.of_one_video(".json"):
            where = members.where(name)
            content = parse_json(members.read(name), where)
            for _, person, meta, record in _people(taken_apart(content, LISTS, where), where):
                yield name, person, meta, record


def _people(pairs: Iterator[tuple[int | str, Any]], where: str) -> Iterator[Found]:
    """The people of a file; those of one image have frame 0."""
    meta: dict[str, Any] = {}
    place = -1
    for key, value in pairs:
        if key == "meta_info" and isinstance(value, dict):
            meta = value
        if isinstance(key, str) and key not in LISTS:
            continue
        place += 1
        record = f"{where}, record {place}"
        if not isinstance(value, dict):
            raise ValueError(f"{record}: got {shown(value)}, expected a frame or a person")
        if not isinstance(value.get("instances"), list):
            yield 0, value, meta, record
            continue
        frame = whole_number(value.get("frame_id", place), "frame_id", record, 0)
        for instance, person in enumerate(value["instances"]):
            yield frame, person, meta, f"{record}, instance {instance}"


def _skeleton(meta: dict[str, Any], where: str) -> tuple[Skeleton | None, np.ndarray | None]:
    """What the joint names of the file mean; None where their number must tell."""
    table = meta.get("keypoint_id2name")
    names = list(table.values()) if isinstance(table, dict) else []
    if not 0 < len(names) < WHOLE_BODY or not all(isinstance(name, str) for name in names):
        return None, None
    return skeleton_of_names(names, where)


def _person(person: Any, where: str) -> tuple[np.ndarray, str, int | None, float]:
    """The arguments of `People.add` after the frame."""
    if not isinstance(person, dict) or "keypoints" not in person:
        raise ValueError(f"{where}: got {shown(person)}, expected keypoints and keypoint_scores")
    points = joints(person["keypoints"], person.get("keypoint_scores"), where)
    track = person.get("track_id")
    identity = None if track is None else whole_number(track, "track_id", where)
    return points, where, identity, number(person.get("bbox_score"))
