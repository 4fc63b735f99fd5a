"""Plan and sources -> batches, by tf.data or without TensorFlow.

Every batch is a pure function of (plan, source, draw): it may be made at any time, in any thread
and in any process, so a run restarts at any step, and 1, 2, 4 or 8 processes see the same numbers.
A batch is 8 virtual shards, rows in shard order: an equal split of the rows over devices is a
split by shards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np

from .accumulate import Accumulated
from .clips import Batch, ClipDraws, draw_clips, frame_ids
from .corrupt import SHIPPED, NoiseTable, corrupt
from .memory import keep_freed_memory
from .people import gather_batch, make_batch
from .plan import EVALUATION_CLIPS, EVALUATION_KEYS, Draw, Plan, shard_keys, stream
from .sources import NUM_SHARDS, Source, SourceData

FEEDS = ("tf", "numpy")
PLACES = ("host", "device")
AHEAD = 2  # batches made before they are asked for

Clean = Callable[[int, int], Batch]  # (source, draw) -> batch
Spoil = Callable[[dict[str, Any]], dict[str, Any]]  # batch -> batch
Spoiler = Callable[[int, Any], Spoil]  # (source, array namespace) -> Spoil


def open_plan(
    data: Sequence[SourceData], epochs: int, seed: int = 0, order: str = "shuffled"
) -> Plan:
    """The plan over opened sources."""
    sources = tuple(each.source for each in data)
    counts = tuple(len(each.windows) for each in data)
    labels = tuple(each.labels if each.source.per_class else None for each in data)
    return Plan(sources, counts, epochs, seed, order, labels)


def batches(
    plan: Plan,
    data: Sequence[SourceData],
    start_step: int = 0,
    *,
    feed: str = "tf",
    corrupt_on: str = "host",
    shared: bool = False,
    table: NoiseTable = SHIPPED,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 2,
) -> Iterator[tuple[Draw, Batch]]:
    """Training batches from `start_step` to the end of the plan, this process's rows of each.

    Batches as `people.make_batch`, and "keys" uint32 [shards, 2]: the key of each shard here, for
    corruption on the device.

    feed: "tf" | "numpy" (needs no TensorFlow; same clips, other corruption on the host).
    corrupt_on: "host": motion comes corrupted as its source says; "device": nothing is computed
      here, batches as `people.gather_batch` for `people.finish_batch` and `corrupt` there.
    shared: jitter and frame masks one for the whole batch (official), else for each clip (paper).
    """
    _check(feed, corrupt_on, plan, data)
    keep_freed_memory()
    shards = local_shards(process_index, process_count)

    make = _maker(corrupt_on)
    moves = {
        number: Accumulated(plan, number, here)
        for number, here in enumerate(data)
        if here.source.accumulate
    }

    def clean(source: int, draw: int) -> Batch:
        here = data[source]
        rows = shard_rows(shards, here.source.batch)
        rng = plan.generator(source, draw)
        draws = draw_clips(rng, here.source, here.resamples)
        if source in moves:
            draws = draws._replace(before=moves[source].before(draw))
        draws = draws.rows(rows)
        batch = make(here, plan.windows(source, draw)[rows], draws)
        return batch | {"keys": plan.keys(source, draw)[shards]}

    def spoil(source: int, xp: Any) -> Spoil:
        here = data[source]
        return _spoil(here.source, corrupt_on, shared, table.of(here.skeleton), xp)

    run = _tf_feed if feed == "tf" else _numpy_feed
    return run(plan, start_step, clean, spoil, threads)


def _maker(corrupt_on: str) -> Callable[[SourceData, np.ndarray, ClipDraws], Batch]:
    """What the host makes of a batch of windows."""
    return make_batch if corrupt_on == "host" else gather_batch


def _spoil(source: Source, corrupt_on: str, shared: bool, table: NoiseTable, xp: Any) -> Spoil:
    """Corruption of a clean batch, where it belongs on the host and the source asks for any."""
    if corrupt_on != "host" or not (source.noise or source.mask):
        return lambda batch: batch
    settings = {"noise": source.noise, "mask": source.mask, "table": table, "shared": shared}
    return lambda batch: {
        **batch,
        "motion": corrupt(batch["motion"], batch["keys"], xp=xp, **settings),
    }


def _check(feed: str, corrupt_on: str, plan: Plan, data: Sequence[SourceData]) -> None:
    if feed not in FEEDS or corrupt_on not in PLACES:
        raise ValueError(
            f"got feed {feed!r} and corrupt_on {corrupt_on!r}, "
            f"expected one of {FEEDS} and one of {PLACES}"
        )
    counts = tuple(len(each.windows) for each in data)
    if counts != plan.num_windows:
        raise ValueError(f"got data of {counts} clips, expected the plan's {plan.num_windows}")


def local_shards(process_index: int, process_count: int) -> slice:
    """Which virtual shards one of 1, 2, 4 or 8 processes holds."""
    if NUM_SHARDS % process_count or not 0 <= process_index < process_count:
        raise ValueError(
            f"got process {process_index} of {process_count}, expected 1, 2, 4 or 8 processes; "
            f"every batch is {NUM_SHARDS} virtual shards"
        )
    each = NUM_SHARDS // process_count
    return slice(process_index * each, (process_index + 1) * each)


def shard_rows(shards: slice, batch: int) -> slice:
    """The rows of a batch that some shards are."""
    each = batch // NUM_SHARDS
    return slice(shards.start * each, shards.stop * each)


def _numpy_feed(
    plan: Plan, start: int, clean: Clean, spoil: Spoiler, threads: int
) -> Iterator[tuple[Draw, Batch]]:
    spoilers = [spoil(source, np) for source in range(len(plan.sources))]

    def make(step: int) -> tuple[Draw, Batch]:
        draw = plan.step(step)
        return draw, spoilers[draw.source](clean(draw.source, draw.draw))

    pool = ThreadPoolExecutor(threads, thread_name_prefix="clips")
    try:
        waiting = deque()
        for step in range(start, plan.total_steps):
            waiting.append(pool.submit(make, step))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _tf_feed(
    plan: Plan, start: int, clean: Clean, spoil: Spoiler, threads: int
) -> Iterator[tuple[Draw, Batch]]:
    """One tf.data pipeline for each source, opened when first needed and read in plan order."""
    from ._tf import tnp

    first = plan.first_draws(start)
    readers: dict[int, Iterator[Batch]] = {}
    for step in range(start, plan.total_steps):
        draw = plan.step(step)
        source = draw.source
        if source not in readers:
            last = plan.first_draws(plan.total_steps)[source]
            readers[source] = _dataset(
                lambda number, source=source: clean(source, number),
                spoil(source, tnp),
                (first[source], last),
                threads,
            )
        yield draw, next(readers[source])


def _dataset(
    clean: Callable[[int], Batch],
    spoil: Spoil,
    draws: tuple[int, int],
    threads: int,
) -> Iterator[Batch]:
    """range of draws -> clips -> corruption, in parallel, in order."""
    from ._tf import tf

    example = clean(draws[0])
    names = sorted(example)

    def fetch(draw: Any) -> list[np.ndarray]:
        batch = clean(int(draw))
        return [batch[name] for name in names]

    @tf.autograph.experimental.do_not_convert
    def make(draw: Any) -> dict[str, Any]:
        arrays = tf.numpy_function(fetch, [draw], [example[name].dtype for name in names])
        batch = dict(zip(names, arrays, strict=True))
        for name, array in batch.items():
            array.set_shape(example[name].shape)
        return spoil(batch)

    dataset = tf.data.Dataset.range(*draws).map(
        make, num_parallel_calls=threads, deterministic=True
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.autotune.enabled = False
    return cast(Iterator[Batch], dataset.prefetch(AHEAD).with_options(options).as_numpy_iterator())


def evaluation(
    data: SourceData,
    seed: int = 0,
    *,
    corrupt_on: str = "host",
    shared: bool = False,
    table: NoiseTable = SHIPPED,
    process_index: int = 0,
    process_count: int = 1,
) -> tuple[Iterator[Batch], dict[str, np.ndarray]]:
    """Every window once (from every fixed view) in order, and the host table of what they are.

    Batches have one shape: the last is filled with copies of row 0, index -1 and valid False.
    Nothing is mirrored, short clips are resampled evenly; drawn views and crops, noise and masks
    are the same in every call with the same seed. corrupt_on: as in `batches`.
    """
    index = index_table(data)
    shards = local_shards(process_index, process_count)

    def make() -> Iterator[Batch]:
        for number in range(-(-len(index["window"]) // data.source.batch)):
            yield _evaluation_batch(data, index, number, seed, shards, corrupt_on, shared, table)

    return make(), index


def _evaluation_batch(
    data: SourceData,
    index: dict[str, np.ndarray],
    number: int,
    seed: int,
    shards: slice,
    corrupt_on: str,
    shared: bool,
    table: NoiseTable,
) -> Batch:
    source = data.source
    rows = number * source.batch + np.arange(source.batch)[shard_rows(shards, source.batch)]
    real = rows < len(index["window"])
    taken = np.where(real, rows, 0)
    rng = np.random.Generator(stream(seed, EVALUATION_CLIPS, 0, number))
    draws = _evaluation_draws(data, index, rng, taken, shard_rows(shards, source.batch))
    batch = _maker(corrupt_on)(data, index["window"][taken], draws)
    batch["valid"] &= real[:, None]
    batch["index"] = np.where(real, rows, -1).astype(np.int32)
    batch["keys"] = shard_keys(stream(seed, EVALUATION_KEYS, 0, number))[shards]
    return _spoil(source, corrupt_on, shared, table.of(data.skeleton), np)(batch)


def _evaluation_draws(
    data: SourceData,
    index: dict[str, np.ndarray],
    rng: np.random.Generator,
    taken: np.ndarray,
    rows: slice,
) -> ClipDraws:
    draws = draw_clips(rng, data.source).rows(rows)
    still = {"flip": np.zeros(len(taken), bool), "resample": None}
    if data.source.views is not None and data.source.views.fixed:
        yaw, pitch = np.radians(index["view"][taken]).T
        still |= {"yaw": yaw, "pitch": pitch}
    return draws._replace(**still)


def index_table(data: SourceData) -> dict[str, np.ndarray]:
    """What each of N rows of an evaluation is: one row for each window and fixed view.

    window [N], view [N, 2] (yaw, pitch in degrees; NaN when drawn), frames int64 [N, T] (rows of
    the bank), valid bool [N, T], sequence, subject, action, camera, rig (text [N]), label, fps,
    size [N, 2] (px), and factor [N, T], pose_mm [N, T, J, 3] where the bank has them.
    """
    source, windows, bank = data.source, data.windows, data.bank
    views = source.views
    angles = views.angles() if views is not None and views.fixed else np.full((1, 2), np.nan)
    window = np.repeat(np.arange(len(windows)), len(angles))
    frames, valid = frame_ids(windows.spans[window], windows.resampled[window], source.frames)
    table = {
        "window": window,
        "view": np.tile(angles, (len(windows), 1)).astype(np.float32),
        "frames": frames,
        "valid": valid,
    }
    sequence = windows.sequence[window]
    facts = ("id", "subject", "action", "camera", "rig", "label", "fps", "size")
    for fact in facts:
        values = np.array([row[fact] for row in bank.sequences])
        table["sequence" if fact == "id" else fact] = values[sequence]
    for name in ("factor", "pose_mm"):
        if len(getattr(bank, name)):
            table[name] = np.asarray(getattr(bank, name))[frames]
    return table
