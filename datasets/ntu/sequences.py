"""One annotation of a PYSKL file -> a labelled sequence of one or two people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence as Names
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.geometry import make_cam
from dstformer_jax.body.people import exchanged, follow
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.data.builder import Item
from dstformer_jax.data.labels import read_classes, shown
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.pyskl import Annotation

CHUNK = 64  # clips in an item: a file for each of 100,000 would be slow
_NTU_ID = re.compile(r"S\d{3}(C\d{3})(P\d{3})R\d{3}A(\d{3})")
_BELLY, _ROOT, _NECK = (H36M17.index(name) for name in ("belly", "root", "neck"))


def to_sequence(
    found: Annotation,
    label: int,
    action: str,
    fps: float = 30.0,
    official_confidence: bool = False,
    official_rounding: bool = False,
) -> Sequence:
    """The first two people of a clip, their places untangled, in H36M17 and normalised units.

    Normalised as the official make_cam: the longer side of the image is [-1, 1]. The people are
    followed over all frames (the official code looks at the frames that are left after
    resampling) and keep their scores. Joints that were not seen are zero, and so is a person who
    is not there.

    official_confidence: the official bug #132: scores stay in COCO order, and with the place in
    the file when people change places; nothing is zeroed but absent people.
    official_rounding: computes in the precision of the file (float16), as the official code.
    """
    points = found.points if official_rounding else found.points.astype(np.float32)
    wrong = exchanged(points)
    points, scores = follow(points, wrong), found.confidence
    points, own = _to_h36m(make_cam(points, found.size), follow(scores, wrong), found.skeleton)
    motion = np.concatenate([points, own[..., None]], axis=-1)
    seen: Any = own > 0
    motion *= seen[..., None]
    if official_confidence:
        motion = np.concatenate([points, _official(scores, found.skeleton)[..., None]], axis=-1)
        motion *= seen.any(-1)[..., None, None]
    match = _NTU_ID.fullmatch(found.id)
    return Sequence(
        id=found.id,
        fps=fps,
        unit="normalised",
        axes="camera",
        subject=match[2] if match else "",
        camera=match[1] if match else "",
        action=action,
        label=label,
        rig=found.skeleton.name,
        size=found.size,
        motion=motion[0],
        partner=motion[1] if len(motion) > 1 else np.zeros_like(motion[0]),
    )


def _to_h36m(
    points: np.ndarray, confidence: np.ndarray, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 points `[M, T, 17, 2]` and confidence of H36M17."""
    half = points.dtype == np.float16
    points, confidence = skeleton.convert(points, confidence, H36M17)
    points = points.astype(np.float32)
    if half:  # the official code takes this second mean in full precision
        points[:, :, _BELLY] = (points[:, :, _ROOT] + points[:, :, _NECK]) / 2
    return points, confidence


def _official(scores: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    if skeleton.num_joints != H36M17.num_joints:
        raise ValueError(
            f"got {skeleton.name} with official_confidence, expected 17 joints (coco17)"
        )
    return scores


def class_names(given: str, found: Mapping[str, Annotation], where: str) -> tuple[str, ...]:
    """Names in label order: of the file given, of NTU RGB+D if these are its ids, or numbers.

    ValueError when a label lies outside the list.
    """
    most = max(found.values(), key=lambda one: one.label)
    if given:
        names = read_classes(given)
    elif all(_is_ntu(one) for one in found.values()):
        names = read_classes(Path(__file__).with_name("classes.txt"))
    else:
        names = tuple(f"class {label}" for label in range(most.label + 1))
    if most.label >= len(names):
        raise ValueError(
            f"{where}: got label {most.label} ({most.id}), expected 0 to {len(names) - 1} for the "
            f"{len(names)} classes {shown(names, 3)}; do give the class list of this file"
        )
    return names


def _is_ntu(found: Annotation) -> bool:
    match = _NTU_ID.fullmatch(found.id)
    return bool(match) and int(match[3]) == found.label + 1


def chunks(
    ids: Mapping[str, Names[str]], path: Path, about: Mapping[str, Any] | None = None
) -> list[Item]:
    """Items of up to CHUNK clips, from clip id -> the splits it is in."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, splits in ids.items():
        groups.setdefault(tuple(splits), []).append(name)
    return [
        Item(
            f"{'+'.join(splits)}/{start // CHUNK:05d}",
            path,
            splits[0],
            {**(about or {}), "ids": tuple(names[start : start + CHUNK])},
            also=splits[1:],
        )
        for splits, names in groups.items()
        for start in range(0, len(names), CHUNK)
    ]


def broken(reasons: Mapping[str, str], path: Path) -> list[Item]:
    """Items of records that cannot be used: reading them raises, so that the report names them."""
    return [Item(name, path, about={"error": reason}) for name, reason in reasons.items()]
