"""Tables from finished cells: mean and deviation over seeds, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid, chain

NOT_RUN = "not run"
NOT_COMPARABLE = "The paper's numbers (not comparable: other data)"


@dataclass(frozen=True)
class Measure:
    """One number of a table: a metric of cells that differ in the seed alone.

    `minus`: cells whose metric is subtracted, seed by seed.
    """

    cells: tuple[Cell, ...]
    metric: str
    minus: tuple[Cell, ...] = ()

    def values(self, grid: Grid) -> list[float]:
        """The metric of every seed that is finished."""
        pairs = zip(self.cells, self.minus or self.cells, strict=True)
        found = [(grid.result(cell), grid.result(other)) for cell, other in pairs]
        sign = 1.0 if self.minus else 0.0
        return [
            mine.metrics[self.metric] - sign * theirs.metrics[self.metric]
            for mine, theirs in found
            if mine and theirs
        ]


Entry = str | Measure


@dataclass(frozen=True)
class Published:
    """Numbers as they were published, and where."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    source: str


@dataclass(frozen=True)
class Study:
    """A table or figure: what is run for it and how it is read.

    rows: label -> entries, one a column; what a figure needs beside stands in `more`.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Entry, ...]]
    about: str = ""  # what was run and what the numbers are, in prose
    published: Published | None = None
    more: tuple[Cell, ...] = field(default=())

    @property
    def cells(self) -> list[Cell]:
        """Every cell of the table and those they start from, each once; first seeds first."""
        measures = [e for row in self.rows.values() for e in row if isinstance(e, Measure)]
        cells = [cell for each in measures for cell in (*each.cells, *each.minus)]
        unique = dict.fromkeys(each for cell in (*cells, *self.more) for each in chain(cell))
        return sorted(unique, key=lambda cell: cell.seed)


def shown(entry: Entry, grid: Grid) -> str:
    """An entry as text: `41.2 ± 0.3`, or what it is when nothing was run."""
    if isinstance(entry, str):
        return entry
    values = entry.values(grid)
    if not values:
        return NOT_RUN
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    some = f" ({len(values)} of {len(entry.cells)} seeds)"
    return f"{np.mean(values):.1f}{spread}" + some * (len(values) < len(entry.cells))


def markdown(study: Study, grid: Grid, scale: str, missing: Sequence[str] = ()) -> str:
    """The page of a study: ours, what it cost, and the published numbers apart."""
    lines = [f"# {study.title}", ""]
    if study.about:
        lines += [study.about, ""]
    if missing:
        lines += [f"Not run: {', '.join(missing)} not prepared in {grid.data}.", ""]
    rows = [[label, *(shown(e, grid) for e in row)] for label, row in study.rows.items()]
    if rows:
        lines += [*rows_as_markdown(["", *study.columns], rows), ""]
    lines += [cost_sentence(study.cells, grid), ""]
    if published := study.published:
        heading = "The paper's numbers" if scale == "paper" else NOT_COMPARABLE
        table = [[label, *row] for label, row in published.rows.items()]
        lines += [f"## {heading}", "", *rows_as_markdown(["", *published.columns], table), ""]
        lines += [published.source, ""]
    return "\n".join(lines)


def rows_as_markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, a line a row."""
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def cost_sentence(cells: Iterable[Cell], grid: Grid) -> str:
    """How many runs are behind a page, of which commits, and their processor time."""
    cells = list({cell.key: cell for cell in cells}.values())
    done = [result for cell in cells if (result := grid.result(cell))]
    if not done:
        return f"0 of {len(cells)} runs are finished."
    minutes = sum(result.cost["cpu_s"] for result in done) / 60
    commits = sorted({result.cost["commit"] for result in done} - {""})
    return (
        f"{len(done)} of {len(cells)} runs are finished: {minutes:.1f} minutes of processor time "
        f"in all, on code of {', '.join(commits) or 'an unknown commit'}. Numbers after ± are "
        "standard deviations over seeds."
    )


def as_csv(study: Study, grid: Grid) -> str:
    """One line a measured number and seed: row, column, seed, run, metric, value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "seed", "run", "metric", "value"])
    for label, row in study.rows.items():
        for column, entry in zip(study.columns, row, strict=True):
            if isinstance(entry, str):
                writer.writerow([label, column, "", "", "", entry])
                continue
            for number, cell in enumerate(entry.cells):
                other = entry.minus[number : number + 1]
                value = Measure((cell,), entry.metric, other).values(grid)
                if value:
                    key = cell.key + "".join(f"-{each.key}" for each in other)
                    writer.writerow(
                        [label, column, cell.seed, key, entry.metric, f"{value[0]:.6g}"]
                    )
    return text.getvalue()


def write(
    study: Study, grid: Grid, name: str, output: Path, scale: str, missing: Sequence[str] = ()
) -> str:
    """Writes `<name>.md` and `<name>.csv` into the output folder; returns the page."""
    output.mkdir(parents=True, exist_ok=True)
    page = markdown(study, grid, scale, missing)
    (output / f"{name}.md").write_text(page)
    (output / f"{name}.csv").write_text(as_csv(study, grid))
    return page
