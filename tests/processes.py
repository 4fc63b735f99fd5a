"""Runs of the training command in processes of their own, which tests kill, stop and count."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from dstformer_jax import main
from dstformer_jax.data.bank import write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.training import checkpoint

ROOT = Path(__file__).resolve().parents[1]
Start = Callable[..., subprocess.Popen[str]]

CONFIG = """
from ml_collections import ConfigDict

def get_config():
    source = dict(dataset="walks", frames=5, stride=1, batch=8, noise=True, mask=True)
    unseen = dict(dataset="walks", split="test", frames=5, stride=5, batch=8)
    return ConfigDict(dict(
        seed=3, epochs=2, parallel="auto", log_every=5, init_from="",
        model=dict(dim_feat=32, dim_rep=8, depth=1, num_heads=2, mlp_ratio=2.0, maxlen=5),
        task=dict(name="lift3d"), weights=dict(mpjpe=1.0, velocity=20.0),
        optim=dict(learning_rate=1e-3),
        data=dict(path={path!r}, feed="numpy", corrupt_on="device"),
        sources=dict(walks=source), eval=dict(every=1, flip=True, sources=dict(unseen=unseen)),
        checkpoint=dict(every=5, keep=2),
    ))
"""
STEPS = 50  # of a whole run


def walk(name: str, frames: int) -> Sequence:
    """A random walk of 17 joints in metres."""
    rng = np.random.default_rng(frames)
    pose = rng.normal(0, 0.3, (1, 17, 3)) + np.cumsum(rng.normal(0, 0.01, (frames, 17, 3)), axis=0)
    return Sequence(id=name, fps=30.0, axes="camera", pose=pose)


def write_project(folder: Path) -> Path:
    """Data, and a config of 2 epochs of 25 steps, with corruption, that saves every fifth step."""
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    write_bank([walk(f"train{i}", 54 + i) for i in range(4)], bank / "train")
    write_bank([walk("test", 30)], bank / "test")
    path = folder / "walks.py"
    path.write_text(CONFIG.format(path=str(folder)))
    return path


def environment(config: Path, devices: int) -> dict[str, str]:
    """Of a training process on the CPU with so many simulated devices, that compiles quickly."""
    cache = {"DSTFORMER_CACHE": str(config.parent / "xla"), "JAX_NUM_CPU_DEVICES": str(devices)}
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return {**os.environ, "JAX_PLATFORMS": "cpu", **cache, **quick}


def command(
    config: Path, workdir: Path, devices: int = 1, *flags: str, **env: str
) -> subprocess.Popen[str]:
    """The training command, started."""
    module = [sys.executable, "-m", "dstformer_jax.main"]
    return subprocess.Popen(
        [*module, f"--config={config}", f"--workdir={workdir}", *flags],
        cwd=ROOT,
        env={**environment(config, devices), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    """Waits for the end; what it said."""
    said, _ = process.communicate(timeout=840)
    assert process.returncode == code, said
    return said


def wait_for_step(workdir: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Returns when a step at or after `step` is saved or being saved."""
    while process.poll() is None:
        names = [p.name for p in (workdir / "checkpoints").glob("ckpt_*")]
        if any(int(name.split("_")[1][:8]) >= step for name in names):
            return
        time.sleep(0.002)
    raise AssertionError(f"ended before step {step}: {process.communicate()[0]}")


def parameters(workdir: Path) -> dict:
    """Of the last step of a whole run."""
    return checkpoint.restore_params(workdir, STEPS)[0]["params"]


def assert_trained_as(workdir: Path, whole: Path) -> None:
    """The weights and results of one undisturbed process, up to the order of sums."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3),
        parameters(workdir)["head"],
        parameters(whole)["head"],
    )
    results = [checkpoint.restore_params(path, STEPS)[1]["results"] for path in (workdir, whole)]
    assert results[0] == pytest.approx(results[1], rel=1e-3)


def free_address() -> str:
    """host:port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


def start_together(
    start: Start, workdir: Path, count: int, *flags: str
) -> list[subprocess.Popen[str]]:
    """So many processes that train as one, each with one device."""
    env = {"JAX_COORDINATOR_ADDRESS": free_address(), "JAX_NUM_PROCESSES": str(count)}
    return [start(workdir, 1, *flags, **env, JAX_PROCESS_ID=str(index)) for index in range(count)]


def stop_together(start: Start, workdir: Path, count: int, *flags: str) -> int:
    """SIGTERM to one of several processes stops all at a step, which they save; that step."""
    together = start_together(start, workdir, count, *flags)
    wait_for_step(workdir, 10, together[0])
    together[-1].send_signal(signal.SIGTERM)
    said = [finish(process, code=128 + signal.SIGTERM) for process in together]
    saved = checkpoint.saved_steps(workdir)[-1]
    assert saved < STEPS
    assert all(f"saved step {saved}" in each for each in said)
    return saved


def train_here(config: Path, workdir: Path) -> None:
    """The training command in this process, on one device; ends it with the exit code."""
    os.environ["DSTFORMER_CACHE"] = str(config.parent / "xla_one")
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_disable_most_optimizations", True)
    workdir.mkdir(exist_ok=True)
    with (workdir / "said.txt").open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
        sys.exit(main.main(["main", f"--config={config}", f"--workdir={workdir}"]))
