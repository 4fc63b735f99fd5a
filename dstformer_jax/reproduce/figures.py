"""Figures 3 and 7: learning curves, and how much to mask. Each is a Study and a drawing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from dstformer_jax.reproduce import published
from dstformer_jax.reproduce.arms import Scale
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.report import Measure, Study, write_values
from dstformer_jax.view.charts import Line, lines

Drawing = Callable[[Study, Scale, Grid, Path], Path | None]
RATIOS = (15, 30, 45, 60, 75)  # percent
EVERY_EPOCH = ("eval.every", 1)
DEFAULT_RATIO = 15  # what pretraining masks anyway


def figure3(scale: Scale, seeds: int) -> Study:
    """Error against steps, from scratch and finetuned."""
    finetuned = scale.finetuned(scale.pretraining(seeds), EVERY_EPOCH)
    arms = {"from scratch": scale.pose(seeds, EVERY_EPOCH), "finetuned": finetuned}
    return Study(
        "Figure 3: learning curves of 3D pose",
        (f"{scale.column}, at the end",),
        {label: (Measure(cells, scale.metric),) for label, cells in arms.items()},
        f"{scale.about} Both arms take the same steps at the same rate; the band is from the "
        "lowest to the highest seed.",
    )


def draw_figure3(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Curves of the first column over the evaluations of every finished seed."""
    series = {}
    for label, (entry, *_) in study.rows.items():
        if not isinstance(entry, Measure):
            continue
        found = [result.history for cell in entry.cells if (result := grid.result(cell))]
        if found:
            steps = [line["step"] for line in found[0]]
            values = np.array([[line[entry.metric] for line in history] for history in found])
            series[label] = Line(steps[1:], values[:, 1:])  # untrained, the error is far outside
    if not series:
        return None
    write_values(path, ("arm", "seed", "step", scale.column), line_values(series))
    label = f"{scale.column}, people not trained on"
    return lines(series, path, "training steps", label, title=study.title)


def line_values(series: Mapping[str, Line]) -> Iterator[tuple[str, int, float, str]]:
    """Name, number of the seed, x and y of every point."""
    for name, line in series.items():
        for seed, values in enumerate(np.atleast_2d(line.values)):
            for x, y in zip(line.x, values, strict=True):
                yield name, seed, x, f"{y:.6g}"


def figure7(scale: Scale, seeds: int) -> Study:
    """Pretraining with 15 to 75 % masked, scored before and after finetuning."""
    rows = {}
    for ratio in RATIOS:
        pretrained = scale.pretraining(seeds, None, *masked(ratio))
        rows[f"{ratio} %"] = (
            Measure(pretrained, scale.metric),
            Measure(scale.finetuned(pretrained), scale.metric),
        )
    rows["from scratch"] = ("-", Measure(scale.pose(seeds), scale.metric))
    return Study(
        "Figure 7: how much to mask in pretraining",
        ("without finetuning", "finetuned"),
        rows,
        f"{scale.about} Frames and joints are masked 2 : 1, so 15 % is 10 % of the frames and 5 % "
        f"of the joints. {scale.column}.",
        published.NOT_HERE["Figure 7"],
    )


def masked(percent: int) -> tuple[tuple[str, float], ...]:
    """The settings that mask so much; none for the ratio that is the default anyway."""
    if percent == DEFAULT_RATIO:
        return ()
    shares = {"data.mask_frames": percent * 2 / 300, "data.mask_joints": percent / 300}
    return tuple((name, round(share, 4)) for name, share in shares.items())


def draw_figure7(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Error against the ratio, of the seeds that are finished at every ratio."""
    series, levels = {}, {}
    for column, name in enumerate(study.columns):
        measures = [study.rows[f"{ratio} %"][column] for ratio in RATIOS]
        values = [each.values(grid) for each in measures if isinstance(each, Measure)]
        count = min(map(len, values))
        if count:
            series[name] = Line(RATIOS, np.array([seeds[:count] for seeds in values]).T)
    scratch = study.rows["from scratch"][1]
    if isinstance(scratch, Measure) and (values := scratch.values(grid)):
        levels["from scratch"] = float(np.mean(values))
    if not series:
        return None
    label = "masked in pretraining (%), frames to joints 2 : 1"
    return lines(series, path, label, scale.column, levels, study.title)


def first_finished(cells: tuple[Cell, ...], grid: Grid) -> Path | None:
    """The folder of the first cell that is finished."""
    return next((found.workdir for cell in cells if (found := grid.result(cell))), None)
