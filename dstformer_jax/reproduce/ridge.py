"""What per-frame regression can do: ridge on random Fourier features, under the tests' protocol.

Rahimi and Recht 2007, "Random features for large-scale kernel machines". The pose of a frame from
its x, y and confidence alone; what a network of motion must clearly beat.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dstformer_jax.data import pipeline
from dstformer_jax.training.experiment import Experiment

FEATURES = 2048
WIDTHS = (0.5, 1.0, 2.0)  # of the kernel, in typical distances between two frames
PENALTIES = (1e-5, 1e-3, 1e-1)  # of the features' variance
BATCHES = 50  # that are fitted: about a quarter of a million frames
SEED = 0


@dataclass(frozen=True)
class Ridge:
    """Stands in for a network: `weights` [D + 1, 51] of features of a frame's [51] numbers.

    directions [51, D] and phases [D] of the features; D = 0: the numbers themselves.
    """

    directions: np.ndarray
    phases: np.ndarray
    weights: np.ndarray

    def apply(self, variables: Any, motion: Any, train: bool, **_: Any) -> dict[str, Any]:
        """The pose [B, T, 17, 3] of motion [B, T, 17, 3], as a network answers."""
        del variables, train
        frames = motion.reshape(-1, motion.shape[-2] * 3)
        pose = features(frames, self.directions, self.phases, jnp) @ self.weights
        return {"pose": pose.reshape(motion.shape)}


def features(frames: Any, directions: np.ndarray, phases: np.ndarray, xp: Any = np) -> Any:
    """Cosines of projections [N, D], or the frames [N, 51] themselves; and 1."""
    known = xp.cos(frames @ directions + phases) if directions.shape[1] else frames
    return xp.concatenate([known, xp.ones((len(frames), 1), xp.float32)], axis=1)


def fit_ridge(experiment: Experiment, linear: bool = False) -> Ridge:
    """The best of several kernel widths and penalties by a tenth of the training batches.

    Frames are those that the experiment trains on: its sources, corruption, layouts, lenses.
    """
    rng = np.random.default_rng(SEED)
    batches = [_frames(batch) for batch in _some(experiment)]
    held, used = batches[::10], [each for n, each in enumerate(batches) if n % 10]
    typical = _typical_distance(np.concatenate([inputs for inputs, _ in used[:20]]), rng)
    best, lowest = None, np.inf
    for width in (np.inf,) if linear else WIDTHS:
        count = 0 if linear else FEATURES
        directions = rng.normal(size=(used[0][0].shape[1], count)) / (width * typical)
        phases = rng.uniform(0, 2 * np.pi, count)
        maps = directions.astype(np.float32), phases.astype(np.float32)
        for weights in _solved(used, maps):
            ridge = Ridge(*maps, weights)
            error = _error(ridge, held)
            if error < lowest:
                best, lowest = ridge, error
    assert best is not None
    return best


def _some(experiment: Experiment) -> Iterable[dict[str, np.ndarray]]:
    """The first batches of the plan, corrupted here."""
    made = pipeline.batches(experiment.plan, experiment.data, feed="numpy", corrupt_on="host")
    for number, (_, batch) in enumerate(made):
        if number == BATCHES:
            return
        yield batch


def _frames(batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Real frames of a batch: inputs [N, 51] and root-relative poses [N, 51]."""
    real = batch["valid"]
    target = batch["target"] - batch["target"][..., :1, :]
    inputs, targets = (each[real].reshape(real.sum(), -1) for each in (batch["motion"], target))
    return inputs, targets


def _typical_distance(frames: np.ndarray, rng: np.random.Generator) -> float:
    pairs = rng.integers(len(frames), size=(2, 2000))
    return float(np.median(np.linalg.norm(frames[pairs[0]] - frames[pairs[1]], axis=1)))


def _solved(
    batches: list[tuple[np.ndarray, np.ndarray]], maps: tuple[np.ndarray, np.ndarray]
) -> Iterable[np.ndarray]:
    """Weights by the normal equations, of each penalty."""
    gram, cross, count = 0.0, 0.0, 0
    for inputs, targets in batches:
        known = features(inputs, *maps)
        gram, cross = gram + (known.T @ known).astype(np.float64), cross + known.T @ targets
        count += len(inputs)
    gram = np.asarray(gram) / count
    scale = np.trace(gram) / len(gram)
    for penalty in PENALTIES:
        matrix = gram + penalty * scale * np.eye(len(gram))
        yield np.linalg.solve(matrix, np.asarray(cross) / count).astype(np.float32)


def _error(ridge: Ridge, batches: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean distance of joints, normalised."""
    errors = []
    for inputs, targets in batches:
        apart = features(inputs, ridge.directions, ridge.phases) @ ridge.weights - targets
        errors.append(np.linalg.norm(apart.reshape(len(apart), -1, 3), axis=-1).mean())
    return float(np.mean(errors))
