"""Suites that survive failures, tables from their files, and the subjects that do not race."""

import json

import jax
import pytest

from dstformer_jax.bench import suites
from dstformer_jax.bench.__main__ import main


@pytest.fixture(scope="module", autouse=True)
def _unoptimised():
    """Small programs are ready sooner."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


SMALL = ["--size=demo", "--frames=3", "--batch=2"]


def rows_of(subject, tmp_path, *flags):
    out = tmp_path / "one.json"
    assert main([subject, *SMALL, *flags, f"--json={out}"]) == 0
    return json.loads(out.read_text())["rows"]


def test_compile_times_every_program(tmp_path):
    rows = rows_of("compile", tmp_path)
    assert [row["program"] for row in rows] == ["forward", "train_step"]
    assert all(row["compile_s"] > 0 for row in rows)


def test_lift_counts_frames_of_all_people(tmp_path):
    (row,) = rows_of("lift", tmp_path, "--length=12", "--people=2", "--repeats=2")
    assert row["frames"] == 24
    assert row["slowest"] <= row["frames_a_second"] <= row["fastest"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["compile", "--programs=backward"], "--programs='backward'"),
        (["memory", "--ways=all"], "--ways='all'"),
        (["lift", "--people=0"], "--people"),
        (["table", "/no/such/file.json"], "No such file"),
        (["--suite=smoke", "--json=x.json", "--minutes=0"], "--minutes=0"),
    ],
)
def test_mistakes_end_in_one_line(capsys, command, message):
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_suite_keeps_what_was_measured(tmp_path, monkeypatch, capsys):
    """One measurement succeeds, one fails: the file holds both, and so does the page."""
    broken = "forward --size=demo --frames=5 --batch=0"
    good = suites.SUITES["smoke"][0]
    monkeypatch.setitem(suites.SUITES, "smoke", (broken, good))
    out = tmp_path / "suite.json"
    assert main(["--suite=smoke", f"--json={out}"]) == 1
    first, second = json.loads(out.read_text())["results"]
    assert "--batch=0" in first["error"]
    assert second["command"] == f"python -m dstformer_jax.bench {good}"
    capsys.readouterr()
    assert main(["table", str(out)]) == 0
    page = capsys.readouterr().out
    assert f"Not measured: `python -m dstformer_jax.bench {broken}`" in page
    (row,) = second["rows"]
    assert f"| demo | 9 | 1 | float32 | **jax** | {row['ms']:g} ms" in page
    assert second["date"] in page
    assert second["machine"]["cpu"] in page


def test_nothing_is_started_when_the_time_is_over(tmp_path):
    out = tmp_path / "suite.json"
    assert main(["--suite=smoke", f"--json={out}", "--minutes=1e-9"]) == 1
    errors = [each["error"] for each in json.loads(out.read_text())["results"]]
    assert errors == ["no time was left"] * len(suites.SUITES["smoke"])


def test_every_command_of_a_suite_is_understood():
    from dstformer_jax.bench.__main__ import _parser

    for commands in suites.SUITES.values():
        for command in commands:
            _, arguments = suites.split(command)
            _parser(arguments[:1]).parse_args(arguments)


def test_a_command_of_a_suite_sets_xla_flags(tmp_path, monkeypatch):
    """XLA ends at a flag that it does not know; of one given twice the user's holds."""
    command = suites.SUITES["smoke"][1]
    good = f"XLA_FLAGS=--xla_force_host_platform_device_count=none {command}"
    monkeypatch.setitem(suites.SUITES, "smoke", (f"XLA_FLAGS=--no_such_flag {command}", good))
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    out = tmp_path / "suite.json"
    assert main(["--suite=smoke", f"--json={out}"]) == 1
    unknown, known = json.loads(out.read_text())["results"]
    assert "exit status" in unknown["error"]
    assert known["command"] == good.replace(" memory", " python -m dstformer_jax.bench memory")


@pytest.mark.parametrize(
    "content",
    [b'{"a": 1}', b"[1]", b"\xff\xfe", b'{"command": "x", "rows": []}', b'{"results": [{}]}'],
)
def test_a_file_of_something_else_is_refused(tmp_path, capsys, content):
    (tmp_path / "x.json").write_bytes(content)
    assert main(["table", str(tmp_path / "x.json")]) == 2
    assert "x.json: got no measurement, expected a file of --json" in capsys.readouterr().err


def test_rows_of_another_version_are_refused(tmp_path, capsys):
    result = {
        "subject": "forward",
        "command": "x",
        "date": "",
        "commit": "",
        "machine": {"cpu": ""},
    }
    (tmp_path / "x.json").write_text(json.dumps({**result, "rows": [{"ms": 1}]}))
    assert main(["table", str(tmp_path / "x.json")]) == 2
    assert "got rows without 'arm'" in capsys.readouterr().err
