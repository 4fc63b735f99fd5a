"""What has to be set before the engines are imported: threads, cores and the allocator.

Comparisons on a CPU use one pinned thread and its CPU time: two threads by the clock measure the
neighbours of a shared machine, and OpenMP's barriers suffer more from them than XLA does.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
ONE_THREAD_XLA = "--xla_cpu_multi_thread_eigen=false"
HUGE_PAGES = "glibc.malloc.hugetlb=1"
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
ALLOCATORS = ("system", "hugepages")


def wanted(environment: Mapping[str, str], threads: int, allocator: str) -> dict[str, str]:
    """The variables that a process needs for these settings, with their values.

    Args:
      environment: as it is now; other XLA flags in it stay.
      threads: 1: everything on one; 0: as the engines like it.
      allocator: "hugepages" makes glibc ask for huge pages, which saves XLA:CPU most of the page
        faults of the work space that it takes anew at each call; "system" leaves all as it is.
    """
    names: dict[str, str] = {}
    if threads == 1:
        flags = environment.get("XLA_FLAGS", "")
        missing = "" if ONE_THREAD_XLA in flags else ONE_THREAD_XLA
        names |= {**ONE_THREAD, "XLA_FLAGS": f"{flags} {missing}".strip()}
    if allocator == "hugepages":
        names["GLIBC_TUNABLES"] = HUGE_PAGES
    return names


def share_accelerator() -> None:
    """Leaves memory of a GPU to the other engine; to be called before JAX looks for devices.

    JAX takes three quarters of it at its start unless told otherwise, by us or by the user.
    """
    os.environ.setdefault(PREALLOCATE, "false")


def settled(threads: int, allocator: str) -> bool:
    """Whether this process already runs under these settings."""
    names = wanted(os.environ, threads, allocator)
    pinned = threads != 1 or cores() is None or len(cores() or ()) == 1
    return pinned and all(os.environ.get(name) == value for name, value in names.items())


def cores() -> set[int] | None:
    """Cores that this process may use; None where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def again(arguments: Sequence[str], threads: int, allocator: str) -> int:
    """Runs the same command in a child process under these settings; returns its exit status."""
    before = cores()
    if threads == 1 and before:
        os.sched_setaffinity(0, {max(before)})  # a child inherits it
    try:
        return subprocess.run(
            [sys.executable, "-m", "dstformer_jax.bench", *arguments],
            env={**os.environ, **wanted(os.environ, threads, allocator)},
            check=False,
        ).returncode
    finally:
        if threads == 1 and before:
            os.sched_setaffinity(0, before)
