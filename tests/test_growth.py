"""The growth command: what it measures of a process, and what it writes."""

import csv
import sys

import pytest
import tiny_run

from dstformer_jax import growth


def test_a_process_is_measured_whole():
    """200 MB held and half a second waited are seen."""
    code = "import time; held = b'x' * 200_000_000; time.sleep(0.5); print('said')"
    said, cost = growth.run([sys.executable, "-c", code])
    assert said == "said\n"
    assert cost["peak_mb"] > 200  # at least as much as this process had when it started it
    assert cost["seconds"] > 0.5
    assert cost["cpu"] < cost["seconds"]
    with pytest.raises(ValueError, match="got status 3"):
        growth.run([sys.executable, "-c", "raise SystemExit(3)"])


def test_table_and_picture(tmp_path):
    names = ("prepare_s", "prepare_cpu_s", "bank_mb", "prepare_peak_mb")
    names += ("train_own_mb", "train_bank_mb")
    rows = [{"frames": 10.0 * n, **dict.fromkeys(names, float(n))} for n in (1, 10)]
    growth.write(rows, tmp_path)
    with (tmp_path / growth.TABLE).open(newline="") as file:
        assert [float(row["bank_mb"]) for row in csv.DictReader(file)] == [1.0, 10.0]
    assert (tmp_path / growth.PICTURE).read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_training_on_a_bank_is_measured(tmp_path):
    tiny_run.prepare(tmp_path, {f"p{n}": 300 + n for n in range(8)}, {"q": 30})
    bank = tmp_path / "walks" / "default" / "1.0.0" / "bank" / "train"
    held = growth.train(bank)
    assert held["train_own_mb"] > 0
    assert held["step_cpu_ms"] > 0
