"""Imports run one way, and training on the numpy feed needs no TensorFlow."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "dstformer_jax"
# A module may import from its own folder and from folders of lower levels; commands from all.
LEVELS = {"body": 0, "models": 1, "data": 1, "files": 1, "view": 1, "tasks": 2, "training": 3}
HEAVY = {"tensorflow", "tensorflow_datasets", "ml_collections"}
LIGHT = {*LEVELS, "lift", "bench", "inference", "convert", "show"} - {"data"}
MODULES = sorted(path.relative_to(ROOT / PACKAGE) for path in (ROOT / PACKAGE).rglob("*.py"))


def owner(module: Path) -> str:
    """The folder of a module, or its own name beside the folders."""
    return module.with_suffix("").parts[0]


def imported(text: str, package: tuple[str, ...]) -> Iterator[str]:
    """Absolute dotted names that a module of `package` imports anywhere, functions included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            home = (*above, *([node.module] if node.module else []))
            yield from (".".join((*home, alias.name)) for alias in node.names)


def against_the_order(module: Path, text: str) -> list[str]:
    """What a module imports from its own or a higher level, its own folder excepted."""
    mine = owner(module)
    if mine not in LEVELS:
        return []
    wrong = []
    for name in imported(text, (PACKAGE, *module.parent.parts)):
        head, _, rest = name.partition(".")
        theirs = rest.split(".")[0]
        if head == PACKAGE and theirs != mine and LEVELS.get(theirs, 4) >= LEVELS[mine]:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_run_one_way(module):
    text = (ROOT / PACKAGE / module).read_text()
    assert against_the_order(module, text) == []
    if owner(module) in LIGHT:
        names = imported(text, (PACKAGE, *module.parent.parts))
        assert [name for name in names if name.split(".")[0] in HEAVY] == []


@pytest.mark.parametrize(
    ("module", "line", "wrong"),
    [
        ("body/x.py", "from dstformer_jax.models import network", True),
        ("models/x.py", "from dstformer_jax.data.sources import Source", True),
        ("tasks/x.py", "def f():\n    import dstformer_jax.training.loop", True),
        ("training/x.py", "from dstformer_jax import main", True),
        ("tasks/x.py", "from ..training import loop", True),
        ("data/x.py", "from .sources import Source", False),
        ("training/x.py", "from dstformer_jax.tasks.lift3d import Lift3D", False),
        ("show.py", "from dstformer_jax import main", False),
    ],
)
def test_the_order_is_told_apart(module, line, wrong):
    assert bool(against_the_order(Path(module), line)) == wrong


# What a start would pay for and never use.
UNUSED = {
    "import dstformer_jax.lift.__main__, dstformer_jax.lift.stream": "optax orbax scipy torch",
    "from dstformer_jax.training import logs; logs.Log(sys.argv[1], 0, 1)": "torch tensorflow",
    "import jax; from dstformer_jax.data._tf import tf": "torch keras tf_keras",
}


@pytest.mark.parametrize("code", UNUSED, ids=["lift", "log", "tensorflow"])
def test_nothing_is_imported_for_nothing(tmp_path, code):
    ask = "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; {ask}", tmp_path],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.split())
    assert "jax" in imported
    assert imported.isdisjoint(UNUSED[code].split())


TRAIN = '''
import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path


class Finder(PathFinder):
    """Finds what an environment without TensorFlow holds."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in {"tensorflow", "tensorflow_datasets", "ml_collections"}:
            return None
        return super().find_spec(name, path, target)


sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]

import jax
import tiny_run

from dstformer_jax.training.experiment import build
from dstformer_jax.training.loop import fit

jax.config.update("jax_disable_most_optimizations", True)
folder = Path(sys.argv[1])
tiny_run.prepare(folder, {"ann": 40, "bob": 40}, {"eve": 40})
config = tiny_run.settings(folder)
config["data"]["corrupt_on"] = "device"
config["sources"]["walks"] |= {"noise": True, "mask": True}
results = fit(build(config), folder / "run")
assert results["eval/unseen/mpjpe"] > 0
for name in ("tensorflow", "tensorflow_datasets", "ml_collections"):
    assert importlib.util.find_spec(name) is None
'''


@pytest.mark.long
def test_training_on_the_numpy_feed_needs_no_tensorflow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, tmp_path],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "2 steps to go" in done.stdout
