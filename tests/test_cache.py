"""Commands keep compiled programs where they are told to, and find them again."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from dstformer_jax.cache import use_compilation_cache

COMPILE = """
import jax
from dstformer_jax.cache import use_compilation_cache
print(use_compilation_cache())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: x @ x)(jax.numpy.ones((8, 8)))
"""


@pytest.fixture
def _told_nothing():
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.usefixtures("_told_nothing")
def test_the_folder_is_the_one_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DSTFORMER_CACHE", str(tmp_path / "ours"))
    assert use_compilation_cache() == tmp_path / "ours"
    monkeypatch.setenv("DSTFORMER_CACHE", str(tmp_path / "later"))
    assert use_compilation_cache() == tmp_path / "ours"  # JAX has been told


def test_programs_are_kept(tmp_path):
    root = Path(__file__).resolve().parents[1]
    env = {**os.environ, "PYTHONPATH": str(root), "DSTFORMER_CACHE": str(tmp_path / "xla")}
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", COMPILE], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str(tmp_path / "xla")
    assert any((tmp_path / "xla").iterdir())
