"""hf://owner/repo/file: fetched once, cached, read by every command; no network but loopback.

huggingface_hub reads its settings when it is imported, so each environment is another process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import hub_stand_in
import numpy as np
import pytest
from random_networks import SIZES, random_variables, to_torch

from dstformer_jax import convert, hub, read
from dstformer_jax.convert import read_any
from dstformer_jax.torch_files import is_torch_path, write_torch_file

pytest.importorskip("huggingface_hub")
ROOT = Path(__file__).resolve().parents[1]
BIG = b"large " * 1000
FETCH = """
import json, sys, time
from dstformer_jax import hub
time.sleep = lambda seconds: None  # between the library's attempts
for address in sys.argv[1:]:
    try:
        path = hub.fetch(address)
        said = {"name": path.name, "content": path.read_text()}
    except ValueError as error:
        said = {"error": str(error)}
    print(json.dumps(said))
"""
LOAD = """
import sys
import jax, numpy as np
from dstformer_jax import load
from dstformer_jax.main import load_variables
here, there = sys.argv[1:]
model, other = load(here), load(there)
assert model.network == other.network and model.fps == other.fps == 25
jax.tree.map(np.testing.assert_array_equal, model.params, other.params)
jax.tree.map(np.testing.assert_array_equal, model.params, load_variables(there)["params"])
"""

COMMANDS = """
import json, sys
from dstformer_jax.__main__ import main
folder, here, there = sys.argv[1:]
def lift(output, weights):
    options = [f"--output={folder}/{output}", f"--weights={weights}", "--formats=npz", "--quiet"]
    return main(["lift", f"{folder}/seen.npz", *options])
codes = [lift("here", here), lift("there", f"{there}/pose.bin"), lift("none", f"{there}/none.bin")]
for name in ("pose", "none"):
    codes.append(main(["stream", f"--weights={there}/{name}.bin", "--measure=1"]))
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A PyTorch file of a tiny random network."""
    path = tmp_path_factory.mktemp("weights") / "pose.bin"
    variables = random_variables(SIZES, {"name": "pose"})
    info = {"model": SIZES, "fps": 25, "normaliser": {"mode": "crop"}}
    write_torch_file(path, to_torch(variables), info)
    return path


@pytest.fixture(scope="module")
def served(weights):
    files = {"pose.bin": weights.read_bytes(), "notes.txt": b"hello", "a/b/large.txt": BIG}
    revisions = {"main": files, "v1": {"notes.txt": b"older"}, "refs/pr/3": {"notes.txt": b"3"}}
    with hub_stand_in.serve({"someone/motion": revisions}) as serving:
        yield serving


def environment(endpoint: str, cache: Path, **more: str) -> dict[str, str]:
    """Without any setting of the library that the caller of the tests may have."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    set_here = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    return {**own, **set_here, "JAX_PLATFORMS": "cpu", **more}


def python(code: str, *arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def fetched(*addresses: str, env: dict[str, str]) -> list[dict[str, str]]:
    done = python(FETCH, *addresses, env=env)
    assert done.returncode == 0, done.stderr
    assert "Retrying" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_files_of_any_revision_and_folder_arrive_whole(served, tmp_path):
    addresses = [
        "hf://someone/motion/notes.txt",
        "hf://someone/motion@v1/notes.txt",
        "hf://someone/motion@refs/pr/3/notes.txt",
        "hf:/someone/motion/a/b/large.txt",  # as pathlib writes it
    ]
    found = fetched(*addresses, env=environment(served.endpoint, tmp_path))
    assert [each.get("content") for each in found] == ["hello", "older", "3", BIG.decode()]
    assert [each["name"] for each in found] == ["notes.txt"] * 3 + ["large.txt"]


def test_what_is_cached_is_not_fetched_again_and_needs_no_network(served, tmp_path):
    address, never = "hf://someone/motion@v1/notes.txt", "hf://someone/motion/notes.txt"
    env = environment(served.endpoint, tmp_path)
    start = len(served.asked)
    for _ in range(2):
        assert fetched(address, env=env)[0]["content"] == "older"
    asked = [line for line in served.asked[start:] if "resolve" in line]
    assert [line.split()[0] for line in asked].count("GET") == 1
    silent = environment("http://127.0.0.1:9", tmp_path)  # nobody listens there
    for unreachable in (silent, {**env, "HF_HUB_OFFLINE": "1"}):
        found = fetched(address, never, env=unreachable)
        assert found[0]["content"] == "older"
        assert "expected a hub that answers or a file in its cache" in found[1]["error"]
        assert never in found[1]["error"]


@pytest.mark.parametrize(
    "address",
    [
        "hf://",
        "hf://pose.bin",
        "hf://someone/motion",
        "hf://someone/motion/",
        "hf://someone/motion@/pose.bin",
        "hf://someone//pose.bin",
        "hf://someone@v1/motion/pose.bin",
        "hf:///someone/motion/pose.bin",
        "hf://someone/motion/../pose.bin",
        "hf://someone/motion/a/./pose.bin",
        "hf://someone/motion@v1/a/..",
    ],
)
def test_malformed_addresses_say_what_is_expected(address):
    with pytest.raises(ValueError, match=r"expected hf://owner/repo/file or hf://owner/repo@rev"):
        hub.fetch(address)


def test_what_the_hub_has_not_is_named(served, tmp_path):
    expected = {
        "hf://someone/motion/pose.pth": "revision 'main' has no 'pose.pth'",
        "hf://someone/motion@v1/pose.bin": "revision 'v1' has no 'pose.bin'",
        "hf://someone/motion@v9/pose.bin": "it has no 'v9'",
        "hf://nobody/motion/pose.bin": "it has no nobody/motion",
        "hf://secret/motion/pose.bin": "set HF_TOKEN",
        "hf://some one/motion/pose.bin": "expected hf://owner/repo/file",
    }
    found = fetched(*expected, env=environment(served.endpoint, tmp_path))
    for said, (address, words) in zip(found, expected.items(), strict=True):
        assert words in said.get("error", "")
        assert address in said["error"]
        assert "\n" not in said["error"]


def test_other_failures_keep_their_reason(served, tmp_path):
    (tmp_path / "cache").write_text("a file where the cache should be")
    env = environment(served.endpoint, tmp_path / "cache")
    (said,) = fetched("hf://someone/motion/pose.bin", env=env)
    assert "which cannot be fetched: [Errno" in said["error"]


def test_without_the_library_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'dstformer_jax\[hub\]'"):
        read_any("hf://someone/motion/pose.bin")


def test_every_reader_takes_it(served, tmp_path, weights):
    """`load` and `init_from` have the very weights of the file."""
    env = environment(served.endpoint, tmp_path)
    done = python(LOAD, weights, "hf://someone/motion/pose.bin", env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_commands_take_it_and_say_in_one_line_what_is_missing(served, tmp_path, weights):
    rng = np.random.default_rng(0)
    points = np.tile(rng.uniform(0, 300, (1, 1, 17, 2)), (12, 1, 1, 1))
    np.savez(tmp_path / "seen.npz", keypoints=points, scores=np.ones((12, 1, 17)))
    env = environment(served.endpoint, tmp_path, JAX_DISABLE_MOST_OPTIMIZATIONS="1")
    done = python(COMMANDS, tmp_path, weights, "hf://someone/motion", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 0, 2, 0, 2]
    here, there = (read(tmp_path / name / "seen.npz").tracks[0] for name in ("here", "there"))
    assert here.points.shape == (12, 17, 3)
    np.testing.assert_array_equal(here.points, there.points)
    assert done.stderr.count("\n") == 2
    assert done.stderr.count("has no 'none.bin'") == 2


def test_nothing_is_written_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = random_variables(SIZES, {"name": "pose"})
    assert is_torch_path("hf://someone/motion/pose.bin")
    with pytest.raises(ValueError, match="expected a path on this machine"):
        convert.write_any("hf://someone/motion/pose.bin", variables, {"model": SIZES})
    assert list(tmp_path.iterdir()) == []
