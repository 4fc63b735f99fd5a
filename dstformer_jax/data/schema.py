"""The one record every prepared dataset is made of: a person's motion seen by one camera, or none.

Builders yield `to_record(sequence)` under `features()`; the frame bank and the sources read
`Sequence` objects back. Only `features()` needs tfds, and imports it when called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from dstformer_jax.body.skeleton import H36M17

NUM_JOINTS = H36M17.num_joints
UNITS = ("m", "px", "normalised")
AXES = ("world", "camera")


def tails(joints: int = NUM_JOINTS) -> dict[str, tuple[int | None, ...]]:
    """The arrays of a frame and what follows their T; a width of None is the dataset's own."""
    return {
        "motion": (joints, 3),
        "pose": (joints, 3),
        "factor": (),
        "pose_mm": (joints, 3),
        "partner": (joints, 3),
        "theta": (None,),
        "beta": (None,),
        "initial_theta": (None,),
        "initial_beta": (None,),
        "seen": (None, joints, 3),
    }


TAILS = tails()
ARRAYS: tuple[str, ...] = tuple(TAILS)
NAMES = ("landmark_names", "joints")
TEXTS = ("id", "subject", "action", "camera", "rig", "unit", "axes")


def _joints() -> np.ndarray:
    return np.zeros((0, NUM_JOINTS, 3), np.float32)


def _rows() -> np.ndarray:
    return np.zeros((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class Sequence:
    """One person, one camera, whole. Arrays are float32 and share T frames, or have none at all.

    J joints are 17, those of H36M17, unless `joints` names others.
    motion [T, J, 3]: x, y, confidence; [0, J, 3] when the source has no 2D.
    pose [T, J, 3]: 3D in `unit` and `axes`; [0, J, 3] when there is no 3D.
    factor [T]: mm per pixel (Human3.6M's 2.5d_factor), or [0].
    pose_mm [T, J, 3]: the protocol's truth (Human3.6M's joints_2.5d_image), or [0, J, 3].
    partner [T, J, 3]: motion of a second person, zeros where there is none; or [0, J, 3].
    theta [T, P], beta [T, S]: body pose as axis-angles and body shape, or [0, 0].
    initial_theta, initial_beta: another method's guess of them, which a refiner starts from.
    seen [T, 5, J, 3]: the pose in the layouts of `body.landmarks.LAYOUTS`, or [0, 0, J, 3].
    landmarks [T, L, 3]: extra points beside the joints, named by `landmark_names`.
    """

    id: str
    fps: float
    unit: str = "m"  # of pose (and of motion, when there is no pose)
    axes: str = "world"  # "world": y up; "camera": x right, y down, z away
    subject: str = ""
    action: str = ""
    label: int = -1  # -1: unknown
    camera: str = ""  # "" when seen by no camera
    rig: str = ""  # source skeleton, e.g. "asf31"
    size: tuple[int, int] = (0, 0)  # camera (width, height) in px; (0, 0): unknown
    motion: np.ndarray = field(default_factory=_joints)
    pose: np.ndarray = field(default_factory=_joints)
    factor: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    pose_mm: np.ndarray = field(default_factory=_joints)
    partner: np.ndarray = field(default_factory=_joints)
    theta: np.ndarray = field(default_factory=_rows)
    beta: np.ndarray = field(default_factory=_rows)
    initial_theta: np.ndarray = field(default_factory=_rows)
    initial_beta: np.ndarray = field(default_factory=_rows)
    seen: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, NUM_JOINTS, 3), np.float32))
    landmarks: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))
    landmark_names: tuple[str, ...] = ()
    joints: tuple[str, ...] = H36M17.names  # what the J joints are

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", tuple(self.joints) or H36M17.names)
        for name in (*ARRAYS, "landmarks"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float32))
        for name, tail in tails(len(self.joints)).items():
            if TAILS[name] != tail and not len(getattr(self, name)):  # what it has not got
                empty = np.zeros((0, *(size or 0 for size in tail)), np.float32)
                object.__setattr__(self, name, empty)
        object.__setattr__(self, "size", tuple(int(side) for side in self.size))
        object.__setattr__(self, "landmark_names", tuple(self.landmark_names))
        _check(self)

    @property
    def num_frames(self) -> int:
        """T, the number of frames."""
        return max(len(self.motion), len(self.pose))


def _check(sequence: Sequence) -> None:
    """Raises ValueError when fields or shapes disagree."""
    where = f"sequence {sequence.id!r}"
    frames = sequence.num_frames
    if frames == 0:
        raise ValueError(f"got {where} without frames, expected motion or pose; skip it")
    if sequence.unit not in UNITS or sequence.axes not in AXES:
        raise ValueError(
            f"got unit {sequence.unit!r} and axes {sequence.axes!r} in {where}, "
            f"expected one of {UNITS} and one of {AXES}; convert first"
        )
    if not (np.isfinite(sequence.fps) and sequence.fps > 0):
        raise ValueError(f"got fps {sequence.fps} in {where}, expected a positive number")
    for name, tail in tails(len(sequence.joints)).items():
        array = getattr(sequence, name)
        if len(array) not in (0, frames) or not _fits(array.shape[1:], tail):
            shape = ", ".join(("T", *("any" if size is None else str(size) for size in tail)))
            raise ValueError(
                f"got {name} of shape {array.shape} in {where}, "
                f"expected [{shape}] with T = {frames}, or no frames"
            )
    landmarks = (frames, len(sequence.landmark_names), 3)
    if sequence.landmark_names and sequence.landmarks.shape != landmarks:
        raise ValueError(
            f"got landmarks of shape {sequence.landmarks.shape} in {where}, expected {landmarks}"
        )


def _fits(shape: tuple[int, ...], tail: tuple[int | None, ...]) -> bool:
    wanted = zip(shape, tail, strict=False)
    return len(shape) == len(tail) and all(want in (None, size) for size, want in wanted)


def features(joints: int = NUM_JOINTS) -> Any:
    """The tfds FeaturesDict of a record of so many joints; arrays are zlib-packed."""
    import tensorflow_datasets as tfds

    def packed(*shape: int | None) -> Any:
        return tfds.features.Tensor(shape=shape, dtype=np.float32, encoding="zlib")

    return tfds.features.FeaturesDict(
        {name: tfds.features.Text() for name in TEXTS}
        | {
            "label": tfds.features.Scalar(dtype=np.int64),
            "fps": tfds.features.Scalar(dtype=np.float64),
            "size": tfds.features.Tensor(shape=(2,), dtype=np.int64),
            **{name: packed(None, *tail) for name, tail in tails(joints).items()},
            "landmarks": packed(None, None, 3),
            "landmark_names": tfds.features.Sequence(tfds.features.Text()),
            "joints": tfds.features.Sequence(tfds.features.Text()),
        }
    )


def to_record(sequence: Sequence) -> dict[str, Any]:
    """The dict a builder yields for one sequence; `from_record` is its inverse."""
    record = {item.name: getattr(sequence, item.name) for item in fields(sequence)}
    record["size"] = np.asarray(sequence.size, np.int64)
    for names in NAMES:
        record[names] = list(getattr(sequence, names))
    return record


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def from_record(record: Mapping[str, Any]) -> Sequence:
    """A record as read by tfds (texts may be bytes) -> Sequence."""
    # Datasets prepared by an older version lack the newer arrays.
    values = {item.name: record[item.name] for item in fields(Sequence) if item.name in record}
    values.update({name: _text(record[name]) for name in TEXTS})
    values["label"] = int(record["label"])
    # The file format keeps fps as float32: the shortest decimal of it is the number written.
    values["fps"] = float(str(np.float32(record["fps"])))
    values["size"] = tuple(np.asarray(record["size"]).tolist())
    for names in NAMES:
        values[names] = tuple(_text(name) for name in record.get(names, ()))
    return Sequence(**values)
