"""A batch in parts: the step of the whole batch, in the memory of one part."""

from functools import cache

import jax
import numpy as np
import pytest

from dstformer_jax.training import parallel
from dstformer_jax.training.experiment import initial_variables
from dstformer_jax.training.state import new_state
from dstformer_jax.training.step import make_step


@pytest.fixture(scope="module")
def step_of(make_experiment):
    """(parts, back end, devices, model settings) -> metrics and state of one step, in numpy."""
    rng = np.random.default_rng(0)
    batch = {
        "motion": rng.uniform(-1, 1, (16, 9, 17, 3)).astype(np.float32),
        "target": rng.uniform(-1, 1, (16, 9, 17, 3)).astype(np.float32),
        "valid": rng.random((16, 9)) < 0.6,  # clips of unequal weight
    }

    @cache
    def step(parts, name="jit", devices=1, **model):
        experiment = make_experiment(
            optim__accumulate=parts, weights={"mpjpe": 1.0, "velocity": 20.0}, **model
        )
        backend = parallel.backend(name, jax.devices()[:devices])
        state = new_state(experiment, backend, initial_variables(experiment))
        run = backend.compile_step(make_step(experiment, backend.reduce))
        return jax.device_get(run(state, backend.place(batch)))

    return step


@pytest.mark.parametrize(
    ("parts", "name", "devices", "model"),
    [
        (4, "jit", 1, {"dstformer": True}),
        (2, "jit", 8, {}),
        (2, "pmap", 8, {}),
        (4, "jit", 1, {"dstformer": True, "model__scan_layers": True, "model__remat": "layer"}),
    ],
)
def test_parts_train_as_the_whole_batch(step_of, parts, name, devices, model):
    whole, measured = step_of(1, dstformer="dstformer" in model)
    state, metrics = step_of(parts, name, devices, **model)
    assert metrics.keys() == measured.keys()
    for key, value in measured.items():
        np.testing.assert_allclose(metrics[key], value, rtol=1e-5, err_msg=key)
    # Adam's moments are gradients and their squares: they show what its steps normalise away.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
        state.opt_state,
        whole.opt_state,
    )


def test_parts_have_their_own_dropout(step_of):
    """Otherwise clips at the same place of two parts would lose the same channels."""
    clean, dropped = (
        step_of(2, dstformer=True, model__dropout=rate)[1]["loss"] for rate in (0.0, 0.5)
    )
    assert np.isfinite(dropped)
    assert abs(dropped - clean) > 1e-4


def test_rows_that_do_not_divide_are_refused(step_of):
    with pytest.raises(ValueError, match=r"16 clips a device for optim\.accumulate=3"):
        step_of(3)


def test_batch_normalisation_is_not_done_in_parts(make_experiment):
    with pytest.raises(ValueError, match=r"optim\.accumulate=2 for a network with batch"):
        make_experiment(
            dstformer=True,
            optim__accumulate=2,
            model={"backbone": "tcn", "dim_feat": 8, "dim_rep": 6, "depth": 2, "maxlen": 9},
        )


@pytest.mark.parametrize("parts", [0, 1.5])
def test_wrong_parts_are_refused(make_experiment, parts):
    with pytest.raises(ValueError, match=r"optim\.accumulate"):
        make_experiment(optim__accumulate=parts)
