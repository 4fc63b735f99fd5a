"""Hand-made batches and answers of the lifting task."""

import jax.numpy as jnp
import numpy as np

from dstformer_jax.tasks.lift3d import Lift3D


def make_batch(clips: int = 4, frames: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (clips, frames, 17)
    return {
        "motion": rng.uniform(-1, 1, (*shape, 3)).astype(np.float32),
        "target": rng.normal(0, 0.5, (*shape, 3)).astype(np.float32),
        "confidence": rng.uniform(0.1, 1, shape).astype(np.float32),
        "valid": np.ones(shape[:2], bool),
        "scale": rng.uniform(800, 1200, clips).astype(np.float32),
    }


def make_pose(batch: dict[str, np.ndarray], error: float = 0.1) -> np.ndarray:
    noise = np.random.default_rng(9).normal(0, error, batch["target"].shape)
    return (batch["target"] + noise).astype(np.float32)


def with_padding(batch, pose):
    """The last two frames of half of the clips become repetitions that do not count."""
    batch = {**batch, "valid": batch["valid"].copy(), "target": batch["target"].copy()}
    batch["valid"][::2, -2:] = False
    batch["target"][::2, -2:] = batch["target"][::2, -3:-2]
    return batch, pose


def make_rows(task: Lift3D, batch, pose) -> dict[str, np.ndarray]:
    rows = task.measure({"pose": jnp.asarray(pose)}, {k: jnp.asarray(v) for k, v in batch.items()})
    return {name: np.asarray(row) for name, row in rows.items()}


def make_index(clips: int = 4, frames: int = 6, supervision: str = "3d", **facts):
    index = {
        "supervision": np.array(supervision),
        "frames": np.arange(clips * frames).reshape(clips, frames),
        "fps": np.full(clips, 30.0),
        "action": np.full(clips, ""),
        "rig": np.full(clips, ""),
        "valid": np.ones((clips, frames), bool),
    }
    return {**index, **{name: np.asarray(fact) for name, fact in facts.items()}}
