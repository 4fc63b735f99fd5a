"""Tables of numbers from our own runs: every arm trains with the same budget and seeds.

A table trains its arms through the ordinary command line, each run in a workdir of its own, so an
interrupted table continues and every number can be traced to a run.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

ARMS = {"clean": "mocap,clean,robust,short", "corrupted": "mocap,robust,short"}
CONDITIONS = {"clean": "", "noisy": "_noisy", "masked": "_masked"}
SETS = ("cmu", "hdm05_actions")


def robustness(data: Path, workdir: Path, seeds: Sequence[int], extra: Sequence[str] = ()) -> str:
    """Trained clean or corrupted x tested clean, noisy, masked: MPJPE in mm as markdown.

    Args:
      data: prepared mocap (`make mocap-data`).
      workdir: gets one run for each arm and seed, and `robustness.json`.
      seeds: each arm trains once a seed; the table shows mean and standard deviation.
      extra: further flags of `dstformer_jax.main`.
    """
    runs = {
        arm: [
            _train(variant, workdir / f"{arm}_{seed}", data, [f"--config.seed={seed}", *extra])
            for seed in seeds
        ]
        for arm, variant in ARMS.items()
    }
    (workdir / "robustness.json").write_text(json.dumps(runs, indent=2))
    return robustness_table(runs)


def robustness_table(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """arm -> results of each seed, as a markdown table."""
    columns = [f"{name}, {condition}" for name in SETS for condition in CONDITIONS]
    lines = ["| trained | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for arm, results in runs.items():
        cells = []
        for name in SETS:
            for suffix in CONDITIONS.values():
                values = [result[f"eval/{name}{suffix}/mpjpe"] for result in results]
                spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
                cells.append(f"{np.mean(values):.1f}{spread}")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _train(variant: str, workdir: Path, data: Path, flags: Sequence[str]) -> dict[str, float]:
    """Trains a variant (or continues, or finds it finished) and returns its last results."""
    command = [sys.executable, "-m", "dstformer_jax.main"]
    command += [f"--config=configs/pretrain.py:{variant}", f"--workdir={workdir}"]
    command += [f"--config.data.path={data}", *flags]
    finished = workdir / "results.json"
    if not finished.exists():
        if code := subprocess.run(command, check=False).returncode:
            raise ValueError(f"got exit code {code} from {' '.join(command)}, expected 0")
        finished.write_text(json.dumps(last_results(workdir)))
    return json.loads(finished.read_text())


def last_results(workdir: Path) -> dict[str, float]:
    """The last evaluation in a run's metrics.jsonl."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    evaluations = [line for line in lines if any(name.startswith("eval/") for name in line)]
    if not evaluations:
        raise ValueError(f"got {workdir} without an evaluation, expected one at its end")
    return {name: value for name, value in evaluations[-1].items() if name.startswith("eval/")}
