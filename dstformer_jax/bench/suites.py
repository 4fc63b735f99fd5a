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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dstformer_jax.bench.report import commit, write

MINUTES = 20.0
LONGEST = 300.0  # seconds of one measurement

_GPU = "--dtype=bfloat16 --batch=64"
_ROUNDS = "--repeats=5 --steps=10"
# Tuning Triton's products took over a minute where it was tried (docs/results.md); cuBLAS
# needs none. The last measurement does without, for comparison.
_CUBLAS = "XLA_FLAGS=--xla_gpu_enable_triton_gemm=false"
SUITES: dict[str, tuple[str, ...]] = {
    # What an H200 or the like is asked for, the most wanted first. Words before the subject set
    # variables, as in a shell.
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


def split(command: str, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The arguments of a command of a suite, and the environment that it asks for.

    Args:
      command: arguments of `python -m dstformer_jax.bench` after any number of NAME=VALUE.
      environment: as it is; a value that the command sets too stands behind the command's: of
        XLA's flags the last one holds.
    """
    words, names = command.split(), dict(environment)
    while "=" in words[0]:
        name, value = words.pop(0).split("=", 1)
        names[name] = f"{value} {environment.get(name, '')}".strip()
    return words, names


def shown(command: str) -> str:
    """A command of a suite as a shell takes it."""
    words, _ = split(command, {})
    settings = command.split()[: -len(words)]
    return " ".join([*settings, "python -m dstformer_jax.bench", *words])


def _one(command: str, seconds: float) -> dict[str, Any]:
    """One measurement in a child process: its JSON, or why there is none."""
    arguments, environment = split(command, os.environ)
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
