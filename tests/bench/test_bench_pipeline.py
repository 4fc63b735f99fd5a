"""The input pipeline's speed by command, and mistakes on the command line."""

import json

import pytest

from dstformer_jax.bench.__main__ import main


def test_pipeline_reports_every_source_and_place(tmp_path, capsys):
    out = tmp_path / "bench.json"
    flags = ["--frames=9", "--batch=8", "--repeats=1", "--feeds=numpy", f"--json={out}"]
    assert main(["pipeline", *flags]) == 0
    result = json.loads(out.read_text())
    assert result["subject"] == "pipeline"
    assert result["machine"]["cores"] >= 1
    assert result["command"].startswith("python -m dstformer_jax.bench pipeline --frames=9")
    rows = {(row["source"], row["corruption"]): row for row in result["rows"]}
    assert rows.keys() == {(s, p) for s in ("mocap", "amass", "2d") for p in ("device", "host")}
    assert all(row["clips_per_cpu_second"] > 0 for row in rows.values())
    printed = capsys.readouterr().out
    assert "clips_per_cpu_second" in printed
    assert "mocap" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch=12"], "do batch=16"),
        (["--batch=100000"], "batch 100000"),
        (["--frames=0"], "frames 0"),
        (["--feeds=numpy,torch"], "'torch', expected some of"),
        (["--repeats=0"], "--repeats=0"),
        (["--json=/no/such/folder/x.json"], "folder that exists"),
    ],
)
def test_mistakes_are_one_line(capsys, flags, message):
    assert main(["pipeline", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: got ")
    assert message in error
    assert error.count("\n") == 1
