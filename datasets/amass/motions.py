"""The motion files of AMASS: SMPL+H parameters in .npz, with all their variety."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.files.npz import load_npz

_RATES = ("mocap_framerate", "mocap_frame_rate")
_READ = ("poses", "trans", "betas", "dmpls", "gender", *_RATES)
_BODY = 66  # root and 21 body joints, three numbers each; then the hands
# Beside the motions lie files of body shapes only.
SHAPES = ("shape.npz", "*_stagei.npz")


@dataclass(frozen=True, eq=False)
class Motion:
    """Parameters of one recording.

    poses [T, 3 B] axis-angle; place [T, 3] metres, z up; betas [S]; dmpls [T, D] or [T, 0];
    gender: female | male | neutral; fps as the file says, e.g. 120.00004577.
    """

    poses: np.ndarray
    place: np.ndarray
    betas: np.ndarray
    dmpls: np.ndarray
    gender: str
    fps: float

    def every(self, step: int) -> Motion:
        """Every `step`-th frame."""
        return Motion(
            self.poses[::step],
            self.place[::step],
            self.betas,
            self.dmpls[::step],
            self.gender,
            self.fps / step,
        )


def find_motions(source: Path) -> list[Path]:
    """The .npz files below `source` that may hold motion."""
    return sorted(
        path for path in source.rglob("*.npz") if not any(path.match(name) for name in SHAPES)
    )


def read_motion(path: Path) -> Motion:
    """Reads one file; ValueError naming what is missing or does not fit."""
    arrays = load_npz(path, names=_READ)
    rates = [name for name in _RATES if name in arrays]
    missing = [name for name in ("poses", "trans", "betas", "gender") if name not in arrays]
    if missing or not rates:
        missing += [] if rates else ["mocap_framerate"]
        raise ValueError(
            f"{path}: got no {', '.join(missing)}, expected a motion of AMASS (SMPL+H)"
        )
    poses, place = (np.asarray(arrays[name], np.float64) for name in ("poses", "trans"))
    # Parts such as GRAB and SOMA come without soft tissue: the official script leaves them out.
    dmpls = np.asarray(arrays.get("dmpls", np.zeros((len(poses), 0))), np.float64)
    motion = Motion(
        poses=poses,
        place=place,
        betas=np.asarray(arrays["betas"], np.float64).reshape(-1),
        dmpls=dmpls if dmpls.ndim == 2 else np.zeros((len(poses), 0)),
        gender=_gender(arrays["gender"]),
        fps=float(np.asarray(arrays[rates[0]]).reshape(-1)[0]),
    )
    _check(path, motion)
    return motion


def _gender(value: Any) -> str:
    """`female`, `male` or `neutral` of "male", b"male", "Male" or an array of one of them."""
    value = np.asarray(value).reshape(-1)[0]
    text = value.decode() if isinstance(value, bytes) else str(value)
    text = text.strip().lower()
    # Anything else counts as female, as in the official preprocessing.
    return text if text in ("female", "male", "neutral") else "female"


def _check(path: Path, motion: Motion) -> None:
    frames = len(motion.poses)
    if motion.poses.ndim != 2 or motion.place.shape != (frames, 3) or frames == 0:
        raise ValueError(
            f"{path}: got poses {motion.poses.shape} and trans {motion.place.shape}, "
            "expected [T, 156] and [T, 3]"
        )
    if len(motion.dmpls) != frames:
        raise ValueError(f"{path}: got dmpls of {len(motion.dmpls)} frames, expected {frames}")
    if not (np.isfinite(motion.fps) and motion.fps > 0):
        raise ValueError(f"{path}: got a frame rate of {motion.fps}, expected a number above 0")
    parts = (motion.poses, motion.place, motion.betas, motion.dmpls)
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError(f"{path}: got values that are not finite")


def poses_for(motion: Motion, bones: int) -> np.ndarray:
    """Axis-angle `[T, bones, 3]` for a model with so many bones.

    SMPL (24 bones) takes the body of SMPL+H and leaves its two hands at rest.
    """
    frames, numbers = motion.poses.shape
    if numbers == 3 * bones:
        return motion.poses.reshape(frames, bones, 3)
    if bones == 24 and numbers == 156:
        body = motion.poses[:, :_BODY].reshape(frames, -1, 3)
        return np.concatenate([body, np.zeros((frames, 2, 3))], axis=1)
    raise ValueError(
        f"got poses of {numbers} numbers for a model of {bones} bones, expected {3 * bones}; "
        "SMPL+H wants the SMPL+H files of AMASS, not SMPL-X"
    )


def shape_for(motion: Motion, count: int, num_dmpls: int) -> np.ndarray:
    """Shape coefficients `[T, count]`: betas, then soft tissue, the last `num_dmpls`.

    Coefficients that the file lacks are zero; those that the model lacks are left out.
    """
    shape = np.zeros((len(motion.poses), count))
    betas = motion.betas[: count - num_dmpls]
    shape[:, : len(betas)] = betas
    tissue = motion.dmpls[:, :num_dmpls]
    start = count - num_dmpls
    shape[:, start : start + tissue.shape[1]] = tissue
    return shape
