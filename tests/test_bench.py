import json

import pytest

from dstformer_jax.bench import main


def test_data_reports_every_source_and_place(tmp_path, capsys):
    out = tmp_path / "bench.json"
    flags = ["--frames=9", "--batch=8", "--repeats=1", "--feeds=numpy", f"--json={out}"]
    assert main(["data", *flags]) == 0
    result = json.loads(out.read_text())
    assert result["subject"] == "data"
    assert result["machine"]["cores"] >= 1
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
    assert main(["data", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: got ")
    assert message in error
    assert error.count("\n") == 1
