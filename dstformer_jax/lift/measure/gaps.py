"""What should stand in the place of missing joints? The error at them, for several answers."""

import argparse

import numpy as np

from dstformer_jax.inference import Model
from dstformer_jax.lift.lifter import Lifter
from dstformer_jax.lift.measure import people
from dstformer_jax.lift.measure.people import Clip
from dstformer_jax.lift.measure.report import Report
from dstformer_jax.tasks.metrics import centre

LENGTHS = (1, 5, 10, 30)
SHIPPED = "2D interpolated (lift, of gaps beyond 5 frames)"
ABOUT = (
    "MPJPE in mm at the missing joints alone, by what the network gets in their place: the 2D "
    "interpolated over time, with the interpolated confidence or with confidence 0; zeros as the "
    "masks of its training make them; the last 2D held; and zeros, with the 3D answers at the gap "
    "replaced by an interpolation from its edges. Gaps of whole frames: every tenth frame, twice "
    "5, twice 10, once 30 of a window; *one joint* is one that is missing for 30 frames, another "
    "in every clip."
)


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    people.flags(parser)
    parser.add_argument("--clips", type=int, default=12, help="of different sequences [12]")


def run(values: argparse.Namespace, lifter: Lifter) -> Report:
    """One row a way to fill, one column a kind of gap."""
    window = lifter.window
    found = [clip.cut(0, window) for clip in people.filmed(values, least=window)]
    chosen = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, values.clips).astype(int))]
    rows = {name: {"in the place of missing joints": name} for name in WAYS}
    for label, masks in kinds(chosen).items():
        errors = {name: [] for name in WAYS}
        for clip, missing in zip(chosen, masks, strict=True):
            for name, error in _errors(lifter, clip, missing).items():
                errors[name].append(error)
        for name in WAYS:
            rows[name][label] = f"{1000 * np.concatenate(errors[name]).mean():.1f}"
    text = f"{ABOUT} {people.about(values)} {len(chosen)} clips of {window} frames."
    return Report("Gaps", text, {"MPJPE at missing joints, mm": list(rows.values())})


def kinds(clips: list[Clip]) -> dict[str, list[np.ndarray]]:
    """Kind of gap -> what is missing of each clip, bool [T, J]; both ends are always seen."""
    frames, joints = clips[0].motion.shape[:2]
    masks: dict[str, list[np.ndarray]] = {}
    for length in LENGTHS:
        count = max(1, frames // 10) if length == 1 else 2 if length <= 10 else 1
        rows = np.zeros(frames, bool)
        for place in np.linspace(0, frames - length, count + 2)[1:-1].astype(int):
            rows[place : place + min(length, frames - 2)] = True
        rows[[0, -1]] = False
        masks[f"{length} frame" + "s" * (length > 1)] = [np.tile(rows[:, None], joints)] * len(
            clips
        )
    lost = []
    for number in range(len(clips)):
        missing = np.zeros((frames, joints), bool)
        missing[rows, 1 + (5 * number) % (joints - 1)] = True
        lost.append(missing)
    return masks | {f"one joint, {LENGTHS[-1]} frames": lost}


def _errors(lifter: Lifter, clip: Clip, missing: np.ndarray) -> dict[str, np.ndarray]:
    """Way -> metres at the missing joints, the root left out."""
    scored = missing.copy()
    scored[:, 0] = False
    out = {}
    for name, fill in WAYS.items():
        pose = _lifted(lifter, clip, fill(clip.motion, missing))
        if name == IN_3D:
            pose = interpolated(pose, missing)
        out[name] = clip.errors(pose)[scored]
    return out


def _lifted(lifter: Lifter, clip: Clip, motion: np.ndarray) -> np.ndarray:
    """Answers to one window in pixels; missing joints enter as they are given."""
    model: Model = lifter.model
    normal, box = model.normaliser.encode(motion, clip.as_motion().size)
    given = motion.any(-1, keepdims=True)
    pose = model.lift(np.where(given, normal, 0)[None], flip=lifter.flip)[0]
    return centre(pose) * np.asarray(box.half).reshape(())


def blank(motion: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Zeros where missing [T, J]; motion [T, J, C]."""
    return np.where(missing[..., None], 0, motion)


def interpolated(motion: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Straight lines over time where missing [T, J]; motion [T, J, C]."""
    out, times = motion.copy(), np.arange(len(motion))
    for joint in np.flatnonzero(missing.any(0)):
        there = ~missing[:, joint]
        for channel in range(motion.shape[-1]):
            known = motion[there, joint, channel]
            out[:, joint, channel] = np.interp(times, times[there], known)
    return out


def unsure(motion: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Straight lines, with confidence 0."""
    out = interpolated(motion, missing)
    out[..., 2] = np.where(missing, 0, out[..., 2])
    return out


def held(motion: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The last value before, of joints that are seen in the first frame."""
    rows = np.where(missing, 0, np.arange(len(motion))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    return np.take_along_axis(motion, last[..., None], axis=0)


IN_3D = "zeros, then the 3D interpolated"
WAYS = {
    SHIPPED: interpolated,
    "zeros, as the masks of training (lift, up to 5)": blank,
    "2D interpolated, confidence 0": unsure,
    "last 2D held": held,
    IN_3D: blank,
}
