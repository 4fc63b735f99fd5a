"""What was measured, as a page, a table for programs and a text for the terminal."""

import csv
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dstformer_jax.bench.report import machine, table

Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """One subject's numbers.

    Attributes:
      title: of the page.
      about: what was measured and how, in sentences.
      tables: heading -> rows of equal keys; the first is written as CSV.
      pictures: files in the output folder, with what they show.
    """

    title: str
    about: str
    tables: dict[str, list[Row]]
    pictures: dict[str, str] = field(default_factory=dict)


def write(report: Report, name: str, output: Path, command: str) -> str:
    """Writes `<name>.md` and `<name>.csv` into a folder; returns the text for the terminal."""
    output.mkdir(parents=True, exist_ok=True)
    where = ", ".join(f"{key} {value}" for key, value in machine().items())
    lines = [f"# {report.title}", "", report.about, ""]
    for heading, rows in report.tables.items():
        lines += [f"## {heading}", "", *_markdown(rows), ""]
    for picture, caption in report.pictures.items():
        lines += [f"![{caption}]({picture})", "", f"*{caption}*", ""]
    lines += ["```", command, "```", "", f"Measured on: {where}, jax {version('jax')}.", ""]
    (output / f"{name}.md").write_text("\n".join(lines))
    rows = next(iter(report.tables.values()))
    with (output / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    shown = [f"{heading}\n{table(rows)}" for heading, rows in report.tables.items()]
    return "\n\n".join([f"{report.title} ({where})", *shown])


def _markdown(rows: list[Row]) -> list[str]:
    head = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return head + ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]
