"""The launchers: linted, of the right schema, and run with stand-ins for clusters."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])


def run(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def tool(name: str) -> Path:
    """A program of the Python environment; skips where it is not installed."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"no {name}; pip install -r requirements-dev.txt")
    return path


def stand_in(folder: Path, name: str, body: str) -> None:
    """A program on the PATH that notes its arguments in calls.txt."""
    path = folder / name
    path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> "{folder}/calls.txt"\n{body}\n')
    path.chmod(0o755)


def calls(folder: Path) -> str:
    return (folder / "calls.txt").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_pass_shellcheck(script):
    assert os.access(script, os.X_OK)
    checked = run(tool("shellcheck"), script)
    assert checked.returncode == 0, checked.stdout


def test_the_dockerfile_passes_hadolint_and_copies_what_there_is():
    text = (LAUNCH / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*)", text, re.M) for word in line.split()[:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    linted = run(tool("hadolint"), LAUNCH / "Dockerfile")
    assert linted.returncode == 0, linted.stdout


@pytest.fixture(scope="module")
def manifests():
    service, job = yaml.safe_load_all((LAUNCH / "kubernetes.yaml").read_text())
    return service, job


def test_kubernetes_manifests_are_valid(manifests):
    validator = pytest.importorskip("kubernetes_validate")
    for manifest in manifests:
        validator.validate(manifest, "1.31", strict=True)
    broken = {**manifests[1], "spec": {**manifests[1]["spec"], "completion": 2}}
    with pytest.raises(validator.ValidationError):
        validator.validate(broken, "1.31", strict=True)


def test_kubernetes_pods_find_each_other(manifests):
    service, job = manifests
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert spec["completions"] == spec["parallelism"] == int(env["JAX_NUM_PROCESSES"])
    name, port = job["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert env["JAX_COORDINATOR_ADDRESS"] == f"{name}-0.{pod['subdomain']}:{port}"
    volumes = {each["name"] for each in pod["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == volumes
    rule = spec["podFailurePolicy"]["rules"][1]["onExitCodes"]
    assert rule["containerName"] == container["name"]


def test_every_launcher_is_explained():
    text = (LAUNCH / "README.md").read_text()
    files = [path.name for path in LAUNCH.iterdir() if path.is_file() and path.name != "README.md"]
    assert all(f"`{name}" in text for name in files)


def python_that(folder: Path, body: str) -> str:
    """A stand-in for Python, for PYTHON=."""
    stand_in(folder, "python", body)
    return str(folder / "python")


def test_multiprocess_ends_the_others_when_one_fails(tmp_path):
    python = python_that(tmp_path, "if ((JAX_PROCESS_ID == 1)); then exit 7; fi; exec sleep 1000")
    ended = run(LAUNCH / "multiprocess.sh", 3, "--workdir=w", PYTHON=python, GRACE="1")
    assert ended.returncode == 7
    assert "ended with status 7; killing the others" in ended.stderr
    assert calls(tmp_path).count("python -m dstformer_jax.main --workdir=w") == 3


def test_multiprocess_lets_others_end_by_themselves(tmp_path):
    python = python_that(tmp_path, "sleep 0.$JAX_PROCESS_ID; exit 143")
    ended = run(LAUNCH / "multiprocess.sh", 4, PYTHON=python)
    assert ended.returncode == 143
    assert "killing" not in ended.stderr
    python = python_that(tmp_path, "sleep 0.$JAX_PROCESS_ID")
    assert run(LAUNCH / "multiprocess.sh", 2, PYTHON=python).returncode == 0


@pytest.mark.parametrize(("status", "killed"), [(143, False), (5, True)])
def test_multiprocess_asked_to_stop_waits_until_all_have_saved(tmp_path, status, killed):
    """Longer than GRACE, which is for processes whose peer is lost: here, fails while saving."""
    saves = "sleep $((3 * JAX_PROCESS_ID)); touch $0.saved$JAX_PROCESS_ID"
    ends = f"exit $((JAX_PROCESS_ID ? 143 : {status}))"
    trap = f"trap '{saves}; {ends}' TERM; touch $0.ready$JAX_PROCESS_ID"
    python = python_that(tmp_path, f"{trap}; for ((i = 0; i < 300; i++)); do sleep 0.1; done")
    launcher = subprocess.Popen(
        [LAUNCH / "multiprocess.sh", "2"],
        env={**os.environ, "PYTHON": python, "GRACE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list(tmp_path.glob("*.ready?"))) < 2:
        assert launcher.poll() is None
        time.sleep(0.02)
    launcher.terminate()
    said = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == status
    assert ("killing the others" in said) == killed
    assert (tmp_path / "python.saved0").exists()
    assert (tmp_path / "python.saved1").exists() != killed


@pytest.mark.parametrize("words", [(), ("--workdir=w",), ("0",), ("2x",)])
def test_multiprocess_wants_a_number_first(words):
    ended = run(LAUNCH / "multiprocess.sh", *words)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: got '")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(("status", "requeued"), [(0, False), (1, False), (143, True)])
def test_slurm_goes_back_into_the_queue_after_saving(tmp_path, status, requeued):
    stand_in(tmp_path, "srun", f"exit {status}")
    stand_in(tmp_path, "scontrol", "")
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_ID": "17",
    }
    ended = run("bash", LAUNCH / "slurm.sbatch", "--workdir=w x", **env)
    assert ended.returncode == status, ended.stderr
    assert "launch/local.sh --workdir=w x" in calls(tmp_path)
    assert ("scontrol requeue 17" in calls(tmp_path)) == requeued


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no git")
def test_tpu_hosts_get_the_arguments_as_they_were_given(tmp_path):
    stand_in(tmp_path, "gcloud", "")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = run(LAUNCH / "tpu_vm.sh", "slice", "zone-a", "--config.sources='a b'", **env)
    assert ended.returncode == 0, ended.stderr
    copied, prepared, trained = (
        calls(tmp_path).splitlines()[0],
        *calls(tmp_path).split("gcloud")[2:],
    )
    assert "scp" in copied
    assert "jax[tpu]" in prepared
    command = trained.split("--command=")[1].strip()
    arguments = command.split("launch/local.sh ")[1]
    shown = run("bash", "-c", f"printf '%s|' {arguments}")
    assert shown.stdout == "--config.sources='a b'|"
    assert "JAX_COORDINATOR_ADDRESS=auto" in command
