"""Time by device events, from profiles written by hand and from the profiler itself."""

import json

import jax
import jax.numpy as jnp
import pytest
from jax.profiler import ProfileData

from dstformer_jax.bench import speed
from dstformer_jax.bench.__main__ import main
from dstformer_jax.bench.clock import Arm
from dstformer_jax.bench.events import OnDevice, read, trace


def profile(planes: dict[str, dict[str, list[tuple[int, int]]]]) -> ProfileData:
    """Of plane -> line -> (start, duration) in microseconds."""
    text = ""
    for plane, lines in planes.items():
        text += f'planes {{ name: "{plane}" event_metadata {{ key: 1 value {{ id: 1 }} }}\n'
        for line, events in lines.items():
            text += f'lines {{ name: "{line}" timestamp_ns: 5000\n'
            for start, length in events:
                places = f"offset_ps: {start * 10**6} duration_ps: {length * 10**6}"
                text += f"events {{ metadata_id: 1 {places} }}\n"
            text += "}\n"
        text += "}\n"
    return ProfileData.from_text_proto(text)


def test_a_call_lasts_from_the_first_event_to_the_last():
    """Two calls over 20 us; streams overlap, and 9 us hold no work."""
    streams = {
        "Stream #13(Compute)": [(10, 4), (13, 2), (25, 5)],
        "Stream #14(MemcpyH2D)": [(12, 4)],
        "XLA Modules": [(0, 100)],
    }
    found = read(profile({"/device:GPU:0": streams, "/host:CPU": {"Stream": [(0, 200)]}}), calls=2)
    assert found is not None
    assert found.seconds == pytest.approx(10e-6)
    assert found.busy == pytest.approx(11 / 20)


def test_a_host_records_no_device_events():
    assert read(profile({"/host:CPU": {"Stream #1": [(0, 1)]}}), calls=1) is None
    double = jax.jit(lambda x: 2 * x)
    calls = []

    def start():
        calls.append(1)
        return double(jnp.ones(3))

    assert trace(Arm("jax", start, jax.block_until_ready, flops=1.0, steps=3)) is None
    assert len(calls) == 3


def test_rows_of_an_accelerator_have_them(monkeypatch, tmp_path, capsys):
    """As if this were a GPU whose events said half a second a call."""
    monkeypatch.setattr(speed, "trace", lambda arm: OnDevice(seconds=0.5, busy=0.25))
    monkeypatch.setattr(speed.jax, "default_backend", lambda: "gpu")
    monkeypatch.setitem(speed.SQUARE, "gpu", 64)
    command = ["forward", "--size=demo", "--frames=3", "--repeats=1", "--steps=1"]
    assert main([*command, f"--json={tmp_path / 'x.json'}"]) == 0
    (row,) = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert (row["device_ms"], row["busy"]) == (500, 0.25)
    assert row["device_share"] == pytest.approx(row["share"] * row["ms"] / 500, abs=1e-3)
    capsys.readouterr()
    assert main(["table", str(tmp_path / "x.json")]) == 0
    page = capsys.readouterr().out
    assert "| by device events | share by device events |" in page
    assert "| 500 ms (25 % busy) |" in page
