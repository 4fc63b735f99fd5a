"""Accuracy as an entry of a table: of runs, pooled over folds, and of the nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.nearest import Score, nearest_score, one_shot_nearest
from dstformer_jax.reproduce.report import NOT_RUN
from dstformer_jax.tasks.metrics import wilson_interval

Lines = list[tuple[int, str, str, float]]


@dataclass(frozen=True)
class Accuracy:
    """Top-1 in percent with Wilson's 95 % interval, over the clips of all folds together.

    folds: the cells of every seed, a tuple a fold. source: the test source. at: which evaluation,
    -1 is the last.
    """

    folds: tuple[tuple[Cell, ...], ...]
    source: str
    at: int = -1

    @property
    def needs(self) -> tuple[Cell, ...]:
        """The cells of every fold."""
        return tuple(cell for cells in self.folds for cell in cells)

    def values(self, grid: Grid) -> list[float]:
        """Percent, of every seed of which all folds are finished."""
        return [value for *_, value in self.lines(grid)]

    def shown(self, grid: Grid) -> str:
        """`84.3 [79.2, 88.4]`: the interval of one seed's clips around the mean over seeds."""
        return _shown(self._scores(grid), len(self.folds[0]))

    def lines(self, grid: Grid) -> Lines:
        """One a seed; the runs are those of the folds."""
        return [
            (seed, "+".join(cells[seed].key for cells in self.folds), self._name("top1"), value)
            for seed, value in _percent(self._scores(grid))
        ]

    def _scores(self, grid: Grid) -> list[tuple[int, Score]]:
        pooled = []
        for number, cells in enumerate(zip(*self.folds, strict=True)):
            found = [result.history[self.at] for cell in cells if (result := grid.result(cell))]
            if len(found) == len(cells):
                clips = [metrics[self._name("clips")] for metrics in found]
                right = [
                    n * metrics[self._name("top1")] for n, metrics in zip(clips, found, strict=True)
                ]
                pooled.append((number, Score(sum(right), sum(clips))))
        return pooled

    def _name(self, metric: str) -> str:
        return f"eval/{self.source}/{metric}"


@dataclass(frozen=True)
class Nearest:
    """The same of the nearest training clip, on the clips that these cells would read."""

    folds: tuple[tuple[Cell, ...], ...]

    @property
    def needs(self) -> tuple[Cell, ...]:
        """Nothing is trained."""
        return ()

    def values(self, grid: Grid) -> list[float]:
        """Percent, of every seed; none where data are not prepared."""
        return [value for *_, value in self.lines(grid)]

    def shown(self, grid: Grid) -> str:
        """As of trained cells."""
        return _shown(self._scores(grid), len(self.folds[0]))

    def lines(self, grid: Grid) -> Lines:
        """One a seed."""
        return [(seed, "nearest", "top1", value) for seed, value in _percent(self._scores(grid))]

    def _scores(self, grid: Grid) -> list[tuple[int, Score]]:
        if grid.missing(cell for cells in self.folds for cell in cells):
            return []
        pooled = []
        for number, cells in enumerate(zip(*self.folds, strict=True)):
            scores = [nearest_score(cell, grid.data) for cell in cells]
            right, clips = np.sum([(each.right, each.clips) for each in scores], axis=0)
            pooled.append((number, Score(float(right), float(clips))))
        return pooled


@dataclass(frozen=True)
class NearestOneShot:
    """Top-1 in percent of the nearest exemplar by 2D motion, on the novel clips of a cell."""

    cell: Cell

    @property
    def needs(self) -> tuple[Cell, ...]:
        """Nothing is trained."""
        return ()

    def shown(self, grid: Grid) -> str:
        """The mean over sets of exemplars."""
        return "".join(f"{value:.1f}" for *_, value in self.lines(grid)) or NOT_RUN

    def lines(self, grid: Grid) -> Lines:
        """One line, where the data are prepared."""
        if grid.missing([self.cell]):
            return []
        return [(0, "nearest", "top1", 100 * one_shot_nearest(self.cell, grid.data)["top1"])]


def _percent(scores: Sequence[tuple[int, Score]]) -> list[tuple[int, float]]:
    return [(number, 100 * score.right / score.clips) for number, score in scores]


def _shown(scores: Sequence[tuple[int, Score]], seeds: int) -> str:
    if not scores:
        return NOT_RUN
    values = [value for _, value in _percent(scores)]
    mean, clips = float(np.mean(values)), int(scores[0][1].clips)
    low, high = (100 * bound for bound in wilson_interval(mean / 100 * clips, clips))
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(set(values)) > 1 else ""
    some = f" ({len(values)} of {seeds} seeds)" * (len(values) < seeds)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]{spread}{some}"
