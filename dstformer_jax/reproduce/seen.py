"""As detectors and lenses see people: what training for it gains, by layout and field of view."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from configs.pretrain import FIELDS_OF_VIEW
from dstformer_jax.body.landmarks import LAYOUTS
from dstformer_jax.reproduce.arms import Scale
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.report import Measure, Study
from dstformer_jax.view.charts import Line, lines

ARMS = {
    "the joints of motion capture, orthographic": "as_seen",
    "five layouts, lenses": "layouts,lens",
    "five layouts, orthographic": "layouts,as_seen",
    "the joints of motion capture, lenses": "lens,as_seen",
    "five layouts, lenses, up and down": "layouts,lens,tilted",
}
SEEN = {
    "h36m17": "",
    **{name: f"_{name}" for name in LAYOUTS if name != "h36m17"},
    **{f"{angle:g}°": f"_fov{angle:g}" for angle in FIELDS_OF_VIEW},
}


def seen_study(seeds: int) -> Study:
    """Small arms at equal budgets, trained on some of what all are measured with."""
    rows = {}
    for label, variant in ARMS.items():
        config = f"configs/pretrain.py:mocap,shipped,short,{variant}"
        cells = tuple(Cell(config, (("data.feed", "numpy"),), seed) for seed in range(seeds))
        rows[label] = tuple(Measure(cells, f"eval/cmu{suffix}/mpjpe") for suffix in SEEN.values())
    about = (
        "One epoch of nine-frame windows of CMU motion, noise and masks in all of them; MPJPE in "
        "mm of people who were not trained on, whose input is as each detector's layout has it "
        "(before an orthographic camera), or the joints of motion capture before a pinhole camera "
        "of the given field of view."
    )
    return Study("Trained on what detectors see (down), tested (across)", tuple(SEEN), rows, about)


def draw_seen(study: Study, scale: Scale, grid: Grid, path: Path) -> Path | None:
    """Error against field of view; 0 degrees is orthographic."""
    del scale
    series, first = {}, len(LAYOUTS)
    for label, row in study.rows.items():
        entries = [each for each in (row[0], *row[first:]) if isinstance(each, Measure)]
        values = [each.values(grid) for each in entries]
        count = min(map(len, values))
        if count:
            points = np.array([seeds[:count] for seeds in values]).T
            series[label] = Line((0.0, *FIELDS_OF_VIEW), points)
    if not series:
        return None
    label = "field of view, degrees (0: orthographic)"
    return lines(series, path, label, "MPJPE, mm", title="Error behind lenses, by training")
