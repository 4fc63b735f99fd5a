"""Evaluation against numpy on all clips at once; groups; what selects the best checkpoint."""

import jax
import numpy as np
import pytest

from dstformer_jax.data import pipeline
from dstformer_jax.data.corrupt import NoiseTable
from dstformer_jax.tasks import metrics
from dstformer_jax.training import evaluate, parallel
from dstformer_jax.training.evaluate import Evaluator
from dstformer_jax.training.experiment import initial_variables

RESULTS = {
    "eval/a/mpjpe": 10.0,
    "eval/a/zero_depth": 20.0,
    "eval/a/mpjpe_rig/asf31": 9.0,
    "eval/a/frames": 100.0,
    "eval/a/fps": 30.0,
    "eval/b/mpjpe": 40.0,
    "eval/b/frames": 300.0,
    "eval/b/fps": 30.0,
    "eval/c/mpjpe": 70.0,
    "eval/c/frames": 100.0,
    "eval/c/fps": 60.0,
}


def test_groups_are_means_weighted_by_frames():
    got = evaluate.group_means(RESULTS, {"ab": ("a", "b"), "bc": ["b", "c"]})
    assert got == {
        "eval/ab/mpjpe": 32.5,
        "eval/ab/frames": 400.0,
        "eval/ab/fps": 30.0,
        "eval/bc/mpjpe": 47.5,
        "eval/bc/frames": 400.0,
    }


def test_groups_without_frame_counts_are_plain_means():
    results = {"eval/a/top_1": 80.0, "eval/b/top_1": 90.0}
    assert evaluate.group_means(results, {"ab": ("a", "b")}) == {"eval/ab/top_1": 85.0}
    assert evaluate.group_means(results, {}) == {}


@pytest.mark.parametrize("groups", [{"ab": ("a", "x")}, {"a": ("b",)}, {"ab": ()}])
def test_groups_of_unknown_sources_are_refused(groups):
    with pytest.raises(ValueError, match=r"got eval.groups\.\w+=.*expected some of \['a', 'b'\]"):
        evaluate.check_groups(groups, ("a", "b"))


def test_by_source_leaves_parts_out():
    sources = evaluate.by_source(RESULTS)
    assert list(sources) == ["a", "b", "c"]
    assert sources["a"] == {"mpjpe": 10.0, "zero_depth": 20.0, "frames": 100.0, "fps": 30.0}


def test_the_best_value_is_the_mean_over_sources_without_groups():
    groups = {"ab": ("a", "b")}
    results = RESULTS | evaluate.group_means(RESULTS, groups)
    assert evaluate.best_value(results, "mpjpe", groups=groups) == 40.0
    assert evaluate.best_value(results, "mpjpe", "b", groups) == 40.0
    assert evaluate.best_value(results, "mpjpe", "ab", groups) == 32.5
    assert evaluate.best_value(results, "mpjpe_rig/asf31") == 9.0
    with pytest.raises(ValueError, match="got no result 'mpjpe' of d, expected one of"):
        evaluate.best_value(results, "mpjpe", "d")


def test_rows_are_put_in_order_and_filling_rows_dropped():
    rows = {"index": np.array([2, -1, 0, 1, -1]), "error": np.arange(5.0)[:, None]}
    np.testing.assert_array_equal(evaluate.order_rows(rows)["error"], [[2.0], [3.0], [0.0]])


@pytest.fixture(scope="module")
def measured(make_experiment, make_config):
    """An experiment with two test sources in a group, its variables, and results on one device."""
    unseen = make_config()["eval"]["sources"]["unseen"]
    sources = {"unseen": unseen, "long": {**unseen, "frames": 5, "stride": 5}}
    experiment = make_experiment(eval__sources=sources)
    variables = initial_variables(experiment)
    return experiment, variables, run(experiment, variables, "jit", jax.devices()[:1])


def run(experiment, variables, name, devices=None, **options):
    backend = parallel.backend(name, devices)
    groups = {"both": ("unseen", "long")}
    evaluator = Evaluator(
        experiment.network, experiment.task, experiment.tests, backend, groups=groups, **options
    )
    return evaluator(backend.replicate(variables))


def every_frame(experiment, variables, name) -> np.ndarray:
    """Errors in mm of all scored frames of a source, straight from the network."""
    batches = list(pipeline.evaluation(experiment.tests[name])[0])
    batch = {key: np.concatenate([each[key] for each in batches]) for key in batches[0]}
    task, motion = experiment.task, batch["motion"]
    predict = jax.jit(lambda motion: experiment.network.apply(variables, motion)["pose"])
    mirrored = task.mirror({"pose": predict(task.mirror_input(batch)["motion"])})["pose"]
    pred = np.array((predict(motion) + mirrored) / 2)
    pred[:, :, 0] = 0
    true = batch["target"] - batch["target"][:, :, :1]
    errors = metrics.mpjpe(pred, true) * batch["scale"][:, None]
    return errors[batch["valid"]]


def test_results_are_those_of_every_scored_frame(measured):
    """46 frames in two people, in windows of 9 and of 5 with tails, and rows that only fill."""
    experiment, variables, results = measured
    errors = {name: every_frame(experiment, variables, name) for name in ("unseen", "long")}
    for name, values in errors.items():
        assert len(values) == results[f"eval/{name}/frames"] == 46
        np.testing.assert_allclose(results[f"eval/{name}/mpjpe"], values.mean(), rtol=1e-5)
    both = np.concatenate(list(errors.values()))
    np.testing.assert_allclose(results["eval/both/mpjpe"], both.mean(), rtol=1e-5)
    assert results["eval/both/frames"] == 92
    assert results["eval/both/fps"] == 30


@pytest.mark.parametrize("name", ["pmap", "jit"])
def test_eight_devices_measure_the_same(measured, name):
    experiment, variables, results = measured
    assert run(experiment, variables, name) == pytest.approx(results, rel=1e-4)


def test_flip_averaging_is_an_option(measured):
    experiment, variables, results = measured
    once = run(experiment, variables, "jit", jax.devices()[:1], flip=False)
    assert once["eval/unseen/mpjpe"] != pytest.approx(results["eval/unseen/mpjpe"], rel=1e-6)


def test_a_stop_leaves_no_results(measured):
    experiment, variables, _ = measured
    backend = parallel.backend("jit", jax.devices()[:1])
    evaluator = Evaluator(experiment.network, experiment.task, experiment.tests, backend)
    assert evaluator(backend.replicate(variables), stop=lambda: True) is None


def test_noise_of_an_evaluation_is_the_same_every_time(make_experiment, make_config):
    unseen = make_config()["eval"]["sources"]["unseen"]
    sources = {
        "unseen": {**unseen, "noise": True, "mask": True},
        "long": unseen,
    }
    experiment = make_experiment(eval__sources=sources)
    variables = initial_variables(experiment)
    one, again = (run(experiment, variables, "jit", jax.devices()[:1]) for _ in range(2))
    assert one == again
    assert one["eval/unseen/mpjpe"] != one["eval/long/mpjpe"]
    other = run(experiment, variables, "jit", jax.devices()[:1], seed=1)
    assert other["eval/unseen/mpjpe"] != one["eval/unseen/mpjpe"]
    assert other["eval/long/mpjpe"] == one["eval/long/mpjpe"]


def test_the_noise_of_an_evaluation_is_the_one_of_the_config(make_experiment, make_config):
    unseen = make_config()["eval"]["sources"]["unseen"]
    experiment = make_experiment(
        eval__sources={"unseen": {**unseen, "noise": True}, "long": unseen}
    )
    variables = initial_variables(experiment)
    still = NoiseTable(
        np.zeros((17, 2)), np.zeros((17, 2)), np.ones(17), 0.0, 0.0, 27, (1, 0, 0, 0)
    )
    got = run(experiment, variables, "jit", jax.devices()[:1], table=still)
    assert got["eval/unseen/mpjpe"] == pytest.approx(got["eval/long/mpjpe"], rel=1e-4)
    one, other = (
        run(experiment, variables, "jit", jax.devices()[:1], shared=shared)["eval/unseen/mpjpe"]
        for shared in (False, True)
    )
    assert one != other
