"""Reads the files of a preparation into its work folder: here, or in several processes."""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from .builder import Item, SequenceBuilder
    from .work import Work

_in_worker: list[tuple[SequenceBuilder, list[Item], Work]] = []


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much at once, and into how many files."""

    num_workers: int = 1  # processes that read
    num_shards: int = 0  # record files a split; 0: as tfds chooses by size
    beam: str = ""  # flags of an Apache Beam runner that reads in their place

    def __post_init__(self) -> None:
        if self.num_workers < 1 or self.num_shards < 0:
            raise ValueError(
                f"got --num_workers={self.num_workers} --num_shards={self.num_shards}, "
                "expected 1 or more processes and 0 or more files"
            )


def read_all(
    builder: SequenceBuilder, items: list[Item], work: Work, scale: Scale, progress: bool
) -> dict[str, str]:
    """Reads every item not read before into the work folder; returns the bad ones with reasons.

    What is written does not depend on `scale`: each item has a file of its own.

    Raises:
      Unfit: an item that makes the whole dataset useless; what was read is removed.
      ValueError: a full disk, or a worker that was killed; the same command goes on from there.
    """
    from .builder import Unfit

    waiting = [place for place, item in enumerate(items) if not work.has(item)]
    if scale.beam:
        from .beam import read_with_beam  # an optional dependency

        done = read_with_beam(builder, items, work, waiting, scale.beam)
    elif scale.num_workers > 1:
        done = _in_processes(builder, items, work, waiting, scale.num_workers)
    else:
        done = ((place, read_item(builder, items[place], work)) for place in waiting)
    skipped: dict[str, str] = {}
    bar = tqdm(
        done,
        desc=f"{builder.name}: reading",
        unit="file",
        disable=not progress,
        total=len(items),
        initial=len(items) - len(waiting),
    )
    try:
        for place, reason in bar:
            if reason:
                skipped[items[place].key] = reason
                bar.write(f"skipped {items[place].key}: {reason}", file=sys.stderr)
    except Unfit:
        bar.close()
        work.remove()
        raise
    return {item.key: skipped[item.key] for item in items if item.key in skipped}


def read_item(builder: SequenceBuilder, item: Item, work: Work) -> str:
    """Reads one item into the work folder; why it is bad, or "" when it is good."""
    from .builder import Unfit

    notes: Counter[str] = Counter()
    try:
        work.write(item, builder.read(item, notes), notes)
    except Unfit:
        raise
    except Exception as error:  # a bad file may raise anything; it is named in the report
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ValueError(f"got a full disk at {work.path}; make room and go on") from error
        plain = isinstance(error, ValueError | OSError)
        return str(error) or type(error).__name__ if plain else f"{type(error).__name__}: {error}"
    return ""


def _in_processes(
    builder: SequenceBuilder, items: list[Item], work: Work, waiting: list[int], workers: int
) -> Iterator[tuple[int, str]]:
    """The answers of several processes, as they come."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise ValueError("got --num_workers on a system that cannot fork; do --num_workers=1")
    # Forks have what `items` has loaded into the builder without reading or sending it again.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), _begin, (builder, items, work)
    )
    try:
        futures: dict[Future[str], int] = {pool.submit(_read, place): place for place in waiting}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise ValueError(
            f"got a reading process that was killed, expected {workers} to live (too little "
            "memory?); do the same with fewer --num_workers, which goes on from here"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(builder: SequenceBuilder, items: list[Item], work: Work) -> None:
    """In each process, once: Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _in_worker[:] = [(builder, items, work)]


def _read(place: int) -> str:
    builder, items, work = _in_worker[0]
    return read_item(builder, items[place], work)
