"""Fixed lists of measurements: `--suite=NAME --json=FILE`.

Each runs in a process of its own, so that neither engine's memory nor a crash reaches the next;
the file is written after each, so that what was measured stays when time runs out.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dstformer_jax.bench.report import commit, write

MINUTES = 20.0
LONGEST = 300.0  # seconds of one measurement

_GPU = "--dtype=bfloat16 --batch=64"
_ROUNDS = "--repeats=5 --steps=10"
# The fastest setting that was seen on such a GPU (docs/results.md): cuBLAS multiplies, not Triton.
# XLA's own choice, which tunes both, has not been measured: the last command does.
_CUBLAS = "XLA_FLAGS=--xla_gpu_enable_triton_gemm=false"
SUITES: dict[str, tuple[str, ...]] = {
    # What an H200 or the like is asked for, the most wanted first. XLA_FLAGS stand before the
    # subject, as in a shell.
    "h200": (
        f"{_CUBLAS} train_step --size=full {_GPU} --attention=auto {_ROUNDS}",
        f"{_CUBLAS} train_step --size=lite {_GPU} --attention=auto {_ROUNDS}",
        f"{_CUBLAS} forward --size=full {_GPU} {_ROUNDS}",
        f"{_CUBLAS} train_step --size=full --dtype=bfloat16 --batch=16 --against=torch "
        "--torch=official,compiled --repeats=3 --steps=3",
        f"{_CUBLAS} train_step --size=full {_GPU} --attention=xla {_ROUNDS}",
        f"{_CUBLAS} train_step --size=full {_GPU} --temporal_layout=swap {_ROUNDS}",
        f"{_CUBLAS} train_step --size=lite {_GPU} --temporal_layout=swap {_ROUNDS}",
        f"{_CUBLAS} train_step --size=full {_GPU} --scan --remat=dots {_ROUNDS}",
        f"{_CUBLAS} forward --size=lite {_GPU} {_ROUNDS}",
        f"{_CUBLAS} forward --size=full --dtype=bfloat16 --batch=64 --against=torch "
        "--torch=official,compiled --repeats=3 --steps=3",
        f"{_CUBLAS} memory --size=full {_GPU}",
        f"{_CUBLAS} compile --size=full --dtype=bfloat16 --batch=64",
        f"{_CUBLAS} lift --size=full --dtype=bfloat16 --batch=16 --length=9720",
        f"{_CUBLAS} train_step --size=full --dtype=float32 --batch=16 --repeats=3 --steps=3",
        f"train_step --size=full {_GPU} --attention=auto {_ROUNDS}",
    ),
    # The same plumbing in a minute anywhere.
    "smoke": (
        "forward --size=demo --frames=9 --batch=1 --repeats=1",
        "memory --size=demo --frames=9 --batch=1 --ways=none,layer",
    ),
}


def run(name: str, path: str | Path, minutes: float = MINUTES) -> int:
    """Runs a suite until it is done or its time is over.

    Args:
      name: of SUITES.
      path: JSON file, a list of measurements; those that failed hold an "error".
      minutes: after which nothing more is started and what runs is stopped.

    Returns:
      0, or 1 when a measurement failed or was left out.
    """
    if minutes <= 0:
        raise ValueError(f"got --minutes={minutes}, expected more than 0")
    stop, done = time.monotonic() + 60 * minutes, []
    for command in SUITES[name]:
        left = stop - time.monotonic()
        print(f"# {shown(command)}", flush=True)
        done.append(_one(command, min(left, LONGEST)))
        if "error" in done[-1]:
            print(f"error: {done[-1]['error']}", file=sys.stderr, flush=True)
        write(path, {"suite": name, "results": done})
    return int(any("error" in each for each in done))


def split(command: str) -> tuple[str, list[str]]:
    """The XLA_FLAGS that a command of a suite sets, "" for none, and its arguments."""
    words = command.split()
    if not words[0].startswith("XLA_FLAGS="):
        return "", words
    return words[0].removeprefix("XLA_FLAGS="), words[1:]


def shown(command: str) -> str:
    """A command of a suite as a shell takes it."""
    flags, words = split(command)
    setting = f"XLA_FLAGS={flags} " * bool(flags)
    return f"{setting}python -m dstformer_jax.bench {' '.join(words)}"


def _one(command: str, seconds: float) -> dict[str, Any]:
    """One measurement in a child process: its JSON, or why there is none."""
    flags, arguments = split(command)
    # The user's own stand behind them: of XLA's flags the last one holds.
    environment = {**os.environ, "XLA_FLAGS": f"{flags} {os.environ.get('XLA_FLAGS', '')}".strip()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        words = [sys.executable, "-m", "dstformer_jax.bench", *arguments, f"--json={path}"]
        failed = {"command": shown(command), "commit": commit()}
        if seconds <= 0:
            return {**failed, "error": "no time was left"}
        try:
            child = subprocess.run(
                words,
                env=environment,
                timeout=seconds,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {**failed, "error": f"stopped after {seconds:.0f} s"}
        if child.returncode or not path.is_file():
            last = (child.stderr or "").strip().splitlines()[-1:] or ["no message"]
            return {**failed, "error": f"exit status {child.returncode}: {last[0]}"}
        return {**json.loads(path.read_text()), "command": failed["command"]}
