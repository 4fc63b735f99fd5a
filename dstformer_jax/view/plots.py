"""Pictures for papers and READMEs: poses, learning curves, bar charts. Matplotlib, no display."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.view.colours import SIDES as SIDE_COLOURS

TRUE_COLOUR = "#9aa0a6"
LEGEND = (
    ("left", SIDE_COLOURS["left"]),
    ("right", SIDE_COLOURS["right"]),
    ("true pose", TRUE_COLOUR),
)
TURN = np.radians(90.0)


@dataclass(frozen=True)
class Example:
    """One frame to draw: input [J, 3] (x, y, confidence), pred and true [J, 3] in `unit`."""

    motion: np.ndarray
    pred: np.ndarray
    true: np.ndarray
    title: str = ""
    unit: str = "mm"  # mm | normalised

    @property
    def error(self) -> float:
        """MPJPE of the frame."""
        return float(np.linalg.norm(self.pred - self.true, axis=-1).mean())


def measured(error: float, unit: str, digits: int = 0) -> str:
    """An error as text: mm with so many digits, or three digits of a normalised unit."""
    return f"{error:.{digits}f} mm" if unit == "mm" else f"{error:.3f} {unit}"


def draw_skeleton(
    axes: Axes,
    points: np.ndarray,
    skeleton: Skeleton = H36M17,
    colour: str | None = None,
    width: float = 2.2,
    seen: np.ndarray | None = None,
) -> None:
    """Draws limbs of [J, 2] points (y down); `colour` None paints left, right and middle.

    Limbs with an unseen end (False in `seen` [J]) are left out.
    """
    for parent, child in skeleton.limbs:
        if seen is not None and not (seen[parent] and seen[child]):
            continue
        paint = colour or SIDE_COLOURS[skeleton.sides[child]]
        axes.plot(*points[[parent, child]].T, color=paint, lw=width, solid_capstyle="round")
    shown = points if seen is None else points[seen]
    axes.scatter(*shown.T, s=width * 4, color=colour or "#333333", zorder=3)


def pose_grid(examples: Sequence[Example], path: str | Path, heading: str = "") -> Path:
    """Writes a picture of predicted against true poses, one row an example.

    Columns: the 2D input as the network sees it; prediction (coloured) over truth (grey) from the
    camera; the same from the person's side, where a wrong depth shows.
    """
    rows = len(examples)
    figure = Figure(figsize=(9.0, 2.9 * rows + 0.9), layout="constrained", facecolor="white")
    grid = figure.subplots(rows, 3, squeeze=False)
    if heading:
        figure.suptitle(heading, fontsize=13, fontweight="bold")
    for axes, example in zip(grid, examples, strict=True):
        _draw_example(axes, example)
    for axis, title in zip(grid[0], ("2D input", "3D, camera view", "3D, side view"), strict=True):
        axis.set_title(title, fontsize=11, fontweight="bold")
    figure.legend(
        handles=[_swatch(colour, name) for name, colour in LEGEND],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return _save(figure, path)


def _draw_example(axes: Sequence[Axes], example: Example) -> None:
    seen = example.motion[:, 2] > 0
    draw_skeleton(axes[0], example.motion[:, :2], seen=seen)
    axes[0].set_ylabel(example.title, fontsize=9)
    if not seen.all():
        axes[0].set_xlabel(f"{int((~seen).sum())} of {len(seen)} joints masked", fontsize=9)
    for axis, turn in zip(axes[1:], (0.0, TURN), strict=True):
        for pose, colour, width in ((example.true, TRUE_COLOUR, 5.0), (example.pred, None, 2.0)):
            draw_skeleton(axis, turned(pose, turn), colour=colour, width=width)
    axes[2].set_xlabel(f"error {measured(example.error, example.unit)}", fontsize=10)
    for axis in axes:
        axis.set_aspect("equal")
        axis.invert_yaxis()
        axis.set_xticks([])
        axis.set_yticks([])
        axis.margins(0.12)
        for spine in axis.spines.values():
            spine.set_color("#dddddd")


def turned(pose: np.ndarray, angle: float) -> np.ndarray:
    """Camera-axes pose [J, 3] seen after turning the person by `angle` about y: [J, 2]."""
    x = np.cos(angle) * pose[:, 0] + np.sin(angle) * pose[:, 2]
    return np.stack([x, pose[:, 1]], axis=-1)


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: str | Path,
    x_label: str,
    y_label: str,
    levels: Mapping[str, float] | None = None,
) -> Path:
    """Writes a line chart: series name -> (x, y); `levels` are dashed horizontal references."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for name, (x, y) in series.items():
        axes.plot(x, y, marker="o", ms=3, lw=1.8, label=name)
    for name, level in (levels or {}).items():
        axes.axhline(level, ls="--", lw=1, color="#777777")
        axes.text(0.99, level, name, transform=axes.get_yaxis_transform(), ha="right", fontsize=8)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _save(figure, path)


def _swatch(colour: str, name: str) -> Line2D:
    return Line2D([], [], color=colour, lw=4, label=name)


def _save(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
