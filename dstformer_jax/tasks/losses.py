"""Loss terms, one pure function a term.

`pred` and `target` are [B, T, J, 3] (B clips, T frames, J joints). `mean(values, weight)` is the
reduction: by default the plain mean; the training loop passes one that is global over devices.
Norms are safe: where a difference is zero the gradient is zero, as in PyTorch.

The paper writes sums, the official code means; `config.task.reduction` chooses, and a sum is a
mean times the number of its terms (see `Lift3D`).

Source: paper eq. 6-8; official `lib/model/loss.py` (facts in docs/paper_map.md).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dstformer_jax.body.skeleton import H36M17

Array = jax.Array
Mean = Callable[..., Array]

# Pairs of limbs whose angle is compared; numbers count H36M17's limbs in order of the child.
ANGLE_PAIRS = np.array(
    [
        *[(0, 3), (0, 6), (3, 6), (0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 10)],
        *[(7, 13), (8, 13), (10, 13), (7, 8), (8, 9), (10, 11), (11, 12), (13, 14), (14, 15)],
    ]
)
LIMBS = np.array(H36M17.limbs)


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


def limb_lengths(pose: Array) -> Array:
    """Lengths of the 16 limbs. [B, T, J, 3] -> [B, T, 16], in the pose's unit."""
    return distance(limb_vectors(pose))


def limb_vectors(pose: Array) -> Array:
    """Parent minus child of every limb. [B, T, J, 3] -> [B, T, 16, 3]."""
    return pose[..., LIMBS[:, 0], :] - pose[..., LIMBS[:, 1], :]


def limb_variance(pred: Array, mean: Mean = plain_mean, valid: Array | None = None) -> Array:
    """Unbiased variance over time of predicted limb lengths; 0 for a single frame.

    Args:
      pred: [B, T, J, 3].
      valid: bool [B, T], frames that count; default all, as in the official loss_limb_var.
    """
    if pred.shape[1] <= 1:
        return jnp.zeros(())
    lengths = limb_lengths(pred)
    if valid is None:
        return mean(jnp.var(lengths, axis=1, ddof=1))
    counts = jnp.sum(valid, axis=1)[:, None]
    weight = valid[..., None].astype(lengths.dtype)
    centre = jnp.sum(lengths * weight, axis=1) / jnp.maximum(counts, 1)
    square = jnp.sum(weight * (lengths - centre[:, None]) ** 2, axis=1)
    return mean(square / jnp.maximum(counts - 1, 1), (counts > 1).astype(lengths.dtype))


def limb_length(pred: Array, target: Array, mean: Mean = plain_mean) -> Array:
    """L1 error of limb lengths; official loss_limb_gt."""
    return mean(jnp.abs(limb_lengths(pred) - limb_lengths(target)))


def angles(pose: Array) -> Array:
    """Angles in radians between the 18 limb pairs. [B, T, J, 3] -> [B, T, 18].

    Norms are clamped at 1e-8 and cosines at 1 - 1e-7, as in the official get_angles.
    """
    limbs = limb_vectors(pose)
    first, second = limbs[..., ANGLE_PAIRS[:, 0], :], limbs[..., ANGLE_PAIRS[:, 1], :]
    norms = jnp.maximum(distance(first), 1e-8) * jnp.maximum(distance(second), 1e-8)
    cosine = jnp.sum(first * second, axis=-1) / norms
    return jnp.arccos(jnp.clip(cosine, -1 + 1e-7, 1 - 1e-7))


def angle(pred: Array, target: Array, mean: Mean = plain_mean) -> Array:
    """L1 error of limb angles in radians; official loss_angle."""
    return mean(jnp.abs(angles(pred) - angles(target)))


def angle_velocity(pred: Array, target: Array, mean: Mean = plain_mean) -> Array:
    """L1 error of the change of limb angles; 0 for a single frame."""
    if pred.shape[1] <= 1:
        return jnp.zeros(())
    return mean(jnp.abs(jnp.diff(angles(pred), axis=1) - jnp.diff(angles(target), axis=1)))


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
