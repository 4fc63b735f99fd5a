"""Subject `startup`: from the start of a command to its first train step, file or answer.

Every time is that of a fresh process, which is ended at the line that tells of the event, with an
empty and a filled cache of compiled programs in turns.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from dstformer_jax.bench.report import ROOT, Rows, spread

FRAMES = 81  # of the keypoint file
LONGEST = 300.0  # seconds of a start
CACHES = ("empty", "filled")
# What would put the cache elsewhere, or make Python compile our modules at every start.
UNSET = ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
IMPORT = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)


class Start(NamedTuple):
    """A command, and the event that is waited for.

    Attributes:
      words: its arguments of Python, given an empty folder.
      event: what is waited for.
      line: pattern of the line on standard output that tells of it.
      given: its standard input.
    """

    words: Callable[[Path], list[str]]
    event: str
    line: str
    given: str = ""


class Once(NamedTuple):
    """Seconds by the clock until the event, of the processor until the end, and of imports."""

    seconds: float
    cpu: float
    imports: float


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    parser.add_argument("--commands", default="main,lift,stream", help="which, by comma [all]")
    parser.add_argument("--repeats", type=int, default=5, help="starts with either cache [5]")


def run(flags: argparse.Namespace) -> Rows:
    """Rows of every command with either cache."""
    chosen = flags.commands.split(",")
    if unknown := sorted(set(chosen) - STARTS.keys()):
        raise ValueError(f"got --commands={unknown[0]!r}, expected some of {sorted(STARTS)}")
    if flags.repeats < 1:
        raise ValueError(f"got --repeats={flags.repeats}, expected 1 or more")
    if "main" in chosen and (missing := _missing_of_training()):
        chosen.remove("main")
        print(f"note: main is left out, there is no {missing} here", file=sys.stderr)
    if not chosen:
        raise ValueError("got no command that can be started here, expected lift or stream")
    with tempfile.TemporaryDirectory() as folder:
        starts = {name: STARTS[name](Path(folder)) for name in chosen}
        return [row for name in chosen for row in measure(name, starts[name], flags.repeats)]


def _missing_of_training() -> str:
    """What the training command needs and this environment has not."""
    packages = ("tensorflow", "tensorflow_datasets", "ml_collections", "absl")
    missing = [name for name in packages if find_spec(name) is None]
    return ", ".join(missing if (ROOT / "configs").is_dir() else [*missing, "configs/"])


def main_start(folder: Path) -> Start:
    """The training command on the synthetic people of `make demo`, which are prepared here."""
    prepare = [sys.executable, "-m", "dstformer_jax.data.prepare", "--dataset=synthetic"]
    prepare += ["--name=demo", "--heading=60", f"--data_dir={folder}", "--quiet"]
    subprocess.run(prepare, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    settings = [f"data.path={folder}", "log_every=1", "eval.at_start=False"]
    command = ["-m", "dstformer_jax.main", "--config=configs/pretrain.py:demo"]
    command += [f"--config.{each}" for each in settings]
    return Start(lambda empty: [*command, f"--workdir={empty}"], "first step", r"step 1/")


def lift_start(folder: Path) -> Start:
    """The lifting command on one person of AlphaPose, with the weights in the package."""
    joints = [value for joint in range(17) for value in (300 + 9 * joint, 200 + joint**2, 1.0)]
    frames = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "score": 1.0, "idx": 1, "keypoints": joints}
        for frame in range(FRAMES)
    ]
    file = folder / "alphapose-results.json"
    file.write_text(json.dumps(frames))
    command = ["-m", "dstformer_jax.lift", str(file), "--formats=npz", "--quiet"]
    return Start(lambda empty: [*command, f"--output={empty}"], "first file", r".*\.npz$")


def stream_start(_: Path, *options: str) -> Start:
    """The streaming command on one frame, with the weights in the package unless told others."""
    points = [[x, 2 * x % 17, 1] for x in range(17)]
    frame = json.dumps({"frame": 0, "keypoints": points}) + "\n"
    command = ["-m", "dstformer_jax.lift.stream", *options]
    return Start(lambda _: command, "first answer", r'.*"joints"', frame)


STARTS: dict[str, Callable[[Path], Start]] = {
    "main": main_start,
    "lift": lift_start,
    "stream": stream_start,
}


def measure(name: str, start: Start, repeats: int) -> Rows:
    """A row with an empty cache and one with a filled one; the run that fills it is not counted."""
    with tempfile.TemporaryDirectory() as filled:
        once(start, Path(filled))
        timed: dict[str, list[Once]] = {cache: [] for cache in CACHES}
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as empty:
                timed["empty"].append(once(start, Path(empty)))
            timed["filled"].append(once(start, Path(filled)))
        looked_at = once(start, Path(filled), "-X", "importtime")
    # As a share, because timing imports, and what else runs, stretches that start as a whole.
    share = looked_at.imports / looked_at.seconds
    imports = share * spread([each.seconds for each in timed["filled"]])[0]
    return [_row(name, start, cache, each, imports) for cache, each in timed.items()]


def _row(name: str, start: Start, cache: str, timed: list[Once], imports: float) -> dict[str, Any]:
    seconds, low, high = spread([each.seconds for each in timed])
    return {
        "command": name,
        "until": start.event,
        "cache": cache,
        "seconds": round(seconds, 2),
        "low": round(low, 2),
        "high": round(high, 2),
        "cpu_s": round(spread([each.cpu for each in timed])[0], 2),
        "imports_s": round(imports, 2),
    }


def once(start: Start, cache: Path, *options: str) -> Once:
    """Starts a command, waits for its event and ends it.

    Args:
      start: which, and what is waited for.
      cache: folder of compiled programs.
      *options: of Python; with `-X importtime` imports are timed.

    Raises:
      ValueError: it ended without the event; with the last line of its errors.
    """
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    environment |= {"DSTFORMER_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
    before = _processor_time()
    with (
        tempfile.TemporaryDirectory() as empty,
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as errors,
    ):
        given.write(start.given)
        given.seek(0)
        words = [sys.executable, *options, *start.words(Path(empty))]
        began = time.perf_counter()
        with subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process:
            assert process.stdout is not None
            limit = threading.Timer(LONGEST, process.kill)
            limit.start()
            try:
                came = any(re.match(start.line, line) for line in process.stdout)
                seconds = time.perf_counter() - began
            finally:
                limit.cancel()
                process.kill()
        errors.seek(0)
        told = errors.read()
    if not came and seconds >= LONGEST:
        raise ValueError(f"got no {start.event} from python {' '.join(words[1:])} in {LONGEST:g} s")
    if not came:
        last = (told.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"got no {start.event} from python {' '.join(words[1:])}: {last}")
    imports = sum(map(int, IMPORT.findall(told))) / 1e6
    return Once(seconds, _processor_time() - before, imports)


def _processor_time() -> float:
    """Seconds of all processes that ended and were waited for; 0 where nobody counts."""
    times = os.times()
    return times.children_user + times.children_system
