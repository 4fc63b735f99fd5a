"""Checkpoints: bit-exact, kept and best, partial, and safe from the donation of the state."""

import jax
import numpy as np
import pytest

from dstformer_jax.training import checkpoint, parallel
from dstformer_jax.training.checkpoint import Checkpoints
from dstformer_jax.training.experiment import initial_variables
from dstformer_jax.training.state import abstract_state, new_state, transplant

INFO = {"model": {"size": "demo"}, "fps": 30.0}


@pytest.fixture(scope="module")
def run(make_experiment, tmp_path_factory):
    """Five saved steps whose measures are 3, 1, 2, none and not-a-number; the states on host."""
    workdir = tmp_path_factory.mktemp("run")
    experiment, backend = make_experiment(), parallel.backend("pmap")
    state = new_state(experiment, backend, initial_variables(experiment))
    advance = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    states = {}
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step, measure in enumerate([3.0, 1.0, 2.0, None, float("nan")], start=1):
            state = advance(state)
            states[step] = jax.tree.map(np.array, state)
            checkpoints.save(step, state, {**INFO, "step": step}, measure)
            state = advance(state)  # donates what is being written
        checkpoints.wait()
        yield workdir, experiment, backend, states, checkpoints


def test_the_last_ones_and_the_best_stay(run):
    workdir, _, _, _, checkpoints = run
    assert checkpoint.saved_steps(workdir) == [2, 4, 5]
    assert (checkpoints.latest(), checkpoints.best()) == (5, 2)


def test_a_restored_state_is_bit_equal_though_the_saved_one_was_donated(run):
    _, experiment, backend, states, checkpoints = run
    for step in (2, 5):
        state, info = checkpoints.restore(abstract_state(experiment, backend), step)
        assert info["step"] == step
        assert jax.tree.structure(state) == jax.tree.structure(states[step])
        jax.tree.map(np.testing.assert_array_equal, state, states[step])
        assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))


def test_parameters_alone_are_read_of_the_best_step(run):
    workdir, _, _, states, _ = run
    variables, info = checkpoint.restore_params(workdir)
    assert (info["step"], info["fps"]) == (2, 30.0)
    assert set(variables) == {"params", "batch_stats"}
    jax.tree.map(np.testing.assert_array_equal, variables["params"], states[2].params)


def test_the_backbone_alone(run):
    workdir, _, _, states, _ = run
    variables, info = checkpoint.restore_params(workdir, step=5, only=("backbone",))
    assert (info["step"], set(variables["params"])) == (5, {"backbone"})
    jax.tree.map(
        np.testing.assert_array_equal, variables["params"]["backbone"], states[5].params["backbone"]
    )


def test_mistakes_are_named(run, make_experiment, tmp_path):
    workdir, _, backend, _, checkpoints = run
    with pytest.raises(ValueError, match="expected a workdir with checkpoints"):
        checkpoint.restore_params(tmp_path)
    with pytest.raises(ValueError, match=r"got step 3 of .*, expected one of \[2, 4, 5\]"):
        checkpoint.restore_params(workdir, step=3)
    with pytest.raises(ValueError, match=r"got 'tail', expected one of \['backbone', 'head'\]"):
        checkpoint.restore_params(workdir, only=("tail",))
    wider = make_experiment(model__dim_rep=16)
    with pytest.raises(ValueError, match="does not fit this config"):
        checkpoints.restore(abstract_state(wider, backend))


def test_an_unfinished_write_is_no_checkpoint(tmp_path):
    """A killed run leaves folders of another name."""
    name = "ckpt_00000007.orbax-checkpoint-tmp-3"
    (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert not checkpoint.has_checkpoint(tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() is None


def test_transplant_takes_what_fits(make_experiment):
    given = initial_variables(make_experiment(seed=1))
    fresh = initial_variables(make_experiment(seed=2))
    variables, sentence = transplant(fresh, given)
    assert sentence == "starting from given backbone, head"
    jax.tree.map(np.testing.assert_array_equal, variables["params"], given["params"])

    without_head = {"params": {"backbone": given["params"]["backbone"]}, "batch_stats": {}}
    variables, sentence = transplant(fresh, without_head)
    assert sentence == "starting from given backbone; new: head"
    jax.tree.map(
        np.testing.assert_array_equal, variables["params"]["head"], fresh["params"]["head"]
    )

    wider = initial_variables(make_experiment(model__dim_rep=16))
    with pytest.raises(ValueError, match=r"another backbone \(.*got \(16,\), expected \(8,\)"):
        transplant(fresh, wider)


def test_archived_steps_stay_for_good(tmp_path):
    with Checkpoints(tmp_path, keep=1, archive=(1, 3)) as checkpoints:
        for step in range(1, 6):
            checkpoints.save(step, {"x": np.zeros(2)}, {})
    assert checkpoint.saved_steps(tmp_path) == [1, 3, 5]
