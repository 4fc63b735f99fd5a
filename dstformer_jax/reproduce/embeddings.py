"""Figure 6: where the clips of novel classes lie, by the cosine distance of their embeddings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import jax
import numpy as np

from dstformer_jax.data import pipeline
from dstformer_jax.reproduce.arms import Scale
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.figures import first_finished
from dstformer_jax.reproduce.recognition import (
    ARMS,
    NO_WEIGHTS,
    encoder,
    one_shot_cells,
    one_shot_source,
)
from dstformer_jax.reproduce.report import Entry, Measure, Study
from dstformer_jax.tasks.oneshot import exemplar_ids, random_exemplars
from dstformer_jax.training import checkpoint, state
from dstformer_jax.training.experiment import build
from dstformer_jax.view.charts import Cloud, clouds


def figure6(scale: Scale, seeds: int) -> Study:
    """One-shot embeddings from scratch and finetuned."""
    del seeds
    rows: dict[str, tuple[Entry, ...]] = {}
    for label, how in list(ARMS.items())[:2]:
        if how != "scratch" and encoder(scale, 0) is None:
            rows[label] = (NO_WEIGHTS,)
            continue
        cells = one_shot_cells(scale, how, 1)
        rows[label] = (Measure(cells, f"eval/{one_shot_source(scale)}/top1", times=100),)
    about = (
        "Clips of novel classes on the plane that keeps their cosine distances best (classical "
        "scaling), first seed; diamonds are one set of exemplars. The table is one-shot top-1 in "
        "percent, over all sets."
    )
    return Study("Figure 6: cosine distances of one-shot embeddings", ("top-1, %",), rows, about)


def draw_figure6(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """A panel for each arm that is finished."""
    del scale
    panels = {}
    for label, (entry,) in study.rows.items():
        workdir = first_finished(entry.cells, grid) if isinstance(entry, Measure) else None
        if workdir:
            vectors, names, exemplars = novel_clips(workdir, grid.data)
            points, kept = plane(vectors)
            panels[f"{label} ({100 * kept:.0f} % kept)"] = Cloud(points, names, exemplars)
    return clouds(panels, path, study.title) if panels else None


@lru_cache(maxsize=4)
def novel_clips(workdir: Path, data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of a finished run's test clips.

    Returns:
      vectors [N, D], names of their classes [N], rows of one set of exemplars.
    """
    given, info = checkpoint.restore_params(workdir)
    config = info["config"]
    experiment = build({**config, "data": {**config["data"], "path": str(data)}})
    variables, _ = state.transplant(experiment.shapes, given)
    network, task = experiment.network, experiment.task
    embed = jax.jit(lambda batch: network.apply(variables, batch["motion"], **task.inputs(batch)))
    (source,) = experiment.tests.values()
    batches, index = pipeline.evaluation(source, config["seed"])
    rows = [
        np.asarray(
            embed({k: v for k, v in batch.items() if k in ("motion", "present")})[task.head]
        )[batch["index"] >= 0]
        for batch in batches
    ]
    chosen = np.flatnonzero(np.isin(index["sequence"], exemplar_ids(task.exemplars)))
    if not len(chosen):
        chosen = random_exemplars(index["label"], 1)[0]
    return np.concatenate(rows), index["action"], chosen


def plane(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Points of a plane whose distances are those of the directions of vectors, as well as can be.

    Classical scaling: half the squared distance of two unit vectors is their cosine distance, so
    the axes are the first principal axes of the unit vectors.

    Args:
      vectors: [N, D].

    Returns:
      points [N, 2], and the share of the sum of squared distances that the plane keeps.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-8)
    left, size, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    kept = float((size[:2] ** 2).sum() / max((size**2).sum(), 1e-12))
    return left[:, :2] * size[:2], kept
