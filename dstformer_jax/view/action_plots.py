"""Pictures of recognition: which class is taken for which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dstformer_jax.view import plots

WRITTEN = 30  # classes up to which every cell holds its number


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
