"""The cache of compiled programs that every command shares."""

import os
from pathlib import Path

import jax


def use_compilation_cache() -> Path:
    """Keeps compiled programs on disk, so that a restart compiles nothing it has compiled before.

    The folder is what JAX has been told (JAX_COMPILATION_CACHE_DIR), else $DSTFORMER_CACHE, else
    ~/.cache/dstformer_jax/xla.
    """
    if told := jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        return Path(told)
    default = Path.home() / ".cache" / "dstformer_jax" / "xla"
    path = Path(os.environ.get("DSTFORMER_CACHE", default))
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return path
