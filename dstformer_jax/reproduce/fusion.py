"""Figures 4 and 5: which stream a scratch-trained 3D pose network listens to."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data import pipeline
from dstformer_jax.inference import load
from dstformer_jax.reproduce.arms import Scale
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.report import Measure, Study, write_values
from dstformer_jax.training.checkpoint import has_checkpoint
from dstformer_jax.training.experiment import open_sources
from dstformer_jax.view.charts import heat_map

MODULE = 3  # the paper's third
MOST_ACTIONS = 15  # those with most frames
JOINTS = [name.replace("_", " ") for name in H36M17.names]


def figure4(scale: Scale, seeds: int) -> Study:
    """alpha_ST by action and joint."""
    return _study(scale, seeds, "Figure 4: weight of the S-T stream by action and joint")


def figure5(scale: Scale, seeds: int) -> Study:
    """alpha_ST's correlation over frames, joint by joint."""
    return _study(scale, seeds, "Figure 5: correlation of the S-T weights of two joints")


def _study(scale: Scale, seeds: int, title: str) -> Study:
    about = (
        f"{scale.about} alpha_ST of module {MODULE} (paper eq. 5) over every test frame, the "
        "mean of the seeds whose checkpoints are at hand; the table is their error."
    )
    cells = scale.pose(seeds)
    return Study(title, (scale.column,), {"from scratch": (Measure(cells, scale.metric),)}, about)


@lru_cache(maxsize=8)
def stream_weights(workdir: Path, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """alpha_ST of the third module on every test frame of a run.

    Returns:
      weights float [F, J] and the action of every frame, text [F].
    """
    model = load(workdir)
    alphas, actions = [], []
    for source in open_sources(model.info["config"]["eval"]["sources"], str(data)):
        batches, index = pipeline.evaluation(source, model.info["config"]["seed"])
        for batch in batches:
            real = batch["index"] >= 0
            alpha = model.fusion_weights(batch["motion"][real])[MODULE - 1, ..., 0]
            valid = batch["valid"][real]
            alphas.append(alpha[valid])
            names = index["action"][batch["index"][real]]
            actions.append(np.repeat(names, valid.sum(axis=1)))
    return np.concatenate(alphas), np.concatenate(actions)


def by_action(weights: np.ndarray, actions: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Mean weights [A, J] of the actions with most frames, and their names."""
    names = sorted(name for name, _ in Counter(actions.tolist()).most_common(MOST_ACTIONS))
    return names, np.stack([weights[actions == name].mean(axis=0) for name in names])


def correlation(weights: np.ndarray) -> np.ndarray:
    """Pearson correlation [J, J] over frames; 0 beside a joint whose weight never changes."""
    centred = weights - weights.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    scale = np.where(scale > 1e-9 * len(weights), scale, np.inf)
    return (centred / scale).T @ (centred / scale)


def draw_figure4(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Actions down, joints across; orange where the S-T stream weighs more than half."""
    found = _weights(study, grid)
    if not found:
        return None
    names = by_action(*found[0])[0]
    means = np.mean([by_action(*each)[1] for each in found], axis=0)
    _write_matrix(path, ("action", "joint", "alpha_st"), names, means)
    label = "alpha_ST (0.5: both streams alike)"
    return heat_map(means, names, JOINTS, path, label, study.title, middle=0.5)


def draw_figure5(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Joints against joints."""
    found = _weights(study, grid)
    if not found:
        return None
    label = "correlation of alpha_ST over frames"
    matrix = np.mean([correlation(weights) for weights, _ in found], axis=0)
    _write_matrix(path, ("joint", "other joint", "correlation"), JOINTS, matrix)
    return heat_map(matrix, JOINTS, JOINTS, path, label, study.title, middle=0.0, reach=1.0)


def _weights(study: Study, grid: Grid) -> list[tuple[np.ndarray, np.ndarray]]:
    """The weights of every finished seed whose checkpoint is here."""
    (entry,) = study.rows["from scratch"]
    assert isinstance(entry, Measure)
    done = [found.workdir for cell in entry.cells if (found := grid.result(cell))]
    return [stream_weights(each, grid.data) for each in done if has_checkpoint(each)]


def _write_matrix(
    path: Path, columns: tuple[str, str, str], rows: list[str], matrix: np.ndarray
) -> None:
    places = np.ndindex(*matrix.shape)
    write_values(path, columns, ((rows[i], JOINTS[j], f"{matrix[i, j]:.4f}") for i, j in places))
