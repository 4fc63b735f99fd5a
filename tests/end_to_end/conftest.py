"""A small project for runs of the training command, and one run that nobody disturbed."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import processes
import pytest


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config file of a run of 50 steps that saves every fifth."""
    return processes.write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def start(config: Path) -> Iterator[processes.Start]:
    """Starts the training command; what still runs at the end of the tests is killed."""
    with ExitStack() as stack:

        def launch(
            workdir: Path, devices: int = 1, *flags: str, **env: str
        ) -> subprocess.Popen[str]:
            process = processes.command(config, workdir, devices, *flags, **env)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield launch


@pytest.fixture(scope="session")
def whole(start: processes.Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of an uninterrupted run of one process on one device."""
    workdir = tmp_path_factory.mktemp("whole")
    assert "mpjpe" in processes.finish(start(workdir))
    return workdir
