"""Subject `pipeline`: clips per second of CPU time, corrupted on the host or left to the device."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.bench.report import Rows


def run(flags: argparse.Namespace) -> Rows:
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


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    parser.add_argument("--frames", type=int, default=243, help="T")
    parser.add_argument("--batch", type=int, default=64, help="clips in a batch")
    parser.add_argument("--repeats", type=int, default=9, help="blocks of 8 batches")
    parser.add_argument("--feeds", default="tf,numpy", help="which feeds, by comma")
