"""2D motion -> 3D pose: pretraining and 3D pose estimation are this one task on other sources."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body.geometry import flip
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.tasks import losses, metrics
from dstformer_jax.tasks.base import Batch, Outputs, Reduce, Rows

PLATEAU = 0.9  # depth error over zero-depth error above which a net is called stuck

TERMS_3D: dict[str, Callable[..., jax.Array]] = {
    "mpjpe": losses.mpjpe,
    "velocity": losses.velocity,
    "n_mpjpe": losses.n_mpjpe,
    "limb_length": losses.limb_length,
    "angle": losses.angle,
    "angle_velocity": losses.angle_velocity,
}
OF_LIMBS = ("limb_length", "angle", "angle_velocity")  # terms that ask what hangs on what


@dataclass(frozen=True)
class Lift3D:
    """Lifts 2D motion to 3D pose.

    Args:
      terms: names of the loss terms to compute, those with a weight in the config.
      root_relative: targets are relative to the root of each frame, and the answer's root counts
        as 0; otherwise depth is relative to the first frame's root.
      plateau_after: steps after which a net without depth raises the plateau alarm.
      reduction: "mean" as the official code, "sum" over frames and joints as paper eq. 6-8.
      true_2d: the input's x and y take the place of the answer's before it is measured, as the
        official `gt_2d` does with true 2D input.
      skeleton: of the joints; set by `config.skeleton`.
    """

    terms: tuple[str, ...] = ("mpjpe", "velocity", "n_mpjpe", "reprojection")
    root_relative: bool = True
    reduction: str = "mean"
    plateau_after: int = 500
    true_2d: bool = False
    skeleton: Skeleton = H36M17
    head: str = "pose"
    best: tuple[str, str] = ("mpjpe", "min")

    def __post_init__(self) -> None:
        known = {*TERMS_3D, "limb_variance", "reprojection"}
        if unknown := sorted(set(self.terms) - known):
            raise ValueError(f"got weights.{unknown[0]}, expected one of {sorted(known)}")
        if self.reduction not in ("mean", "sum"):
            raise ValueError(
                f"got task.reduction={self.reduction!r}, expected mean (official) or sum (paper)"
            )

    @property
    def head_settings(self) -> dict[str, Any]:
        """The pose head needs none."""
        return {}

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """The pose head reads the representation alone."""
        del batch
        return {}

    def loss(
        self, outputs: Outputs, batch: Batch, supervision: str, reduce: Reduce
    ) -> dict[str, jax.Array]:
        """Named loss terms: paper eq. 6 and 7 for "3d" batches, eq. 8 for "2d" batches."""
        pred, target = outputs["pose"], self._relative(batch["target"], supervision)
        mean = self._mean(batch["valid"], reduce)
        if supervision == "2d":
            if "reprojection" not in self.terms:
                return {}
            confidence = self._confidence(batch["confidence"])
            return {"reprojection": losses.reprojection(pred, target, confidence, mean)}
        terms = {
            name: term(pred, target, mean, *((self.skeleton,) if name in OF_LIMBS else ()))
            for name, term in TERMS_3D.items()
            if name in self.terms
        }
        if "limb_variance" in self.terms:
            valid, joints = batch["valid"], self.skeleton
            terms["limb_variance"] = losses.limb_variance(pred, reduce.mean, valid, joints)
        return terms

    def _mean(self, valid: jax.Array, reduce: Reduce) -> losses.Mean:
        """The reduction over [B, T or T - 1, ...] values, without padded frames."""

        def mean(values: jax.Array, weight: jax.Array | None = None) -> jax.Array:
            scored = valid if values.shape[1] == valid.shape[1] else valid[:, 1:] & valid[:, :-1]
            scored = jnp.broadcast_to(scored[..., None], values.shape).astype(jnp.float32)
            if weight is not None:
                scored = scored * weight
            terms = values.shape[1] * values.shape[2] if self.reduction == "sum" else 1.0
            return reduce.mean(values, scored) * terms

        return mean

    def _relative(self, target: jax.Array, supervision: str) -> jax.Array:
        if self.root_relative:
            return target - target[..., :1, :]
        if supervision == "2d":
            return target
        depth = target[..., 2:] - target[:, :1, :1, 2:]
        return jnp.concatenate([target[..., :2], depth], axis=-1)

    def _confidence(self, confidence: jax.Array) -> jax.Array:
        """Confidence [B, T, J] of 2D targets; 0 in frames whose root was not seen."""
        return confidence * (confidence[..., :1] > 0) if self.root_relative else confidence

    def diagnose(
        self, outputs: Outputs, batch: Batch, supervision: str, reduce: Reduce
    ) -> dict[str, jax.Array]:
        """Watched, not trained on: depth error over the error of answering no depth at all."""
        if supervision != "3d":
            return {}
        pred, true = outputs["pose"][..., 2], self._relative(batch["target"], supervision)[..., 2]
        scored = jnp.broadcast_to(batch["valid"][..., None], true.shape).astype(jnp.float32)
        zero_depth = jnp.maximum(reduce.mean(jnp.abs(true), scored), 1e-9)
        ratio = reduce.mean(jnp.abs(pred - true), scored) / zero_depth
        return {"depth_ratio": jax.lax.stop_gradient(ratio)}

    def alarm(self, step: int, values: Mapping[str, float]) -> str | None:
        """Names the zero-depth plateau, on which a net answers x and y but no depth."""
        ratio = values.get("depth_ratio", 0.0)
        if step < self.plateau_after or ratio < PLATEAU:
            return None
        return (
            f"step {step}: depth error is {ratio:.2f} of answering no depth: the zero-depth "
            "plateau. Left and right are not told apart yet. More independent poses a step "
            "(short windows: a source with small frames and large batch in the first epochs), "
            "optim.name=muon, or an undecayed learning rate leave it sooner"
        )

    def measure(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
        """Rows of predicted and true pose, normalised, on the root the protocol asks for."""
        pred = outputs["pose"]
        if self.true_2d:
            seen = self._relative(batch["motion"], "2d")[..., :2]
            pred = jnp.concatenate([seen, pred[..., 2:]], axis=-1)
        if self.root_relative:
            pred = pred.at[..., 0, :].set(0.0)
        rows = {name: batch[name] for name in ("valid", "scale")}
        rows["confidence"] = self._confidence(batch["confidence"])
        relative = self._relative(batch["target"], "3d")
        return {"pose": pred, "target": relative, **rows}

    def summarise(self, rows: Rows, index: dict[str, Any]) -> dict[str, float]:
        """Metrics of one evaluation source, errors in mm (2D sources: pixels).

        Human3.6M sources (those with a `factor`) follow the official protocol; world mocap is
        scored frame by frame, root-relative, with the mean over frames, actions and rigs.
        """
        if str(index["supervision"]) == "2d":
            return _reprojection_errors(rows, index)
        if "factor" in index:
            return _h36m(rows, index, self.root_relative)
        return _mocap_errors(rows, index, self.skeleton)

    def mirror_input(self, batch: Batch) -> Batch:
        """The batch with its 2D motion seen in a mirror."""
        return {**batch, "motion": flip(batch["motion"], self.skeleton, jnp)}

    def mirror(self, outputs: Outputs) -> Outputs:
        """Brings the answer to a mirrored input back, of what flip averaging averages."""
        return {"pose": flip(outputs["pose"], self.skeleton, jnp)}


def _frame_errors(pred: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Root-relative errors of [B, T, J, 3]: [B, T]; [B, T - 1 or T - 2] for those over time."""
    pred, true = metrics.centre(pred), metrics.centre(true)
    return {
        "mpjpe": metrics.mpjpe(pred, true),
        "p_mpjpe": metrics.p_mpjpe(pred, true),
        "n_mpjpe": metrics.n_mpjpe(pred, true),
        "depth_error": np.abs(pred[..., 2] - true[..., 2]).mean(-1),
        "zero_depth": metrics.mpjpe(true * np.array([1, 1, 0]), true),
        **_motion_errors(pred, true),
    }


def _motion_errors(pred: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Errors of velocity [B, T - 1] and acceleration [B, T - 2], per frame, of centred poses."""
    return {
        "mpjve": metrics.mpjve(pred, true),
        "acceleration_error": metrics.acceleration_error(pred, true),
    }


def _means(
    errors: Mapping[str, np.ndarray], valid: np.ndarray, frames: np.ndarray
) -> dict[str, float]:
    """Means over the valid frames; over time only where frames [B, T] follow each other by one.

    What a source has no frames for (differences of resampled clips) is left out.
    """
    follows = np.diff(frames) == 1
    scored = (
        valid,
        valid[:, 1:] & follows,
        valid[:, 2:] & follows[:, 1:] & follows[:, :-1],
    )
    chosen = {
        name: values[scored[valid.shape[1] - values.shape[1]]] for name, values in errors.items()
    }
    return {name: float(values.mean()) for name, values in chosen.items() if values.size}


def _rate(index: dict[str, Any]) -> dict[str, float]:
    """The frame rate, without which errors per frame mean nothing; none when it is mixed."""
    rates = np.unique(index["fps"])
    return {"fps": float(rates[0])} if len(rates) == 1 else {}


def _mocap_errors(rows: Rows, index: dict[str, Any], skeleton: Skeleton) -> dict[str, float]:
    """Root-relative errors in mm over the valid frames; per action and rig where there are any.

    Of other skeletons than H36M17 also those of each joint, see `_joint_errors`.
    A source without a scale to mm (stored normalised) is measured in normalised units.
    """
    scale = np.where(rows["scale"] > 0, rows["scale"], 1).astype(np.float64)[:, None, None, None]
    errors = _frame_errors(rows["pose"] * scale, rows["target"] * scale)
    valid = rows["valid"]
    out = _means(errors, valid, index["frames"])
    out |= {"frames": float(valid.sum())} | _rate(index)
    if skeleton != H36M17:
        out |= _joint_errors(rows["pose"] * scale, rows["target"] * scale, valid, skeleton)
    for label in ("rig", "action"):
        groups: dict[str, list[np.ndarray]] = defaultdict(list)
        for group, clip, ok in zip(index[label], errors["mpjpe"], valid, strict=True):
            groups[str(group)].append(clip[ok])
        means = {k: float(np.concatenate(v).mean()) for k, v in sorted(groups.items()) if k}
        if len(means) > 1:
            out |= {f"mpjpe_{label}/{name}": value for name, value in means.items()}
            out[f"mpjpe_{label}_mean"] = float(np.mean(list(means.values())))
    return out


def _joint_errors(
    pred: np.ndarray, true: np.ndarray, valid: np.ndarray, skeleton: Skeleton
) -> dict[str, float]:
    """`mpjpe_joint/NAME` of each joint of [B, T, J, 3], and the means of two parts of them.

    `mpjpe_h36m17` over those that H36M17 has, `mpjpe_added` over those that it lacks.
    """
    errors = np.linalg.norm(metrics.centre(pred) - metrics.centre(true), axis=-1)[valid].mean(0)
    joints = dict(zip(skeleton.names, errors.tolist(), strict=True))
    out = {f"mpjpe_joint/{name}": error for name, error in joints.items()}
    for part, is_known in (("h36m17", True), ("added", False)):
        some = [error for name, error in joints.items() if (name in H36M17.names) == is_known]
        if some:
            out[f"mpjpe_{part}"] = float(np.mean(some))
    return out


def _reprojection_errors(rows: Rows, index: dict[str, Any]) -> dict[str, float]:
    """Confidence-weighted 2D error of root-relative x and y, normalised; in pixels where known."""
    error = np.linalg.norm((rows["pose"] - rows["target"])[..., :2], axis=-1)
    weight = rows["confidence"] * rows["valid"][..., None]
    total = max(float(weight.sum()), 1e-12)
    out = {"reprojection": float((error * weight).sum() / total)}
    if rows["scale"].any():
        pixels = error * rows["scale"][:, None, None]
        out["reprojection_px"] = float((pixels * weight).sum() / total)
    return out | {"frames": float(rows["valid"].sum())} | _rate(index)


def _h36m(rows: Rows, index: dict[str, Any], root_relative: bool) -> dict[str, float]:
    """The Human3.6M protocol of the official evaluation (reference 4), and errors over time."""
    official = metrics.h36m_protocol(
        rows["pose"],
        np.where(index["valid"], index["frames"], -1),
        index["size"],
        factor=index["factor"],
        pose_mm=index["pose_mm"],
        action=index["action"],
        source=index["sequence"],
        root_relative=root_relative,
    )
    names = [metrics.video_of(str(name)) for name in index["sequence"]]
    valid = index["valid"] & ~np.isin(names, metrics.H36M_SKIPPED)[:, None]
    to_mm = index["size"][:, :1] / 2 * index["factor"].astype(np.float64)
    pred = metrics.centre(rows["pose"] * to_mm[..., None, None])
    moving = _motion_errors(pred, metrics.centre(index["pose_mm"].astype(np.float64)))
    count = {"frames": float(len(np.unique(index["frames"][valid])))}
    return official | _means(moving, valid, index["frames"]) | count | _rate(index)
