"""Learning curves of recognition: accuracy after every pass, from scratch and finetuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dstformer_jax.reproduce.accuracy import Accuracy, Nearest
from dstformer_jax.reproduce.arms import Overrides, Scale
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.figures import line_values
from dstformer_jax.reproduce.recognition import ARMS, BENCHMARKS, BUDGET, UTD, Benchmark, arm
from dstformer_jax.reproduce.report import Entry, Study, write_values
from dstformer_jax.view.charts import Line, Panel, panels

EVERY_PASS: Overrides = (("eval.every", 1),)
COMPARED = dict(list(ARMS.items())[:2])
SHOWN = {"small": (1, 2, 4), "paper": (1, 10, 50)}  # passes in the table; the picture has all
LONG = replace(
    UTD, label="UTD-MHAD for longer, 27 classes, cross-subject", folds=((("epochs", 24),),)
)
WATCHED = {**BENCHMARKS, "small": (*BENCHMARKS["small"], LONG)}


def curves(scale: Scale, seeds: int) -> Study:
    """Recognition after some of the passes, a row an arm of each benchmark."""
    rows: dict[str, tuple[Entry, ...]] = {}
    shown = SHOWN[scale.name]
    for benchmark in WATCHED[scale.name]:
        watched = _watched(benchmark)
        for label, how in COMPARED.items():
            entry = arm(scale, watched, how, seeds)
            rows[_row(benchmark, label)] = (*(_after(entry, number) for number in shown), entry)
        if scale.name == "small":
            nearest = Nearest(benchmark.cells(scale, "scratch", 1))
            rows[_row(benchmark, "nearest neighbour")] = (*("-" for _ in shown), nearest)
    columns = (*(f"after {number} pass{'es' * (number > 1)}" for number in shown), "at the end")
    cells = {_name(each): each.cells(scale, "scratch", 1)[0][0] for each in WATCHED[scale.name]}
    ends = ", ".join(f"{name} {cell.settings['epochs']}" for name, cell in cells.items())
    about = (
        f"{BUDGET.replace('a column', 'a set')} Passes at the end: {ends}. The picture shows "
        "every pass, the band from the lowest to the highest seed."
    )
    return Study("Learning curves of action recognition", columns, rows, about)


def draw_curves(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Accuracy against passes, a panel a benchmark."""
    charts = {}
    for benchmark in WATCHED[scale.name]:
        series, levels = {}, {}
        for label in COMPARED:
            line = _line(study.rows[_row(benchmark, label)][-1], grid)
            if line is not None:
                series[label] = line
        (*_, nearest) = study.rows.get(_row(benchmark, "nearest neighbour"), ("-",))
        if isinstance(nearest, Nearest) and (values := nearest.values(grid)):
            levels["nearest neighbour on the 2D input"] = float(np.mean(values))
        if series:
            charts[benchmark.label.replace(", ", "\n", 1)] = Panel(series, levels)
    if not charts:
        return None
    rows = (
        (name.replace("\n", ", "), *row)
        for name, panel in charts.items()
        for row in line_values(panel.series)
    )
    write_values(path, ("set", "arm", "seed", "passes", "top-1, %"), rows)
    return panels(charts, path, "passes over the training clips", "top-1, %", study.title)


def _watched(benchmark: Benchmark) -> Benchmark:
    """The same, measured after every pass."""
    return replace(benchmark, folds=tuple((*fold, *EVERY_PASS) for fold in benchmark.folds))


def _row(benchmark: Benchmark, label: str) -> str:
    return f"{_name(benchmark)}: {label}"


def _name(benchmark: Benchmark) -> str:
    return benchmark.label.split(",")[0]


def _after(entry: Entry, passes: int) -> Entry:
    return replace(entry, at=passes - 1) if isinstance(entry, Accuracy) else entry


def _line(entry: Entry, grid: Grid) -> Line | None:
    """Every evaluation of an arm, of the seeds of which all folds are finished."""
    if not isinstance(entry, Accuracy):
        return None
    found = [grid.result(cell) for cells in entry.folds for cell in cells]
    passes = min((len(result.history) for result in found if result), default=0)
    values = [replace(entry, at=at).values(grid) for at in range(passes)]
    if not passes or not values[0]:
        return None
    return Line(range(1, passes + 1), np.array(values).T)
