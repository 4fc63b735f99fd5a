"""How time and memory of preparing and training grow with the data: a table and a picture.

    python -m dstformer_jax.growth --output=docs/images [--sizes=1,10,100]

Prepares synthetic people at each size with the real command, then takes some train steps of a tiny
network on them, each in a process of its own. Memory of training is counted apart: what the process
holds itself, and the pages of the memory-mapped frame bank, which the system takes back when it
needs them.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

SEQUENCES, SUBJECTS = 8, 4  # at size 1; each of 8 seconds at 30 frames a second
STEPS = 40
TABLE, PICTURE = "growth.csv", "growth.png"
ROOT = Path(__file__).resolve().parents[1]


def measure(size: int, folder: Path, workers: int) -> dict[str, float]:
    """One row: data of this size prepared and trained on."""
    prepare = [
        *(sys.executable, "-m", "dstformer_jax.data.prepare", "--dataset=synthetic", "--quiet"),
        *(f"--data_dir={folder}", f"--name=x{size}", f"--num_workers={workers}"),
        *(f"--sequences={SEQUENCES * size}", f"--subjects={SUBJECTS * size}", "--test_subjects=1"),
    ]
    _, cost = run(prepare)
    bank = folder / "synthetic" / f"x{size}" / "1.0.0" / "bank" / "train"
    said, trained = run([sys.executable, "-m", "dstformer_jax.growth", f"--train={bank}"])
    held = json.loads(said.splitlines()[-1])
    index = json.loads((bank / "sequences.json").read_text())
    return {
        "size": size,
        "sequences": len(index),
        "frames": sum(row["frames"] for row in index),
        "bank_mb": sum(path.stat().st_size for path in bank.iterdir()) / 1e6,
        "prepare_s": cost["seconds"],
        "prepare_cpu_s": cost["cpu"],
        "prepare_peak_mb": cost["peak_mb"],
        **held,
        "train_s": trained["seconds"],
    }


def run(command: list[str]) -> tuple[str, dict[str, float]]:
    """What a command says, and its seconds, CPU seconds and peak memory in MB (largest process).

    Linux counts what this process held when it started the command, so it must hold little itself.
    """
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"got status {process.returncode} of {' '.join(command)}")
    unit = 1e6 if sys.platform == "darwin" else 1e3  # macOS counts bytes, Linux kB
    return said, {
        "seconds": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / unit,
    }


def train(bank: Path) -> dict[str, float]:
    """Takes some train steps on a bank, and tells what this process holds (MB) after them."""
    from dstformer_jax.data import pipeline
    from dstformer_jax.training import parallel
    from dstformer_jax.training.experiment import build, initial_variables
    from dstformer_jax.training.state import new_state
    from dstformer_jax.training.step import Steps

    experiment = build(settings(bank))
    backend = parallel.backend("jit")
    steps = Steps(experiment, backend)
    state = new_state(experiment, backend, initial_variables(experiment))
    steps.compile_all(state)
    batches = pipeline.batches(experiment.plan, experiment.data, feed="numpy")
    cpu = time.process_time()
    for draw, batch in islice(batches, STEPS):
        state, metrics = steps(experiment.plan.sources[draw.source], state, batch)
        metrics["loss"].block_until_ready()
    held = resident()
    return {
        "train_own_mb": held["RssAnon"],
        "train_bank_mb": held["RssFile"],
        "step_cpu_ms": 1e3 * (time.process_time() - cpu) / STEPS,
    }


def settings(bank: Path) -> dict[str, Any]:
    """A config of a tiny network on one prepared dataset."""
    name = f"{bank.parents[3].name}/{bank.parents[2].name}"
    source = {"dataset": name, "frames": 27, "stride": 9, "batch": 64, "noise": True, "mask": True}
    sizes = {"dim_feat": 16, "dim_rep": 16, "depth": 1, "num_heads": 2, "mlp_ratio": 1.0}
    return {
        "seed": 0,
        "epochs": 100,
        "model": {**sizes, "maxlen": 27},
        "task": {"name": "lift3d"},
        "weights": {"mpjpe": 1.0},
        "optim": {"learning_rate": 1e-3},
        "data": {"path": str(bank.parents[4]), "feed": "numpy"},
        "sources": {"people": source},
        "eval": {"sources": {}},
    }


def resident() -> dict[str, float]:
    """Resident memory of this process by kind, MB; Linux only.

    Raises:
      ValueError: a system without /proc.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise ValueError("got a system without /proc, expected Linux")
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {name: int(fields[name].split()[0]) / 1e3 for name in ("RssAnon", "RssFile")}


def draw(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Time and memory against size, both axes logarithmic."""
    from matplotlib.figure import Figure

    from dstformer_jax.view.charts import STYLES

    panels = {
        "seconds": {"prepare_s": "preparing", "prepare_cpu_s": "its processor time"},
        "MB": {
            "bank_mb": "frame bank",
            "prepare_peak_mb": "preparing, peak",
            "train_own_mb": "training, own memory",
            "train_bank_mb": "training, pages of files",
        },
    }
    figure = Figure(figsize=(9.6, 4.2), layout="constrained", facecolor="white")
    frames = [row["frames"] for row in rows]
    for axes, (unit, names) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for (name, label), style in zip(names.items(), STYLES, strict=False):
            colour, marker, dash = style
            values = [row[name] for row in rows]
            axes.loglog(frames, values, color=colour, marker=marker, ls=dash, label=label)
        axes.set_xlabel("frames prepared")
        axes.set_ylabel(unit)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def write(rows: Sequence[dict[str, float]], folder: Path) -> None:
    """The table as CSV, and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: round(value, 2) for name, value in row.items()} for row in rows)
    draw(rows, folder / PICTURE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0, or 2 after a mistake."""
    parser = argparse.ArgumentParser(prog="python -m dstformer_jax.growth", description=__doc__)
    parser.add_argument("--output", default="runs/growth", help="folder of growth.csv, growth.png")
    parser.add_argument("--sizes", default="1,10,100", help="multiples of 8 sequences [1,10,100]")
    parser.add_argument("--num_workers", type=int, default=1, help="of prepare [1]")
    parser.add_argument("--train", help=argparse.SUPPRESS)  # a bank: what one process measures
    given = parser.parse_args(arguments)
    try:
        if given.train:
            print(json.dumps(train(Path(given.train))))
            return 0
        sizes = [int(size) for size in given.sizes.split(",")]
        with tempfile.TemporaryDirectory() as folder:
            rows = [measure(size, Path(folder), given.num_workers) for size in sizes]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write(rows, Path(given.output))
    for row in rows:
        print("  ".join(f"{name} {value:g}" for name, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
