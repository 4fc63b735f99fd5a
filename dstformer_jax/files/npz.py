"""Reads .npz archives without running anything in them, arrays of Python objects included.

numpy keeps an array of objects as a pickle, which `np.load(allow_pickle=True)` would run; here it
goes through the restricted unpickler. Plain .npz files need only `np.load(allow_pickle=False)`.
"""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

from dstformer_jax.files.pickles import unpickle

MAX_BYTES = 16 * 2**30


def load_npz(
    path: str | Path, names: Collection[str] | None = None, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """The arrays of an archive by name.

    Args:
      path: the file.
      names: read only these, where they are there; None reads all.
      max_bytes: refuse archives that unpack to more.

    Raises:
      ValueError: naming the file and array: not an archive, too large, truncated, or with pickled
        objects other than plain data.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
            chosen = [name for name in members if names is None or name in names]
            size = sum(members[name].file_size for name in chosen)
            if size > max_bytes:
                raise ValueError(f"{path}: got {size} bytes unpacked, expected at most {max_bytes}")
            arrays = {}
            for name in chosen:
                with archive.open(members[name]) as file:
                    arrays[name] = _read_array(file, f"{path}[{name}]")
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(
            f"{path}: got no whole .npz archive ({error!s:.120}), expected one of numpy.savez"
        ) from None


def _read_array(file: IO[bytes], where: str) -> np.ndarray:
    """One array; its header says whether a pickle follows."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0}
        header = read.get(version, np.lib.format.read_array_header_2_0)(file)
        shape, fortran, dtype = header
        if not dtype.hasobject:
            return _plain(file, shape, fortran, dtype, where)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"{where}: got no array ({error!s:.120}), expected .npy") from None
    array = unpickle(file, where)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError(f"{where}: got {type(array).__name__}, expected objects {shape}")
    return array


def _plain(
    file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype, where: str
) -> np.ndarray:
    """The numbers of an array; the header may promise more than there is."""
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    data = bytearray()
    while len(data) < size:
        part = file.read(min(size - len(data), io.DEFAULT_BUFFER_SIZE * 128))
        if not part:
            raise ValueError(f"got {len(data)} bytes of {size}, expected a whole file")
        data += part
    array = np.frombuffer(data, dtype, count=size // max(dtype.itemsize, 1))
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
