"""Benchmarks: `python -m dstformer_jax.bench SUBJECT [--json=FILE]`.

Each subject is a function (flags) -> list of rows, printed as a table and written as JSON with
the machine it ran on. Nothing here is a test: numbers depend on the machine and on what else
runs on it, so CPU time is given beside wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]


def data(flags: argparse.Namespace) -> Rows:
    """Input pipeline: clips per second of CPU time, corrupted on the host or left to the device.

    Mocap as in pretraining: drawn views, crops, mirroring, noise and masks, T = 243, 64 a batch;
    AMASS-like without views and crops; detections cropped.
    """
    from dstformer_jax.data.pipeline import FEEDS
    from dstformer_jax.data.sources import Source, Views

    feeds = flags.feeds.split(",")
    if unknown := sorted(set(feeds) - set(FEEDS)):
        raise ValueError(f"got --feeds={flags.feeds} with {unknown[0]!r}, expected some of {FEEDS}")
    if flags.repeats < 1:
        raise ValueError(f"got --repeats={flags.repeats}, expected 1 or more")
    corrupted: dict[str, Any] = {"frames": flags.frames, "batch": flags.batch, "stride": 81}
    corrupted |= {"noise": True, "mask": True, "flip": True}
    sources = [
        Source("mocap", "bench", views=Views((0, 360), (0, 20)), crop=(1, 1), **corrupted),
        Source("amass", "bench", scale=0.298, **corrupted),
        Source("2d", "bench", supervision="2d", input="motion", crop=(0.25, 1), **corrupted),
    ]
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        bank = _random_bank(Path(folder) / "train", flags.frames)
        for source in sources:
            for feed in feeds:
                for place in ("device", "host"):
                    rows.append(_feed_speed(source, bank, feed, place, flags.repeats))
    return rows


def _random_bank(path: Path, frames: int) -> Any:
    """A bank of 150,000 frames or so: larger than any cache."""
    from dstformer_jax.data.bank import Bank, write_bank
    from dstformer_jax.data.schema import Sequence

    rng = np.random.default_rng(0)
    length = max(1500, 4 * frames)

    def joints() -> np.ndarray:
        return rng.random((length, 17, 3), np.float32)

    sequences = (
        Sequence(id=str(number), fps=30, pose=joints(), motion=joints())
        for number in range(max(1, 150_000 // length))
    )
    return Bank.read(write_bank(sequences, path))


def _feed_speed(source: Any, bank: Any, feed: str, place: str, repeats: int) -> dict[str, Any]:
    """Median over blocks of 8 batches, after a warm-up."""
    from dstformer_jax.data import pipeline
    from dstformer_jax.data.sources import SourceData

    opened = [SourceData.of(source, bank)]
    per_pass = len(opened[0].windows) // source.batch
    if not per_pass:
        raise ValueError(
            f"got batch {source.batch}, expected at most the {len(opened[0].windows)} clips there "
            "are; do lower --batch"
        )
    plan = pipeline.open_plan(opened, epochs=-(-8 * (repeats + 1) // per_pass) + 1)
    batches = pipeline.batches(plan, opened, feed=feed, corrupt_on=place, threads=1)
    cpu, wall = [], []
    for block in range(repeats + 1):
        started = time.process_time(), time.perf_counter()
        for _ in range(8):
            next(batches)
        if block:
            cpu.append(time.process_time() - started[0])
            wall.append(time.perf_counter() - started[1])
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]
    clips = 8 * source.batch
    return {
        "source": source.name,
        "feed": feed,
        "corruption": place,
        "clips_per_cpu_second": round(clips / statistics.median(cpu)),
        "best": round(clips / min(cpu)),
        "clips_per_second": round(clips / statistics.median(wall)),
    }


def _data_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=int, default=243, help="T")
    parser.add_argument("--batch", type=int, default=64, help="clips in a batch")
    parser.add_argument("--repeats", type=int, default=9, help="blocks of 8 batches")
    parser.add_argument("--feeds", default="tf,numpy", help="which feeds, by comma")


# name -> what it measures, its flags
SUBJECTS: dict[str, tuple[Callable[[argparse.Namespace], Rows], Callable[..., None]]] = {
    "data": (data, _data_flags),
}


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


def table(rows: Rows) -> str:
    """Rows of equal keys as aligned text."""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dstformer_jax.bench", description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for name, (run, add_flags) in SUBJECTS.items():
        subject = subjects.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        subject.add_argument("--json", help="write the results to this file")
        add_flags(subject)
    flags = parser.parse_args(arguments)
    try:
        measure(flags)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def measure(flags: argparse.Namespace) -> None:
    """Runs one subject, prints its table and writes the file asked for."""
    if flags.json and not Path(flags.json).parent.is_dir():  # known before minutes of measuring
        raise ValueError(f"got --json={flags.json}, expected a file in a folder that exists")
    where = machine()
    rows = SUBJECTS[flags.subject][0](flags)
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(table(rows))
    if flags.json:
        result = {"subject": flags.subject, "machine": where, "rows": rows}
        Path(flags.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
