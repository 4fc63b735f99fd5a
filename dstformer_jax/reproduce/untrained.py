"""What trained bodies are compared with: the mean body, and initial answers that are filtered."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.model import BodyModel
from dstformer_jax.body.smoothing import one_euro, savitzky_golay
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.sources import SourceData
from dstformer_jax.models.heads_mesh import Prediction, prediction
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.report import Computed
from dstformer_jax.tasks import metrics
from dstformer_jax.training import experiment
from dstformer_jax.training.evaluate import Evaluator
from dstformer_jax.training.parallel import Jit

Filter = Callable[[np.ndarray, float], np.ndarray]  # of [T, ...] and its frames a second
SEQUENCES = 12  # of training people, on which the settings of filters are chosen


def _golay(values: np.ndarray, fps: float, window: int, order: int) -> np.ndarray:
    del fps  # windows are frames
    return savitzky_golay(values, window, order)


def _kept(values: np.ndarray, fps: float) -> np.ndarray:
    del fps
    return values


FILTERS: dict[str, tuple[Filter, ...]] = {
    "initial answer": (_kept,),
    "Savitzky-Golay": tuple(
        partial(_golay, window=window, order=order) for window in (5, 9, 17, 33) for order in (1, 2)
    ),
    "one-euro": tuple(
        partial(one_euro, min_cutoff=cutoff, beta=beta)
        for cutoff in (0.5, 1.0, 2.0, 4.0)
        for beta in (0.0, 1.0, 4.0)
    ),
}
MEAN, TURNED = "mean body", "mean body, turned as the true one"


@dataclass(frozen=True)
class Untrained(Computed):
    """An error of a method that learns nothing, on the test source of a cell of the mesh task.

    method: MEAN | TURNED | one of FILTERS. Filters see whole sequences of rotations as matrices;
    their settings are those of the smallest joint error on people of the training split.
    """

    cell: Cell
    method: str
    metric: str

    def metrics(self, grid: Grid) -> Mapping[str, float] | None:
        """Those of `untrained_errors`."""
        missing = grid.missing([self.cell])
        return None if missing else untrained_errors(self.cell, grid.data, self.method)


@lru_cache
def untrained_errors(cell: Cell, data: Path, method: str) -> Mapping[str, float]:
    """Every metric of a method, `eval/<source>/<metric>`."""
    settings = copy.deepcopy(cell.settings)
    settings["data"]["path"] = str(data)
    settings["task"]["body"] = str(data / Path(settings["task"]["body"]).name)
    run = experiment.build(settings)
    tests, answer = run.tests, _Initial()
    if method == MEAN:
        answer = _Mean(run.task.mean_pose, run.task.mean_shape)
    elif method == TURNED:
        tests = {name: _with(item, _turned(item, run)) for name, item in tests.items()}
    else:
        best = _best(FILTERS[method], run)
        tests = {
            name: _with(item, _filtered(item, run.task.body_model, best))
            for name, item in tests.items()
        }
    evaluate = Evaluator(answer, run.task, tests, Jit(), flip=False)
    return evaluate({}) or {}


class _Initial:
    """Stands in for a network: what a refiner starts from."""

    def apply(
        self, variables: Any, motion: jax.Array, train: bool, *, initial: Any, initial_beta: Any
    ) -> Prediction:
        del variables, motion, train
        return prediction(initial, initial_beta)


@dataclass(frozen=True)
class _Mean:
    """Stands in for a network: one body for all frames."""

    pose: tuple[float, ...]
    shape: tuple[float, ...]

    def apply(self, variables: Any, motion: jax.Array, train: bool, **inputs: Any) -> Prediction:
        del variables, train, inputs
        means = jnp.asarray(self.pose), jnp.asarray(self.shape)
        return prediction(*(jnp.broadcast_to(m, (*motion.shape[:2], len(m))) for m in means))


def _with(item: SourceData, initial: tuple[np.ndarray, np.ndarray]) -> SourceData:
    """The source with other initial answers: axis-angles [F, 3 B] and shapes [F, S]."""
    names = ("initial_theta", "initial_beta")
    arrays = dict(zip(names, (each.astype(np.float32) for each in initial), strict=True))
    return dataclasses.replace(item, bank=dataclasses.replace(item.bank, **arrays))


def _turned(item: SourceData, run: experiment.Experiment) -> tuple[np.ndarray, np.ndarray]:
    """The mean body, with the true rotation of its root."""
    theta = np.array(item.bank.theta)
    mean = rotations.from_six(np.reshape(run.task.mean_pose, (-1, 6)))
    theta[:, 3:] = rotations.to_vector(mean)[1:].reshape(-1)
    return theta, np.tile(run.task.mean_shape, (len(theta), 1))


def _filtered(item: SourceData, body: BodyModel, smooth: Filter) -> tuple[np.ndarray, np.ndarray]:
    """Initial answers, every sequence filtered."""
    pieces = [_smooth(*piece, smooth) for piece in _pieces(item.bank, body)]
    vectors = [rotations.to_vector(turns).reshape(len(turns), -1) for turns, _ in pieces]
    return np.concatenate(vectors), np.concatenate([shape for _, shape in pieces])


def _smooth(
    turns: np.ndarray, shape: np.ndarray, fps: float, smooth: Filter
) -> tuple[np.ndarray, np.ndarray]:
    return rotations.nearest(smooth(turns, fps)), smooth(shape, fps)


def _pieces(bank: Bank, body: BodyModel) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Initial rotations [T, B, 3, 3] and shape [T, S] of every sequence, and its rate."""
    for row in bank.sequences:
        rows = slice(row["start"], row["start"] + row["frames"])
        theta = np.asarray(bank.initial_theta[rows], np.float64)
        turns = rotations.to_matrix(theta.reshape(len(theta), body.num_bones, 3))
        yield turns, np.asarray(bank.initial_beta[rows], np.float64), row["fps"]


def _best(filters: tuple[Filter, ...], run: experiment.Experiment) -> Filter:
    """The filter of the smallest joint error on sequences of the training source."""
    if len(filters) == 1:
        return filters[0]
    (item,) = run.data
    bank, body = item.bank, run.task.body_model
    chosen = np.unique(np.linspace(0, len(bank.sequences) - 1, SEQUENCES).astype(int))
    some = dataclasses.replace(bank, sequences=tuple(bank.sequences[i] for i in chosen))
    guessed = list(_pieces(some, body))
    truth = list(
        _pieces(dataclasses.replace(some, initial_theta=bank.theta, initial_beta=bank.beta), body)
    )
    goals = [body.joint_body.joints(turns, shape) for turns, shape, _ in truth]

    def error(smooth: Filter) -> float:
        found = [body.joint_body.joints(*_smooth(*piece, smooth)) for piece in guessed]
        pairs = zip(found, goals, strict=True)
        errors = [metrics.body_errors(*pair)["mpjpe"] for pair in pairs]
        return float(np.concatenate(errors).mean())

    return min(filters, key=error)
