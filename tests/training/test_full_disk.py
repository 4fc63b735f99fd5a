"""A full disk: named, with what was complete before as it was."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dstformer_jax.training.logs import METRICS, Log

ROOT = Path(__file__).resolve().parents[2]

# In a disk of 6 MB, steps of 2.4 MB: the third does not fit. Then the disk grows, and it does.
FILL = """
import subprocess, sys
import numpy as np
from dstformer_jax.training import checkpoint
folder = sys.argv[1]
state = {"x": np.random.default_rng(0).normal(size=600_000).astype(np.float32)}
try:
    with checkpoint.Checkpoints(folder, keep=9) as checkpoints:
        for step in range(1, 5):
            checkpoints.save(step, state, {"step": step})
except ValueError as error:
    print("told", error)
print("steps", checkpoint.saved_steps(folder))
subprocess.run(["mount", "-o", "remount,size=60m", folder], check=True)
with checkpoint.Checkpoints(folder, keep=9) as checkpoints:
    assert checkpoints.newest_sound() == (2, "")
    checkpoints.save(3, state, {"step": 3})
print("steps", checkpoint.saved_steps(folder))
"""


def test_a_full_disk_while_saving_is_named_and_the_steps_before_stand(tmp_path):
    """On a real file system in memory, which only this process and its children see."""
    space = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "-r"]
    mount = f'mount -t tmpfs -o size=6m tmpfs "{tmp_path}"'
    if not shutil.which("unshare") or subprocess.run([*space, "sh", "-c", mount]).returncode:
        pytest.skip("this system lets nobody mount")
    ended = subprocess.run(
        [*space, "sh", "-c", f'{mount} && exec "$0" "$@"', sys.executable, "-c", FILL, tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert ended.returncode == 0, ended.stderr
    told, full, larger = [line for line in ended.stdout.splitlines() if line]
    assert told.startswith("told got a full disk while saving step 3")
    assert "[1, 2] are complete; do make room and start the same command again" in told
    assert (full, larger) == ("steps [1, 2]", "steps [1, 2, 3]")


def write_until_full(workdir: Path) -> None:
    with Path("/dev/full").open("w", buffering=1) as full, Log(workdir, 0, 10) as log:
        log.write(1, {"loss": 1.0})
        log._file.close()
        log._file = full
        log.write(2, {"loss": 1.0})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_that_cannot_be_written_says_where_and_what_to_do(tmp_path):
    told = r"No space left on device at .*metrics.jsonl; the last checkpoint stands"
    with pytest.raises(OSError, match=told) as raised:
        write_until_full(tmp_path)
    assert raised.value.errno == errno.ENOSPC
    assert json.loads((tmp_path / METRICS).read_text()) == {"step": 1, "loss": 1.0}
