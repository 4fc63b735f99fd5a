"""What is written: lines that a kill cannot spoil, speeds without pauses, sentences."""

import json
import time
from importlib import import_module

import jax
import pytest

from dstformer_jax.training import logs


def test_truncation_keeps_the_lines_up_to_the_restored_step(tmp_path):
    path = tmp_path / logs.METRICS
    path.write_text('{"step": 1}\n{"step": 2, "eval/a/mpjpe": 3}\n{"step": 3}\n{"step": 4, "lo')
    logs.truncate(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2, "eval/a/mpjpe": 3}\n'
    logs.truncate(tmp_path / "absent", 2)


def test_lines_are_json_whatever_the_values(tmp_path):
    with logs.Log(tmp_path, 0, 10) as log:
        log.write(3, {"loss": 0.123456789, "epoch": 1, "bad": float("nan"), "far": float("-inf")})
    line = json.loads((tmp_path / logs.METRICS).read_text())
    assert line == {"step": 3, "loss": 0.123457, "epoch": 1, "bad": "nan", "far": "-inf"}
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_package_is_hidden_for_a_while(tmp_path, monkeypatch):
    (tmp_path / "heavy_package.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with logs.hidden("heavy_package"), pytest.raises(ImportError):
        import_module("heavy_package")
    heavy = import_module("heavy_package")
    with logs.hidden("heavy_package"):  # what is there stays
        assert import_module("heavy_package") is heavy
    assert import_module("heavy_package") is heavy


def test_a_second_process_writes_nothing(tmp_path, capsys):
    with logs.Log(tmp_path / "run", 0, 10, enabled=False) as log:
        log.write(1, {"loss": 1.0})
        log.say("hello")
        log.advance()
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr().out == ""


def test_speed_leaves_pauses_out(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    speed = logs.Speed(peak=1e9)
    clock[0] = 2.0
    with speed.pause():
        clock[0] = 102.0
    got = speed.read(steps=4, clips=64, flops=5e8)
    assert got == pytest.approx({"clips_per_second": 32, "step_ms": 500, "mfu": 0.25})
    clock[0] = 103.0
    assert logs.Speed().read(1, 8, 0).keys() == {"clips_per_second", "step_ms"}
    assert speed.read(1, 8, 0)["step_ms"] == pytest.approx(1000)


def test_peak_is_known_configured_or_left_out(monkeypatch):
    class Device:
        device_kind = "NVIDIA H100 80GB HBM3"

    assert logs.peak_flops() is None  # a CPU
    assert logs.peak_flops(2.0) == 2e12 * jax.device_count()
    monkeypatch.setattr(jax, "devices", lambda: [Device(), Device()])
    assert logs.peak_flops() == 2 * 989e12


def test_a_console_line_tells_the_time_left():
    values = {"mpjpe": 0.2, "loss": 1.25, "clips_per_second": 320.0, "step_ms": 200.0, "mfu": 0.41}
    assert logs.sentence(50, 350, 2, values) == (
        "step 50/350 epoch 2 | loss 1.25 mpjpe 0.2 | 320 clips/s 200.0 ms MFU 41.0%, 0:01:00 left"
    )


RESULTS = {
    "eval/walks/mpjpe": 124.71,
    "eval/walks/zero_depth": 170.0,
    "eval/walks/mpjve": 2.134,
    "eval/walks/mpjpe_rig/asf31": 9.0,
    "eval/walks/frames": 123456.0,
    "eval/walks/fps": 30.0,
    "eval/clips/reprojection": 0.012345,
    "eval/clips/frames": 20.0,
}


def test_an_evaluation_is_one_short_line_a_source():
    assert logs.evaluation_lines(RESULTS) == [
        "eval walks: mpjpe 124.7  mpjve 2.13 (30 fps)",
        "eval clips: reprojection 0.0123",
    ]
    assert logs.evaluation_lines({"eval/a/top_1": 83.44, "eval/a/top_5": 97.0}) == [
        "eval a: top_1 83.4  top_5 97"
    ]


def test_the_last_results_are_aligned_tables():
    assert logs.table(RESULTS) == [
        "       mpjpe  zero_depth  mpjve  reprojection  fps  frames",
        "walks  124.7         170   2.13             -   30  123456",
        "clips      -           -      -        0.0123    -      20",
        "mpjve: per frame, at the fps beside",
        "",
        "mpjpe_rig  walks",
        "asf31          9",
    ]
    assert logs.table({"eval/a/top_1": 83.44}) == ["   top_1", "a   83.4"]
    assert logs.table({}) == [""]


def test_both_averages_of_human36m_and_the_actions_of_each_source_are_shown():
    results = {
        "eval/cpn/mpjpe": 40.0,
        "eval/cpn/mpjpe_frames": 39.0,
        "eval/cpn/p_mpjpe": 33.0,
        "eval/cpn/p_mpjpe_frames": 32.0,
        "eval/cpn/mpjpe_action/Eating": 41.0,
        "eval/gt/mpjpe": 30.0,
        "eval/gt/mpjpe_action/Eating": 31.0,
        "eval/gt/mpjpe_action/Sitting": 29.0,
    }
    assert logs.table(results) == [
        "     mpjpe  mpjpe_frames  p_mpjpe  p_mpjpe_frames",
        "cpn     40            39       33              32",
        "gt      30             -        -               -",
        "with _frames: mean over frames; beside it without: mean over actions",
        "",
        "mpjpe_action  cpn  gt",
        "Eating         41  31",
        "Sitting         -  29",
    ]
    assert logs.evaluation_lines(results)[0] == "eval cpn: mpjpe 40  p_mpjpe 33"
