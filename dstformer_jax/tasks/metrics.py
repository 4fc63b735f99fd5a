"""Errors of 3D pose, one value a frame, in the unit of the inputs; and scores of recognition.

Pure functions over an array library: numpy arrays in, numpy out (float64 stays float64); jax arrays
in, jax out (jit-able). Poses are `[..., T, J, 3]`; centre them on the root first where the protocol
wants root-relative errors (`centre`).
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np

from dstformer_jax.body.geometry import align

# A numpy or a jax array; both answer to the same arithmetic.
Array = Any

# Videos of Human3.6M whose ground truth is broken; the official evaluation leaves them out
# (reference: MotionBERT train.evaluate). A source is named s_09_act_05_subact_02_ca_01.
H36M_SKIPPED = (
    "s_09_act_05_subact_02",
    "s_09_act_10_subact_02",
    "s_09_act_13_subact_01",
)

# The 14 joints of H36M17 that bodies are scored on, as in the official evaluation: without root,
# belly and nose.
BODY_JOINTS = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)


def centre(pose: Array, root: int = 0) -> Array:
    """The pose `[..., J, 3]` relative to joint `root`."""
    return pose - pose[..., root : root + 1, :]


def mpjpe(pred: Array, target: Array) -> Array:
    """Mean distance of the joints: protocol 1. `[..., T, J, 3]` twice -> `[..., T]`."""
    xp = _library(pred, target)
    return _length(xp, pred - target).mean(axis=-1)


def n_mpjpe(pred: Array, target: Array) -> Array:
    """MPJPE after the best scale a frame (Rhodin et al. 2018). `[..., T, J, 3]` -> `[..., T]`.

    An all-zero prediction has no best scale: it counts as it is, where the official code gives NaN.
    """
    xp = _library(pred, target)
    power = xp.sum(pred * pred, axis=(-2, -1), keepdims=True)
    match = xp.sum(pred * target, axis=(-2, -1), keepdims=True)
    scale = match / xp.where(power > 0, power, 1)
    return mpjpe(scale * pred, target)


def p_mpjpe(pred: Array, target: Array) -> Array:
    """MPJPE after the best similarity of each frame: protocol 2. `[..., T, J, 3]` -> `[..., T]`."""
    return mpjpe(align(pred, target, _library(pred, target)), target)


def mpve(pred: Array, target: Array) -> Array:
    """Mean distance of the vertices of a body: `[..., T, V, 3]` twice -> `[..., T]`.

    Centre both on the body's root joint first.
    """
    return mpjpe(pred, target)


def body_errors(pred: Array, target: Array) -> dict[str, Array]:
    """Errors of a body's 17 joints, root-relative: `[..., T, 17, 3]` twice -> name -> `[..., T]`.

    `mpjpe` and `p_mpjpe` (PA-MPJPE) over BODY_JOINTS, the official MPJPE-14; `mpjpe_17` and
    `p_mpjpe_17` over all.
    """
    errors, both = {}, (centre(pred), centre(target))
    for ending, joints in (("", list(BODY_JOINTS)), ("_17", slice(None))):
        chosen = [pose[..., joints, :] for pose in both]
        errors |= {f"mpjpe{ending}": mpjpe(*chosen), f"p_mpjpe{ending}": p_mpjpe(*chosen)}
    return errors


def mpjve(pred: Array, target: Array) -> Array:
    """Velocity error (Pavllo et al. 2019): unit per frame, `[..., T, J, 3]` -> `[..., T - 1]`.

    Multiply by the frame rate for unit per second; it has no meaning without the frame rate.
    """
    return mpjpe(_difference(pred), _difference(target))


def acceleration_error(pred: Array, target: Array) -> Array:
    """Error of the second difference (Kanazawa et al. 2019): unit per frame², `[..., T - 2]`."""
    return mpjpe(_difference(_difference(pred)), _difference(_difference(target)))


def by_group(errors: np.ndarray, groups: Sequence[str] | np.ndarray, name: str) -> dict[str, float]:
    """Both conventions of averaging: over groups (actions), and plainly over frames.

    Args:
      errors: one number a frame, `[F]`.
      groups: the action of each frame, F strings.
      name: the metric's name, the prefix of the keys.

    Returns:
      `{name: mean over the groups' means, name + "_frames": mean over frames,
      name + "/" + group: mean of the group, ...}`.
    """
    if len(errors) == 0 or len(errors) != len(groups):
        raise ValueError(
            f"got {len(errors)} errors and {len(groups)} groups for {name}, "
            "expected the same number and at least one; is every frame skipped?"
        )
    labels = np.asarray(groups)
    means = {str(label): float(errors[labels == label].mean()) for label in np.unique(labels)}
    total = {name: float(np.mean(list(means.values()))), f"{name}_frames": float(errors.mean())}
    return total | {f"{name}/{label}": value for label, value in means.items()}


def top_k(scores: Array, labels: Array, k: int = 1) -> Array:
    """Whether the true class is among the k best. [N, K] scores, int [N] labels -> bool [N].

    A class of equal score counts as better: a net that answers the same for all is not right.
    """
    xp = _library(scores, labels)
    true = xp.take_along_axis(scores, labels[:, None], axis=-1)
    others = xp.arange(scores.shape[-1])[None] != labels[:, None]
    return ((scores >= true) & others).sum(axis=-1) < k


def nearest_exemplar(
    embeddings: np.ndarray, exemplars: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """The label of the exemplar of largest cosine similarity (one-shot recognition).

    Args:
      embeddings: [N, D] clips to name.
      exemplars: [E, D] known clips.
      labels: [E] their labels.

    Returns:
      [N] labels. Norms are clamped at 1e-8 as in torch's cosine_similarity.
    """
    if len(exemplars) != len(labels) or len(labels) == 0:
        raise ValueError(
            f"got {len(exemplars)} exemplars and {len(labels)} labels, expected as many, not none"
        )

    def unit(vectors: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors / np.maximum(length, 1e-8)

    return np.asarray(labels)[(unit(embeddings) @ unit(exemplars).T).argmax(axis=-1)]


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often class (row) was called class (column), int [K, K]."""
    pairs = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def wilson_interval(correct: float, total: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a share (Wilson 1927); z = 1.96 is 95 %. (0, 1) of no trial."""
    if total == 0:
        return 0.0, 1.0
    share, extra = correct / total, z * z / total
    centre = share + extra / 2
    spread = z * ((share * (1 - share) + extra / 4) / total) ** 0.5
    return (centre - spread) / (1 + extra), (centre + spread) / (1 + extra)


def h36m_protocol(
    pose: np.ndarray,
    frames: np.ndarray,
    size: np.ndarray,
    *,
    factor: np.ndarray,
    pose_mm: np.ndarray,
    action: Sequence[str] | np.ndarray,
    source: Sequence[str] | np.ndarray,
    skip: Sequence[str] = H36M_SKIPPED,
    root_relative: bool = True,
) -> dict[str, float]:
    """The Human3.6M protocol of the official evaluation, in mm (reference: train.evaluate).

    Each of N clips of T frames is scaled from normalised units to pixels and by each frame's factor
    to mm, and both sides are centred on the root. Frames repeated in one clip (resampled short
    videos) count once, the last one wins; frames shared by overlapping clips are averaged. Then
    mean per action, and mean over actions.

    Args:
      pose: predictions `[N, T, 17, 3]`, normalised by the image width (x, y and z alike).
      frames: which frame of the data set each one is, int `[N, T]`; -1 is not scored.
      size: width and height of each clip's camera in pixels, `[N, 2]`.
      factor: mm per pixel (2.5d_factor), `[N, T]`.
      pose_mm: the answers (joints_2.5d_image), `[N, T, 17, 3]`.
      action: the action of each clip, N strings.
      source: the video of each clip, N strings such as s_09_act_05_subact_02_ca_01.
      skip: videos left out, without the camera's ending.
      root_relative: the network answers relative to the root, so its own root counts as 0.

    Returns:
      For mpjpe, p_mpjpe and n_mpjpe: the mean over actions, `_frames` the mean over frames, and one
      entry an action (`by_group`). The official tables give the mean over actions.
    """
    _check_protocol(pose, frames, size, factor, pose_mm, action, source)
    if root_relative:
        pose = np.concatenate([np.zeros_like(pose[:, :, :1]), pose[:, :, 1:]], axis=2)
    kept = np.array([video_of(str(name)) not in skip for name in source], bool)
    unique, rows = np.unique(np.where(kept[:, None], frames, -1), return_inverse=True)
    rows = rows.reshape(frames.shape)
    total = {name: np.zeros(len(unique)) for name in ("mpjpe", "p_mpjpe", "n_mpjpe")}
    hits, actions = np.zeros(len(unique), int), np.full(len(unique), "", object)
    for clip in np.flatnonzero(kept).tolist():
        seen = frames[clip] >= 0
        ids = rows[clip, seen]
        # The offset of the denormalisation, (1, h / w), is gone after centring.
        to_mm = size[clip, 0] / 2 * factor[clip, seen, None, None].astype(np.float64)
        answer = centre(pose[clip, seen] * to_mm)
        truth = centre(pose_mm[clip, seen].astype(np.float64))
        # Assigning by repeated indices keeps the last value and counts once, as the official code.
        for name, measure in (("mpjpe", mpjpe), ("p_mpjpe", p_mpjpe), ("n_mpjpe", n_mpjpe)):
            total[name][ids] += measure(answer, truth)
        hits[ids] += 1
        actions[ids] = str(action[clip])
    groups = [str(group) for group in actions[hits > 0]]
    means = {name: errors[hits > 0] / hits[hits > 0] for name, errors in total.items()}
    scores = [by_group(errors, groups, name) for name, errors in means.items()]
    return {key: value for score in scores for key, value in score.items()}


def video_of(source: str) -> str:
    """The name of a Human3.6M recording without its camera: the ending `_ca_01` goes."""
    return source.rsplit("_ca_", 1)[0]


def _check_protocol(pose, frames, size, factor, pose_mm, action, source) -> None:
    """Refuses tables that do not belong together."""
    clips = pose.shape[:2]
    shapes = {
        "pose": (pose.shape, (*clips, 17, 3)),
        "frames": (frames.shape, clips),
        "size": (size.shape, (clips[0], 2)),
        "factor": (factor.shape, clips),
        "pose_mm": (pose_mm.shape, (*clips, 17, 3)),
        "action": ((len(action),), clips[:1]),
        "source": ((len(source),), clips[:1]),
    }
    for name, (got, expected) in shapes.items():
        if got != expected:
            raise ValueError(f"got {name} of shape {got}, expected {expected}, as pose {clips}")


def _library(*arrays: Array) -> ModuleType:
    """numpy when every array is numpy's, else jax.numpy."""
    return np if all(isinstance(array, np.ndarray) for array in arrays) else jnp


def _length(xp: ModuleType, vectors: Array) -> Array:
    return xp.sqrt(xp.sum(vectors * vectors, axis=-1))


def _difference(pose: Array) -> Array:
    """First difference over time of `[..., T, J, 3]`."""
    return pose[..., 1:, :, :] - pose[..., :-1, :, :]
