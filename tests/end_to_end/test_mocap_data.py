"""The data of `pretrain.py:mocap`: `make mocap-data` on a few real files of each folder."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs import pretrain
from dstformer_jax.training.experiment import build

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning"),
]
ROOT = Path(__file__).resolve().parents[2]


def some_files(source: Path, target: Path, table: str, counts: dict[str, int]) -> None:
    """Links the first `counts[split]` files that a folder's CSV lists, and writes its CSV."""
    target.mkdir(parents=True)
    left, chosen = dict(counts), []
    with (source / table).open(newline="") as file:
        rows = csv.DictReader(file)
        for row in rows:
            if left.get(row["split"], 0) and (source / row["file"]).is_file():
                left[row["split"]] -= 1
                chosen.append(row)
        fields = rows.fieldnames or ()
    for row in chosen:
        link = target / row["file"]
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(source / row["file"])
    with (target / table).open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(chosen)


def test_everything_that_the_mocap_run_reads_is_prepared(shared, tmp_path):
    source, prepared = tmp_path / "source", tmp_path / "mocap"
    for name in ("cmu_mocap", "cmu_mocap_more"):
        counts = {"train": 12, "test": 3}
        some_files(shared / "data" / name, source / name, "index.csv", counts)
    counts = {"train": 40, "test": 20}
    some_files(shared / "data" / "hdm05_actions", source / "hdm05_actions", "labels.csv", counts)
    (source / "detections2d").symlink_to(shared / "data" / "detections2d")
    subprocess.run(
        ["bash", str(ROOT / "launch" / "prepare_mocap.sh"), str(source), str(prepared)],
        env={**os.environ, "PYTHON": sys.executable},
        cwd=tmp_path,
        check=True,
    )

    config = pretrain.get_config("mocap")
    config.data.path = str(prepared)
    experiment = build(config)
    for data in (*experiment.data, *experiment.tests.values()):
        assert {row["fps"] for row in data.bank.sequences} == {30.0}, data.source.name
    subjects = {
        name: {row["subject"] for data in some for row in data.bank.sequences}
        for name, some in (
            ("train", [d for d in experiment.data if d.source.supervision == "3d"]),
            ("test", [d for d in experiment.tests.values() if d.source.supervision == "3d"]),
        )
    }
    assert subjects["train"]
    assert subjects["test"]
    assert not subjects["train"] & subjects["test"]

    videos = {"train": experiment.data, "test": experiment.tests.values()}
    seen = {
        split: {
            row["id"].split("#")[0].split("/")[1]
            for data in some
            if data.source.name == "openpose"
            for row in data.bank.sequences
        }
        for split, some in videos.items()
    }
    assert seen["test"] == {"clip6", "treadmill_32"}
    assert seen["train"] == {"clip1", "clip2", "clip3", "clip4", "treadmill_27"}
