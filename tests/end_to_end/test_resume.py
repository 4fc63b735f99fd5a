"""Real processes: killed at any moment, asked to stop, and two that train as one."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import jax
import numpy as np
import pytest

from dstformer_jax.data.bank import write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.training import checkpoint

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
from ml_collections import ConfigDict

def get_config():
    source = dict(dataset="walks", frames=5, stride=1, batch=8, noise=True, mask=True)
    unseen = dict(dataset="walks", split="test", frames=5, stride=5, batch=8)
    return ConfigDict(dict(
        seed=3, epochs=2, parallel="auto", log_every=5, init_from="",
        model=dict(dim_feat=8, dim_rep=8, depth=1, num_heads=2, mlp_ratio=2.0, maxlen=5),
        task=dict(name="lift3d"), weights=dict(mpjpe=1.0, velocity=20.0),
        optim=dict(learning_rate=1e-3),
        data=dict(path={path!r}, feed="numpy", corrupt_on="device"),
        sources=dict(walks=source), eval=dict(every=1, flip=True, sources=dict(unseen=unseen)),
        checkpoint=dict(every=5, keep=2),
    ))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of 2 epochs of 25 steps, with corruption, that saves every fifth step."""
    folder = tmp_path_factory.mktemp("project")
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    write_bank([walk(f"train{i}", 54 + i) for i in range(4)], bank / "train")
    write_bank([walk("test", 30)], bank / "test")
    path = folder / "walks.py"
    path.write_text(CONFIG.format(path=str(folder)))
    return path


def walk(name: str, frames: int) -> Sequence:
    """A random walk of 17 joints in metres."""
    rng = np.random.default_rng(frames)
    pose = rng.normal(0, 0.3, (1, 17, 3)) + np.cumsum(rng.normal(0, 0.01, (frames, 17, 3)), axis=0)
    return Sequence(id=name, fps=30.0, axes="camera", pose=pose)


@pytest.fixture(scope="module")
def start(config: Path):
    """Starts the training command; what still runs at the end of the tests is killed."""
    with ExitStack() as stack:

        def launch(workdir: Path, devices: int = 8, **env: str) -> subprocess.Popen[str]:
            process = stack.enter_context(command(config, workdir, devices, **env))
            stack.callback(process.kill)
            return process

        yield launch


def command(config: Path, workdir: Path, devices: int, **env: str) -> subprocess.Popen[str]:
    cache = {"DSTFORMER_CACHE": str(config.parent / "xla"), "JAX_NUM_CPU_DEVICES": str(devices)}
    module = [sys.executable, "-m", "dstformer_jax.main"]
    return subprocess.Popen(
        [*module, f"--config={config}", f"--workdir={workdir}"],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **cache, **env},
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


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole")
    assert "mpjpe" in finish(start(workdir))
    return workdir


def parameters(workdir: Path) -> dict:
    return checkpoint.restore_params(workdir, 50)[0]["params"]


def test_killed_at_any_moment_it_ends_bit_equal(start, whole, tmp_path):
    """SIGKILL as soon as a step appears on disk, complete or not, with a growing delay."""
    for number, step in enumerate((5, 20, 35)):
        process = start(tmp_path)
        wait_for_step(tmp_path, step, process)
        time.sleep(0.01 * number)
        process.kill()
        process.communicate()
    assert "resuming at step" in finish(start(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, parameters(tmp_path), parameters(whole))


def test_sigterm_saves_and_says_so(start, whole, tmp_path):
    process = start(tmp_path)
    wait_for_step(tmp_path, 10, process)
    process.send_signal(signal.SIGTERM)
    said = finish(process, code=128 + signal.SIGTERM)
    saved = checkpoint.saved_steps(tmp_path)[-1]
    assert f"stopped by SIGTERM: saved step {saved}" in said
    assert "Traceback" not in said
    assert f"resuming at step {saved}" in finish(start(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, parameters(tmp_path), parameters(whole))


def start_pair(start, workdir: Path) -> list[subprocess.Popen[str]]:
    """Two processes with four devices each."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    env = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [start(workdir, 4, **env, JAX_PROCESS_ID=str(index)) for index in range(2)]


def test_two_processes_train_as_one_stop_together_and_resume(start, whole, tmp_path):
    """Against one process of eight devices. A SIGTERM to either stops both at the same step."""
    pair = start_pair(start, tmp_path)
    wait_for_step(tmp_path, 10, pair[0])
    pair[1].send_signal(signal.SIGTERM)
    said = [finish(process, code=128 + signal.SIGTERM) for process in pair]
    saved = checkpoint.saved_steps(tmp_path)[-1]
    assert all(f"saved step {saved}" in each for each in said)

    said = [finish(process) for process in start_pair(start, tmp_path)]
    assert f"resuming at step {saved}" in said[0]
    assert "step" not in said[1]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3),
        parameters(tmp_path)["head"],
        parameters(whole)["head"],
    )
    results = [checkpoint.restore_params(path, 50)[1]["results"] for path in (tmp_path, whole)]
    assert results[0] == pytest.approx(results[1], rel=1e-3)
