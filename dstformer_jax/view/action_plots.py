"""Pictures of recognition: which class is taken for which, and accuracy as it is learned."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dstformer_jax.view import plots
from dstformer_jax.view.colours import OKABE_ITO

WRITTEN = 30  # classes up to which every cell holds its number
MARKERS = "os^Dv<>"


def confusion(
    matrix: np.ndarray, classes: Sequence[str], path: str | Path, heading: str = ""
) -> Path:
    """Writes a confusion matrix as a picture.

    Args:
      matrix: counts [K, K], true classes in rows.
      classes: K names.
      path: the picture to write.
      heading: its title.

    Raises:
      ValueError: a matrix that is not [K, K] of the names.
    """
    count = len(classes)
    if matrix.shape != (count, count):
        raise ValueError(f"got a matrix {matrix.shape} and {count} classes, expected [K, K] of K")
    totals = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(totals, 1)
    side = min(3.5 + 0.34 * count, 16)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained", facecolor="white")
    axes = figure.subplots()
    # One hue from white to dark: light against dark tells it, not the colour.
    image = axes.imshow(share * 100, cmap="Blues", vmin=0, vmax=100)
    size = 9 if count <= WRITTEN else 5
    axes.set_xticks(range(count), classes, rotation=60, ha="right", fontsize=size)
    labels = [f"{name} ({total})" for name, total in zip(classes, totals[:, 0], strict=True)]
    axes.set_yticks(range(count), labels, fontsize=size)
    axes.set_xlabel("named by the network")
    axes.set_ylabel("true class (clips)")
    if count <= WRITTEN:
        _write_counts(axes, matrix, share)
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.8)
    if heading:
        axes.set_title(heading, fontsize=11, fontweight="bold")
    return plots._save(figure, path)


def _write_counts(axes: Axes, matrix: np.ndarray, share: np.ndarray) -> None:
    """The number of clips in every cell that has any, readable on its background."""
    for row, column in np.argwhere(matrix > 0).tolist():
        colour = "white" if share[row, column] > 0.55 else "#222222"
        text = f"{matrix[row, column]:d}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def accuracy_curves(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    path: str | Path,
    x_label: str,
    y_label: str = "accuracy (%)",
    levels: Mapping[str, float] | None = None,
    logarithmic: bool = False,
) -> Path:
    """Writes line charts side by side: panel -> line -> (x, share in [0, 1]).

    Args:
      panels: title -> lines; a line has the same colour and marker in all panels.
      path: the picture to write.
      x_label, y_label: names and units of the axes.
      levels: panel -> a share drawn as a dashed line, the nearest neighbour's.
      logarithmic: x in powers of two.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    figure = Figure(figsize=(4.3 * len(panels) + 0.6, 4.2), layout="constrained", facecolor="white")
    for axes, (title, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name, (x, y) in lines.items():
            place = names.index(name)
            axes.plot(
                x,
                np.asarray(y) * 100,
                color=OKABE_ITO[place % len(OKABE_ITO)],
                marker=MARKERS[place % len(MARKERS)],
                ms=4,
                lw=1.8,
                label=name,
            )
        if levels and title in levels:
            axes.axhline(levels[title] * 100, color="#555555", ls="--", lw=1.2, label="nearest 2D")
        if logarithmic:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set(title=title, xlabel=x_label, ylabel=y_label, ylim=(0, 102))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    return plots._save(figure, path)
