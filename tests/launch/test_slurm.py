"""A real Slurm of one node on this machine: a preempted run goes on and ends as another would."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import processes
import pytest

ROOT = Path(__file__).resolve().parents[2]
needed = all(map(shutil.which, ("slurmctld", "slurmd", "sbatch")))
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not needed or os.geteuid() != 0, reason="needs slurm-wlm and root"),
]

# Two partitions: jobs of `urgent` put those of `patient` back into the queue.
SETTINGS = """
ClusterName=test
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} CPUs=1 State=UNKNOWN
PartitionName=patient Nodes={host} PriorityTier=1 GraceTime=60 Default=YES State=UP
PartitionName=urgent Nodes={host} PriorityTier=9 PreemptMode=OFF State=UP
"""
Call = Callable[..., str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Runs Slurm's commands against a controller and a node that live as long as the tests."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    facts = {
        "host": socket.gethostname().split(".")[0],
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "folder": folder,
        "ports": (free_port(), free_port()),
    }
    conf = folder / "slurm.conf"
    conf.write_text(SETTINGS.format(**facts))
    env = {**os.environ, "SLURM_CONF": str(conf)}
    daemons = [
        subprocess.Popen([name, "-D", "-f", str(conf)], env=env, stderr=subprocess.DEVNULL)
        for name in ("slurmctld", "slurmd")
    ]

    def call(*command: object, **more: str) -> str:
        words = [str(word) for word in command]
        ended = subprocess.run(words, env={**env, **more}, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    try:
        wait_for(lambda: "idle" in call("sinfo", "-h", "-o", "%T"), 60, folder)
        yield call
    finally:
        cancelled = subprocess.run(["scancel", "--user", facts["user"]], env=env, check=False)
        if not cancelled.returncode:
            time.sleep(5)  # the node ends what still runs
        for daemon in daemons:
            end(daemon)


def end(daemon: subprocess.Popen) -> None:
    """Asks it to end, and does not wait for ever: a node waits for the steps of its jobs."""
    daemon.terminate()
    try:
        daemon.wait(timeout=20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config file of a run of 50 steps that saves every fifth."""
    return processes.write_project(tmp_path_factory.mktemp("project"))


def wait_for(condition: Callable[[], bool], seconds: float, folder: Path) -> None:
    """Polls until the condition holds; shows the logs when it does not in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except AssertionError:
            pass  # the controller is not up yet
        time.sleep(0.5)
    logs = [path.read_text()[-2000:] for path in sorted(folder.glob("*.log"))]
    raise AssertionError("\n".join(logs))


def test_a_preempted_run_goes_back_into_the_queue_and_on(slurm, config, tmp_path):
    """It is stopped in the middle, saves, waits for the urgent job, and goes on from there."""
    said, workdir = tmp_path / "said.log", tmp_path / "run"
    env = {**processes.environment(config, 1), "PYTHON": sys.executable}
    script = ROOT / "launch" / "slurm.sbatch"
    flags = [f"--config={config}", f"--workdir={workdir}", "--config.epochs=40"]
    job = slurm("sbatch", "--parsable", f"--output={said}", script, *flags, **env).strip()
    saved = workdir / "checkpoints"
    wait_for(lambda: len(list(saved.glob("ckpt_*[0-9]"))) > 1, 300, tmp_path)
    slurm("sbatch", "--parsable", "-p", "urgent", f"--output={tmp_path}/u", "--wrap", "sleep 1")
    wait_for(lambda: "resuming at step" in said.read_text(), 300, tmp_path)
    text = said.read_text()
    assert "stopped by SIGTERM: saved step" in text
    step = text.split("saved step ")[1].split(";")[0]
    assert f"resuming at step {step}" in text
    assert "Restarts=1" in slurm("scontrol", "-o", "show", "job", job)
    slurm("scancel", job)
