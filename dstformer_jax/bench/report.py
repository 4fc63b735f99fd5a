"""What was measured and on what: machine, tables, and JSON files that tables are made from."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((row.split(":")[1].strip() for row in lines if "model name" in row), name)
    return {
        "cpu": name,
        "cores": cores,
        "load": round(load, 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def versions() -> dict[str, str]:
    """Of the engines that are installed."""
    found = {}
    for name in ("jax", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of this checkout, with "+" where files differ from it; "" outside of one."""
    command = ["git", "-C", str(ROOT)]
    try:
        name = subprocess.run(
            [*command, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*command, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name + "+" * bool(changed)


def result(subject: str, command: str, rows: Rows, where: dict[str, Any]) -> dict[str, Any]:
    """One measurement as JSON holds it."""
    return {
        "subject": subject,
        "command": command,
        "date": date.today().isoformat(),
        "commit": commit(),
        "machine": where,
        "rows": rows,
    }


def write(path: str | Path, value: Any) -> None:
    """Replaces a JSON file; whoever reads it meanwhile sees the old one or the new one."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.replace(path)


def table(rows: Rows) -> str:
    """Rows of equal keys as aligned text."""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest, highest."""
    return statistics.median(values), min(values), max(values)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
