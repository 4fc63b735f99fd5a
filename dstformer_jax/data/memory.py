"""Keeps freed memory in the process: batches are large, and getting pages back costs much."""

import ctypes
from functools import lru_cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Tells glibc not to return freed arrays of a few MB to the system; whether it could.

    By default every batch is given back when it is dropped, and faulting in the pages of the next
    takes as long as filling them (half of a clean batch's CPU time on a virtual machine).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # not glibc: slower, nothing else
    return bool(mallopt(_MMAP_THRESHOLD, 32 << 20) and mallopt(_TRIM_THRESHOLD, 512 << 20))
