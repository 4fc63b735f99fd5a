"""Twenty random moments: killed or asked to stop at any of them, a run ends bit-equal."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import jax
import numpy as np
import pytest
from processes import parameters, train_here

from dstformer_jax.training import checkpoint

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
Begin = Callable[[Path], BaseProcess]


@pytest.fixture(scope="module")
def begin(config: Path) -> Iterator[Begin]:
    """Starts a run in a fork of a server that has imported everything: in half a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["processes"])
    started: list[BaseProcess] = []

    def start(workdir: Path) -> BaseProcess:
        started.append(context.Process(target=train_here, args=(config, workdir)))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture(scope="module")
def undisturbed(begin, tmp_path_factory) -> tuple[Path, float]:
    """The workdir of a run that nobody disturbed, and the seconds that it took."""
    end_of(begin(tmp_path_factory.mktemp("compiles")))
    workdir = tmp_path_factory.mktemp("undisturbed")
    began = time.perf_counter()
    end_of(begin(workdir))
    return workdir, time.perf_counter() - began


def end_of(process: BaseProcess) -> None:
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_at_ten_random_moments_it_ends_bit_equal(begin, undisturbed, tmp_path, number):
    """Moments are uniform over a whole run: its start, its steps, its saves, its evaluations."""
    whole, seconds = undisturbed
    rng = np.random.default_rng(number)
    stops, run, seen = 0, 0, set()
    while stops < 10:
        workdir = tmp_path / str(run)
        process = begin(workdir)
        process.join(timeout=rng.uniform(0, 1.2 * seconds))
        if process.exitcode is None:
            stop(process, number)
            stops += 1
        seen.update(checkpoint.saved_steps(workdir))
        if process.exitcode == 0:  # it was faster: the next moments are those of another run
            assert_equal(workdir, whole)
            run += 1
    end_of(begin(tmp_path / str(run)))
    assert_equal(tmp_path / str(run), whole)
    assert len(seen) > 2  # some moments were in the middle of training


def stop(process: BaseProcess, number: int) -> None:
    """Signals the process and waits; it dies of the signal, or saves and says so, or is done."""
    process.kill() if number == signal.SIGKILL else process.terminate()
    process.join()
    died, saved, done = -number, 128 + number, 0
    assert process.exitcode in (died, saved, done)


def assert_equal(workdir: Path, whole: Path) -> None:
    jax.tree.map(np.testing.assert_array_equal, parameters(workdir), parameters(whole))
