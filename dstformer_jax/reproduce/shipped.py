"""The weights that come with the package, beside per-frame regression under one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dstformer_jax.inference import load
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.report import Computed, Entry, Study
from dstformer_jax.reproduce.ridge import fit_ridge
from dstformer_jax.reproduce.seen import SEEN
from dstformer_jax.training import experiment
from dstformer_jax.training.evaluate import Evaluator
from dstformer_jax.training.parallel import Jit

CONDITIONS = {"noisy": "_noisy", "masked": "_masked"}
TEST = "mocap,starter,layouts,lens,robust"
EVERY = 4  # windows: of the 81 frames' every fourth, from four sides
TRAINED = {  # what regression is fitted on: the variant, and whether corrupted
    "ridge, clean": ("mocap,starter,clean", True),
    "random-feature ridge, clean": ("mocap,starter,clean", False),
    "random-feature ridge, as the network": ("mocap,starter,layouts,lens", False),
}
SHIPPED = "the shipped weights"


@dataclass(frozen=True)
class Tested(Computed):
    """An error in mm of a method, on test sources of the shipped weights' recipe."""

    method: str
    metric: str

    def metrics(self, grid: Grid) -> Mapping[str, float] | None:
        """Those of `errors`, averages of the mirrored input too."""
        missing = grid.missing([Cell(f"configs/pretrain.py:{TEST}")])
        return None if missing else errors(grid.data, self.method)


@lru_cache
def errors(data: Path, method: str) -> Mapping[str, float]:
    """Every metric of a method, `eval/<source or group>/<metric>`."""
    run = _run(TEST, data)
    network, variables = _method(data, method)
    groups = run.config["eval"]["groups"]
    evaluate = Evaluator(network, run.task, run.tests, Jit(), flip=True, groups=groups)
    return evaluate(variables) or {}


def _method(data: Path, method: str) -> tuple[Any, dict[str, Any]]:
    """What answers, and its variables."""
    if method == SHIPPED:
        model = load()
        return model.network, {"params": model.params, "batch_stats": model.batch_stats}
    variant, linear = TRAINED[method]
    return fit_ridge(_run(variant, data), linear), {}


def _run(variant: str, data: Path) -> experiment.Experiment:
    """The data of a variant, on every fourth test window."""
    settings = Cell(f"configs/pretrain.py:{variant}").settings
    settings["data"]["path"] = str(data)
    for source in settings["eval"]["sources"].values():
        source["stride"] *= EVERY
    return experiment.build(settings)


def shipped_study() -> Study:
    """MPJPE on unseen people: clean, noisy, masked, of each layout and field of view."""
    columns = {"clean": "", **CONDITIONS, **{k: v for k, v in SEEN.items() if v}}
    rows: dict[str, tuple[Entry, ...]] = {
        method: tuple(Tested(method, f"eval/cmu{suffix}/mpjpe") for suffix in columns.values())
        for method in (*TRAINED, SHIPPED)
    }
    about = (
        "MPJPE in mm on people of CMU's motion capture who were not trained on, flip averaged; "
        "every fourth window of 81 frames from four sides, tails included. Regression sees frames "
        "one by one; its kernel and penalty are chosen on training batches."
    )
    return Study("The shipped weights beside per-frame regression", tuple(columns), rows, about)
