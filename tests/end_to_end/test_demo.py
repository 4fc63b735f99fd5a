"""`make demo`: its commands are what they should be, and run one after another they learn."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = """
python -m dstformer_jax.data.prepare --dataset=synthetic --name=demo --heading=60 --data_dir=data
python -m dstformer_jax.main --config=configs/pretrain.py:demo --workdir=runs/demo
python -m dstformer_jax.show --workdir=runs/demo --output=runs/demo/pictures
"""


def recipe(environment: Path) -> list[list[str]]:
    """What `make demo` runs once the environment in this folder is there, word by word."""
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    (python.parent / ".train").touch()
    # Not the settings of a `make` that runs these tests.
    outer = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    said = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo", f"VENV={environment}"],
        cwd=ROOT,
        env=outer,
        capture_output=True,
        text=True,
        check=True,
    )
    return [shlex.split(line.replace(str(python), "python")) for line in said.stdout.splitlines()]


def test_make_demo_prepares_trains_and_draws(tmp_path):
    assert recipe(tmp_path / "venv") == [shlex.split(line) for line in DEMO.strip().splitlines()]


@pytest.mark.long
@pytest.mark.timeout(600)  # under 300 s on two idle cores
def test_the_demo_learns_visibly_and_draws_what_it_learned(tmp_path):
    """The commands of the recipe in an empty folder, with two of the five epochs."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DSTFORMER_CACHE": str(tmp_path / "xla")}
    said = []
    for command in recipe(tmp_path / "venv"):
        assert command[0] == "python"
        short = ["--config.epochs=2"] * ("dstformer_jax.main" in command)
        done = subprocess.run(
            [sys.executable, *command[1:], *short],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not re.search("tensorflow/|oneDNN", done.stderr), "start-up noise"
        said.append(done.stdout)

    assert any((tmp_path / "xla").iterdir()), "compiled programs are kept"
    lines = (tmp_path / "runs" / "demo" / "metrics.jsonl").read_text().splitlines()
    results = [json.loads(line) for line in lines]
    found = {line["step"]: line for line in results if "eval/synthetic/mpjpe" in line}
    before, after = found[0], found[max(found)]
    assert max(found) == 178
    assert before["eval/synthetic/mpjpe"] > 300
    assert after["eval/synthetic/mpjpe"] < 200
    # More than x and y: better than answering no depth at all.
    assert after["eval/synthetic/depth_error"] < 0.85 * after["eval/synthetic/zero_depth"]
    assert f"mpjpe {before['eval/synthetic/mpjpe']:.4g}" in said[1]

    pictures = tmp_path / "runs" / "demo" / "pictures"
    assert {path.name for path in pictures.iterdir()} == {
        "learning_curve.png",
        "poses_synthetic.png",
    }
    for path in pictures.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert f"picture: {path.relative_to(tmp_path)}" in said[2]
    assert f"MPJPE {before['eval/synthetic/mpjpe']:.1f} mm at step 0" in said[2]
