"""Reads pickles without running anything in them: arrays, containers and text only.

Data sets of the field come as pickles (Human3.6M sources, PYSKL, SMPL), and unpickling a stranger's
file with `pickle.load` runs whatever it says. Here every name that a pickle mentions is looked up
in one table; anything else is refused before it is called. PyTorch files are not read here.
"""

import collections
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

MAX_BYTES = 16 * 2**30  # the Human3.6M file has 1.5 GiB, NTU RGB+D 120 about 6

Name = tuple[str, str]


def load_pickle(
    path: str | Path,
    max_bytes: int = MAX_BYTES,
    extra: Mapping[Name, Callable[..., Any]] | None = None,
) -> Any:
    """Reads one pickle of any protocol; byte strings of Python 2 are decoded as latin-1.

    Args:
      path: the file.
      max_bytes: refuse larger files.
      extra: (module, name) -> what to call instead, for types a caller has a safe stand-in for.

    Raises:
      ValueError: naming the file: too large, truncated, malformed, or mentioning another name.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: got {size} bytes, expected at most {max_bytes}")
    with path.open("rb") as file:
        return unpickle(file, str(path), extra)


def unpickle(
    file: IO[bytes], where: str, extra: Mapping[Name, Callable[..., Any]] | None = None
) -> Any:
    """Reads one pickle from an open file of bounded size; as `load_pickle`, `where` names it."""
    try:
        return _Unpickler(file, {**_SAFE, **(extra or {})}).load()
    except _Refused as error:
        raise ValueError(f"{where}: {error}") from None
    except Exception as error:  # hostile bytes raise nearly anything
        raise ValueError(
            f"{where}: got a pickle that cannot be read "
            f"({type(error).__name__}: {error!s:.120}), expected a whole, valid one"
        ) from None


def _reconstruct_array(kind: type, shape: tuple[int, ...], code: Any) -> np.ndarray:
    """numpy's empty array to be filled; honest pickles start from shape (0,)."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise _Refused(f"got an array of {kind} and shape {shape}, expected a plain array")
    return _RECONSTRUCT(kind, (0,), code)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii") or not isinstance(text, str):
        raise _Refused(f"got text in {encoding!r:.40}, expected latin1")
    return text.encode(encoding)


def _bytes(content: Any = b"", encoding: str = "latin1") -> bytes:
    """Bytes that are in the file (never of a size, which could be anything)."""
    return content if isinstance(content, bytes) else _encode(content, encoding)


def _bytearray(content: Any = b"", encoding: str = "latin1") -> bytearray:
    """As `_bytes`."""
    return bytearray(_bytes(content, encoding))


# numpy's own (private) makers, taken from its public reduce protocol.
_RECONSTRUCT: Callable[..., Any] = np.zeros(0).__reduce__()[0]  # type: ignore[assignment]
_SCALAR: Callable[..., Any] = np.float64(0).__reduce__()[0]  # type: ignore[assignment]
_FROM_BUFFER: Callable[..., Any] = np.zeros(1).__reduce_ex__(5)[0]  # type: ignore[assignment]


def _table() -> dict[Name, Callable[..., Any]]:
    """All names a pickle may mention, and what they mean here."""
    table: dict[Name, Callable[..., Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("collections", "defaultdict"): collections.defaultdict,
        ("_codecs", "encode"): _encode,
        ("builtins", "bytes"): _bytes,
        ("builtins", "bytearray"): _bytearray,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _reconstruct_array
        table[f"{core}.multiarray", "scalar"] = _SCALAR
        table[f"{core}.numeric", "_frombuffer"] = _FROM_BUFFER
    for kind in (set, frozenset, complex, int, float, bool, str):
        table["builtins", kind.__name__] = kind
    for kind in (dict, list, tuple):  # only as factories of a defaultdict
        table["builtins", kind.__name__] = kind
    return table


_SAFE = _table()


class _Refused(pickle.UnpicklingError):
    """The pickle asks for more than data."""


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows only the names in its table."""

    def __init__(self, file: IO[bytes], table: Mapping[Name, Callable[..., Any]]) -> None:
        super().__init__(file, encoding="latin1")
        self._table = table

    def find_class(self, module_name: str, global_name: str) -> Any:
        module = "builtins" if module_name == "__builtin__" else module_name  # Python 2's word
        if (module, global_name) not in self._table:
            raise _Refused(
                f"got a pickle that uses {module}.{global_name}, expected numpy arrays and "
                "plain containers only; it was not run"
            )
        return self._table[module, global_name]

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused(f"got a reference to outside data ({pid!r:.60}), expected a whole file")
