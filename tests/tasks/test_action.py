"""Recognition on the one loop: it learns, splits over devices, freezes, and refuses bad labels."""

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from dstformer_jax import show
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.inference import load
from dstformer_jax.tasks.action import Action, recognition_scores
from dstformer_jax.tasks.oneshot import OneShot, one_shot_scores, random_exemplars
from dstformer_jax.training import checkpoint, experiment, loop, parallel
from dstformer_jax.training.experiment import initial_variables
from dstformer_jax.training.interrupt import Interrupted
from dstformer_jax.training.state import begin, new_state, transplant
from dstformer_jax.training.step import example, make_step

CLASSES = 4


def gesture(number: int, label: int) -> Sequence:
    """A person of whom one joint swings, told by the label; a partner in every second clip."""
    rng = np.random.default_rng(number)
    frames = 12 + number % 7
    motion = np.ones((2, frames, 17, 3), np.float32)
    motion[..., :2] = rng.uniform(-0.2, 0.2, (2, 1, 17, 2)) + rng.normal(0, 0.01, (2, 1, 17, 2))
    motion[0, :, 3 * label, 0] += 0.8
    motion[1] *= number % 2
    return Sequence(
        id=f"g{number}",
        fps=30,
        unit="normalised",
        label=label,
        action=f"gesture{label}",
        motion=motion[0],
        partner=motion[1],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    bank = folder / "gestures" / "default" / "1.0.0" / "bank"
    write_bank([gesture(i, i % CLASSES) for i in range(32)], bank / "train")
    write_bank([gesture(100 + i, i % CLASSES) for i in range(16)], bank / "test")
    write_bank([gesture(200 + i, CLASSES + i % 2) for i in range(8)], bank / "novel")
    return folder


def config_of(folder, name="action", test="test", **changes: Any) -> dict[str, Any]:
    about = {"supervision": "label", "input": "motion", "window": "whole", "persons": 2}
    clips = {"dataset": "gestures", "frames": 9, "batch": 16, **about}
    weights = {"action": {"cross_entropy": 1.0}, "oneshot": {"contrastive": 1.0}}
    pairs = {"per_class": 4} if name == "oneshot" else {}
    config: dict[str, Any] = {
        "seed": 0,
        "epochs": 2,
        "parallel": "pmap",
        "log_every": 2,
        "model": {"dim_feat": 8, "dim_rep": 8, "depth": 1, "num_heads": 2, "maxlen": 9},
        "task": {"name": name, "hidden": 16, "dropout": 0.0},
        "weights": weights[name],
        "optim": {"learning_rate": 1e-2},
        "data": {"path": str(folder), "feed": "numpy"},
        "sources": {"clips": {**clips, **pairs}},
        "eval": {"every": 1, "flip": False, "sources": {"unseen": {**clips, "split": test}}},
        "checkpoint": {"every": 0, "keep": 2},
        "profile": {},
    }
    config["model"]["init"] = "fan_in"
    return {**config, **changes}


def flat(tree) -> dict[str, np.ndarray]:
    return {"/".join(path): np.asarray(leaf) for path, leaf in flatten_dict(tree).items()}


@pytest.mark.long
@pytest.mark.parametrize("name", ["action", "oneshot"])
def test_eight_devices_are_one_device_under_pmap_and_jit(folder, name):
    """Losses, parameters and batch statistics; negatives and statistics are global."""
    test = "test" if name == "action" else "novel"
    built = experiment.build(config_of(folder, name, test))
    batch = {k: v for k, v in example(built.data[0]).items() if k != "keys"}
    results = []
    for backend in (
        parallel.backend("jit", jax.devices()[:1]),
        parallel.backend("pmap"),
        parallel.backend("jit"),
    ):
        step = backend.compile_step(make_step(built, backend.reduce, "label"))
        state = new_state(built, backend, initial_variables(built))
        losses, statistics = [], {}
        for number in range(3):
            state, metrics = step(state, backend.place(batch))
            losses.append(float(metrics["loss"]))
            if number == 0:
                statistics = flat(jax.device_get(state.batch_stats))
        params = flat(jax.device_get(state.params))
        # Normalisation and softmax take these biases out again: their gradients are rounding, which
        # Adam scales up.
        idle = ("qkv/bias", "fc1/bias")
        kept = {path: value for path, value in params.items() if not path.endswith(idle)}
        results.append((losses, {**statistics, **kept}))
    for losses, arrays in results[1:]:
        np.testing.assert_allclose(losses, results[0][0], rtol=1e-5)
        for path, value in arrays.items():
            np.testing.assert_allclose(value, results[0][1][path], atol=1e-4, err_msg=path)
    assert len(set(results[0][0])) == 3


@pytest.mark.long
def test_classes_are_learned_evaluated_and_resumed(folder, tmp_path):
    config = config_of(folder, epochs=16, eval={**config_of(folder)["eval"], "every": 16})
    results = loop.fit(experiment.build(config), tmp_path / "run")
    assert results["eval/unseen/top1"] > 0.7  # chance: 0.25
    assert results["eval/unseen/clips"] == 16
    assert results["eval/unseen/top1/gesture3"] > 0.5
    again = loop.fit(experiment.build(config), tmp_path / "run")
    assert again == results

    pictures = show.run(tmp_path / "run", tmp_path / "pictures", 1)
    assert {Path(line.split(": ")[1]).name for line in pictures if "picture" in line} == {
        "accuracy.png",
        "confusion_unseen.png",
    }
    built = experiment.build(config)
    matrix = show.confused_classes(load(tmp_path / "run", head="action"), built.tests["unseen"])
    assert matrix.sum() == results["eval/unseen/clips"]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(results["eval/unseen/top1"])


@pytest.mark.long
def test_one_example_of_novel_classes_is_enough(folder, tmp_path):
    built = experiment.build(config_of(folder, "oneshot", "novel", epochs=6))
    results = loop.fit(built, tmp_path)
    assert results["eval/unseen/classes"] == 2
    assert results["eval/unseen/top1"] > 0.5
    assert "eval/unseen/top1_deviation" in results


@pytest.fixture
def _quick_compilation(tmp_path):
    """What is compiled here runs for a moment: it is not optimised, and compiled only once."""
    before = (
        jax.config.jax_compilation_cache_dir,
        jax.config.jax_persistent_cache_min_compile_time_secs,
    )
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_compilation_cache_dir", before[0])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])


def stopping(task: Any, at: int) -> Any:
    """The task, but it sends this process SIGTERM when it looks at the metrics of a step."""

    def alarm(self, step, values):
        if step == at:
            os.kill(os.getpid(), signal.SIGTERM)

    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    return type("Stopping", (type(task),), {"alarm": alarm})(**fields)


@pytest.mark.long
@pytest.mark.usefixtures("_quick_compilation")
@pytest.mark.parametrize(("name", "backend"), [("action", "pmap"), ("oneshot", "jit")])
def test_an_interrupted_run_goes_on_bit_for_bit(folder, tmp_path, name, backend):
    """Stopped within the second of three epochs: parameters, batch statistics, optimiser, results.

    Clips are drawn, moved on from earlier moves, and dropped out of; those of one-shot recognition
    come as pairs of a class.
    """
    config = config_of(folder, name, "test" if name == "action" else "novel", epochs=3, log_every=1)
    config["parallel"], config["task"]["dropout"] = backend, 0.5
    config["eval"]["every"] = 3
    moves = {"move": True, "accumulate": True, "crop": (1.0, 3.0)}
    config["sources"]["clips"] |= {"batch": 8, **moves, "per_class": 2 if name == "oneshot" else 0}
    built = experiment.build(config)
    assert built.plan.total_steps == 12
    results = loop.fit(built, tmp_path / "whole")
    with pytest.raises(Interrupted):
        loop.fit(dataclasses.replace(built, task=stopping(built.task, 5)), tmp_path / "interrupted")
    (saved,) = checkpoint.saved_steps(tmp_path / "interrupted")
    assert 4 < saved < 8
    assert loop.fit(built, tmp_path / "interrupted") == results

    devices, states = parallel.backend(backend), []
    for workdir in (tmp_path / "whole", tmp_path / "interrupted"):
        with checkpoint.Checkpoints(workdir, read=True) as checkpoints:
            state, sentence = begin(built, devices, checkpoints)
        assert sentence == "resuming at step 12"
        states.append(jax.device_get(state))
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    jax.tree.map(np.testing.assert_array_equal, *states)
    fresh = initial_variables(built)
    assert bool(states[0].batch_stats) == bool(fresh["batch_stats"]) == (name == "action")
    for path, value in flat(states[0].batch_stats).items():
        assert not np.array_equal(value, flat(fresh["batch_stats"])[path]), path
    assert np.any([np.any(moment) for moment in jax.tree.leaves(states[0].opt_state)])


@pytest.mark.parametrize(("part", "name"), [("backbone", "muon"), ("head", "adamw")])
def test_frozen_parts_are_bit_equal_after_training(folder, part, name):
    """No gradient, no weight decay, no new batch statistics; and the passenger never moves."""
    optim = {"name": name, "learning_rate": 0.1, "weight_decay": 0.5, "freeze": (f"{part}/*",)}
    built = experiment.build(config_of(folder, optim=optim))
    assert set(built.frozen_parts) == {part, "pose"}
    backend = parallel.backend("jit", jax.devices()[:1])
    state = new_state(built, backend, initial_variables(built))
    before = flat(jax.device_get(state.variables))
    step = backend.compile_step(make_step(built, backend.reduce, "label"))
    batch = {k: v for k, v in example(built.data[0]).items() if k != "keys"}
    for _ in range(2):
        state, _ = step(state, backend.place(batch))
    after = flat(jax.device_get(state.variables))
    for path, value in after.items():
        kept = f"/{part}/" in path or path.startswith("params/pose/")
        assert np.array_equal(value, before[path]) == kept, path


def test_dropout_is_off_in_a_frozen_head(folder):
    """Two steps of a frozen network with dropout see the same loss."""
    task = {"name": "action", "hidden": 16, "dropout": 0.5}
    optim = {"freeze": ("head/*", "backbone/*")}
    built = experiment.build(config_of(folder, optim=optim, task=task))
    backend = parallel.backend("jit", jax.devices()[:1])
    state = new_state(built, backend, initial_variables(built))
    step = backend.compile_step(make_step(built, backend.reduce, "label"))
    batch = {k: v for k, v in example(built.data[0]).items() if k != "keys"}
    losses = []
    for _ in range(2):
        state, metrics = step(state, backend.place(batch))
        losses.append(float(metrics["loss"]))
    assert losses[0] == losses[1]


def test_a_pretrained_pose_head_becomes_the_passenger(folder):
    built = experiment.build(config_of(folder))
    fresh = initial_variables(built)
    pretrained = {
        "backbone": jax.tree.map(lambda x: x + 1, fresh["params"]["backbone"]),
        "head": jax.tree.map(lambda x: x + 2, fresh["params"]["pose"]),
    }
    taken, sentence = transplant(fresh, {"params": pretrained, "batch_stats": {}})
    for part, source in (("backbone", "backbone"), ("pose", "head")):
        jax.tree.map(np.testing.assert_array_equal, taken["params"][part], pretrained[source])
    jax.tree.map(np.testing.assert_array_equal, taken["params"]["head"], fresh["params"]["head"])
    assert "new: head" in sentence


# Labels that cannot work --------------------------------------------------------------------------


def opened(tmp_path, sequences, name):
    bank = Bank.read(write_bank(sequences, tmp_path / name))
    about = {"supervision": "label", "input": "motion", "window": "whole"}
    return SourceData.of(Source(name, "gestures", frames=9, batch=8, **about), bank)


def test_labels_that_do_not_fit_are_named(tmp_path):
    train = opened(tmp_path, [gesture(i, i % 3) for i in range(9)], "train")
    novel = opened(tmp_path, [gesture(9, 3)], "novel")
    renamed = opened(
        tmp_path, [gesture(5, 1).__class__(**{**vars(gesture(5, 1)), "label": 2})], "x"
    )
    task = Action().with_data([train], [train])
    assert task.num_classes == 3
    clips = {"frames": train.source.frames, "persons": train.source.persons}
    assert clips.items() <= task.info["clips"].items()  # how `lift` makes them
    with pytest.raises(ValueError, match=r"label 2 of 'g2'.*expected 0 to 1"):
        Action(num_classes=2).with_data([train], [])
    with pytest.raises(ValueError, match="class 'gesture3' in source 'novel'"):
        Action().with_data([train], [novel])
    with pytest.raises(ValueError, match="called 'gesture1' in source 'x'"):
        Action().with_data([train], [renamed])
    with pytest.raises(ValueError, match="both in training and in source"):
        OneShot().with_data([train], [train])
    with pytest.raises(ValueError, match="one clip of label 3"):
        OneShot().with_data([train], [novel])
    with pytest.raises(ValueError, match="without exemplar 'S001"):
        OneShot(exemplars="ntu120").with_data([train], [novel])


def test_scores_are_shares_of_clips_with_their_interval():
    scores = np.eye(3)[[0, 1, 2, 2]]
    got = recognition_scores(scores, np.array([0, 1, 2, 0]), ("a", "b", "c"), np.arange(4))
    assert got["top1"] == 0.75
    assert got["mean_class"] == pytest.approx(2.5 / 3)
    assert got["top1/a"] == 0.5
    assert got["top1_low"] < 0.75 < got["top1_high"]
    assert "top5" not in got


def test_exemplars_are_not_scored_and_nearest_wins():
    labels = np.repeat([0, 1], 5)
    embeddings = np.eye(2)[labels] + np.random.default_rng(0).normal(0, 0.01, (10, 2))
    sets = random_exemplars(labels, 7)
    assert all(labels[rows].tolist() == [0, 1] for rows in sets)
    got = one_shot_scores(embeddings, labels, labels.astype(str), sets)
    assert (got["top1"], got["clips"], got["top1_deviation"]) == (1.0, 8.0, 0.0)
    wrong = one_shot_scores(embeddings[::-1], labels, labels.astype(str), sets[:1])
    assert wrong["top1"] == 1.0  # the classes only changed their names
