"""The robustness table: trained clean or corrupted, tested clean, noisy and masked."""

from collections.abc import Sequence
from pathlib import Path

from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.report import Measure, Study, rows_as_markdown, shown

ARMS = {"clean": "mocap,clean,robust,short", "corrupted": "mocap,robust,short"}
CONDITIONS = {"clean": "", "noisy": "_noisy", "masked": "_masked"}
SETS = ("cmu", "hdm05_actions")


def robustness_study(seeds: int) -> Study:
    """Equal small budgets; MPJPE in mm."""
    rows = {}
    for arm, variant in ARMS.items():
        cells = tuple(Cell(f"configs/pretrain.py:{variant}", (), seed) for seed in range(seeds))
        rows[arm] = tuple(
            Measure(cells, f"eval/{name}{suffix}/mpjpe")
            for name in SETS
            for suffix in CONDITIONS.values()
        )
    columns = tuple(f"{name}, {condition}" for name in SETS for condition in CONDITIONS)
    about = "One epoch of nine-frame windows; MPJPE in mm on people who were not trained on."
    return Study("Robustness: trained (down) and tested (across)", columns, rows, about)


def robustness(data: Path, workdir: Path, seeds: Sequence[int], extra: Sequence[str] = ()) -> str:
    """Trains what is not finished and returns the table as Markdown.

    Args:
      data: prepared mocap (`make mocap-data`).
      workdir: gets one run for each arm and seed.
      seeds: 0 to n - 1; the table shows mean and standard deviation.
      extra: further flags of `dstformer_jax.main`.
    """
    study, grid = robustness_study(len(seeds)), Grid(workdir, data, extra=extra)
    grid.run(study.cells)
    rows = [[label, *(shown(e, grid) for e in row)] for label, row in study.rows.items()]
    return "\n".join(rows_as_markdown(["trained", *study.columns], rows))
