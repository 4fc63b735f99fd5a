"""Recognition without training: the nearest clip by its normalised 2D motion.

What the network sees is what is compared: the same clips, resampled to the same T, cropped the
same way and seen by the cameras of the test. Each clip is centred and brought to unit length, so
that the cosine of two clips is the correlation of their coordinates.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dstformer_jax.data import pipeline
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.tasks import oneshot
from dstformer_jax.tasks.metrics import nearest_exemplar


class Score(NamedTuple):
    """Clips named right (views count in part), and all of them."""

    right: float
    clips: float


def nearest_score(cell: Cell, data: Path) -> Score:
    """How many test clips have a training clip of their class nearest.

    The one source of the cell's configuration and its one test source are compared; training
    clips are seen from every fixed view of the test, of which the network is not told.
    """
    return _nearest_score(cell, data)


@lru_cache
def _nearest_score(cell: Cell, data: Path) -> Score:
    known, tested = _opened(cell, data)
    motion, labels, _ = clips(known)
    queries, truth, index = clips(tested)
    predicted = nearest_exemplar(normalised(queries), normalised(motion), labels)
    count = float(len(np.unique(index["window"])))
    return Score(float((predicted == truth).mean()) * count, count)


def one_shot_nearest(cell: Cell, data: Path) -> dict[str, float]:
    """`oneshot.one_shot_scores` with the 2D motion itself for an embedding."""
    _, tested = _opened(cell, data)
    motion, labels, index = clips(tested)
    settings = cell.settings["task"]
    sets = oneshot.random_exemplars(labels, settings["draws"])
    return oneshot.one_shot_scores(normalised(motion), labels, index["action"], sets)


def normalised(motion: np.ndarray) -> np.ndarray:
    """Clips as unit vectors: [N, P, T, J, C] with x, y first -> [N, P * T * J * 2]."""
    points = motion[..., :2].reshape(len(motion), -1, 2)
    points = (points - points.mean(axis=1, keepdims=True)).reshape(len(motion), -1)
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-8)


def clips(data: SourceData) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Every clip from every fixed view: input [N, ...], labels [N], and what each row is."""
    batches, index = pipeline.evaluation(data)
    rows = [batch["motion"][batch["index"] >= 0] for batch in batches]
    return np.concatenate(rows), index["label"], index


def _opened(cell: Cell, data: Path) -> tuple[SourceData, SourceData]:
    """The training clips, seen as the test sees, and the test clips."""
    settings = cell.settings
    known, tested = (_only(part) for part in (settings["sources"], settings["eval"]["sources"]))
    seen = dataclasses.replace(
        tested,
        dataset=known.dataset,
        split=known.split,
        limit_per_class=known.limit_per_class,
        limit_seed=known.limit_seed,
    )
    return SourceData.open(seen, data), SourceData.open(tested, data)


def _only(sources: dict[str, Any]) -> Source:
    ((name, settings),) = sources.items()
    return Source.from_config({"name": name, **settings})
