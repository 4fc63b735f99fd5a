"""The loop: resume == uninterrupted, stops that save, stops that do not, and what is written."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.tasks.lift3d import Lift3D
from dstformer_jax.training import checkpoint, evaluate, loop
from dstformer_jax.training.interrupt import Interrupted


def lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def untimed(line):
    return {k: v for k, v in line.items() if k not in ("clips_per_second", "step_ms")}


def assert_same_tree(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@dataclasses.dataclass(frozen=True)
class Interrupting(Lift3D):
    """Sends this process a signal when it looks at the metrics of a step."""

    at: int = 0
    number: int = signal.SIGTERM

    def alarm(self, step, values):
        if step == self.at:
            os.kill(os.getpid(), self.number)
        return None


@dataclasses.dataclass(frozen=True)
class Exploding(Lift3D):
    """The velocity term is not finite once the loss has fallen below a bound."""

    bound: float = 0.0

    def loss(self, outputs, batch, supervision, reduce):
        terms = super().loss(outputs, batch, supervision, reduce)
        bad = terms["mpjpe"] < self.bound
        return {**terms, "velocity": jnp.where(bad, jnp.nan, terms["velocity"])}


@pytest.fixture(scope="module")
def whole(make_experiment, tmp_path_factory):
    """An uninterrupted run: its folder and results."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, loop.fit(make_experiment(), workdir)


def test_a_run_writes_learns_and_evaluates(whole, make_experiment):
    workdir, results = whole
    written = lines(workdir)
    losses = [line["loss"] for line in written if "loss" in line]
    assert losses[-1] < losses[0]
    assert [line["step"] for line in written if "eval/unseen/mpjpe" in line] == [12, 19]
    assert results == pytest.approx(
        {k: v for k, v in written[-1].items() if k.startswith("eval/")}, rel=1e-5
    )
    assert {"mpjpe", "velocity", "n_mpjpe", "grad_norm", "depth_ratio", "clips_per_second"} <= set(
        written[0]
    )
    _, info = checkpoint.restore_params(workdir)
    assert info["data"] == {"next_step": 19, "draws": [15, 4]}
    assert info["fps"] == 30.0
    assert info["skeleton"] == "h36m17"


def test_a_finished_run_trains_no_further(whole, make_experiment, capsys):
    workdir, results = whole
    before = checkpoint.restore_params(workdir)[0]
    assert loop.fit(make_experiment(), workdir) == results
    assert "nothing left to train" in capsys.readouterr().out
    assert_same_tree(checkpoint.restore_params(workdir)[0], before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_next_run_goes_on_bit_for_bit(
    whole, make_experiment, tmp_path, number
):
    """Interrupted between two evaluations, then resumed: parameters and log lines are equal."""
    experiment = make_experiment()
    task = Interrupting(terms=experiment.task.terms, at=5, number=number)
    with pytest.raises(Interrupted, match="saved step 7; the same command goes on") as stop:
        loop.fit(dataclasses.replace(experiment, task=task), tmp_path)
    assert stop.value.exit_code == 128 + number
    results = loop.fit(experiment, tmp_path)
    assert results == whole[1]
    assert_same_tree(
        checkpoint.restore_params(tmp_path, 19)[0], checkpoint.restore_params(whole[0], 19)[0]
    )
    want = {line["step"]: untimed(line) for line in lines(whole[0]) if "eval/unseen/mpjpe" in line}
    got = {line["step"]: untimed(line) for line in lines(tmp_path) if "eval/unseen/mpjpe" in line}
    assert got == want


def test_processes_that_stop_wait_for_each_other_after_saving(
    make_experiment, tmp_path, monkeypatch
):
    """The first to end may end the others: a launcher takes its status for a crash."""
    said = []
    wait = checkpoint.Checkpoints.wait
    monkeypatch.setattr(
        checkpoint.Checkpoints, "wait", lambda self: (wait(self), said.append("written"))
    )
    monkeypatch.setattr(loop.multihost_utils, "sync_global_devices", said.append)
    experiment = make_experiment()
    task = Interrupting(terms=experiment.task.terms, at=5)
    with pytest.raises(Interrupted):
        loop.fit(dataclasses.replace(experiment, task=task), tmp_path)
    assert said[said.index("saved") - 1] == "written"
    assert checkpoint.saved_steps(tmp_path) == [7]


def evaluated(workdir):
    return {line["step"]: line for line in lines(workdir) if "eval/unseen/mpjpe" in line}


def best(workdir):
    """The best step, and the measures of all steps that are still there."""
    with checkpoint.Checkpoints(workdir, read=True) as checkpoints:
        steps = checkpoint.saved_steps(workdir)
        return checkpoints.best(), [checkpoints.measure_of(step) for step in steps]


@pytest.mark.parametrize(
    ("log_every", "at", "step"),
    [
        pytest.param(1, 10, 12, id="before"),
        pytest.param(2, 12, 12, id="within"),
        pytest.param(2, 19, 19, id="at the end of the plan"),
    ],
)
def test_an_evaluation_that_a_stop_prevented_is_made_up_for(
    whole, make_experiment, tmp_path, monkeypatch, log_every, at, step
):
    """Measure, best checkpoint, results and log are those of a run without the stop."""
    experiment = make_experiment(log_every=log_every)
    task = Interrupting(terms=experiment.task.terms, at=at)
    with pytest.raises(Interrupted, match=f"saved step {step};"):
        loop.fit(dataclasses.replace(experiment, task=task), tmp_path)
    assert checkpoint.read_info(tmp_path, step)["unevaluated"]
    assert list(evaluated(tmp_path)) == [12] * (step > 12)

    def stopped_again(self, variables, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()

    with monkeypatch.context() as patch:
        patch.setattr(evaluate.Evaluator, "__call__", stopped_again)
        with pytest.raises(Interrupted, match=f"saved step {step};"):
            loop.fit(experiment, tmp_path)
    assert checkpoint.read_info(tmp_path, step)["unevaluated"]

    assert loop.fit(experiment, tmp_path) == whole[1]
    assert best(tmp_path) == best(whole[0])
    assert evaluated(tmp_path) == evaluated(whole[0])
    infos = [checkpoint.read_info(folder, step) for folder in (tmp_path, whole[0])]
    assert infos[0]["results"] == infos[1]["results"] != {}
    assert "unevaluated" not in infos[0]


def test_lines_after_the_restored_step_are_written_anew(whole, make_experiment, tmp_path):
    """A run killed after its last save has logged steps that are run again."""
    experiment = make_experiment()
    task = Interrupting(terms=experiment.task.terms, at=3)
    with pytest.raises(Interrupted):
        loop.fit(dataclasses.replace(experiment, task=task), tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "loss": 1}\n{"step": 9, "lo')
    loop.fit(experiment, tmp_path)
    steps = [line["step"] for line in lines(tmp_path)]
    assert steps == sorted(steps)
    assert {"step": 8, "loss": 1} not in lines(tmp_path)


def test_a_loss_that_is_not_finite_stops_naming_step_and_term(make_experiment, whole, tmp_path):
    experiment = make_experiment(log_every=1)
    values = [line["mpjpe"] for line in lines(whole[0]) if "mpjpe" in line]
    task = Exploding(terms=experiment.task.terms, bound=values[0] - 0.01)
    with pytest.raises(loop.NonFinite, match=r"step \d+ \(source .*velocity nan") as stop:
        loop.fit(dataclasses.replace(experiment, task=task), tmp_path)
    first_bad = int(str(stop.value).split()[1])
    saved = checkpoint.saved_steps(tmp_path)
    assert all(step < first_bad for step in saved)
    assert all(np.isfinite(line["loss"]) for line in lines(tmp_path) if "loss" in line)


def test_the_alarm_is_said_once_and_its_end_too(make_experiment, tmp_path, capsys):
    @dataclasses.dataclass(frozen=True)
    class Alarming(Lift3D):
        def alarm(self, step, values):
            return f"stuck at {step}" if step < 9 else None

    experiment = make_experiment(log_every=1)
    task = Alarming(terms=experiment.task.terms)
    loop.fit(dataclasses.replace(experiment, task=task), tmp_path)
    said = capsys.readouterr().out
    assert said.count("WARNING: stuck at") == 1
    assert said.count("the last warning is over") == 1


def test_jit_trains_as_pmap_does(whole, make_experiment, tmp_path):
    results = loop.fit(make_experiment(parallel="jit"), tmp_path)
    assert results == pytest.approx(whole[1], rel=1e-4)


def test_checkpoints_move_between_back_ends_and_device_counts(whole, make_experiment, tmp_path):
    """A run saved by pmap on 8 devices goes on under jit."""
    experiment = make_experiment()
    task = Interrupting(terms=experiment.task.terms, at=5)
    with pytest.raises(Interrupted):
        loop.fit(dataclasses.replace(experiment, task=task), tmp_path)
    results = loop.fit(make_experiment(parallel="jit"), tmp_path)
    assert results == pytest.approx(whole[1], rel=1e-4)


def test_a_profile_is_written(make_experiment, tmp_path):
    loop.fit(make_experiment(profile={"start": 2, "num_steps": 2}, epochs=1), tmp_path)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize(
    ("settings", "steps", "want"),
    [
        ({"start": 2, "num_steps": 2}, range(6), [("start", 2), ("stop", 3)]),
        ({"start": 2, "num_steps": 3}, range(3, 6), [("start", 3), ("stop", 4)]),
        ({"start": 2, "num_steps": 2}, range(4, 6), []),
        ({"start": 2, "num_steps": 0}, range(6), []),
        ({}, range(6), []),
    ],
)
def test_a_trace_that_was_not_started_is_not_stopped(tmp_path, monkeypatch, settings, steps, want):
    """Also of runs that resume inside the window or after it."""
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda _: calls.append(("start", step)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append(("stop", step)))
    profile = loop.Profile(settings, tmp_path)
    for step in steps:
        with profile.step(step):
            pass
    assert calls == want


def test_archived_steps_are_the_ends_of_epochs(make_experiment):
    plan = make_experiment().plan
    ends = [sum(plan.steps_in_epoch(e) for e in range(last)) for last in (1, 2, 3)]
    assert loop.archived_steps(plan, 1) == set(ends)
    assert loop.archived_steps(plan, 2) == {ends[1]}
    assert loop.archived_steps(plan, 0) == set()
