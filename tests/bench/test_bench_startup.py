"""The time to an event of a fresh process, with an empty and a filled cache in turns."""

import importlib.util
import json

import pytest

from dstformer_jax.bench import startup
from dstformer_jax.bench.__main__ import main
from dstformer_jax.inference import STARTER
from dstformer_jax.lift.measure import streaming

# Says what it was given and whether its cache was filled, fills it, and goes on for a minute.
SCRIPT = """
import os, pathlib, sys, time
cache = pathlib.Path(os.environ["DSTFORMER_CACHE"])
with open({log!r}, "a") as log:
    log.write("filled " if any(cache.iterdir()) else "empty ")
(cache / "program").touch()
time.sleep(0.3)
print("not yet")
print("ready", sys.stdin.read())
time.sleep(60)
"""


@pytest.fixture
def start(tmp_path):
    script = SCRIPT.format(log=str(tmp_path / "log"))
    return startup.Start(lambda _: ["-c", script], "event", "ready frame", "frame\n")


def test_a_command_is_ended_at_its_event(start, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    timed = startup.once(start, cache)
    assert 0.3 <= timed.seconds < 30
    assert 0 < timed.cpu < timed.seconds
    assert timed.imports == 0  # nobody asked for it
    assert (cache / "program").exists()


def test_imports_are_part_of_it(tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(0.2)")
    script = f"import sys; sys.path.append({str(tmp_path)!r}); import slow; print('here')"
    start = startup.Start(lambda _: ["-c", script], "import", "here")
    timed = startup.once(start, tmp_path, "-X", "importtime")
    assert 0.2 <= timed.imports <= timed.seconds


def test_a_command_that_ends_before_is_an_error(tmp_path):
    start = startup.Start(lambda _: ["-c", "raise KeyError('why')"], "first step", "step 1/")
    with pytest.raises(ValueError, match=r"got no first step from python -c .*: KeyError: 'why'"):
        startup.once(start, tmp_path)


def test_caches_take_turns_after_an_uncounted_run(start, tmp_path):
    rows = startup.measure("it", start, repeats=2)
    log = (tmp_path / "log").read_text().split()
    assert log == ["empty", *["empty", "filled"] * 2, "filled"]
    assert [row["cache"] for row in rows] == ["empty", "filled"]
    for row in rows:
        assert row["low"] <= row["seconds"] <= row["high"]
        assert row["imports_s"] < row["seconds"]


def test_training_is_left_out_where_it_cannot_run(monkeypatch, capsys):
    monkeypatch.setattr(
        startup, "find_spec", lambda name: None if name == "tensorflow" else importlib.util
    )
    monkeypatch.setitem(startup.STARTS, "lift", lambda folder: "a start")
    monkeypatch.setattr(startup, "measure", lambda name, start, repeats: [{"command": name}])
    assert main(["startup", "--commands=main,lift"]) == 0
    said = capsys.readouterr()
    assert "main is left out, there is no tensorflow here" in said.err
    assert said.out.split()[-1] == "lift"
    assert main(["startup", "--commands=main"]) == 2


def test_a_start_that_hangs_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(startup, "LONGEST", 1.0)
    hangs = startup.Start(lambda _: ["-c", "import time; time.sleep(600)"], "answer", "answer")
    with pytest.raises(ValueError, match=r"got no answer from python .* in 1 s"):
        startup.once(hangs, tmp_path)


def test_unknown_commands_are_refused(capsys):
    assert main(["startup", "--commands=show"]) == 2
    assert "--commands='show'" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_command_reaches_its_event(tmp_path):
    out = tmp_path / "startup.json"
    assert main(["startup", "--repeats=1", f"--json={out}"]) == 0
    rows = json.loads(out.read_text())["rows"]
    caches = {(row["command"], row["cache"]): row for row in rows}
    assert len(caches) == 6
    for command in startup.STARTS:
        filled = caches[command, "filled"]
        assert filled["cpu_s"] > 0
        assert 0 < filled["imports_s"] < filled["seconds"]
    # Compiling costs; of the other two too little to tell on a busy machine.
    assert caches["main", "filled"]["cpu_s"] < caches["main", "empty"]["cpu_s"]


@pytest.mark.long
def test_lift_measure_asks_here(tmp_path):
    rows = streaming.starts(STARTER, 9)
    assert [row["cache"] for row in rows] == ["nothing cached", "compiled programs cached"]
    assert all(float(row["seconds"]) > 0 for row in rows)
