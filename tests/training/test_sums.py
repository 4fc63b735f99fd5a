"""Damaged checkpoints: noticed, named, put aside for the one before."""

import json

import jax
import numpy as np
import pytest

from dstformer_jax.training import checkpoint, parallel, sums
from dstformer_jax.training.checkpoint import Checkpoints
from dstformer_jax.training.experiment import initial_variables
from dstformer_jax.training.state import begin, new_state


@pytest.fixture
def run(make_experiment, tmp_path):
    """Steps 1 and 2 of a run, and the experiment."""
    experiment, backend = make_experiment(), parallel.backend("jit")
    state = new_state(experiment, backend, initial_variables(experiment))
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            state = state.replace(step=state.step + 1)
            checkpoints.save(step, state, {"step": step})
    return experiment, backend, tmp_path


def largest(workdir, step):
    """The largest file of a saved state."""
    files = (workdir / "checkpoints" / f"ckpt_{step:08d}" / "state").rglob("*")
    return max((path for path in files if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def remove(path):
    path.unlink()


def test_every_step_carries_the_sums_of_its_files(run):
    _, _, workdir = run
    for step in (1, 2):
        folder = workdir / "checkpoints" / f"ckpt_{step:08d}"
        written = json.loads((folder / sums.FILE).read_text())
        files = {
            p.relative_to(folder).as_posix() for p in folder.rglob("state/**/*") if p.is_file()
        }
        assert set(written) == files
        assert len(files) > 1
        assert sums.damage(folder) == ""


@pytest.mark.parametrize("harm", [truncate, flip, remove])
def test_a_damaged_newest_step_is_put_aside_for_the_one_before(run, harm):
    experiment, backend, workdir = run
    harm(largest(workdir, 2))
    with pytest.raises(ValueError, match=r"got step 2 of .* damaged \(state/.*take another of"):
        checkpoint.restore_params(workdir, 2)
    with Checkpoints(workdir) as checkpoints:
        state, sentence = begin(experiment, backend, checkpoints)
        assert sentence.startswith("WARNING: step 2 is damaged (state/")
        assert sentence.endswith("now damaged_ckpt_00000002; resuming at step 1")
        assert (int(state.step), checkpoints.latest()) == (1, 1)
        checkpoints.save(2, state.replace(step=state.step + 1), {"step": 2})
    assert checkpoint.saved_steps(workdir) == [1, 2]
    assert checkpoint.restore_params(workdir, 2)[1]["step"] == 2
    with Checkpoints(workdir) as checkpoints:
        assert begin(experiment, backend, checkpoints)[1] == "resuming at step 2"


def test_unreadable_info_is_damage_too(run):
    experiment, backend, workdir = run
    truncate(workdir / "checkpoints" / "ckpt_00000002" / "info" / "metadata")
    with Checkpoints(workdir) as checkpoints:
        _, sentence = begin(experiment, backend, checkpoints)
    assert "unreadable JSON" in sentence
    assert sentence.endswith("resuming at step 1")


def test_nothing_is_trained_from_scratch_where_all_steps_are_damaged(run):
    experiment, backend, workdir = run
    for step in (1, 2):
        flip(largest(workdir, step))
    with Checkpoints(workdir) as checkpoints, pytest.raises(ValueError, match="only damaged"):
        begin(experiment, backend, checkpoints)


def test_steps_without_sums_are_taken_as_they_are(run):
    experiment, backend, workdir = run
    (workdir / "checkpoints" / "ckpt_00000002" / sums.FILE).unlink()
    with Checkpoints(workdir) as checkpoints:
        state, sentence = begin(experiment, backend, checkpoints)
    assert sentence == "resuming at step 2"
    jax.tree.map(
        np.testing.assert_array_equal,
        state.params,
        checkpoint.restore_params(workdir, 2)[0]["params"],
    )
