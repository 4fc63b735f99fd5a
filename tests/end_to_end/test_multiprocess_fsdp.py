"""`parallel=fsdp` in several processes: each holds a part of the state, all save it together."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from processes import assert_trained_as, finish, start_together, stop_together
from processes import wait_for_step as wait_for

from dstformer_jax.main import RESULTS
from dstformer_jax.training import checkpoint, sums

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
FSDP = "--config.parallel=fsdp"


def step_folder(workdir: Path, step: int) -> Path:
    return workdir / "checkpoints" / f"ckpt_{step:08}"


def split_arrays(folder: Path) -> int:
    """How many arrays of a saved state the devices held in parts, as orbax notes it."""
    held = json.loads((folder / "state" / "_sharding").read_text()).values()
    return sum("data" in json.loads(each)["partition_spec"] for each in held)


def assert_saved_together(folder: Path) -> None:
    """Both processes wrote parts of the state, and the sums know all of them."""
    assert split_arrays(folder) > 20
    written = {path.relative_to(folder).as_posix() for path in sums.files(folder)}
    for process in (0, 1):
        assert any(name.startswith(f"state/ocdbt.process_{process}/d/") for name in written)
    assert json.loads((folder / sums.FILE).read_text()).keys() == written
    assert sums.damage(folder) == ""


def test_two_processes_stop_together_and_one_goes_on(start, whole, tmp_path):
    """A SIGTERM to one of them stops both at a step that they save together."""
    saved = stop_together(start, tmp_path, 2, FSDP)
    assert_saved_together(step_folder(tmp_path, saved))

    said = [finish(start(tmp_path, 1, FSDP))]
    assert f"resuming at step {saved}" in said[0]
    assert_trained_as(tmp_path, whole)


def test_one_process_stops_and_two_go_on_to_the_end(start, whole, tmp_path):
    """What one process saved whole, two hold in parts; their results are those of one."""
    one = start(tmp_path)
    wait_for(tmp_path, 10, one)
    one.send_signal(signal.SIGTERM)
    finish(one, code=128 + signal.SIGTERM)
    saved = checkpoint.saved_steps(tmp_path)[-1]
    assert saved < 50
    assert split_arrays(step_folder(tmp_path, saved)) == 0

    said = [finish(process) for process in start_together(start, tmp_path, 2, FSDP)]
    assert f"resuming at step {saved}" in said[0]
    assert "step" not in said[1]  # the second is silent
    assert_saved_together(step_folder(tmp_path, 50))
    assert_trained_as(tmp_path, whole)


def test_two_processes_measure_what_one_does(start, whole, tmp_path):
    """`--mode=eval` of a finished run, its weights in parts; the first process writes."""
    shutil.copytree(whole, tmp_path / "run")
    results = []
    for count, flags in ((1, []), (2, [FSDP])):
        (tmp_path / "run" / RESULTS).unlink(missing_ok=True)
        flags = [*flags, "--mode=eval"]
        said = [finish(each) for each in start_together(start, tmp_path / "run", count, *flags)]
        assert "measuring the best checkpoint" in said[0]
        results.append(json.loads((tmp_path / "run" / RESULTS).read_text()))
    assert "measuring" not in said[1]
    assert results[0]["eval/unseen/frames"] == 30
    assert results[1] == pytest.approx(results[0], rel=1e-3)
