"""Loss terms, one pure function a term.

`pred` and `target` are [B, T, J, 3] (B clips, T frames, J joints). `mean(values, weight)` is the
reduction: by default the plain mean; the training loop passes one that is global over devices.
Norms are safe: where a difference is zero the gradient is zero, as in PyTorch.

The paper writes sums, the official code means; `config.task.reduction` chooses, and a sum is a
mean times the number of its terms (see `Lift3D`).

Source: paper eq. 6-8; official `lib/model/loss.py` (facts in docs/paper_map.md).
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dstformer_jax.body.skeleton import H36M17, Skeleton

Array = jax.Array
Mean = Callable[..., Array]

# Pairs of H36M17's limbs whose angle is compared; numbers count them in order of the child.
ANGLE_PAIRS = np.array(
    [
        *[(0, 3), (0, 6), (3, 6), (0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 10)],
        *[(7, 13), (8, 13), (10, 13), (7, 8), (8, 9), (10, 11), (11, 12), (13, 14), (14, 15)],
    ]
)


def plain_mean(values: Array, weight: Array | None = None) -> Array:
    """Mean over every axis; with `weight` (broadcastable) the weighted mean, 0 if all are 0."""
    if weight is None:
        return jnp.mean(values)
    weight = jnp.broadcast_to(weight, values.shape)
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1e-12)


def distance(difference: Array) -> Array:
    """Euclidean norm over the last axis with gradient 0 at 0. [..., C] -> [...]."""
    return optax.safe_norm(difference, 0.0, axis=-1)


def mpjpe(pred: Array, target: Array, mean: Mean = plain_mean) -> Array:
    """Mean per-joint position error, paper eq. 6 as a mean; official loss_mpjpe."""
    return mean(distance(pred - target))


def weighted_mpjpe(pred: Array, target: Array, weight: Array, mean: Mean = plain_mean) -> Array:
    """Mean of weight * distance; weight broadcasts to [B, T, J]. Official weighted_mpjpe."""
    error = distance(pred - target)
    return mean(jnp.broadcast_to(weight, error.shape) * error)


def n_mpjpe(pred: Array, target: Array, mean: Mean = plain_mean) -> Array:
    """MPJPE after the best scale of each frame; official n_mpjpe.

    The scale of a frame whose prediction is all zero is 0 instead of the official 0 / 0.
    """
    square = jnp.sum(pred * pred, axis=(-2, -1), keepdims=True)
    product = jnp.sum(pred * target, axis=(-2, -1), keepdims=True)
    scale = jnp.where(square > 0, product / jnp.where(square > 0, square, 1.0), 0.0)
    return mean(distance(scale * pred - target))


def velocity(pred: Array, target: Array, mean: Mean = plain_mean) -> Array:
    """Error of the frame-to-frame motion, paper eq. 7 as a mean; 0 for a single frame."""
    if pred.shape[1] <= 1:
        return jnp.zeros(())
    return mean(distance(jnp.diff(pred, axis=1) - jnp.diff(target, axis=1)))


def reprojection(pred: Array, target: Array, confidence: Array, mean: Mean = plain_mean) -> Array:
    """Confidence-weighted 2D error under orthographic projection, paper eq. 8 as a mean.

    Args:
      pred, target: [B, T, J, 2 or 3], of which x and y are compared.
      confidence: [B, T, J] or [B, T, J, 1]. Joints of confidence 0 stay in the denominator,
        as in the official loss_2d_weighted.
    """
    difference = (pred - target)[..., :2]
    if confidence.ndim == difference.ndim - 1:
        confidence = confidence[..., None]
    return mean(distance(difference * confidence))


def limb_lengths(pose: Array, skeleton: Skeleton = H36M17) -> Array:
    """Lengths of the J - 1 limbs (16 of H36M17). [B, T, J, 3] -> [B, T, J - 1]."""
    return distance(limb_vectors(pose, skeleton))


def limb_vectors(pose: Array, skeleton: Skeleton = H36M17) -> Array:
    """Parent minus child of every limb. [B, T, J, 3] -> [B, T, J - 1, 3]."""
    limbs = np.array(skeleton.limbs)
    return pose[..., limbs[:, 0], :] - pose[..., limbs[:, 1], :]


def limb_variance(
    pred: Array,
    mean: Mean = plain_mean,
    valid: Array | None = None,
    skeleton: Skeleton = H36M17,
) -> Array:
    """Unbiased variance over time of predicted limb lengths; 0 for a single frame.

    Args:
      pred: [B, T, J, 3].
      valid: bool [B, T], frames that count; default all, as in the official loss_limb_var.
    """
    if pred.shape[1] <= 1:
        return jnp.zeros(())
    lengths = limb_lengths(pred, skeleton)
    if valid is None:
        return mean(jnp.var(lengths, axis=1, ddof=1))
    counts = jnp.sum(valid, axis=1)[:, None]
    weight = valid[..., None].astype(lengths.dtype)
    centre = jnp.sum(lengths * weight, axis=1) / jnp.maximum(counts, 1)
    square = jnp.sum(weight * (lengths - centre[:, None]) ** 2, axis=1)
    return mean(square / jnp.maximum(counts - 1, 1), (counts > 1).astype(lengths.dtype))


def limb_length(
    pred: Array, target: Array, mean: Mean = plain_mean, skeleton: Skeleton = H36M17
) -> Array:
    """L1 error of limb lengths; official loss_limb_gt."""
    return mean(jnp.abs(limb_lengths(pred, skeleton) - limb_lengths(target, skeleton)))


@lru_cache(maxsize=8)
def angle_pairs(skeleton: Skeleton) -> np.ndarray:
    """Pairs of limbs whose angle is compared, int [K, 2]; limbs count in order of the child.

    Those of H36M17, as far as the skeleton has their joints, and each joint that H36M17 lacks: its
    limb with the one above it.
    """
    limbs = {skeleton.names[child]: limb for limb, (_, child) in enumerate(skeleton.limbs)}
    ends = [[H36M17.names[H36M17.limbs[limb][1]] for limb in pair] for pair in ANGLE_PAIRS]
    shared = [(limbs[a], limbs[b]) for a, b in ends if a in limbs and b in limbs]
    added = [
        (limbs[skeleton.names[parent]], limbs[skeleton.names[child]])
        for parent, child in skeleton.limbs
        if skeleton.names[child] not in H36M17.names and skeleton.parents[parent] >= 0
    ]
    return np.array(shared + added)


def angles(pose: Array, skeleton: Skeleton = H36M17) -> Array:
    """Angles in radians between the K limb pairs (18 of H36M17). [B, T, J, 3] -> [B, T, K].

    Norms are clamped at 1e-8 and cosines at 1 - 1e-7, as in the official get_angles.
    """
    limbs, pairs = limb_vectors(pose, skeleton), angle_pairs(skeleton)
    first, second = limbs[..., pairs[:, 0], :], limbs[..., pairs[:, 1], :]
    norms = jnp.maximum(distance(first), 1e-8) * jnp.maximum(distance(second), 1e-8)
    cosine = jnp.sum(first * second, axis=-1) / norms
    return jnp.arccos(jnp.clip(cosine, -1 + 1e-7, 1 - 1e-7))


def angle(
    pred: Array, target: Array, mean: Mean = plain_mean, skeleton: Skeleton = H36M17
) -> Array:
    """L1 error of limb angles in radians; official loss_angle."""
    return mean(jnp.abs(angles(pred, skeleton) - angles(target, skeleton)))


def angle_velocity(
    pred: Array, target: Array, mean: Mean = plain_mean, skeleton: Skeleton = H36M17
) -> Array:
    """L1 error of the change of limb angles; 0 for a single frame."""
    if pred.shape[1] <= 1:
        return jnp.zeros(())
    turned = jnp.diff(angles(pred, skeleton), axis=1)
    return mean(jnp.abs(turned - jnp.diff(angles(target, skeleton), axis=1)))


def cross_entropy(logits: Array, labels: Array, mean: Mean = plain_mean) -> Array:
    """Cross-entropy of class scores [B, K] against int labels [B], without smoothing."""
    return mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def supervised_contrastive(
    features: Array,
    labels: Array | None = None,
    temperature: float = 0.1,
    base_temperature: float = 0.07,
) -> Array:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2), the one-shot task's.

    Every vector is an anchor, the others of its label are its positives. An anchor without a
    positive contributes nothing (the official code gives 0 / 0); no anchor at all gives 0.

    Args:
      features: unit vectors [N, D], or [N, V, D] with V views of each sample.
      labels: int [N]; None: only the views of the same sample are positives (SimCLR).
      temperature: divides the similarities.
      base_temperature: the loss is multiplied by temperature / base_temperature; 0.07 is the
        official code's, equal to `temperature` is the paper's plain loss.
    """
    samples = features.shape[0]
    views = features.shape[1] if features.ndim == 3 else 1
    flat = features.reshape(samples * views, features.shape[-1])
    owners = jnp.arange(samples) if labels is None else labels
    owners = jnp.repeat(owners, views)
    others = 1.0 - jnp.eye(len(flat), dtype=jnp.float32)
    positive = (owners[:, None] == owners[None, :]).astype(jnp.float32) * others
    logits = (flat @ flat.T).astype(jnp.float32) / temperature
    logits = logits - jax.lax.stop_gradient(logits.max(axis=1, keepdims=True))
    # A batch of one vector has no other: its sum is 0, and its logarithm must stay finite.
    total = (jnp.exp(logits) * others).sum(axis=1, keepdims=True)
    log_share = logits - jnp.log(jnp.maximum(total, jnp.finfo(jnp.float32).tiny))
    counts = positive.sum(axis=1)
    each = (positive * log_share).sum(axis=1) / jnp.maximum(counts, 1.0)
    anchors = (counts > 0).astype(jnp.float32)
    loss = -each.sum() / jnp.maximum(anchors.sum(), 1.0)
    return loss * (temperature / base_temperature)
