"""Memory that the compiler plans for the train step; nothing is run."""

import dataclasses
import json

import jax
import pytest

from dstformer_jax.bench import memory
from dstformer_jax.bench.__main__ import main
from dstformer_jax.bench.network import Setting

SMALL = Setting(size="demo", frames=81, batch=8)


@pytest.fixture
def unoptimised():
    """The same graph, ready much sooner."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def temporary(setting: Setting, **changes) -> float:
    return memory.planned(dataclasses.replace(setting, **changes))["temporary_gb"]


@pytest.mark.usefixtures("unoptimised")
def test_parts_save_memory():
    assert temporary(SMALL) > 3 * temporary(SMALL, accumulate=8)


@pytest.mark.usefixtures("unoptimised")
def test_memory_reports_every_way(tmp_path):
    out = tmp_path / "x.json"
    flags = ["--size=demo", "--frames=27", "--batch=2", "--ways=none,layer", f"--json={out}"]
    assert main(["memory", *flags]) == 0
    plain, saving = json.loads(out.read_text())["rows"]
    assert (plain["levels"], saving["levels"]) == ("unrolled", "scan+remat=layer")
    assert saving["times_less"] == pytest.approx(
        plain["temporary_gb"] / saving["temporary_gb"], rel=0.01
    )
    assert plain["times_less"] == 1
    assert plain["peak_gb"] >= plain["temporary_gb"]


@pytest.mark.long
def test_scan_with_remat_saves_most_of_a_long_step():
    """Of four clips. Of one it is 2.8 times: the stacked copies of the parameters, a third of a
    gigabyte, are then as large as what they save."""
    plain = Setting(size="full", frames=243, batch=4)
    assert temporary(plain) >= 3.5 * temporary(plain, scan=True, remat="layer")


@pytest.mark.long
def test_the_papers_batch_fits_a_large_gpu():
    """64 clips of 243 frames at full size in float32: predicted peak below 72 GB."""
    paper = Setting(size="full", frames=243, batch=64, scan=True, remat="layer")
    assert memory.planned(paper)["peak_gb"] < 72
