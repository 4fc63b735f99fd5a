"""Cells are named by what they train, run once, and make tables; on runs written by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.reproduce import __main__ as command
from dstformer_jax.reproduce import arms, engine, figures, fusion, report
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid

# ml_collections loads configuration files in a way that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
POSE = Cell("configs/small.py:pose")
METRIC = arms.SMALL.metric


def finish(grid: Grid, cell: Cell, *errors: float) -> None:
    """Writes what a finished run of the cell leaves."""
    folder = grid.workdir / cell.key
    folder.mkdir(parents=True)
    lines = [{"step": 10 * number, METRIC: error} for number, error in enumerate(errors)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cost = {"cpu_s": 60.0, "wall_s": 90.0, "commit": "abc"}
    result = {"metrics": {METRIC: errors[-1]}, "cost": cost}
    (folder / engine.RESULTS).write_text(json.dumps(result))


@pytest.fixture
def grid(tmp_path) -> Grid:
    return Grid(tmp_path / "runs", tmp_path / "data")


def test_a_key_says_what_is_trained():
    same = [
        POSE,
        replace(POSE, overrides=(("model.depth", 3),)),  # as it is anyway
        replace(POSE, overrides=(("log_every", 7),)),  # changes no result
        replace(POSE, overrides=(("data.path", "elsewhere"),)),
    ]
    other = [
        replace(POSE, seed=1),
        replace(POSE, overrides=(("model.depth", 2),)),
        replace(POSE, overrides=(("sources.detected.batch", 8),)),
        replace(POSE, start=POSE),
        Cell("configs/small.py:pretrain"),
    ]
    assert len({cell.key for cell in same}) == 1
    assert len({cell.key for cell in (POSE, *other)}) == len(other) + 1


def test_later_defaults_do_not_rename_cells(monkeypatch):
    from configs import common

    before, base = replace(POSE, seed=5).key, common.base

    def longer():
        config = base()
        config.optim.something_new = 0
        return config

    monkeypatch.setattr(common, "base", longer)
    assert replace(POSE, seed=5, overrides=(("log_every", 3),)).key == before


def test_mistakes_in_a_cell_are_told(grid):
    with pytest.raises(ValueError, match="nosuch"):
        _ = Cell("configs/small.py:pose", (("model.nosuch", 1),)).settings
    with pytest.raises(ValueError, match="got --jobs=0"):
        Grid(grid.workdir, grid.data, jobs=0)


def test_runs_go_once_and_after_what_they_start_from(grid, monkeypatch):
    ran: list[list[str]] = []

    def call(command_line, folder: Path):
        ran.append(list(command_line))
        (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, METRIC: 1.0}) + "\n")
        return 0, {"cpu_s": 1.0, "wall_s": 1.0}

    monkeypatch.setattr(engine, "_call", call)
    start = Cell("configs/small.py:pretrain")
    tuned = replace(POSE, start=start)
    grid.run([tuned, POSE, tuned])
    assert len(ran) == 3
    assert f"--workdir={grid.workdir / tuned.key}" in ran[-1]
    assert f"--config.init_from={grid.workdir / start.key}" in ran[-1]
    assert all(f"--config.data.path={grid.data}" in line for line in ran)
    grid.run([tuned, POSE])
    assert len(ran) == 3
    found = grid.result(tuned)
    assert found is not None
    assert found.metrics == {METRIC: 1.0}


def test_a_failed_run_is_named_and_its_time_counts(grid, monkeypatch):
    monkeypatch.setattr(grid, "_command", lambda *_: ["sh", "-c", "echo no; exit 3"])
    with pytest.raises(ValueError, match=f"got exit code 3 from cell {POSE.key}"):
        grid.run([POSE])
    folder = grid.workdir / POSE.key
    assert (folder / engine.LOG).read_text() == "no\n"
    first = json.loads((folder / engine.COST).read_text())
    assert grid.result(POSE) is None
    with pytest.raises(ValueError):
        grid.run([POSE])
    assert json.loads((folder / engine.COST).read_text())["wall_s"] > first["wall_s"]


def test_tables_show_means_deviations_and_what_is_missing(grid):
    cells = arms.SMALL.pose(2)
    measure = report.Measure(cells, METRIC)
    assert report.shown(measure, grid) == report.NOT_RUN
    finish(grid, cells[0], 50.0)
    assert report.shown(measure, grid) == "50.0 (1 of 2 seeds)"
    finish(grid, cells[1], 54.0)
    assert report.shown(measure, grid) == "52.0 ± 2.8"
    others = arms.SMALL.pose(2, ("model.depth", 2))
    for cell, error in zip(others, (40.0, 41.0), strict=True):
        finish(grid, cell, error)
    assert report.shown(report.Measure(others, METRIC, cells), grid) == "-11.5 ± 2.1"


def test_a_page_keeps_the_papers_numbers_apart(grid, tmp_path):
    study = command.STUDIES["table9"](arms.SMALL, 1)
    for cell in arms.SMALL.pose(1):
        finish(grid, cell, 77.7)
    page = report.write(study, grid, "table9", tmp_path / "pages", "small")
    ours, theirs = page.split(f"## {report.NOT_COMPARABLE}")
    assert "77.7" in ours
    assert "39.2" not in ours
    assert "39.2" in theirs
    assert "1 of 3 runs are finished: 1.0 minutes" in ours
    csv = (tmp_path / "pages" / "table9.csv").read_text().splitlines()
    assert sum(METRIC in line for line in csv) == 1
    assert csv[1].endswith(f"from scratch,0,{arms.SMALL.pose(1)[0].key},{METRIC},77.7")


def test_arms_are_shared_between_tables():
    def keys(name):
        return {cell.key for cell in command.STUDIES[name](arms.SMALL, 2).cells}

    assert keys("table7") & keys("table9") == {cell.key for cell in arms.SMALL.pose(2)}
    assert keys("table9") < keys("table5")
    assert keys("table9") < keys("figure7")
    assert keys("figure4") == keys("figure5")
    assert keys("table7") & keys("table8") == {cell.key for cell in arms.SMALL.pose(2)}


@pytest.mark.parametrize("name", sorted(command.STUDIES))
def test_what_was_not_run_says_so(name, tmp_path, capsys):
    flags = [name, f"--data={tmp_path}", f"--workdir={tmp_path / 'runs'}", "--seeds=1"]
    assert command.main(flags) == 0
    page = (tmp_path / "runs" / "pages" / f"{name}.md").read_text()
    assert page in capsys.readouterr().out
    assert "ot run" in page
    assert not list(tmp_path.glob("runs/pages/*.png"))
    assert not list(tmp_path.glob("runs/*/log.txt"))


def test_paper_scale_names_the_licensed_data(tmp_path, capsys):
    flags = ["table5", f"--data={tmp_path}", f"--workdir={tmp_path / 'runs'}", "--scale=paper"]
    assert command.main(flags) == 0
    page = capsys.readouterr().out
    assert "human36m/default" in page.split("Not run: ")[1]
    assert "0 of 45 runs" in page  # five seeds of nine arms


def test_mask_ratios_are_two_to_one():
    assert figures.masked(15) == ()
    assert dict(figures.masked(60)) == {"data.mask_frames": 0.4, "data.mask_joints": 0.2}
    for percent in figures.RATIOS[1:]:
        shares = dict(figures.masked(percent))
        assert sum(shares.values()) == pytest.approx(percent / 100)


def test_narrow_arms_differ_in_optimiser_and_initialisation_alone():
    study = command.STUDIES["narrow"](arms.SMALL, 1)
    settings = [
        row[0].needs[0].settings for row in study.rows.values() if not isinstance(row[0], str)
    ]
    found = [
        (each["optim"].pop("name"), each["optim"].pop("learning_rate"), each["model"].pop("init"))
        for each in settings
    ]
    muon, adamw = ("muon", 1e-2), ("adamw", 1e-3)
    inits = ("official", "fan_in")
    assert found == [(*optimiser, init) for optimiser in (muon, adamw) for init in inits]
    assert all(each == settings[0] for each in settings)
    assert not any(source["mask"] or source["noise"] for source in settings[0]["sources"].values())


def test_figures_are_drawn_of_what_is_finished(grid, tmp_path):
    for name, draw in (("figure3", figures.draw_figure3), ("figure7", figures.draw_figure7)):
        study = command.STUDIES[name](arms.SMALL, 1)
        assert draw(study, arms.SMALL, grid, tmp_path / "none.png") is None
        for cell in study.cells:
            if not grid.result(cell):
                finish(grid, cell, 90.0, 60.0, 50.0)
        assert draw(study, arms.SMALL, grid, tmp_path / f"{name}.png").is_file()


def test_correlation_and_means_by_action():
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.4, 0.6, (50, 17))
    weights[:, 3] = 0.5
    matrix = fusion.correlation(weights)
    moving = np.delete(np.arange(17), 3)
    expected = np.corrcoef(weights[:, moving].T)
    np.testing.assert_allclose(matrix[np.ix_(moving, moving)], expected, atol=1e-9)
    assert not matrix[3].any()
    names, means = fusion.by_action(weights, np.array(["walk", "jump"] * 25))
    assert names == ["jump", "walk"]
    np.testing.assert_allclose(means[1], weights[::2].mean(0))
