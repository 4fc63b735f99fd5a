"""Reproduces a table or figure of the paper from our own runs.

    python -m dstformer_jax.reproduce table7 --data=data/mocap --workdir=runs/small

Runs what is not finished (each run once, whichever tables share it), then writes NAME.md, NAME.csv
and, of figures, NAME.png. Stopped at any moment, the same command goes on.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dstformer_jax.reproduce import (
    ablations,
    bodies,
    curves,
    embeddings,
    figures,
    fusion,
    official,
    recognition,
    seen,
    shipped,
    tables,
)
from dstformer_jax.reproduce.arms import SCALES, Scale
from dstformer_jax.reproduce.cells import Pretrained
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.figures import Drawing
from dstformer_jax.reproduce.report import Study, write

STUDIES: dict[str, Callable[[Scale, int], Study]] = {
    **ablations.TABLES,
    "table3": bodies.table3,
    **recognition.STUDIES,
    "curves": curves.curves,
    "figure3": figures.figure3,
    "figure4": fusion.figure4,
    "figure5": fusion.figure5,
    "figure6": embeddings.figure6,
    "figure7": figures.figure7,
    "robustness": lambda _, seeds: tables.robustness_study(seeds),
    "narrow": lambda _, seeds: tables.narrow_study(seeds),
    "pose3d": tables.pose_study,
    "seen": lambda _, seeds: seen.seen_study(seeds),
    "shipped": lambda *_: shipped.shipped_study(),
}
DRAWINGS: dict[str, Drawing] = {
    "figure3": figures.draw_figure3,
    "figure4": fusion.draw_figure4,
    "figure5": fusion.draw_figure5,
    "figure6": embeddings.draw_figure6,
    "figure7": figures.draw_figure7,
    "few": recognition.draw_few,
    "curves": curves.draw_curves,
    "pose3d": figures.draw_figure3,
    "seen": seen.draw_seen,
}


def reproduce(name: str, scale: Scale, seeds: int, grid: Grid, output: Path) -> str:
    """Runs and writes one table or figure; returns its page.

    What needs a dataset that is not prepared is not run, and the page says so.

    Raises:
      ValueError: a run that failed; what is finished has been written.
    """
    study = STUDIES[name](scale, seeds)
    missing = grid.missing(study.cells)
    try:
        grid.run(cell for cell in study.cells if not grid.missing([cell]))
    finally:
        output.mkdir(parents=True, exist_ok=True)
        draw = DRAWINGS.get(name, lambda *_: None)
        picture = draw(study, scale, grid, output / f"{name}.png")
        page = write(study, grid, name, output, scale.name, missing, picture)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code. Unknown flags go to `dstformer_jax.main`."""
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*sorted(STUDIES), "official"], help="which")
    parser.add_argument("--data", type=Path, required=True, help="prepared data")
    parser.add_argument("--workdir", type=Path, help="folder of the runs")
    parser.add_argument("--weights", type=Path, help="official: folder of the released files")
    parser.add_argument("--output", type=Path, help="folder of the pages [WORKDIR/pages]")
    parser.add_argument("--pretrained", type=Path, help="workdir or file that `finetuned` means")
    parser.add_argument("--scale", choices=sorted(SCALES), default="small", help="[small]")
    parser.add_argument("--seeds", type=int, help="runs of each arm [small: 2, paper: 5]")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, a core each [1]")
    parser.add_argument("--no-train", action="store_true", help="only show what is finished")
    values, extra = parser.parse_known_args(arguments)
    scale = SCALES[values.scale]
    try:
        if values.name == "official":
            return official.check(values.weights, values.data, values.workdir, extra)
        if values.workdir is None:
            raise ValueError("got no --workdir, expected the folder of the runs")
        seeds = scale.seeds if values.seeds is None else values.seeds
        if seeds < 1:
            raise ValueError(f"got --seeds={seeds}, expected 1 or more")
        if values.pretrained:
            scale = replace(scale, given=Pretrained.open(values.pretrained))
        values.workdir.mkdir(parents=True, exist_ok=True)
        workdir, data = values.workdir.resolve(), values.data.resolve()
        grid = Grid(workdir, data, values.jobs, extra, train=not values.no_train)
        output = values.output or values.workdir / "pages"
        print(reproduce(values.name, scale, seeds, grid, output))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
