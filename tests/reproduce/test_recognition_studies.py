"""Recognition as tables: pooled accuracy, the nearest neighbour, weights that are given."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data.sources import few
from dstformer_jax.reproduce import arms, curves, embeddings, engine, nearest, recognition
from dstformer_jax.reproduce.accuracy import Accuracy
from dstformer_jax.reproduce.cells import Cell, Pretrained
from dstformer_jax.reproduce.engine import Grid

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def finish(grid: Grid, cell: Cell, **metrics: float) -> None:
    """Writes what a finished run leaves."""
    folder = grid.workdir / cell.key
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"eval/{name.replace('__', '/')}": value for name, value in metrics.items()}
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, **named}) + "\n")
    cost = {"cpu_s": 1.0, "wall_s": 1.0, "commit": ""}
    (folder / engine.RESULTS).write_text(json.dumps({"metrics": named, "cost": cost}))


@pytest.fixture
def grid(tmp_path) -> Grid:
    return Grid(tmp_path / "runs", tmp_path / "data")


def pretrained_file(path: Path, text: str) -> Pretrained:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Pretrained.open(path)


def test_folds_are_pooled_over_clips(grid):
    cells = recognition.HDM05.cells(arms.SMALL, "scratch", 1)
    assert len({cell.key for (cell,) in cells}) == 4
    entry = Accuracy(cells, "hdm05")
    for (cell,), right, clips in zip(cells, (1.0, 0.5, 0.25, 0.9), (10, 20, 40, 30), strict=True):
        assert entry.shown(grid) == "not run"
        finish(grid, cell, hdm05__top1=right, hdm05__clips=clips)
    # 57 of 100; Wilson's interval as in any textbook: centre (57 + 1.9208) / 103.8416.
    assert entry.values(grid) == pytest.approx([57.0])
    assert entry.shown(grid) == "57.0 [47.2, 66.3]"


def test_keys_follow_what_the_weights_are_not_where(tmp_path):
    one = pretrained_file(tmp_path / "a.bin", "weights")
    same = pretrained_file(tmp_path / "other" / "b.bin", "weights")
    other = pretrained_file(tmp_path / "c.bin", "other weights")
    keys = [Cell("configs/small.py:pose", start=each).key for each in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(ValueError, match="expected a workdir"):
        Pretrained.open(tmp_path)


def test_given_weights_are_what_runs_start_from(grid, tmp_path, monkeypatch):
    given = pretrained_file(tmp_path / "a.bin", "weights")
    scale = replace(arms.SMALL, given=given)
    (cell,) = recognition.UTD.cells(scale, "frozen", 1)[0]
    seen = []

    def call(line, folder):
        seen.extend(line)
        (folder / "metrics.jsonl").write_text(json.dumps({"eval/utd/top1": 1.0}) + "\n")
        return 0, {"cpu_s": 1.0, "wall_s": 1.0}

    monkeypatch.setattr(engine, "_call", call)
    grid.run([cell])
    assert f"--config.init_from={given.path}" in seen


def test_arms_of_a_column_have_one_budget(tmp_path):
    scale = replace(arms.SMALL, given=pretrained_file(tmp_path / "a.bin", "weights"))
    for benchmark in recognition.BENCHMARKS["small"]:
        settings = [
            benchmark.cells(scale, how, 1)[0][0].settings for how in recognition.ARMS.values()
        ]
        for name in ("epochs", "sources", "eval", "data"):
            assert all(each[name] == settings[0][name] for each in settings)
        rates = {each["optim"]["learning_rate"] for each in settings}
        assert len(rates) == 1


def test_curves_have_every_pass_of_every_fold(grid):
    study = curves.curves(arms.SMALL, 1)
    row = study.rows["HDM05: from scratch"]
    clips = 10
    for fold in row[-1].folds:
        for cell in fold:
            assert cell.settings["eval"]["every"] == 1
            finish(grid, cell, hdm05__top1=0.8, hdm05__clips=clips)
            lines = [
                json.dumps({"step": at, "eval/hdm05/top1": at / 10, "eval/hdm05/clips": clips})
                for at in range(1, 9)
            ]
            (grid.workdir / cell.key / "metrics.jsonl").write_text("\n".join(lines))
    assert [entry.values(grid) for entry in row] == [[10.0], [20.0], [40.0], [80.0]]
    picture = curves.draw_curves(study, arms.SMALL, grid, grid.workdir / "curves.png")
    assert picture is not None
    assert picture.stat().st_size > 10_000


def test_rows_without_weights_say_so():
    study = recognition.action(arms.SMALL, 1)
    assert study.rows["finetuned"] == (recognition.NO_WEIGHTS,) * 3
    assert len(study.cells) == 6  # HDM05's four folds and two sets, from scratch


def test_few_clips_of_each_class_are_repeated():
    labels = np.repeat([0, 1, 2], (10, 6, 2))
    rows = few(labels, 3, 0)
    assert len(rows) == len(labels)
    assert [len(set(rows[labels[rows] == label])) for label in range(3)] == [3, 3, 2]
    assert set(few(labels, 1, 0)) < set(rows)
    assert set(few(labels, 3, 1)) != set(rows)


def test_normalised_clips_do_not_know_place_and_size():
    motion = np.random.default_rng(0).normal(size=(4, 1, 5, 17, 3)).astype(np.float32)
    moved = motion * np.array([3.0, 3.0, 1.0]) + np.array([1.0, -2.0, 0.0])
    features = nearest.normalised(motion)
    assert features.shape == (4, 5 * 17 * 2)
    np.testing.assert_allclose(nearest.normalised(moved), features, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_the_plane_keeps_cosine_distances():
    angles = np.linspace(0, 5, 30)
    flat = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    scaled = flat * np.linspace(1, 4, 30)[:, None]
    points, kept = embeddings.plane(scaled)
    assert kept == pytest.approx(1)
    distance = ((points[:, None] - points[None]) ** 2).sum(-1) / 2
    np.testing.assert_allclose(distance, 1 - flat @ flat.T, atol=1e-6)
