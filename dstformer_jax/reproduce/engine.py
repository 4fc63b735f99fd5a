"""Runs cells: each once, through the ordinary command line, resumed when it was interrupted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from dstformer_jax.data.bank import prepared_path
from dstformer_jax.reproduce.cells import ROOT, Cell
from dstformer_jax.training.logs import METRICS

RESULTS, LOG, WHAT, COST = "results.json", "log.txt", "cell.json", "cost.json"


@dataclass(frozen=True)
class Result:
    """A finished cell.

    metrics: its last evaluation. history: every evaluation, with "step". cost: CPU and wall
    seconds of all its processes, and the commit of the code.
    """

    workdir: Path
    metrics: dict[str, float]
    history: list[dict[str, float]]
    cost: dict[str, Any]


class Grid:
    """The cells of all tables and figures below one folder, a run each in `<workdir>/<key>`."""

    def __init__(
        self,
        workdir: Path,
        data: Path,
        jobs: int = 1,
        extra: Sequence[str] = (),
        train: bool = True,
    ):
        """Opens the folder.

        Args:
          workdir: where the runs are.
          data: prepared data (`data.path` of every config).
          jobs: cells that run at once, each pinned to a core of its own when there are several.
          extra: further flags of `dstformer_jax.main`, which must not change what is learned.
          train: False only reads what is finished.

        Raises:
          ValueError: more jobs than cores, or none.
        """
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if jobs < 1 or (cores and jobs > len(cores)):
            raise ValueError(f"got --jobs={jobs}, expected 1 to {len(cores)} (cores here)")
        self.workdir, self.data, self.extra, self.train = workdir, data, tuple(extra), train
        self._cores: SimpleQueue[int | None] = SimpleQueue()
        for job in range(jobs):
            self._cores.put(cores[job] if cores and jobs > 1 else None)
        self.jobs = jobs

    def missing(self, cells: Iterable[Cell]) -> list[str]:
        """Datasets that cells read and that are not prepared."""
        names = sorted({name for cell in cells for name in cell.datasets})
        return [name for name in names if not _is_prepared(self.data, name)]

    def run(self, cells: Iterable[Cell]) -> None:
        """Runs what is not finished: cells that others start from go first.

        Raises:
          ValueError: a run that failed, naming its log. The other cells have been run.
        """
        waiting = list({cell.key: cell for each in cells for cell in chain(each)}.values())
        if not self.train:
            return
        failures: list[str] = []
        for depth in sorted({_depth(cell) for cell in waiting}):
            level = [cell for cell in waiting if _depth(cell) == depth]
            with ThreadPoolExecutor(self.jobs) as pool:
                failures += filter(None, pool.map(self._run_one, level))
            if failures:
                raise ValueError("; ".join(failures))

    def result(self, cell: Cell) -> Result | None:
        """What a cell gave; None when it is not finished."""
        folder = self.workdir / cell.key
        if not (folder / RESULTS).is_file():
            return None
        found = json.loads((folder / RESULTS).read_text())
        return Result(folder, found["metrics"], evaluations(folder), found["cost"])

    def _run_one(self, cell: Cell) -> str | None:
        """Runs a cell on a core of its own; returns what went wrong."""
        folder = self.workdir / cell.key
        if (folder / RESULTS).is_file():
            return None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WHAT).write_text(json.dumps(described(cell), indent=2))
        core = self._cores.get()
        try:
            code, cost = _call(self._command(cell, core), folder)
        finally:
            self._cores.put(core)
        if code:
            return f"got exit code {code} from cell {cell.key}, expected 0; see {folder / LOG}"
        lines = evaluations(folder)
        if not lines:
            return f"got cell {cell.key} without an evaluation; do set eval.sources"
        metrics = {name: value for name, value in lines[-1].items() if name.startswith("eval/")}
        _write(folder / RESULTS, {"metrics": metrics, "cost": cost | {"commit": commit()}})
        print(f"{cell.key} {cell.config} seed {cell.seed}: {cost['cpu_s']:.0f} s of CPU time")
        return None

    def _command(self, cell: Cell, core: int | None) -> list[str]:
        """The command line of a cell."""
        pin = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
        command = [*pin, sys.executable, "-m", "dstformer_jax.main", *cell.flags(), *self.extra]
        command += [f"--workdir={self.workdir / cell.key}", f"--config.data.path={self.data}"]
        body = Path(cell.settings["task"].get("body", ""))
        if body.name and (self.data / body.name).exists():  # bodies lie with the data
            command += [f"--config.task.body={self.data / body.name}"]
        if isinstance(cell.start, Cell):
            command += [f"--config.init_from={self.workdir / cell.start.key}"]
        elif cell.start:
            command += [f"--config.init_from={cell.start.path}"]
        return command


def described(cell: Cell) -> dict[str, Any]:
    """What a run's folder says about itself."""
    return {
        "config": cell.config,
        "overrides": dict(cell.overrides),
        "seed": cell.seed,
        "start": cell.start.key if cell.start else None,
    }


def evaluations(workdir: Path) -> list[dict[str, float]]:
    """The evaluations in a run's metrics.jsonl, each with its "step"."""
    path = workdir / METRICS
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [line for line in lines if any(name.startswith("eval/") for name in line)]


def commit() -> str:
    """The commit of the code, with "+" when files differ from it; "" outside a repository."""
    try:
        git = ["git", "-C", str(ROOT)]
        head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True)
        changed = subprocess.check_output([*git, "status", "--porcelain", "-uno"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.strip() + ("+" if changed else "")


def _call(command: Sequence[str], folder: Path) -> tuple[int, dict[str, float]]:
    """Runs a command with its output in the folder's log.

    Returns the exit code, and the seconds that all processes of this folder have cost so far.
    """
    start = time.monotonic()
    with (folder / LOG).open("a") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    spent = {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": time.monotonic() - start}
    if (folder / COST).is_file():
        before = json.loads((folder / COST).read_text())
        spent = {name: value + before[name] for name, value in spent.items()}
    _write(folder / COST, spent)
    return process.returncode, spent


def _write(path: Path, values: Any) -> None:
    """Writes JSON, complete or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=2))
    partial.replace(path)


def chain(cell: Cell) -> list[Cell]:
    """A cell after those that it starts from."""
    return [*(chain(cell.start) if isinstance(cell.start, Cell) else []), cell]


def _depth(cell: Cell) -> int:
    return len(chain(cell))


def _is_prepared(data: Path, dataset: str) -> bool:
    try:
        prepared_path(data, dataset)
    except ValueError:
        return False
    return True
