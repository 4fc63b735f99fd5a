"""Learning and lifting human motion with DSTformer (MotionBERT) in JAX.

The names below are imported on first use, so `import dstformer_jax` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dstformer_jax.body.skeleton import H36M17
    from dstformer_jax.files import read
    from dstformer_jax.inference import load
    from dstformer_jax.models.dstformer import DSTformer

__all__ = ["H36M17", "DSTformer", "load", "read"]

_HOMES = {
    "load": "dstformer_jax.inference",
    "read": "dstformer_jax.files",
    "DSTformer": "dstformer_jax.models.dstformer",
    "H36M17": "dstformer_jax.body.skeleton",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dstformer_jax' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
