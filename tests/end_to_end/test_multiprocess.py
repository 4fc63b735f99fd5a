"""Several processes: they train as one, stop together, and go on in another number."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import processes
import pytest
from processes import (
    ROOT,
    assert_trained_as,
    environment,
    finish,
    free_address,
    start_together,
    stop_together,
)
from processes import wait_for_step as wait_for

from dstformer_jax.training import checkpoint

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_two_processes_train_as_one_stop_together_and_four_go_on(start, whole, tmp_path):
    """A SIGTERM to one of them stops all at the same step, which they save together."""
    saved = stop_together(start, tmp_path, 2)

    said = [finish(process) for process in start_together(start, tmp_path, 4)]
    assert f"resuming at step {saved}" in said[0]
    assert all("step" not in each for each in said[1:])
    assert_trained_as(tmp_path, whole)


def launch(config: Path, workdir: Path, count: int) -> subprocess.Popen[str]:
    """The launcher with so many processes, in a session of its own."""
    env = {"PYTHON": sys.executable, "JAX_COORDINATOR_ADDRESS": free_address(), "GRACE": "5"}
    return subprocess.Popen(
        [
            str(ROOT / "launch" / "multiprocess.sh"),
            str(count),
            f"--config={config}",
            f"--workdir={workdir}",
        ],
        env={**environment(config, 1), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds child processes in /proc")
@pytest.mark.parametrize("then", [1, 4])
def test_a_lost_process_costs_at_most_the_steps_since_the_last_checkpoint(config, tmp_path, then):
    """One of two is killed; the launcher ends the other; another number goes on to the end."""
    pair = launch(config, tmp_path, 2)
    try:
        wait_for(tmp_path, 10, pair)
        saved = checkpoint.saved_steps(tmp_path)[-1]
        children = Path(f"/proc/{pair.pid}/task/{pair.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[1]), signal.SIGKILL)
        pair.communicate(timeout=300)
        assert pair.returncode != 0
    finally:
        if pair.poll() is None:
            os.killpg(pair.pid, signal.SIGKILL)
    logged = [
        json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    resumed = checkpoint.saved_steps(tmp_path)[-1]
    assert saved <= resumed
    assert max(logged) - resumed <= 5  # the rhythm of checkpoints
    said = finish(launch(config, tmp_path, then))
    assert f"resuming at step {resumed}" in said
    assert checkpoint.saved_steps(tmp_path)[-1] == processes.STEPS
