"""The released PyTorch files against their published numbers, for whoever has them and the data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dstformer_jax.data.bank import prepared_path
from dstformer_jax.main import RESULTS
from dstformer_jax.reproduce.cells import ROOT, Cell
from dstformer_jax.reproduce.report import rows_as_markdown

WORKDIR = Path("runs/official")


@dataclass(frozen=True)
class Check:
    """One released file and what its authors report of it.

    file: below --weights. metric: of our evaluation, times `times` in the published unit.
    tolerance: what still passes, in that unit: the last digit published and, of sets that are
    prepared from other files than theirs, a little more.
    """

    label: str
    file: str
    config: str
    metric: str
    published: float
    tolerance: float
    times: float = 1.0


_POSE, _ACTION = "eval/human36m/mpjpe", "eval/ntu/top1"
_NTU = "action/FT_MB_release_MB_ft_NTU60"
CHECKS = (
    Check(
        "Human3.6M MPJPE, mm, from scratch",
        "pose3d/MB_train_h36m/best_epoch.bin",
        "configs/pose3d.py:scratch,official",
        *(_POSE, 39.2, 0.1),
    ),
    Check(
        "Human3.6M MPJPE, mm, finetuned",
        "pose3d/FT_MB_release_MB_ft_h36m/best_epoch.bin",
        "configs/pose3d.py:finetune,official",
        *(_POSE, 37.2, 0.1),
    ),
    Check(
        "NTU-60 X-Sub top-1, %",
        f"{_NTU}_xsub/best_epoch.bin",
        "configs/action.py:finetune,xsub,official",
        *(_ACTION, 93.0, 0.2, 100.0),
    ),
    Check(
        "NTU-60 X-View top-1, %",
        f"{_NTU}_xview/best_epoch.bin",
        "configs/action.py:finetune,xview,official",
        *(_ACTION, 97.2, 0.2, 100.0),
    ),
    Check(
        "3DPW MPVE, mm",
        "mesh/FT_MB_release_MB_ft_pw3d/best_epoch.bin",
        "configs/mesh.py:finetune,3dpw,official",
        *("eval/pw3d/mpve", 88.1, 0.5),
    ),
)


def check(
    weights: Path | None, data: Path, workdir: Path | None = None, extra: Sequence[str] = ()
) -> int:
    """Evaluates every released file that is there, with its data, and prints ours beside theirs.

    extra: further flags of `dstformer_jax.main`, for files of other sizes.

    Returns:
      0 when all that could be checked pass, 1 when one does not; 2 when none could be.

    Raises:
      ValueError: no folder of weights.
    """
    if weights is None or not weights.is_dir():
        raise ValueError(f"got --weights={weights}, expected the folder of the released files")
    folder = (workdir or WORKDIR).resolve()
    rows, verdicts = [], []
    for each in CHECKS:
        lacks = missing(each, weights, data)
        ours, verdict = ("-", f"not run: no {', no '.join(lacks)}")
        if not lacks:
            ours, verdict = judged(each, measure(each, weights.resolve(), data, folder, extra))
            verdicts.append(verdict)
        rows.append([each.label, f"{each.published:g}", ours, f"{each.tolerance:g}", verdict])
    columns = ("released file", "published", "ours", "tolerance", "")
    print("\n".join(rows_as_markdown(columns, rows)))
    return 2 if not verdicts else int(any(verdict != "pass" for verdict in verdicts))


def missing(each: Check, weights: Path, data: Path) -> list[str]:
    """The file and the datasets that a check needs and that are not there."""
    lacks = [] if (weights / each.file).is_file() else [f"file {weights / each.file}"]
    for name in sorted(Cell(each.config).datasets):
        try:
            prepared_path(data, name)
        except ValueError:
            lacks.append(f"dataset {name} in {data}")
    return lacks


def measure(
    each: Check, weights: Path, data: Path, workdir: Path, extra: Sequence[str]
) -> float | str:
    """The metric of a released file in the published unit, or what went wrong."""
    folder = workdir / Path(each.file).parent
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "dstformer_jax.main", "--mode=eval"),
        f"--config={ROOT / each.config}",
        f"--config.init_from={weights / each.file}",
        f"--config.data.path={data.resolve()}",
        f"--workdir={folder}",
        *extra,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return json.loads((folder / RESULTS).read_text())[each.metric] * each.times


def judged(each: Check, value: float | str) -> tuple[str, str]:
    """Ours as text, and the verdict."""
    if isinstance(value, str):
        return "-", f"failed: {value}"
    passed = abs(value - each.published) <= each.tolerance
    return f"{value:.2f}", "pass" if passed else "outside the tolerance"
