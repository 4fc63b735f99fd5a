"""Reads the answers of Hugging Face's ViTPose (`post_process_pose_estimation`) saved as JSON.

A list of images, each a list of people `{"keypoints": [[x, y]], "scores", "labels", "bbox"}`. With
a threshold the weak joints are left out; `labels` tells which ones are there, and the others are
missing.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import COCO17
from dstformer_jax.files.detections import People, joints
from dstformer_jax.files.frames import identity_of, persons
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.records import shown

INNER = ("poses", "people", "pose_results")


def looks_like(probe: Probe) -> bool:
    """People with the joints' labels."""
    person = probe.person_inside(INNER)
    return {"keypoints", "labels", "scores"} <= set(person)


def read_vitpose(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads the answers of one video, a list an image, or of one image.

    Joints are put back in their places by label; of whole-body models the body is taken. Confidence
    is the score, cut to [0, 1].
    """
    people = People(str(path), COCO17)
    for frame, person, where in persons(path, "keypoints", INNER):
        points = _scattered(person, where)
        if points is not None:
            people.add(frame, points, where, identity_of(person, where))
    return people.motion(fps)


def _scattered(person: dict[str, Any], where: str) -> np.ndarray | None:
    """float32 `[17, 3]`; None of a person without a joint above the threshold."""
    labels = person.get("labels")
    labels = labels if isinstance(labels, list) else []
    if person["keypoints"] == [] and not labels:
        return None
    found = joints(person["keypoints"], person.get("scores"), where)
    plain = all(isinstance(label, int) and 0 <= label < 400 for label in labels)
    if not plain or len(labels) != len(found) or len(set(labels)) != len(labels):
        raise ValueError(
            f"{where}: got labels {shown(labels)}, expected a different number for each of "
            f"{len(found)} joints"
        )
    points = np.zeros((COCO17.num_joints, 3), np.float32)
    for label, joint in zip(labels, found, strict=True):
        if label < len(points):
            points[label] = joint
    return points
