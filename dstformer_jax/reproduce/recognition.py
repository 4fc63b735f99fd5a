"""Recognition on real sets: whole training sets, few clips a class, and one example of a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.reproduce import published
from dstformer_jax.reproduce.accuracy import Accuracy, Nearest, NearestOneShot
from dstformer_jax.reproduce.arms import Overrides, Scale
from dstformer_jax.reproduce.cells import Cell, Pretrained
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.report import Entry, Measure, Study
from dstformer_jax.view.charts import Line, lines

NO_WEIGHTS = "not run: give --pretrained"
ARMS = {
    "from scratch": "scratch",
    "finetuned": "finetune",
    "frozen backbone": "frozen",
    "frozen backbone, linear head": "probe",
}
FEW = (1, 3, 0)  # clips of each class; 0: all
ALL = "all"
BUDGET = (
    "Every arm of a column takes the same steps with the same batches; finetuned arms train the "
    "backbone at a tenth of the head's rate. Top-1 in percent with Wilson's 95 % interval over "
    "clips. The nearest neighbour is not trained: it compares the network's 2D input itself, from "
    "every camera of the test."
)


@dataclass(frozen=True)
class Benchmark:
    """One test of recognition: a variant of configs/action.py, and the splits it is run on.

    source: name of its training and test source. folds: settings of each split; the clips of all
    are scored together.
    """

    label: str
    variant: str
    source: str
    folds: tuple[Overrides, ...] = ((),)

    def cells(
        self, scale: Scale, how: str, seeds: int, few: int = 0
    ) -> tuple[tuple[Cell, ...], ...]:
        """The cells of an arm, a tuple a fold; from scratch where nothing is pretrained."""
        return tuple(
            tuple(
                Cell(
                    f"configs/action.py:{how},{self.variant}",
                    (*fold, *self._limit(few, seed)),
                    seed,
                    None if how == "scratch" else encoder(scale, seed),
                )
                for seed in range(seeds)
            )
            for fold in self.folds
        )

    def _limit(self, few: int, seed: int) -> Overrides:
        if not few:
            return ()
        key = f"sources.{self.source}.limit"
        return ((f"{key}_per_class", few), (f"{key}_seed", seed))


def encoder(scale: Scale, seed: int) -> Cell | Pretrained | None:
    """What finetuned arms start from: what is given, at the paper's scale else the pretraining."""
    if scale.given:
        return scale.given
    return scale.pretraining(seed + 1)[seed] if scale.name == "paper" else None


def _left_out(actor: str) -> Overrides:
    return (
        ("sources.hdm05.split", f"without_{actor}"),
        ("eval.sources.hdm05.split", f"only_{actor}"),
    )


HDM05 = Benchmark(
    "HDM05, 11 classes, each of 4 actors left out",
    "hdm05",
    "hdm05",
    tuple(_left_out(actor) for actor in ("bd", "bk", "dg", "mm")),
)
UTD = Benchmark("UTD-MHAD, 27 classes, cross-subject", "utd", "utd")
BANDAI = Benchmark("Bandai-Namco 2, 10 classes, unseen styles", "bandai", "bandai")
XSUB = Benchmark("NTU-60 X-Sub", "xsub", "ntu")
XVIEW = Benchmark("NTU-60 X-View", "xview", "ntu")
BENCHMARKS = {"small": (HDM05, UTD, BANDAI), "paper": (XSUB, XVIEW)}


def arm(scale: Scale, benchmark: Benchmark, how: str, seeds: int, few: int = 0) -> Entry:
    """The accuracy of an arm, or why it is not run."""
    if how != "scratch" and encoder(scale, 0) is None:
        return NO_WEIGHTS
    return Accuracy(benchmark.cells(scale, how, seeds, few), benchmark.source)


def action(scale: Scale, seeds: int) -> Study:
    """Recognition with all training clips."""
    benchmarks = BENCHMARKS[scale.name]
    rows: dict[str, tuple[Entry, ...]] = {
        label: tuple(arm(scale, each, how, seeds) for each in benchmarks)
        for label, how in ARMS.items()
    }
    if scale.name == "small":
        rows["nearest neighbour"] = tuple(
            Nearest(each.cells(scale, "scratch", 1)) for each in benchmarks
        )
    about = (
        "HDM05: the four actors' clips together, each named by a network that has not seen the "
        "actor. Bandai-Namco: one skeleton and no names of actors, so the split is by style and "
        "says nothing about new people."
    )
    columns = tuple(each.label for each in benchmarks)
    return Study("Action recognition", columns, rows, f"{BUDGET} {about * (scale.name == 'small')}")


def few(scale: Scale, seeds: int) -> Study:
    """Recognition with few training clips of each class."""
    benchmark = BENCHMARKS[scale.name][0]
    rows: dict[str, tuple[Entry, ...]] = {
        label: tuple(arm(scale, benchmark, how, seeds, count) for count in FEW)
        for label, how in list(ARMS.items())[:2]
    }
    if scale.name == "small":
        rows["nearest neighbour"] = tuple(
            Nearest(benchmark.cells(scale, "scratch", seeds if count else 1, count))
            for count in FEW
        )
    columns = tuple(f"{count or ALL} a class" for count in FEW)
    about = f"{benchmark.label}. {BUDGET} Few clips are drawn by seed and repeated."
    return Study("Recognition from few clips of each class", columns, rows, about)


def draw_few(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Accuracy against clips of each class."""
    del scale
    places, series = range(len(FEW)), {}
    for label, row in study.rows.items():
        found = [each.lines(grid) for each in row if not isinstance(each, str)]
        if len(found) == len(FEW) and all(found):
            values = [[value for *_, value in each] for each in found]
            count = max(map(len, values))  # the nearest neighbour among all clips has no seed
            series[label] = Line(places, np.array([np.resize(each, count) for each in values]).T)
    if not series:
        return None
    names = [str(count or ALL) for count in FEW]
    return lines(
        series, path, "training clips of each class", "top-1, %", title=study.title, ticks=names
    )


def one_shot_cells(scale: Scale, how: str, seeds: int) -> tuple[Cell, ...]:
    """One-shot recognition in one way, a cell a seed."""
    variant = "utd" if scale.name == "small" else "ntu120"
    return tuple(
        Cell(
            f"configs/oneshot.py:{how},{variant}",
            (),
            seed,
            None if how == "scratch" else encoder(scale, seed),
        )
        for seed in range(seeds)
    )


def one_shot_source(scale: Scale) -> str:
    """Name of the source of novel classes."""
    return "utd" if scale.name == "small" else "ntu"


def oneshot(scale: Scale, seeds: int) -> Study:
    """Novel classes from one example of each."""
    rows: dict[str, tuple[Entry, ...]] = {}
    metric = f"eval/{one_shot_source(scale)}/top1"
    for label, how in list(ARMS.items())[:3]:
        if how != "scratch" and encoder(scale, 0) is None:
            rows[label] = (NO_WEIGHTS,) * 3
            continue
        cells = one_shot_cells(scale, how, seeds)
        rows[label] = tuple(Measure(cells, metric, at=at, times=100) for at in (0, 1, -1))
    if scale.name == "small":
        nearest = NearestOneShot(one_shot_cells(scale, "scratch", 1)[0])
        rows["nearest neighbour"] = ("-", "-", nearest)
    about = {
        "small": "UTD-MHAD seen from the front: every third class (9 of 27) is novel, the others "
        "are learned from. Top-1 in percent, the mean over 100 random sets of exemplars.",
        "paper": "NTU RGB+D 120, the protocol's 20 novel classes and exemplars. Top-1 in percent.",
    }
    columns = ("after epoch 1", "after epoch 2", "at the end")
    return Study("One-shot recognition", columns, rows, about[scale.name])


def gains(scale: Scale, seeds: int) -> dict[str, tuple[Entry, ...]]:
    """From scratch, finetuned and the difference, of each test of recognition in percent."""
    tests: dict[str, tuple[str, Callable[[str], tuple[Cell, ...]]]] = {}
    for each in BENCHMARKS[scale.name]:
        if len(each.folds) == 1:
            tests[each.label] = (each.source, lambda how, one=each: one.cells(scale, how, seeds)[0])
    name = "UTD-MHAD, 9 novel classes" if scale.name == "small" else "NTU-120, 20 novel classes"
    tests[f"one-shot, {name}"] = (
        one_shot_source(scale),
        lambda how: one_shot_cells(scale, how, seeds),
    )
    rows: dict[str, tuple[Entry, ...]] = {}
    for label, (source, cells) in tests.items():
        rows[f"{label}, top-1, %"] = gain(scale, cells, f"eval/{source}/top1", 100)
    return rows


def gain(
    scale: Scale, cells: Callable[[str], tuple[Cell, ...]], metric: str, times: float = 1.0
) -> tuple[Entry, ...]:
    """A metric from scratch, finetuned, and their difference; not run without weights."""
    if encoder(scale, 0) is None:
        return (NO_WEIGHTS,) * 3
    scratch, finetuned = cells("scratch"), cells("finetune")
    return (
        Measure(scratch, metric, times=times),
        Measure(finetuned, metric, times=times),
        Measure(finetuned, metric, scratch, times=times),
    )


def table2(scale: Scale, seeds: int) -> Study:
    """Recognition of whole training sets and from one example, from scratch and finetuned."""
    benchmarks = BENCHMARKS[scale.name]
    columns, rows = _compared(scale, seeds, benchmarks, 2)
    about = f"{BUDGET} One-shot: see the page of oneshot."
    return Study("Table 2: action recognition", columns, rows, about, published.ACTION)


def table4(scale: Scale, seeds: int) -> Study:
    """Frozen backbones beside finetuned ones and none, on action and one-shot recognition."""
    columns, rows = _compared(scale, seeds, BENCHMARKS[scale.name][-2:-1], 3)
    about = f"{BUDGET} One-shot: see the page of oneshot."
    return Study("Table 4: frozen backbones", columns, rows, about, published.ACTION)


def _compared(
    scale: Scale, seeds: int, benchmarks: tuple[Benchmark, ...], arms: int
) -> tuple[tuple[str, ...], dict[str, tuple[Entry, ...]]]:
    """Columns and rows of the first arms on some benchmarks and on one-shot recognition."""
    source, rows = one_shot_source(scale), {}
    for label, how in list(ARMS.items())[:arms]:
        known = how == "scratch" or encoder(scale, 0) is not None
        cells = one_shot_cells(scale, how, seeds)
        novel = Measure(cells, f"eval/{source}/top1", times=100) if known else NO_WEIGHTS
        rows[label] = (*(arm(scale, each, how, seeds) for each in benchmarks), novel)
    return (*(each.label for each in benchmarks), "one-shot, novel classes"), rows


STUDIES: dict[str, Callable[[Scale, int], Study]] = {
    "action": action,
    "few": few,
    "oneshot": oneshot,
    "table2": table2,
    "table4": table4,
}
