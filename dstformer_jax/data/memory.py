"""Memory for batches: kept when freed, and aligned so that nobody has to copy it."""

import ctypes
import math
from functools import lru_cache

import numpy as np

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_ALIGNMENT = 64  # bytes


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


def empty(*shape: int) -> np.ndarray:
    """An uninitialised float32 array that TensorFlow and JAX on the CPU take without a copy."""
    size = math.prod(shape)
    spare = np.empty(size + _ALIGNMENT // 4, np.float32)
    first = -spare.ctypes.data % _ALIGNMENT // 4
    return spare[first : first + size].reshape(shape)
