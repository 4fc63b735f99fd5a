"""One process: killed, asked to stop, and resumed."""

import signal
import time

import jax
import numpy as np
import pytest
from processes import finish, parameters, wait_for_step

from dstformer_jax.training import checkpoint

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_killed_while_saving_it_ends_bit_equal(start, whole, tmp_path):
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
