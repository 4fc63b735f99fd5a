"""Evaluation: the rows of every clip on device, their summary once on the host.

Every source of `config.eval.sources` gives results under `eval/<source>/<metric>`, every group of
`config.eval.groups` (name -> sources that are one test set together) under `eval/<group>/<metric>`.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dstformer_jax.data import pipeline
from dstformer_jax.data.corrupt import SHIPPED, NoiseTable
from dstformer_jax.training.parallel import Jit, is_first_process
from dstformer_jax.training.results import ResultFiles

Rows = dict[str, np.ndarray]
AHEAD = 2  # batches the device may still be busy with
RESULTS = "results/"  # begins the names of rows that are written and not measured


class Evaluator:
    """Measures a network on some sources. Programs are compiled once and kept."""

    def __init__(
        self,
        network: Any,
        task: Any,
        sources: Mapping[str, Any],
        backend: Jit,
        flip: bool = True,
        seed: int = 0,
        groups: Mapping[str, Collection[str]] | None = None,
        table: NoiseTable = SHIPPED,
        shared: bool = False,
        write: str | None = None,
    ):
        """Prepares an evaluation.

        Args:
          network, task: as in training.
          sources: name -> SourceData of a test set.
          backend: where the rows are computed.
          flip: averages with the un-mirrored prediction of the mirrored input (official).
          seed: of the corruption, where a source asks for it; the same on every evaluation.
          groups: name -> names of sources, see `group_means`.
          table, shared: the corruption, as in training (`config.data.noise` and `.shared`).
          write: folder for every frame's answer, `<write>/<source>/<sequence>.npz`.

        Raises:
          ValueError: a group of unknown sources, or one named as a source; or `write` for a task
            that has no results of frames.
        """
        if write and not hasattr(task, "results"):
            raise ValueError(
                f"got eval.write={write!r} for a task without results of frames, expected the mesh "
                "task; do leave it out"
            )
        self._groups = groups or {}
        check_groups(self._groups, sources)
        self._task, self._sources, self._backend, self._seed = task, sources, backend, seed
        self._table, self._shared = table, shared
        self._write = write
        self._measure = backend.compile_rows(measure_rows(network, task, flip, bool(write)))

    def __call__(
        self, variables: dict[str, Any], stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float] | None:
        """Every metric of every source and group; None when `stop()` came true on the way."""
        results = {}
        for name, source in self._sources.items():
            batches, index = pipeline.evaluation(
                source,
                self._seed,
                shared=self._shared,
                table=self._table,
                process_index=jax.process_index(),
                process_count=jax.process_count(),
            )
            rows = self._rows(variables, batches, stop, self._files(name, index))
            if rows is None:
                return None
            index = {**index, "supervision": np.array(source.source.supervision)}
            summary = self._task.summarise(order_rows(rows), index)
            results.update({f"eval/{name}/{metric}": v for metric, v in summary.items()})
        return results | group_means(results, self._groups)

    def _files(self, name: str, index: dict[str, Any]) -> ResultFiles | None:
        """Where the results of a source go; None where none are written."""
        if not self._write or not is_first_process():
            return None
        starts = {row["id"]: row["start"] for row in self._sources[name].bank.sequences}
        return ResultFiles(Path(self._write) / name, index, starts)

    def _fetch(self, rows: Any, files: ResultFiles | None) -> Rows:
        """The measured rows of a batch on the host; the results among them go to the files."""
        fetched = self._backend.fetch_rows(rows)
        results = {name: array for name, array in fetched.items() if name.startswith(RESULTS)}
        if files is not None:
            named = {name.removeprefix(RESULTS): array for name, array in results.items()}
            files.add({**named, "index": fetched["index"]})
        return {name: array for name, array in fetched.items() if name not in results}

    def _rows(
        self,
        variables: dict[str, Any],
        batches: Iterator[Any],
        stop: Callable[[], bool],
        files: ResultFiles | None,
    ) -> Rows | None:
        """Rows of all batches; the host reads a batch while the device works on later ones."""
        waiting, fetched = deque(), []
        for batch in batches:
            if stop():
                return None
            placed = self._backend.place({k: v for k, v in batch.items() if k != "keys"})
            rows = self._measure(variables, placed)
            waiting.append({**rows, "index": placed["index"]})
            if len(waiting) > AHEAD:
                fetched.append(self._fetch(waiting.popleft(), files))
        fetched += [self._fetch(rows, files) for rows in waiting]
        if not fetched:
            raise ValueError("got an evaluation source without clips; do check eval.sources")
        return {name: np.concatenate([rows[name] for rows in fetched]) for name in fetched[0]}


def measure_rows(
    network: Any, task: Any, flip: bool, write: bool = False
) -> Callable[[dict[str, Any], dict[str, jax.Array]], dict[str, jax.Array]]:
    """The pure function (variables, batch) -> rows [B, ...] of one evaluation batch.

    With `write` what `task.results` gives is among the rows, its names begin with RESULTS.
    """
    finish = getattr(task, "finish", dict)

    def answer(variables: dict[str, Any], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return network.apply(variables, batch["motion"], train=False, **task.inputs(batch))

    def measure(variables: dict[str, Any], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        outputs = finish(answer(variables, batch))
        if flip:
            mirrored = task.mirror(answer(variables, task.mirror_input(batch)))
            outputs = average(outputs, finish(mirrored))
        results = task.results(outputs) if write else {}
        named = {f"{RESULTS}{name}": array for name, array in results.items()}
        return {**task.measure(outputs, batch), **named}

    return measure


def average(outputs: dict[str, Any], mirrored: dict[str, Any]) -> dict[str, Any]:
    """The mean of two predictions, of what `mirrored` holds; the rest as in `outputs`."""
    both = {name: (outputs[name] + mirrored[name]) / 2 for name in mirrored}
    return {**outputs, **both}


def order_rows(rows: Rows) -> Rows:
    """Rows in the order of the index table, without those that only filled the last batch.

    Args:
      rows: [N, ...] arrays and "index" int32 [N], -1 on a filling row.
    """
    real = np.flatnonzero(rows["index"] >= 0)
    order = real[np.argsort(rows["index"][real], kind="stable")]
    return {name: array[order] for name, array in rows.items() if name != "index"}


def check_groups(groups: Mapping[str, Collection[str]], sources: Collection[str]) -> None:
    """Raises ValueError for a group of unknown sources, of none, or named as a source."""
    for group, members in groups.items():
        unknown = sorted(set(members) - set(sources))
        if unknown or not members or group in sources:
            raise ValueError(
                f"got eval.groups.{group}={tuple(members)}, expected some of {sorted(sources)}, "
                "and a name of its own; do change eval.groups with eval.sources"
            )


def group_means(
    results: Mapping[str, float], groups: Mapping[str, Collection[str]]
) -> dict[str, float]:
    """Results of groups of sources: their means weighted by `frames`, as of one test set.

    Only metrics that every member has, and none of parts (`mpjpe_rig/asf31`). `frames` is the sum,
    and `fps` is left out where it differs.
    """
    out, sources = {}, by_source(results)
    for group, members in groups.items():
        tables = [sources[member] for member in members]
        weights = [table.get("frames", 1.0) for table in tables]
        for name in sorted(set.intersection(*map(set, tables))):
            values = [table[name] for table in tables]
            mean = float(np.average(values, weights=weights))
            if name == "frames":
                mean = float(sum(values))
            if name != "fps" or len(set(values)) == 1:
                out[f"eval/{group}/{name}"] = mean
    return out


def by_source(results: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """`eval/<source>/<metric>` -> source -> metric, without those of parts (`mpjpe_rig/asf31`)."""
    sources: dict[str, dict[str, float]] = {}
    for name, value in results.items():
        _, source, metric = name.split("/", 2)
        if "/" not in metric:
            sources.setdefault(source, {})[metric] = value
    return sources


def best_value(
    results: Mapping[str, float],
    metric: str,
    source: str | None = None,
    groups: Collection[str] = (),
) -> float:
    """What `best` compares: the metric on one source or group, by default its mean over sources.

    `groups` are the names that are no sources.
    """

    def wanted(name: str) -> bool:
        _, owner, rest = name.split("/", 2)
        return rest == metric and (owner == source if source else owner not in groups)

    names = [name for name in results if wanted(name)]
    if not names:
        raise ValueError(
            f"got no result {metric!r} of {source or 'any source'}, expected one of "
            f"{sorted(results)}; do check eval.best"
        )
    return float(np.mean([results[name] for name in names]))
