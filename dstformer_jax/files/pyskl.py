"""Reads PYSKL pickles: 2D keypoints of labelled clips, with their splits (NTU RGB+D and its kin).

The file is `{"split": {name: [frame_dir]}, "annotations": [record]}`, or only the list of records.
A record has `frame_dir` (its id), `label`, `img_shape` (height, width), `keypoint` `[M, T, V, 2]`
in pixels and `keypoint_score` `[M, T, V]`. A malformed file raises; a malformed record is set
apart with the reason, so that one of them does not lose the others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.files.detections import skeleton_of
from dstformer_jax.files.pickles import load_pickle

MAX_RECORDS = 2_000_000
MAX_PEOPLE = 64
MAX_LABEL = 100_000
SPLIT = "train"  # of files that are only a list of records


@dataclass(frozen=True, eq=False)
class Annotation:
    """One labelled clip.

    Attributes:
      id: its frame_dir.
      label: the class, 0 or more.
      points: `[M, T, V, 2]` pixels, in the file's own precision (float16 in the NTU files).
      confidence: float32 `[M, T, V]` in [0, 1]; where the file has no scores, 1 for every joint
        that is not at (0, 0).
      size: image (width, height) in pixels.
      skeleton: what the V joints are.
    """

    id: str
    label: int
    points: np.ndarray
    confidence: np.ndarray
    size: tuple[int, int]
    skeleton: Skeleton


@dataclass(frozen=True, eq=False)
class Pyskl:
    """A whole file: clips by id, the ids of every split, and the bad records with reasons."""

    annotations: Mapping[str, Annotation]
    splits: Mapping[str, tuple[str, ...]]
    bad: Mapping[str, str]


def read_pyskl(path: str | Path) -> Pyskl:
    """Reads one file through the restricted unpickler.

    Raises:
      ValueError: naming the file: not a pickle of plain data, not of this layout, without any
        usable record, or with a split that is not a list of ids.
    """
    path = Path(path)
    content = load_pickle(path)
    records = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(records, list) or not records:
        raise ValueError(
            f"{path}: got {_shown(content)}, expected the PYSKL layout: a dict of split and "
            "annotations, or a list of annotations"
        )
    if len(records) > MAX_RECORDS:
        raise ValueError(f"{path}: got {len(records)} records, expected at most {MAX_RECORDS}")
    annotations, bad = _read_records(records)
    if not annotations:
        first, reason = next(iter(bad.items()))
        raise ValueError(f"{path}: got {len(records)} records, none usable; {first}: {reason}")
    splits = {SPLIT: (*annotations, *bad)}
    if isinstance(content, dict) and content.get("split"):
        splits = _splits(content["split"], str(path))
    return Pyskl(annotations, splits, bad)


def _shown(content: Any) -> str:
    """What a pickle turned out to be, in few words."""
    if isinstance(content, dict):
        return f"a dict of {', '.join(sorted(str(key) for key in list(content)[:6])) or 'nothing'}"
    return f"{'an empty list' if content == [] else type(content).__name__}"


def _read_records(records: Iterable[Any]) -> tuple[dict[str, Annotation], dict[str, str]]:
    """Clips by id, and bad records by id (or place in the file) with the reason."""
    annotations: dict[str, Annotation] = {}
    bad: dict[str, str] = {}
    for number, record in enumerate(records):
        name = record.get("frame_dir") if isinstance(record, dict) else None
        name = name if isinstance(name, str) and name else f"record {number}"
        try:
            if name in annotations:
                raise ValueError("got its frame_dir a second time, expected different ones")
            annotations[name] = _annotation(name, record)
        except ValueError as error:
            bad[name if name not in annotations else f"{name} (record {number})"] = str(error)
    return annotations, bad


def _annotation(name: str, record: Any) -> Annotation:
    """Checks one record; ValueError says what is wrong with it."""
    if not isinstance(record, dict) or not isinstance(record.get("frame_dir"), str):
        raise ValueError(f"got {_shown(record)}, expected a dict with frame_dir, label, keypoint")
    label: Any = record.get("label")
    whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
    if not whole or not 0 <= label < MAX_LABEL:
        raise ValueError(f"got label {label!r:.40}, expected a whole number from 0")
    points, skeleton = _points(record.get("keypoint"))
    confidence = _confidence(record.get("keypoint_score"), points)
    if not (confidence > 0).any():
        raise ValueError("got no joint with confidence above 0, expected a person")
    return Annotation(name, int(label), points, confidence, _size(record), skeleton)


def _points(points: Any) -> tuple[np.ndarray, Skeleton]:
    if points is None:
        raise ValueError(
            "got no array keypoint (Kinetics files keep theirs outside), expected keypoint "
            "[people, frames, 17, 2]; do join them into the records first"
        )
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "fiu" or points.ndim != 4:
        shape = getattr(points, "shape", type(points).__name__)
        raise ValueError(f"got keypoint {shape}, expected numbers [people, frames, 17, 2]")
    people, frames, joints, axes = points.shape
    if not 0 < people <= MAX_PEOPLE or frames < 1:
        raise ValueError(f"got keypoint of {people} people and {frames} frames, expected some")
    if axes != 2:
        raise ValueError(
            f"got keypoint with {axes} coordinates (shape {points.shape}), expected 2D pixels; "
            "take the file of 2D skeletons, such as ntu60_hrnet.pkl"
        )
    if not np.isfinite(points).all():
        raise ValueError("got keypoint with numbers that are not finite, expected 0 where missing")
    return points, skeleton_of(joints, "keypoint")


def _confidence(scores: Any, points: np.ndarray) -> np.ndarray:
    """Scores in [0, 1]; heat maps of some detectors peak above 1."""
    if scores is None:
        return (points != 0).any(-1).astype(np.float32)
    numbers = isinstance(scores, np.ndarray) and scores.dtype.kind in "fiu"
    if not numbers or scores.shape != points.shape[:3]:
        shape = getattr(scores, "shape", type(scores).__name__)
        raise ValueError(f"got keypoint_score {shape}, expected {points.shape[:3]} as keypoint")
    if not np.isfinite(scores).all():
        raise ValueError("got keypoint_score with numbers that are not finite, expected 0 to 1")
    return np.clip(scores.astype(np.float32), 0.0, 1.0)


def _size(record: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) of the images that the pixels are of."""
    shape = record.get("img_shape")
    shape = record.get("original_shape") if shape is None else shape
    try:
        height, width = (int(side) for side in shape)  # type: ignore[union-attr]
    except (TypeError, ValueError, OverflowError):
        height = width = 0
    if not (0 < height < 100_000 and 0 < width < 100_000):
        raise ValueError(f"got img_shape {shape!r:.40}, expected (height, width) in pixels")
    return width, height


def _splits(splits: Any, path: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(splits, dict):
        raise ValueError(f"{path}: got split {_shown(splits)}, expected a dict of lists of ids")
    for name, ids in splits.items():
        texts = isinstance(ids, list | tuple | np.ndarray) and all(isinstance(i, str) for i in ids)
        if not isinstance(name, str) or not texts:
            raise ValueError(
                f"{path}: got split {name!r:.40} of {_shown(ids)}, expected a list of frame_dir"
            )
    return {name: tuple(str(i) for i in ids) for name, ids in splits.items()}
