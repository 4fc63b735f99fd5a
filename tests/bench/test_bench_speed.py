"""Timing in turns, our programs beside PyTorch's, and the rows that they become."""

import json
import os
import shutil
import subprocess
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from dstformer_jax.bench import clock, network, process, speed
from dstformer_jax.bench.__main__ import main
from dstformer_jax.bench.clock import Arm, interleave
from dstformer_jax.bench.network import Setting
from dstformer_jax.bench.process import cores, settled, wanted
from dstformer_jax.convert import to_torch
from dstformer_jax.models.backbones import backbone_fields

TINY = Setting(size="demo", frames=3, batch=2)
FLAGS = ["--size=demo", "--frames=3", "--batch=2", "--repeats=1"]


def test_arms_take_turns_and_a_call_is_timed_by_its_block(monkeypatch):
    """By a clock that only waiting moves; CPU time runs at half its speed."""
    now, calls = [0.0], []
    times = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 2)
    monkeypatch.setattr(clock, "time", times)

    def arm(name, seconds, steps):
        def start():
            calls.append(name)
            return seconds

        def wait(seconds):
            now[0] += seconds

        return Arm(name, start, wait, flops=1.0, steps=steps)

    arms = [arm("a", 2.0, 1), arm("b", 4.0, 2)]
    timed = interleave(arms, repeats=3, cpu=False)
    assert "".join(calls).endswith("aabbbaabbbaabbb")  # the first of each is not timed
    assert timed["a"].first == 2
    assert timed["a"].seconds == [2, 2, 2]
    assert timed["b"].seconds == [2, 2, 2]  # two calls, one wait
    assert interleave(arms, repeats=1, cpu=True)["a"].seconds == [1]


def test_pages_taken_anew_are_counted():
    """64 MB that nobody touched before are at least 32 huge pages."""
    idle = Arm("idle", lambda: 0, lambda x: x, flops=1.0)
    greedy = Arm("greedy", lambda: 1, lambda x: np.ones(8_000_000).sum() + x, flops=1.0)
    timed = interleave([idle, greedy], repeats=1, cpu=True)
    assert timed["greedy"].faults[0] >= timed["idle"].faults[0] + 32


@pytest.fixture(scope="module", autouse=True)
def _unoptimised():
    """Programs of which only the answers count are ready sooner."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def variables():
    """Random weights, larger than training begins with: with those, poses are almost zero."""
    found = network.weights(TINY)
    return jax.tree.map(lambda leaf: leaf * 4 if leaf.ndim == 2 else leaf, found)


@pytest.fixture(scope="module")
def torch_side():
    return pytest.importorskip("dstformer_jax.bench.torch_side")


def twin(torch_side, variables, way):
    return torch_side.network(backbone_fields(TINY.model), to_torch(variables["params"]), way)


@pytest.mark.parametrize("way", ["eager", "sdpa"])
def test_both_engines_answer_alike(torch_side, variables, way):
    ours = network.forward(TINY, variables)()
    motion = network.random_batch(TINY)["motion"]
    theirs = torch_side.forward(twin(torch_side, variables, way), motion, way, "float32")()
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-6)
    assert np.abs(ours).max() > 1e-3


def test_both_engines_take_the_same_steps(torch_side, variables):
    """The same losses three times, the later two after AdamW's steps."""
    ours = network.Training(TINY, variables)
    theirs = torch_side.Training(
        twin(torch_side, variables, "eager"),
        network.random_batch(TINY),
        "eager",
        "float32",
        network.WEIGHTS,
        network.OPTIM,
    )
    losses = [(float(ours()["loss"]), float(theirs())) for _ in range(3)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=2e-5)
    assert losses[2][0] < losses[1][0] < losses[0][0]


def test_sdpa_takes_a_fused_kernel(torch_side, variables):
    """Which PyTorch has for four axes alone; with no other allowed, five were an error."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    motion = network.random_batch(TINY)["motion"]
    call = torch_side.forward(twin(torch_side, variables, "sdpa"), motion, "sdpa", "float32")
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        pose = call().numpy()
    np.testing.assert_allclose(network.forward(TINY, variables)(), pose, atol=2e-6)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # PyTorch's own
def test_compiled_answers_and_trains_as_eager(torch_side, variables):
    """`torch.compile` of the fused network, which needs a C++ compiler."""
    if not shutil.which("g++"):
        pytest.skip("no g++")
    batch, sides = network.random_batch(TINY), ("eager", "compiled")
    poses = [
        torch_side.forward(twin(torch_side, variables, way), batch["motion"], way, "float32")()
        for way in sides
    ]
    np.testing.assert_allclose(poses[1].numpy(), poses[0].numpy(), atol=2e-6)
    losses = []
    for way in sides:
        module = twin(torch_side, variables, way)
        step = torch_side.Training(module, batch, way, "float32", network.WEIGHTS, network.OPTIM)
        losses.append([float(step()) for _ in range(3)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-5)


@pytest.mark.parametrize("subject", ["forward", "train_step"])
def test_a_row_an_arm(torch_side, tmp_path, capsys, monkeypatch, subject):
    del torch_side
    monkeypatch.setitem(speed.SQUARE, "cpu", 128)
    out = tmp_path / "x.json"
    flags = [*FLAGS, "--against=torch", "--torch=eager,sdpa", "--threads=0", f"--json={out}"]
    assert main([subject, *flags]) == 0
    result = json.loads(out.read_text())
    rows = {row["arm"]: row for row in result["rows"]}
    assert rows.keys() == {"jax", "torch eager", "torch sdpa"}
    flops = {"forward": TINY.forward_flops, "train_step": TINY.train_flops}[subject]
    for row in rows.values():
        assert row["low"] <= row["ms"] <= row["high"]
        assert row["gflops_s"] == pytest.approx(flops / row["ms"] / 1e6, rel=0.05, abs=0.1)
        rounding = 0.11 * (1 + row["share"]) / row["ceiling"] + 0.001
        assert row["share"] == pytest.approx(row["gflops_s"] / row["ceiling"], abs=rounding)
        assert row["least"] <= row["to_jax"] <= row["most"]
    assert rows["jax"]["to_jax"] == 1
    assert result["machine"]["torch"]
    assert result["machine"]["cpu"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--repeats=0"], "--repeats=0"),
        (["--steps=0"], "--steps=0"),
        (["--frames=0"], "--frames=0"),
        (["--accumulate=2"], "--accumulate=2, expected train_step"),
        (["--attention=cudnn"], "model.attention='cudnn'"),
        (["--against=torch", "--torch=fast", "--threads=0"], "--torch='fast'"),
        (["--json=/no/such/folder/x.json"], "folder that exists"),
    ],
)
def test_speed_mistakes_are_one_line(torch_side, capsys, flags, message):
    del torch_side
    assert main(["forward", *FLAGS, *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: got ")
    assert message in error
    assert error.count("\n") == 1


def test_what_a_process_needs_is_set_and_other_xla_flags_stay():
    names = wanted({"XLA_FLAGS": "--xla_x=1"}, threads=1, allocator="hugepages")
    assert names["XLA_FLAGS"].startswith("--xla_x=1 --xla")
    assert names["OMP_NUM_THREADS"] == "1"
    assert names["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert wanted(names, threads=1, allocator="hugepages") == names  # a child needs no child
    assert wanted({}, threads=0, allocator="system") == {}
    assert settled(threads=0, allocator="system")


@pytest.mark.parametrize(("users", "found"), [(None, "false"), ("true", "true")])
def test_the_other_engine_gets_memory_of_a_gpu(monkeypatch, users, found):
    """JAX alone may take all; beside PyTorch not, unless the user says so."""
    name = process.PREALLOCATE
    given = {key: value for key, value in os.environ.items() if key != name}
    given |= {name: users} if users else {}
    monkeypatch.setattr(os, "environ", given)
    ended = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(process.subprocess, "run", lambda *_, **__: ended)
    assert main(["forward", *FLAGS, "--threads=1"]) == 0
    assert given.get(name) == users
    assert main(["forward", *FLAGS, "--threads=1", "--against=torch"]) == 0
    assert given[name] == found


def test_official_is_float32_whatever_the_type_of_the_others(torch_side, variables):
    """`eager` in bfloat16 answers otherwise; `official` to the last bit as in float32."""
    motion = network.random_batch(TINY)["motion"]

    def answer(way, dtype):
        module = twin(torch_side, variables, way)
        return torch_side.forward(module, motion, way, dtype)().float().numpy()

    exact = answer("eager", "float32")
    np.testing.assert_array_equal(answer("official", "bfloat16"), exact)
    assert np.abs(answer("eager", "bfloat16") - exact).max() > 1e-5


def test_a_child_is_pinned_to_one_core(monkeypatch):
    """What it inherits; afterwards this process has its cores back."""
    seen, before = {}, cores()

    def child(command, env, **_):
        seen.update(command=command[1:], env=env, cores=cores())
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(process.subprocess, "run", child)
    assert main(["forward", *FLAGS, "--threads=1", "--allocator=hugepages"]) == 3
    assert seen["command"][:3] == ["-m", "dstformer_jax.bench", "forward"]
    assert process.ONE_THREAD_XLA in seen["env"]["XLA_FLAGS"]
    assert seen["env"]["GLIBC_TUNABLES"] == process.HUGE_PAGES
    assert seen["cores"] is None or len(seen["cores"]) == 1
    assert cores() == before
