"""The wheel, as a new user has it: an empty environment, another folder, nothing but its needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import nbformat
import numpy as np
import pytest

from dstformer_jax.__main__ import COMMANDS
from dstformer_jax.inference import STARTER, STREAMING

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dstformer_jax"
HEAVY = {"tensorflow", "tensorflow_datasets", "ml_collections", "torch", "huggingface_hub"}
IMPORT = """
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
import dstformer_jax.lift.__main__, dstformer_jax.lift.stream, dstformer_jax.export.__main__
print(dstformer_jax.__file__)
print([name for name in sys.argv[1:] if name in sys.modules or find_spec(name)])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, which no earlier build has left anything in."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("dstformer_jax", "configs", "datasets", "docs", "tests"):
        unwanted = shutil.ignore_patterns("__pycache__", "golden")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    pip("wheel", str(folder / "source"), *options)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """bin/ of an environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip("--python", str(folder / "bin" / "python"), "install", str(wheel))
    return folder / "bin"


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(command: list[object], folder: Path) -> str:
    """What a command prints, without the settings and paths of the tests."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env = {**own, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_keypoints(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes lifted/walk.json, an AlphaPose file of somebody walking, as the notebook does."""
    cells = nbformat.read(ROOT / "docs" / "lift.ipynb", as_version=4).cells
    (source,) = (c.source for c in cells if "keypoints" in c.metadata.get("tags", []))
    monkeypatch.chdir(folder)
    exec(source, {})


def shipped() -> Iterator[str]:
    """Files of the package that the wheel must hold."""
    for path in PACKAGE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(ROOT))


@pytest.mark.long
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (name for name in names if name.endswith("dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(about).decode())
        weights = [archive.read(str(path.relative_to(ROOT))) for path in (STARTER, STREAMING)]
    information = about.partition("/")[0]
    assert sorted(n for n in names if not n.startswith(f"{information}/")) == sorted(shipped())
    assert f"{information}/licenses/LICENSE" in names
    assert weights == [STARTER.read_bytes(), STREAMING.read_bytes()]
    needed = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert not any(name.replace("_", "-") in need for need in needed for name in HEAVY)
    assert {"hub", "train", "video", "c3d", "export"} <= set(metadata.get_all("Provides-Extra", []))


@pytest.mark.long
@pytest.mark.timeout(900)  # it installs jax and the rest: 90 s on two busy cores
def test_an_empty_environment_lifts_with_the_weights_in_the_wheel(installed, tmp_path, monkeypatch):
    home, *heavy = run([installed / "python", "-c", IMPORT, *HEAVY], tmp_path).splitlines()
    assert Path(home).is_relative_to(installed.parent)
    assert heavy == ["[]"]

    told = run([installed / "dstformer", "--help"], tmp_path)
    for name in COMMANDS:
        assert name in told
        assert "usage: " in run([installed / "dstformer", name, "--help"], tmp_path)

    make_keypoints(tmp_path, monkeypatch)
    told = run([installed / "dstformer", "lift", "lifted/walk.json", "--output=out"], tmp_path)
    assert "1.7 m with mean adult proportions are assumed" in told
    with np.load(tmp_path / "out" / "walk.npz") as arrays:
        assert arrays["unit"] == "m"
        (points,) = (x for name, x in arrays.items() if name.startswith("points"))
    assert points.shape == (90, 17, 3)
    assert 1 < np.ptp(points[..., 1]) < 2.5  # a person, standing
    page = (tmp_path / "out" / "walk.html").read_text()
    assert "<canvas" in page
    assert len(page) > 500_000  # the viewer is inside
