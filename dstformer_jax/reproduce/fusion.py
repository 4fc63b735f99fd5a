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
from dstformer_jax.reproduce.figures import first_finished
from dstformer_jax.reproduce.report import Measure, Study
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
        f"{scale.about} alpha_ST of module {MODULE} (paper eq. 5), first seed, over every test "
        "frame; the table is the error of the network that is looked into."
    )
    cells = scale.pose(seeds)[:1]
    return Study(title, (scale.column,), {"from scratch": (Measure(cells, scale.metric),)}, about)


@lru_cache(maxsize=1)
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
    if found is None:
        return None
    names, means = by_action(*found)
    label = "alpha_ST (0.5: both streams alike)"
    return heat_map(means, names, JOINTS, path, label, study.title, middle=0.5)


def draw_figure5(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Joints against joints."""
    found = _weights(study, grid)
    if found is None:
        return None
    label = "correlation of alpha_ST over frames"
    matrix = correlation(found[0])
    return heat_map(matrix, JOINTS, JOINTS, path, label, study.title, middle=0.0, reach=1.0)


def _weights(study: Study, grid: Grid) -> tuple[np.ndarray, np.ndarray] | None:
    (entry,) = study.rows["from scratch"]
    assert isinstance(entry, Measure)
    workdir = first_finished(entry.cells, grid)
    return stream_weights(workdir, grid.data) if workdir else None
