"""Subject `compile`: how long the programs take to trace and to compile, without any cache."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax

from dstformer_jax.bench import network
from dstformer_jax.bench.network import Setting
from dstformer_jax.bench.report import Rows

PROGRAMS: dict[str, Callable[[Setting], Any]] = {
    "forward": network.lower_forward,
    "train_step": network.lower_step,
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    network.add_flags(parser)
    parser.add_argument("--programs", default="forward,train_step", help="which, by comma [both]")


def run(flags: argparse.Namespace) -> Rows:
    """Seconds to trace, and to compile, each program."""
    programs = flags.programs.split(",")
    if unknown := sorted(set(programs) - PROGRAMS.keys()):
        raise ValueError(f"got --programs={unknown[0]!r}, expected some of {sorted(PROGRAMS)}")
    setting = Setting.of(flags)
    cached = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        return [_row(name, setting) for name in programs]
    finally:
        jax.config.update("jax_enable_compilation_cache", cached)


def _row(name: str, setting: Setting) -> dict[str, Any]:
    started, cpu = time.perf_counter(), time.process_time()
    lowered = PROGRAMS[name](setting)
    traced = time.perf_counter()
    lowered.compile()
    done = time.perf_counter()
    return {
        "program": name,
        **setting.columns,
        "trace_s": round(traced - started, 2),
        "compile_s": round(done - traced, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
    }
