"""Charts of measurements: lines with a band over seeds, and heat maps. Colours of Okabe and Ito."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

# Told apart by colour-blind readers; each with a marker and a dash of its own for grey prints.
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#56B4E9", "v", "-"),
)


@dataclass(frozen=True)
class Line:
    """Points x [N] with values [S, N] of S seeds: drawn as their mean, banded from low to high."""

    x: Sequence[float]
    values: np.ndarray


def lines(
    series: Mapping[str, Line],
    path: str | Path,
    x_label: str,
    y_label: str,
    levels: Mapping[str, float] | None = None,
    title: str = "",
    ticks: Sequence[str] = (),
) -> Path:
    """Writes a line chart; `levels` are dashed horizontal references, named in the legend.

    ticks: names of x = 0, 1, ...
    """
    figure = Figure(figsize=(7.2, 4.5), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for (name, line), (colour, marker, dash) in zip(series.items(), STYLES, strict=False):
        values = np.atleast_2d(line.values)
        axes.plot(
            line.x, values.mean(0), color=colour, marker=marker, ls=dash, ms=6, lw=2, label=name
        )
        axes.fill_between(line.x, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
    for name, level in (levels or {}).items():
        axes.axhline(level, ls=(0, (6, 4)), lw=1.5, color="#555555", label=name)
    if ticks:
        axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlabel(x_label, fontsize=11)
    axes.set_ylabel(y_label, fontsize=11)
    axes.set_title(title, fontsize=12)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=10)
    return _save(figure, path)


def heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | Path,
    value_label: str,
    title: str = "",
    middle: float | None = None,
    reach: float | None = None,
) -> Path:
    """Writes a matrix [R, C] as colours with a labelled scale.

    middle: the value that is drawn white, with colours diverging to both sides by `reach` (by
    default as far as the values go); None: from low (dark) to high (light).
    """
    height = 1.8 + 0.3 * len(rows)
    figure = Figure(figsize=(3.2 + 0.42 * len(columns), height), layout="constrained")
    axes = figure.subplots()
    settings: dict[str, object] = {"cmap": "cividis"}
    if middle is not None:
        far = reach or max(float(np.abs(values - middle).max()), 1e-6)
        settings = {"cmap": "PuOr_r", "vmin": middle - far, "vmax": middle + far}
    image = axes.imshow(values, aspect="auto", **settings)  # pyright: ignore[reportArgumentType]
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=9)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, ax=axes, label=value_label)
    return _save(figure, path)


def _save(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
