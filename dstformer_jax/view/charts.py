"""Charts of measurements: lines with a band over seeds, and heat maps. Colours of Okabe and Ito."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Told apart by colour-blind readers; each with a marker and a dash of its own for grey prints.
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#56B4E9", "v", "-"),
)

# Paul Tol's muted and light colours, for more groups than STYLES has.
GROUPS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677"),
    *("#882255", "#AA4499", "#DDDDDD", "#77AADD", "#EE8866"),
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
    _draw_lines(axes, series, levels or {})
    if ticks:
        axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlabel(x_label, fontsize=11)
    axes.set_ylabel(y_label, fontsize=11)
    axes.set_title(title, fontsize=12)
    columns = _columns([*series, *(levels or {})])
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=10)
    return _save(figure, path)


def _columns(names: Sequence[str]) -> int:
    """Columns of a legend that fit below a chart: about 88 letters a line, seven of them a sign."""
    return min(3, max(1, 88 // (max(map(len, names), default=0) + 7)))


@dataclass(frozen=True)
class Panel:
    """One chart of several: its lines, and dashed horizontal references."""

    series: Mapping[str, Line]
    levels: Mapping[str, float]


def panels(
    charts: Mapping[str, Panel], path: str | Path, x_label: str, y_label: str, title: str = ""
) -> Path:
    """Writes line charts side by side, each under its name, with one legend for all."""
    size = (4.4 * len(charts) + 0.4, 4.6)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    every = figure.subplots(1, len(charts), squeeze=False)[0]
    for axes, (name, panel) in zip(every, charts.items(), strict=True):
        _draw_lines(axes, panel.series, panel.levels)
        axes.set_title(name, fontsize=11)
        axes.set_xlabel(x_label, fontsize=11)
    every[0].set_ylabel(y_label, fontsize=11)
    named = {
        label: handle
        for axes in every
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        named.values(), named.keys(), loc="outside lower center", ncols=len(named), frameon=False
    )
    figure.suptitle(title, fontsize=12)
    return _save(figure, path)


def _draw_lines(axes: Axes, series: Mapping[str, Line], levels: Mapping[str, float]) -> None:
    for (name, line), (colour, marker, dash) in zip(series.items(), STYLES, strict=False):
        values = np.atleast_2d(line.values)
        axes.plot(
            line.x, values.mean(0), color=colour, marker=marker, ls=dash, ms=6, lw=2, label=name
        )
        axes.fill_between(line.x, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
    for name, level in levels.items():
        axes.axhline(level, ls=(0, (6, 4)), lw=1.5, color="#555555", label=name)
    axes.grid(alpha=0.3)


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


@dataclass(frozen=True)
class Cloud:
    """Points [N, 2] of named groups (text [N]), some rows of which are drawn as diamonds."""

    points: np.ndarray
    names: np.ndarray
    marked: np.ndarray


def clouds(panels: Mapping[str, Cloud], path: str | Path, title: str = "") -> Path:
    """Writes point clouds side by side; groups have one colour and number in all of them."""
    groups = sorted({name for cloud in panels.values() for name in cloud.names.tolist()})
    size = (5.0 * len(panels) + 2.2, 5.2)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, cloud) in zip(every, panels.items(), strict=True):
        for number, group in enumerate(groups):
            here, colour = cloud.names == group, GROUPS[number % len(GROUPS)]
            axes.scatter(*cloud.points[here].T, s=22, color=colour, alpha=0.65, lw=0, label=group)
            for row in cloud.marked[here[cloud.marked]]:
                place = cloud.points[row]
                axes.scatter(*place, s=190, marker="D", color=colour, ec="black", lw=1.4, zorder=3)
                axes.annotate(
                    str(number + 1), place, ha="center", va="center", fontsize=8, zorder=4
                )
        axes.set(title=name, xlabel="first axis of cosine distance", ylabel="second axis")
        axes.set_aspect("equal", "datalim")
        axes.grid(alpha=0.25)
    labels = [f"{number + 1} {group.replace('_', ' ')}" for number, group in enumerate(groups)]
    handles = every[-1].get_legend_handles_labels()[0]
    every[-1].legend(handles, labels, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, fontsize=12)
    return _save(figure, path)


def _save(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
