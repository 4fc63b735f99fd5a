"""Pictures of a tiny real run, and a clear word where there is none."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from dstformer_jax import convert, show
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.training.experiment import build
from dstformer_jax.training.loop import fit
from dstformer_jax.view import plots


def walk(name: str, frames: int) -> Sequence:
    """A random walk of 17 joints in metres, with made-up detections."""
    rng = np.random.default_rng(frames)
    pose = rng.normal(0, 0.3, (1, 17, 3)) + np.cumsum(rng.normal(0, 0.01, (frames, 17, 3)), axis=0)
    return Sequence(
        id=name, fps=30.0, axes="camera", pose=pose, motion=pose.copy(), subject=name, action="walk"
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Iterator[Path]:
    """Six steps of training, measured in 3D and in 2D."""
    folder = tmp_path_factory.mktemp("project")
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    write_bank([walk(f"train{i}", 40 + i) for i in range(3)], bank / "train")
    write_bank([walk("ann", 20), walk("bob", 12)], bank / "test")
    source = {"dataset": "walks", "frames": 5, "stride": 5, "batch": 8, "tail": "pad"}
    test = {**source, "split": "test"}
    config = {
        "seed": 0,
        "epochs": 1,
        "parallel": "jit",
        "model": {"dim_feat": 8, "dim_rep": 8, "depth": 1, "num_heads": 2, "mlp_ratio": 1.0,
                  "maxlen": 5, "design": "st"},
        "task": {"name": "lift3d"},
        "weights": {"mpjpe": 1.0},
        "optim": {"learning_rate": 1e-3},
        "data": {"path": str(folder), "feed": "numpy"},
        "sources": {"walks": source},
        "eval": {"flip": False, "sources": {"unseen": test, "video": {**test, "supervision": "2d",
                                                       "input": "motion"}}},
        "checkpoint": {},
    }  # fmt: skip
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
    convert.write_any(str(tmp_path / "converted"), jax.device_get(model.params), info)
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
