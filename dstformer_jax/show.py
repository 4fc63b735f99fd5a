"""Draws what a run has learned: predicted against true poses, confused classes, learning curves.

python -m dstformer_jax.show --workdir=runs/demo --output=runs/demo/pictures
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dstformer_jax.body import geometry
from dstformer_jax.data import pipeline
from dstformer_jax.data.sources import SourceData
from dstformer_jax.inference import Model, load
from dstformer_jax.lift.actions import class_scores
from dstformer_jax.tasks.metrics import confusion_matrix
from dstformer_jax.training.experiment import open_sources
from dstformer_jax.training.logs import METRICS
from dstformer_jax.view import action_plots, plots


def pose_examples(
    model: Model, data: SourceData, count: int, seed: int = 0, flip: bool = True
) -> list[plots.Example]:
    """`count` frames of a 3D evaluation source, spread over its clips, with their predictions.

    seed and flip are those of the run's evaluations: config.seed and config.eval.flip.
    """
    batches, index = pipeline.evaluation(data, seed)
    total = len(index["window"])
    chosen = set(np.linspace(0, total - 1, count).astype(int).tolist())
    examples = []
    for batch in batches:
        rows = [row for row, number in enumerate(batch["index"]) if number in chosen]
        if not rows:
            continue
        poses = model.lift(batch["motion"][rows], flip=flip)
        for row, pose in zip(rows, poses, strict=True):
            examples.append(_example(batch, row, pose, index))
    return examples


def _example(batch: dict[str, Any], row: int, pose: np.ndarray, index: dict[str, Any]) -> Any:
    """The middle valid frame of a clip, root-relative, in mm where the source knows them."""
    frame = int(batch["valid"][row].sum()) // 2
    true = batch["target"][row, frame]
    scale = float(batch["scale"][row]) or 1.0  # 0: stored normalised
    number = int(batch["index"][row])
    names = [str(index[name][number]) for name in ("action", "subject") if index[name][number]]
    return plots.Example(
        motion=batch["motion"][row, frame],
        pred=(pose[frame] - pose[frame, :1]) * scale,
        true=(true - true[:1]) * scale,
        title="\n".join(names),
        unit="mm" if batch["scale"][row] else "normalised",
    )


def confused_classes(
    model: Model, data: SourceData, seed: int = 0, flip: bool = False
) -> np.ndarray:
    """How often each class was named as each, int [K, K], true classes in rows.

    Args:
      model: with its head for actions (`load(path, head="action")`).
      data: a labelled evaluation source; every view of a clip counts.
      seed, flip: of the run's evaluations.
    """
    scores = jax.jit(partial(class_scores, model.network))
    true, named = [], []
    for batch in pipeline.evaluation(data, seed)[0]:
        rows = model.run(scores, batch["motion"], axes=4)
        if flip:
            mirrored = geometry.flip(batch["motion"], model.skeleton)
            rows = rows + model.run(scores, mirrored, axes=4)
        real = batch["index"] >= 0
        true.append(batch["label"][real])
        named.append(rows[real].argmax(-1))
    return confusion_matrix(np.concatenate(true), np.concatenate(named), rows.shape[-1])


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl."""
    path = workdir / METRICS
    if not path.is_file():
        raise ValueError(f"got {workdir}, expected a run with {METRICS}; do train first")
    return [json.loads(line) for line in path.read_text().splitlines()]


def error_unit(data: SourceData) -> str:
    """The unit of a 3D source's errors: mm | normalised."""
    return "mm" if data.unit == "m" or len(data.bank.factor) else "normalised"


def learning_curve(
    lines: Sequence[dict[str, float]], path: Path, units: Mapping[str, str] | None = None
) -> list[str]:
    """Draws MPJPE against steps for every 3D evaluation source; returns a summary, a line each.

    Nothing is drawn, and nothing returned, when nothing was evaluated.

    Args:
      lines: of metrics.jsonl.
      path: of the picture of errors in mm; normalised ones are drawn beside it, as
        `<name>_normalised.png`.
      units: of the sources and groups whose errors are not in mm.
    """
    names = sorted({n.split("/")[1] for line in lines for n in line if n.endswith("/mpjpe")})
    summary, drawn = [], []
    for unit, picture in (
        ("mm", path),
        ("normalised", path.with_stem(f"{path.stem}_normalised")),
    ):
        series = {name: _points(lines, f"eval/{name}/mpjpe")
                  for name in names if (units or {}).get(name, "mm") == unit}  # fmt: skip
        series = {name: points for name, points in series.items() if points}
        for name, points in series.items():
            (first, before), (last, after) = points[0], points[-1]
            summary.append(
                f"{name}: MPJPE {plots.measured(before, unit, 1)} at step {first:.0f}, "
                f"{plots.measured(after, unit, 1)} at step {last:.0f}"
            )
        if series:
            curves = {name: ([step for step, _ in points], [value for _, value in points])
                      for name, points in series.items()}  # fmt: skip
            levels = {f"{name}, no depth": points[-1][1] for name in series
                      if (points := _points(lines, f"eval/{name}/zero_depth"))}  # fmt: skip
            label = f"MPJPE on unseen people ({unit})"
            drawn.append(plots.curves(curves, picture, "step", label, levels))
    return summary + [f"picture: {picture}" for picture in drawn]


def accuracy_curve(lines: Sequence[dict[str, float]], path: Path) -> list[str]:
    """Draws top-1 against steps for every recognition source; returns a summary, a line each."""
    names = sorted({n.split("/")[1] for line in lines for n in line if n.endswith("/top1")})
    found = {name: _points(lines, f"eval/{name}/top1") for name in names}
    curves = {
        name: ([step for step, _ in points], [100 * value for _, value in points])
        for name, points in found.items()
        if points
    }
    if not curves:
        return []
    picture = plots.curves(curves, path, "step", "top-1 of clips not trained on (%)")
    return [
        *(f"{name}: top-1 {y[0]:.1f} % at step {x[0]:.0f}, {y[-1]:.1f} % at step {x[-1]:.0f}"
          for name, (x, y) in curves.items()),
        f"picture: {picture}",
    ]  # fmt: skip


def _points(lines: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    """(step, value) of a metric; a value that is not a number stands as a word and is left out."""
    return [
        (line["step"], line[name]) for line in lines if isinstance(line.get(name), (int, float))
    ]


def run(workdir: Path, output: Path, count: int) -> list[str]:
    """Writes all pictures of a run; returns what to print.

    Raises:
      ValueError: no run of this package's training there, or no poses asked for.
    """
    if count < 1:
        raise ValueError(f"got --count={count}, expected 1 or more")
    model = load(str(workdir))
    if "config" not in model.info:
        raise ValueError(
            f"got {workdir}, whose weights were converted and know no test set, expected a run of "
            "dstformer_jax.main; do train or evaluate with --config.init_from"
        )
    config = model.info["config"]
    tests = open_sources(config["eval"]["sources"], config["data"]["path"], model.skeleton)
    units = {data.source.name: error_unit(data) for data in tests}
    for group, members in (config["eval"].get("groups") or {}).items():
        units[group] = units[members[0]]
    lines, flip = read_metrics(workdir), config["eval"].get("flip", True)
    said = learning_curve(lines, output / "learning_curve.png", units)
    said += accuracy_curve(lines, output / "accuracy.png")
    if config["task"]["name"] == "action":
        return said + _confusion(workdir, tests, output, config["seed"], flip)
    for data in tests:
        if data.source.supervision != "3d":
            continue
        examples = pose_examples(model, data, count, config["seed"], flip)
        error = float(np.mean([example.error for example in examples]))
        path = plots.pose_grid(
            examples,
            output / f"poses_{data.source.name}.png",
            f"{data.source.name}: people the network never saw "
            f"({plots.measured(error, examples[0].unit)} here)",
        )
        said.append(f"picture: {path}")
    return said


def _confusion(
    workdir: Path, tests: Sequence[SourceData], output: Path, seed: int, flip: bool
) -> list[str]:
    """A picture of every test source of an action run."""
    model, said = load(str(workdir), head="action"), []
    classes = model.info.get("classes") or []
    for data in tests:
        matrix = confused_classes(model, data, seed, flip)
        names = classes or [str(label) for label in range(len(matrix))]
        share = np.trace(matrix) / max(matrix.sum(), 1)
        path = action_plots.confusion(
            matrix,
            names,
            output / f"confusion_{data.source.name}.png",
            f"{data.source.name}: {100 * share:.1f} % of clips not trained on are named right",
        )
        said.append(f"picture: {path}")
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workdir", type=Path, required=True, help="a run of dstformer_jax.main")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--count", type=int, default=4, help="poses in a picture [4]")
    values = parser.parse_args(arguments)
    try:
        print("\n".join(run(values.workdir, values.output, values.count)))
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
