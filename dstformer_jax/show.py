"""Draws what a run has learned: predicted against true poses, and the learning curve.

python -m dstformer_jax.show --workdir=runs/demo --output=runs/demo/pictures
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.data import pipeline
from dstformer_jax.data.sources import SourceData
from dstformer_jax.inference import Model, load
from dstformer_jax.training.experiment import open_sources
from dstformer_jax.training.logs import METRICS
from dstformer_jax.view import plots


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
    tests = open_sources(config["eval"]["sources"], config["data"]["path"])
    units = {data.source.name: error_unit(data) for data in tests}
    for group, members in (config["eval"].get("groups") or {}).items():
        units[group] = units[members[0]]
    said = learning_curve(read_metrics(workdir), output / "learning_curve.png", units)
    for data in tests:
        if data.source.supervision != "3d":
            continue
        flip = config["eval"].get("flip", True)
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
