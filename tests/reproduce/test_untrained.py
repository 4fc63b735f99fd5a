"""What trained bodies are compared with, on a stick body."""

import dataclasses

import numpy as np
import pytest
from fixtures_bodies import write_people

from dstformer_jax.body import rotations
from dstformer_jax.data.bank import Bank
from dstformer_jax.files.bodies import read_body
from dstformer_jax.reproduce import arms, bodies
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.engine import Grid
from dstformer_jax.reproduce.untrained import FILTERS, MEAN, TURNED, Untrained, untrained_errors
from dstformer_jax.tasks import metrics

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
SMALL = {"dataset": "people", "frames": 6, "stride": 4, "batch": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people"))


def cell(how: str) -> Cell:
    sources = ("sources.body", "eval.sources.body")
    overrides = {f"{source}.{key}": value for source in sources for key, value in SMALL.items()}
    return Cell(f"configs/mesh.py:{how},body", tuple(overrides.items()))


def test_the_initial_answer_is_measured_as_it_is(folder):
    """One view at a time the error does not know the camera: plain numpy on the bank agrees."""
    errors = untrained_errors(cell("scratch,refine"), folder, "initial answer")
    bank = Bank.open(folder, "people", "test")
    body = read_body(folder / "body.npz")
    found, truth = (
        body.joint_body.joints(
            rotations.to_matrix(np.asarray(theta, np.float64).reshape(len(theta), -1, 3)), beta
        )
        for theta, beta in ((bank.initial_theta, bank.initial_beta), (bank.theta, bank.beta))
    )
    every = metrics.body_errors(1000 * found, 1000 * truth)["mpjpe"]
    # Clips of 6 frames every 4 of 11: frames 0-5, 4-9 and, as the tail, none.
    rows = np.concatenate([[s + t for t in (*range(6), *range(4, 10))] for s in bank.starts])
    assert errors["eval/body/mpjpe"] == pytest.approx(every[rows].mean(), rel=1e-4)
    assert errors["eval/body/acceleration_error"] > 0


@pytest.mark.long
def test_every_method_gives_every_error(folder, tmp_path):
    grid = Grid(tmp_path, folder)
    initial = untrained_errors(cell("scratch,refine"), folder, "initial answer")
    for method in (MEAN, TURNED, *FILTERS):
        chosen = cell("scratch" if method == MEAN else "scratch,refine")
        for metric in bodies.ERRORS.values():
            entry = Untrained(chosen, method, f"eval/body/{metric}")
            ((seed, run, _, value),) = entry.lines(grid)
            assert (seed, run) == (0, method)
            assert np.isfinite(value)
            assert entry.shown(grid) == f"{value:.1f}"
    # White noise from frame to frame: both filters calm it.
    for method in ("Savitzky-Golay", "one-euro"):
        calm = untrained_errors(cell("scratch,refine"), folder, method)
        assert calm["eval/body/acceleration_error"] < initial["eval/body/acceleration_error"]


def test_without_data_nothing_is_shown(tmp_path):
    grid = Grid(tmp_path / "runs", tmp_path / "data")
    entry = Untrained(Cell("configs/mesh.py:scratch,refine,body"), MEAN, "eval/body/mpve")
    assert entry.shown(grid) == "not run"
    assert not entry.needs


def test_refiners_are_compared_with_filters_at_small_scale_only():
    small, paper = (bodies.table3(scale, 1).rows for scale in (arms.SMALL, arms.PAPER))
    assert set(FILTERS) < set(small)
    assert not set(FILTERS) & set(paper)
    order = list(small)
    assert order.index("finetuned") < order.index("one-euro") < order.index("refiner without E")
    without = [each for each in small["refiner without E"] if not isinstance(each, str)]
    (trained,) = {cell for each in without for cell in each.needs}
    assert trained.settings["task"]["use_representation"] is False
    assert dataclasses.replace(trained, overrides=()).key != trained.key
