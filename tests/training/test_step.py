"""The train step: the weighted sum, frozen parameters, clips finished on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.data import pipeline
from dstformer_jax.training import parallel
from dstformer_jax.training.experiment import initial_variables
from dstformer_jax.training.state import new_state
from dstformer_jax.training.step import Steps, example, weighted_sum


class Trainer:
    """Trains on one batch as the loop does."""

    def __init__(self, experiment, backend="pmap", devices=None):
        self.experiment, self.backend = experiment, parallel.backend(backend, devices)
        self.steps = Steps(experiment, self.backend)
        self.steps.compile_all(self.start())

    def start(self):
        return new_state(self.experiment, self.backend, initial_variables(self.experiment))

    def train(self, steps=1, keys=0):
        """State and metrics after some steps, in numpy."""
        source, state, metrics = self.experiment.data[0].source, self.start(), {}
        batch = self.steps.example(self.experiment.data[0])
        batch["keys"] = np.random.default_rng(keys).integers(0, 2**32, (8, 2), np.uint32)
        for _ in range(steps):
            state, metrics = self.steps(source, state, batch)
        return jax.device_get((state, metrics))


@pytest.fixture(scope="module")
def one_source(make_experiment):
    """The tiny experiment without its second source."""
    return lambda **changes: make_experiment(sources__short=None, **changes)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    terms = {"a": jnp.float32(2.0), "b": jnp.float32(3.0), "c": jnp.float32(jnp.nan)}
    assert weighted_sum(terms, {"a": 0.5, "b": 2.0, "c": 0.0, "d": 7.0}) == 7.0
    with pytest.raises(ValueError, match=r"'b' without a weight.*config.weights.b=0"):
        weighted_sum(terms, {"a": 1.0, "c": 0.0})
    with pytest.raises(ValueError, match="no loss term"):
        weighted_sum({}, {"a": 1.0})


def test_one_step_of_an_experiment_with_a_frozen_backbone(one_source):
    """Metrics, terms of weight 0, and frozen parameters, which stay bit-equal."""
    experiment = one_source(
        weights={"mpjpe": 1.0, "n_mpjpe": 0.5, "velocity": 0.0},
        optim__freeze=["backbone/*"],
        optim__weight_decay=0.1,
    )
    before = initial_variables(experiment)["params"]
    state, metrics = Trainer(experiment).train(steps=2)
    assert state.step == 2
    np.testing.assert_allclose(
        metrics["loss"], metrics["mpjpe"] + 0.5 * metrics["n_mpjpe"], rtol=1e-6
    )
    assert "velocity" not in metrics
    jax.tree.map(np.testing.assert_array_equal, state.params["backbone"], before["backbone"])
    change = state.params["head"]["dense"]["kernel"] - before["head"]["dense"]["kernel"]
    assert np.all(change != 0)


def test_corruption_on_the_device_is_the_same_on_1_and_8(one_source):
    """The draws belong to the virtual shards, not to the devices."""
    noisy = one_source(
        data__corrupt_on="device", sources__long__noise=True, sources__long__mask=True
    )
    one, eight = Trainer(noisy, "jit", jax.devices()[:1]), Trainer(noisy, "pmap")
    losses = [each.train(keys=keys)[1]["loss"] for keys in (0, 1) for each in (one, eight)]
    np.testing.assert_allclose(losses[1::2], losses[::2], rtol=1e-5)
    assert abs(losses[2] - losses[0]) > 1e-4


@pytest.fixture(scope="module")
def framed(make_experiment):
    """(place, back end, devices) -> losses and parameters of cropped, mirrored, clean clips."""
    settings = {"dataset": "walks", "frames": 9, "stride": 9, "batch": 8, "flip": True}
    settings |= {"crop": (0.5, 1.5), "scale": 0.3}
    sources = {"walks": settings, "flat": {**settings, "supervision": "2d"}}
    weights = {"mpjpe": 1.0, "velocity": 2.0, "reprojection": 1.0}

    def train(place, *where):
        experiment = make_experiment(
            sources=sources, weights=weights, epochs=1, data__corrupt_on=place
        )
        trainer = Trainer(experiment, *where)
        state, losses = trainer.start(), []
        feed = pipeline.batches(experiment.plan, experiment.data, feed="numpy", corrupt_on=place)
        for draw, batch in feed:
            state, metrics = trainer.steps(experiment.plan.sources[draw.source], state, batch)
            losses.append(metrics["loss"])
        return jax.device_get((losses, state.params))

    return train


@pytest.fixture(scope="module")
def framed_on_host(framed):
    return framed("host", "jit", jax.devices()[:1])


@pytest.mark.parametrize(("name", "devices"), [("pmap", 8), ("jit", 8), ("jit", 1)])
def test_clips_finished_on_the_device_train_as_those_of_the_host(
    framed, framed_on_host, name, devices
):
    losses, params = framed("device", name, jax.devices()[:devices])
    assert len(losses) > 4
    np.testing.assert_allclose(losses, framed_on_host[0], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), params, framed_on_host[1]
    )


def test_clips_are_finished_with_exact_products(one_source):
    """An accelerator would round views to bfloat16 or TF32 by default."""
    experiment = one_source(data__corrupt_on="device")
    steps, data = Steps(experiment, parallel.backend("jit")), experiment.data[0]
    batch = steps.place(data.source, steps.example(data))
    text = jax.jit(steps._prepare(data.source)).lower(batch).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) == 1
    assert "precision = [HIGHEST, HIGHEST]" in products[0]


@pytest.mark.parametrize("place", ["host", "device"])
def test_the_example_has_the_shapes_of_training_batches(make_experiment, place):
    experiment = make_experiment()
    feed = pipeline.batches(experiment.plan, experiment.data, 10, feed="numpy", corrupt_on=place)
    for draw, batch in feed:
        expected = example(experiment.data[draw.source], place)
        assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
            k: (v.shape, v.dtype) for k, v in expected.items()
        }


def test_one_program_for_each_length_and_supervision(make_experiment, monkeypatch, caplog):
    """Pretraining's sources in small: two of 3D share a program, and no step compiles one."""
    video = {"dataset": "walks", "supervision": "2d", "stride": 8, "batch": 8}
    mocap = {"dataset": "walks", "frames": 24, "stride": 8, "batch": 8}
    experiment = make_experiment(
        sources={
            "human36m": mocap,
            "amass": {**mocap, "scale": 0.298, "noise": True, "mask": True},
            "instavariety": {**video, "frames": 16, "epochs": (1, -1)},
            "posetrack": {**video, "frames": 8, "epochs": (1, -1), "noise": True},
        },
        weights={"mpjpe": 1.0, "reprojection": 1.0},
        model__maxlen=24,
        epochs=2,
    )
    lowered = []
    lower = Steps.lower
    monkeypatch.setattr(
        Steps, "lower", lambda *args: (lowered.append(args[1].name), lower(*args))[1]
    )
    trainer = Trainer(experiment)
    assert lowered == ["human36m", "instavariety", "posetrack"]
    state, used = trainer.start(), set()
    feed = pipeline.batches(experiment.plan, experiment.data, 0, feed="numpy")
    with jax.log_compiles():
        caplog.clear()
        for draw, batch in feed:
            source = experiment.plan.sources[draw.source]
            state, _ = trainer.steps(source, state, batch)
            used.add(source.name)
    assert [line for line in caplog.messages if "ompil" in line] == []
    assert used == set(experiment.config["sources"])
    assert len(lowered) == 3
