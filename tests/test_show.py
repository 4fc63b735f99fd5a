"""Pictures of a tiny real run, and a clear word where there is none."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_run
from tiny_run import walk

from dstformer_jax import convert, show
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.training.experiment import build
from dstformer_jax.training.loop import fit
from dstformer_jax.view import plots


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Iterator[Path]:
    """Six steps of training, measured in 3D and in 2D."""
    folder = tmp_path_factory.mktemp("project")
    tiny_run.prepare(folder, {"train0": 40, "train1": 41, "train2": 42}, {"ann": 20, "bob": 12})
    config = tiny_run.settings(folder)
    tests = config["eval"]["sources"]
    tests["video"] = {**tests["unseen"], "supervision": "2d", "input": "motion"}
    jax.config.update("jax_disable_most_optimizations", True)  # compiles several times as fast
    fit(build(config), folder / "run")
    yield folder / "run"
    jax.config.update("jax_disable_most_optimizations", False)


def test_pictures_and_numbers_of_a_run(workdir, tmp_path, capsys):
    arguments = [f"--workdir={workdir}", f"--output={tmp_path / 'pictures'}", "--count=3"]
    assert show.main(arguments) == 0
    told = capsys.readouterr().out.splitlines()
    pictures = {Path(line.removeprefix("picture: ")) for line in told if "picture: " in line}
    assert {path.name for path in pictures} == {"learning_curve.png", "poses_unseen.png"}
    for path in pictures:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 10_000
    results = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    first, last = (
        next(line["eval/unseen/mpjpe"] for line in lines if "eval/unseen/mpjpe" in line)
        for lines in (results, results[::-1])
    )
    (summary,) = [line for line in told if line.startswith("unseen: MPJPE")]
    assert f"MPJPE {first:.1f} mm at step" in summary
    assert f"{last:.1f} mm at step" in summary


def test_examples_are_frames_of_the_evaluation_in_mm(workdir):
    model = show.load(str(workdir))
    config = model.info["config"]
    data, _ = show.open_sources(config["eval"]["sources"], config["data"]["path"])
    examples = show.pose_examples(model, data, 3)
    assert [example.title for example in examples] == ["walk\nann", "walk\nann", "walk\nbob"]
    for example, (start, middle) in zip(examples, [(0, 2), (15, 2), (10, 1)], strict=True):
        person = walk("ann", 20) if "ann" in example.title else walk("bob", 12)
        pose = np.asarray(person.pose)[start + middle]
        np.testing.assert_allclose(example.true, 1000 * (pose - pose[:1]), atol=0.1)
        assert (example.pred[0] == 0).all()
        assert example.unit == "mm"


def test_examples_of_normalised_poses_are_not_in_mm(workdir, tmp_path):
    person = dataclasses.replace(walk("ann", 20), unit="normalised")
    source = Source("a", "b", frames=5, stride=5, batch=8)
    data = SourceData.of(source, Bank.read(write_bank([person], tmp_path / "test")))
    (example,) = show.pose_examples(show.load(str(workdir)), data, 1)
    pose = np.asarray(person.pose)[2]
    np.testing.assert_allclose(example.true, pose - pose[:1], atol=1e-6)
    assert example.unit == "normalised"
    assert plots.measured(0.25, example.unit) == "0.250 normalised"


@pytest.mark.parametrize("flip", [True, False])
def test_pictures_follow_the_evaluation_of_the_run(workdir, tmp_path, monkeypatch, flip):
    model = show.load(str(workdir))
    config = model.info["config"]
    model.info["config"] = {**config, "seed": 7, "eval": {**config["eval"], "flip": flip}}
    flips, seeds = [], []
    lift, evaluation = model.lift, show.pipeline.evaluation
    monkeypatch.setattr(show, "load", lambda path: model)
    monkeypatch.setattr(
        model, "lift", lambda motion, flip: (flips.append(flip), lift(motion, flip))[1]
    )
    monkeypatch.setattr(
        show.pipeline,
        "evaluation",
        lambda data, seed: (seeds.append(seed), evaluation(data, seed))[1],
    )
    show.run(workdir, tmp_path, 1)
    assert set(flips) == {flip}
    assert set(seeds) == {7}


def test_weights_without_a_run_and_unwritable_folders_are_one_line(workdir, tmp_path, capsys):
    model = show.load(str(workdir))
    info = {key: value for key, value in model.info.items() if key != "config"}
    variables = {"params": jax.device_get(model.params)}
    convert.write_any(str(tmp_path / "converted"), variables, info)
    (tmp_path / "file").touch()
    for run, output in ((tmp_path / "converted", "pictures"), (workdir, "file")):
        assert show.main([f"--workdir={run}", f"--output={tmp_path / output}"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert ("weights were converted" in error) == (output == "pictures")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workdir={empty}"], "expected a workdir with checkpoints"),
        (["--workdir={run}", "--count=0"], "got --count=0, expected 1 or more"),
    ],
)
def test_mistakes_are_one_line(workdir, tmp_path, capsys, flags, message):
    flags = [flag.format(empty=tmp_path, run=workdir) for flag in flags]
    assert show.main([*flags, f"--output={tmp_path / 'pictures'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: got ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "pictures").exists()


def test_a_run_without_evaluations_has_no_curve(tmp_path):
    lines = [{"step": 1, "loss": 0.5}, {"step": 2, "eval/a/mpjpe": "nan"}]
    assert show.learning_curve(lines, tmp_path / "curve.png") == []
    assert not (tmp_path / "curve.png").exists()


def test_normalised_errors_are_not_drawn_as_mm(tmp_path, monkeypatch):
    drawn = {}

    def remember(series, path, x_label, y_label, levels):
        drawn[path.name] = (set(series), y_label, levels)
        return path

    monkeypatch.setattr(plots, "curves", remember)
    lines = [
        {"step": 1, "eval/a/mpjpe": 120.0, "eval/a/zero_depth": 124.7, "eval/b/mpjpe": 0.5},
        {"step": 9, "eval/a/mpjpe": 40.0, "eval/b/mpjpe": 0.125},
    ]
    told = show.learning_curve(lines, tmp_path / "curve.png", {"b": "normalised"})
    assert told[:2] == [
        "a: MPJPE 120.0 mm at step 1, 40.0 mm at step 9",
        "b: MPJPE 0.500 normalised at step 1, 0.125 normalised at step 9",
    ]
    assert drawn == {
        "curve.png": ({"a"}, "MPJPE on unseen people (mm)", {"a, no depth": 124.7}),
        "curve_normalised.png": ({"b"}, "MPJPE on unseen people (normalised)", {}),
    }


@pytest.mark.parametrize("unit", ["m", "normalised"])
def test_the_unit_of_errors_is_that_of_the_source(tmp_path, unit):
    """A source stored normalised is measured in mm only where mm per pixel are known."""
    plain = dataclasses.replace(walk("ann", 20), unit=unit)
    known = dataclasses.replace(plain, factor=np.ones(20, np.float32))
    units = []
    for number, person in enumerate((plain, known)):
        bank = Bank.read(write_bank([person], tmp_path / str(number)))
        units.append(show.error_unit(SourceData.of(Source("a", "b", frames=5, batch=8), bank)))
    assert units == ["mm" if unit == "m" else "normalised", "mm"]
