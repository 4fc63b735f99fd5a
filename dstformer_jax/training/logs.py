"""What a run says: progress bar and lines, `metrics.jsonl`, TensorBoard."""

import contextlib
import datetime
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
from tqdm import tqdm

from dstformer_jax.training.evaluate import by_source

METRICS = "metrics.jsonl"
SPEEDS = ("clips_per_second", "step_ms", "mfu")
# What the console shows of an evaluation; metrics.jsonl and eval.json hold everything.
SHOWN = (
    "mpjpe",
    "p_mpjpe",
    "mpve",
    "n_mpjpe",
    "depth_error",
    "mpjve",
    "acceleration_error",
    "reprojection",
)
# What the tables at the end show besides.
TABLE = (
    "mpjpe",
    "mpjpe_frames",
    "p_mpjpe",
    "p_mpjpe_frames",
    *SHOWN[2:5],
    "zero_depth",
    *SHOWN[5:],
)
PARTS = ("mpjpe_rig", "mpjpe_action")  # tables of their own
PER_FRAME = ("mpjve", "acceleration_error")  # mean nothing without the frame rate

# Dense bfloat16 FLOP/s of one device, by a part of its name; sources: the vendors' data sheets.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "TPU v4": 275e12,
    "TPU v5p": 459e12,
    "TPU v5 lite": 197e12,
}


class Log:
    """The log of one run. In processes other than the first it keeps silent."""

    def __init__(self, workdir: str | Path, step: int, total: int, enabled: bool = True):
        """Opens the log at a step: lines of later steps, which are run again, are cut off."""
        self.workdir, self.enabled = Path(workdir), enabled
        self._bar = tqdm(
            total=total,
            initial=step,
            unit="step",
            dynamic_ncols=True,
            smoothing=0.05,
            # In a file, the lines of `say` tell the progress; a bar would fill it with redraws.
            disable=not (enabled and sys.stderr.isatty()),
        )
        self._board: Any = None
        if not enabled:
            return
        self.workdir.mkdir(parents=True, exist_ok=True)
        truncate(self.workdir / METRICS, step)
        self._file = (self.workdir / METRICS).open("a", buffering=1)
        self._board = _tensorboard(self.workdir, step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line of metrics.jsonl (and TensorBoard): the mean of each value up to `step`.

        Raises:
          OSError: it cannot be written, such as on a full disk.
        """
        if not self.enabled:
            return
        line = {"step": step, **{name: _number(value) for name, value in values.items()}}
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:
            told = f"{error.strerror} at {self.workdir / METRICS}; the last checkpoint stands, and "
            raise OSError(error.errno, f"{told}the same command goes on from it") from error
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def say(self, text: str) -> None:
        """One line on the console, above the bar."""
        if self.enabled:
            self._bar.write(text)
            sys.stdout.flush()

    def advance(self) -> None:
        """Moves the bar by one step."""
        self._bar.update()

    def restart(self) -> None:
        """Starts the bar's clock anew: what came before (compilation) is no part of its rate."""
        self._bar.unpause()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        if self.enabled:
            # What could not be written is tried once more, and has been told of.
            with contextlib.suppress(OSError) if error else contextlib.nullcontext():
                self._file.close()
        if self._board:
            self._board.close()


def truncate(path: Path, step: int) -> None:
    """Drops the lines after `step`, and a last line that a kill left unfinished."""
    if not path.exists():
        return
    kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(line + "\n" for line in kept))
    partial.replace(path)


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _number(value: float) -> float | int | str:
    """A JSON number; not-a-number and infinities, which JSON lacks, as words."""
    if isinstance(value, int):
        return value
    value = float(value)
    return float(f"{value:.6g}") if abs(value) < float("inf") else str(value)


def _tensorboard(workdir: Path, step: int) -> Any:
    """A TensorBoard writer, or None where tensorboardX is not installed."""
    try:
        with hidden("torch"):  # imported there only to know its tensors: a second of every start
            from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)


@contextlib.contextmanager
def hidden(package: str) -> Iterator[None]:
    """Imports inside find no `package`, unless it is imported already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        del sys.modules[package]


class Speed:
    """Clips a second, step time and MFU since the last reading, without the pauses between."""

    def __init__(self, peak: float | None = None):
        """`peak`: FLOP/s of all devices together; None leaves MFU out."""
        self._peak = peak
        self._paused = 0.0
        self._start = time.perf_counter()

    def pause(self) -> "_Pause":
        """`with speed.pause():` around compilation, evaluation and saving."""
        return _Pause(self)

    def skip(self, seconds: float) -> None:
        """Takes `seconds` out of the running reading."""
        self._paused += seconds

    def read(self, steps: int, clips: int, flops: float) -> dict[str, float]:
        """The speed over the steps since the last reading, and starts the next one."""
        now = time.perf_counter()
        seconds = max(now - self._start - self._paused, 1e-9)
        self._start, self._paused = now, 0.0
        values = {"clips_per_second": clips / seconds, "step_ms": 1000 * seconds / max(steps, 1)}
        if self._peak:
            values["mfu"] = flops / seconds / self._peak
        return values


class _Pause:
    def __init__(self, speed: Speed):
        self._speed = speed

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._speed.skip(time.perf_counter() - self._start)


def peak_flops(configured_tflops: float | None = None) -> float | None:
    """Peak FLOP/s of all devices: as configured (TFLOP/s a device), else of a known device."""
    devices = jax.devices()
    if configured_tflops:
        return configured_tflops * 1e12 * len(devices)
    kind = devices[0].device_kind
    known = next((peak for name, peak in PEAK_FLOPS.items() if name in kind), None)
    return None if known is None else known * len(devices)


def sentence(step: int, total: int, epoch: int, values: Mapping[str, float]) -> str:
    """A console line: `step 100/2000 epoch 3 | loss 0.123 ... | 250 clips/s 34.0 ms, 0:08:12 left`.

    Args:
      step, total: finished steps and the steps of the plan.
      values: means of the window, with "loss" and what `Speed.read` gives.
    """
    left = datetime.timedelta(seconds=round((total - step) * values["step_ms"] / 1000))
    speed = f"{values['clips_per_second']:.0f} clips/s {values['step_ms']:.1f} ms"
    if "mfu" in values:
        speed += f" MFU {100 * values['mfu']:.1f}%"
    terms = [name for name in values if name not in ("loss", *SPEEDS)]
    shown = " ".join(f"{name} {values[name]:.4g}" for name in ("loss", *terms))
    return f"step {step}/{total} epoch {epoch} | {shown} | {speed}, {left} left"


def evaluation_lines(results: Mapping[str, float]) -> list[str]:
    """One line a source: `eval walks: mpjpe 42.1  p_mpjpe 30.2  mpjve 2.1 (30 fps)`."""
    return [
        f"eval {source}: " + "  ".join(_said(name, values) for name in _shown(values))
        for source, values in by_source(results).items()
    ]


def table(results: Mapping[str, float]) -> list[str]:
    """The shown metrics of every source, aligned, then the errors of every rig and action.

    The frame rate and the scored frames stand beside. Human3.6M sources show both conventions:
    `mpjpe` is the mean over actions, `mpjpe_frames` over frames.
    """
    sources = by_source(results)
    shown = {name: None for values in sources.values() for name in _shown(values, TABLE)}
    order = [name for name in TABLE if name in shown]
    beside = [n for n in ("fps", "frames") if any(n in values for values in sources.values())]
    names = list(dict.fromkeys([*order, *(n for n in shown if n not in beside), *beside]))
    lines = _cells(sources, names)
    per_frame = " and ".join(name for name in PER_FRAME if name in names)
    lines += [f"{per_frame}: per frame, at the fps beside"] * bool(per_frame)
    if "mpjpe_frames" in names:
        lines += ["with _frames: mean over frames; beside it without: mean over actions"]
    return [*lines, *(line for metric in PARTS for line in part_table(results, metric))]


def part_table(results: Mapping[str, float], metric: str) -> list[str]:
    """A table of a metric's parts (`mpjpe_rig/asf31`), one column a source; nothing without."""
    parts: dict[str, dict[str, float]] = {}
    for name, value in results.items():
        _, source, *rest = name.split("/", 3)
        if rest[0] == metric and len(rest) == 2:
            parts.setdefault(rest[1], {})[source] = value
    columns = dict.fromkeys(source for values in parts.values() for source in values)
    return ["", *_cells(parts, list(columns), metric)] if parts else []


def _cells(
    rows: Mapping[str, Mapping[str, float]], columns: Sequence[str], corner: str = ""
) -> list[str]:
    """Aligned lines of row -> column -> value; "-" where there is none."""
    cells = [
        [row, *(_short(values[name]) if name in values else "-" for name in columns)]
        for row, values in rows.items()
    ]
    return _aligned([[corner, *columns], *cells])


def _shown(values: Mapping[str, float], wanted: Sequence[str] = SHOWN) -> list[str]:
    """The metrics worth a place on the console; all of a task that has other ones."""
    return [name for name in wanted if name in values] or list(values)


def _said(name: str, values: Mapping[str, float]) -> str:
    rate = f" ({values['fps']:g} fps)" if name in PER_FRAME and "fps" in values else ""
    return f"{name} {_short(values[name])}{rate}"


def _short(value: float) -> str:
    """At least three digits: 0.0123, 4.56, 124.7, 12345."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{4 if abs(value) >= 100 else 3}g}"


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
