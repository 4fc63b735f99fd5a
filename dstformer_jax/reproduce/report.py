"""Tables from finished cells: mean and deviation over seeds, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid, chain

NOT_RUN = "not run"
NOT_COMPARABLE = "The paper's numbers (not comparable: other data)"


class Number(Protocol):
    """One number of a table, a value a seed."""

    @property
    def needs(self) -> tuple[Cell, ...]:
        """The cells that it is read from."""
        ...

    def shown(self, grid: Grid) -> str:
        """As text, `not run` where nothing is finished."""
        ...

    def lines(self, grid: Grid) -> list[tuple[int, str, str, float]]:
        """Of every finished seed: the seed, the run, the metric and its value."""
        ...


class Computed:
    """A number of a method that no cell trains; subclasses say where its metrics come from."""

    method: str
    metric: str

    @property
    def needs(self) -> tuple[Cell, ...]:
        """Nothing is trained."""
        return ()

    def metrics(self, grid: Grid) -> Mapping[str, float] | None:
        """Every metric of the method; None where the data are not prepared."""
        raise NotImplementedError

    def shown(self, grid: Grid) -> str:
        """The value with one decimal."""
        return "".join(f"{value:.1f}" for *_, value in self.lines(grid)) or NOT_RUN

    def lines(self, grid: Grid) -> list[tuple[int, str, str, float]]:
        """One line, where the data are prepared."""
        found = self.metrics(grid)
        return [] if found is None else [(0, self.method, self.metric, found[self.metric])]


@dataclass(frozen=True)
class Measure:
    """One number of a table: a metric of cells that differ in the seed alone.

    minus: cells whose metric is subtracted, seed by seed. at: which evaluation, -1 is the last.
    times: factor of the value, 100 for shares in percent.
    """

    cells: tuple[Cell, ...]
    metric: str
    minus: tuple[Cell, ...] = ()
    at: int = -1
    times: float = 1.0

    @property
    def needs(self) -> tuple[Cell, ...]:
        """The cells, and those that are subtracted."""
        return (*self.cells, *self.minus)

    def values(self, grid: Grid) -> list[float]:
        """The metric of every seed that is finished."""
        return [value for *_, value in self.lines(grid)]

    def shown(self, grid: Grid) -> str:
        """The mean over seeds with its deviation: `41.2 ± 0.3`."""
        values = self.values(grid)
        if not values:
            return NOT_RUN
        spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        some = f" ({len(values)} of {len(self.cells)} seeds)"
        return f"{np.mean(values):.1f}{spread}" + some * (len(values) < len(self.cells))

    def lines(self, grid: Grid) -> list[tuple[int, str, str, float]]:
        """One a finished seed; a difference names both runs."""
        lines = []
        for number, cell in enumerate(self.cells):
            pair = (cell, *self.minus[number : number + 1])
            found = [result for each in pair if (result := grid.result(each))]
            if len(found) == len(pair):
                values = [self.times * result.history[self.at][self.metric] for result in found]
                run = "-".join(each.key for each in pair)
                lines.append((cell.seed, run, self.metric, values[0] - sum(values[1:])))
        return lines


Entry = str | Number


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
        numbers = [e for row in self.rows.values() for e in row if not isinstance(e, str)]
        cells = [cell for each in numbers for cell in each.needs]
        unique = dict.fromkeys(each for cell in (*cells, *self.more) for each in chain(cell))
        return sorted(unique, key=lambda cell: cell.seed)


def shown(entry: Entry, grid: Grid) -> str:
    """An entry as text."""
    return entry if isinstance(entry, str) else entry.shown(grid)


def markdown(
    study: Study,
    grid: Grid,
    scale: str,
    missing: Sequence[str] = (),
    picture: Path | None = None,
) -> str:
    """The page of a study: ours, what it cost, and the published numbers apart."""
    lines = [f"# {study.title}", ""]
    if study.about:
        lines += [study.about, ""]
    if missing:
        lines += [f"Not run: {', '.join(missing)} not prepared in {grid.data}.", ""]
    if picture:
        lines += [f"![{study.title}]({picture.name})", ""]
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
            for seed, run, metric, value in entry.lines(grid):
                writer.writerow([label, column, seed, run, metric, f"{value:.6g}"])
    return text.getvalue()


def write_values(picture: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """What a picture shows, as `<picture>_values.csv`."""
    with picture.with_name(f"{picture.stem}_values.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write(
    study: Study,
    grid: Grid,
    name: str,
    output: Path,
    scale: str,
    missing: Sequence[str] = (),
    picture: Path | None = None,
) -> str:
    """Writes `<name>.md` and `<name>.csv` into the output folder; returns the page."""
    output.mkdir(parents=True, exist_ok=True)
    page = markdown(study, grid, scale, missing, picture)
    (output / f"{name}.md").write_text(page)
    (output / f"{name}.csv").write_text(as_csv(study, grid))
    return page
