"""PyTorch weight files without PyTorch: `.bin/.pth/.pt` (torch.save's zip) and `.safetensors`.

Nothing in a file is executed: its pickle may name only the few types that weights consist of, and
every size is checked against the bytes that are there.
"""

import io
import json
import math
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from dstformer_jax import hub

TORCH_SUFFIXES = (".bin", ".pth", ".pt")
SAFETENSORS_SUFFIX = ".safetensors"
WRAPPERS = ("model_pos", "model", "state_dict")
INFO = "dstformer_jax"  # the entry with our own JSON beside the weights
MAX_PICKLE_BYTES = 64 << 20
STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def is_torch_path(path: str | Path) -> bool:
    """Whether a path names a PyTorch file, by its ending or because it lies on the hub."""
    return hub.is_hub_path(path) or Path(path).suffix.lower() in (
        *TORCH_SUFFIXES,
        SAFETENSORS_SUFFIX,
    )


def unwrap(content: Mapping[str, Any]) -> dict[str, Any]:
    """The bare state_dict inside what an official file holds.

    Takes off "model_pos", "model" and "state_dict" levels and the `module.` of DataParallel.
    """
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            return unwrap(content[name])
    if content and all(str(key).startswith("module.") for key in content):
        return unwrap({key.removeprefix("module."): value for key, value in content.items()})
    return dict(content)


def read_torch_file(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights of a PyTorch or safetensors file, told apart by content.

    Args:
      path: a file, or `hf://owner/repo/file` (see `hub.fetch`).

    Returns:
      `(state_dict, info)`: arrays by bare key (half precision as float32), and the info that
      `write_torch_file` put beside them, {} in files of others.

    Raises:
      ValueError: not such a file, damaged, or with content other than weights.
    """
    path = hub.fetch(path) if hub.is_hub_path(path) else Path(path)
    if not path.is_file():
        raise ValueError(f"got {str(path)!r}, expected a PyTorch file; do check the path")
    with path.open("rb") as file:
        start = file.read(9)
    if start[:4] == b"PK\x03\x04":
        return _read_zip(path)
    if start[8:] == b"{":
        return _read_safetensors(path)
    return _read_legacy(path)


def write_torch_file(
    path: str | Path,
    state_dict: Mapping[str, np.ndarray],
    info: Mapping[str, Any] | None = None,
    plain: bool = False,
    wrapper: str = "model_pos",
) -> None:
    """Writes weights so that `torch.load(path, weights_only=True)` reads them.

    Args:
      path: ending .bin, .pth, .pt or .safetensors; appears only when complete.
      state_dict: float32, float16 or int64 arrays by bare key.
      info: JSON values kept beside the weights (a plain .bin/.pth/.pt has no place for them).
      plain: bare keys. Otherwise `{wrapper: {"module. ...": ...}}`, which the official scripts
        load strictly. Files of type .safetensors are flat and always have bare keys.
      wrapper: the key that official scripts look for: "model_pos" or "model".
    """
    if hub.is_hub_path(path):
        raise ValueError(f"got {str(path)!r} to write to, expected a path on this machine")
    path, text = Path(path), json.dumps(dict(info or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    if path.suffix.lower() == SAFETENSORS_SUFFIX:
        from safetensors.numpy import save_file

        save_file(dict(state_dict), partial, metadata={INFO: text})
    else:
        wrapped = {wrapper: {f"module.{k}": x for k, x in state_dict.items()}, INFO: text}
        _write_zip(partial, dict(state_dict) if plain else wrapped)
    os.replace(partial, path)


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {key: _widened(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
            info = _parsed_info(file.metadata() or {})
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"got {path}: {error}; expected a complete safetensors file") from error
    return unwrap(tensors), info


def _read_legacy(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The format before PyTorch 1.6, left to PyTorch's own restricted reader."""
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"got {path}, expected a zip as torch.save writes since PyTorch 1.6, or safetensors; "
            "do install torch to read older files"
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes raise nearly anything
        raise ValueError(
            f"got {path}, which PyTorch's restricted reader refuses, expected a file of weights"
        ) from error
    tensors = unwrap(content) if isinstance(content, Mapping) else {}
    return {k: x.float().numpy() for k, x in tensors.items() if hasattr(x, "float")}, {}


@dataclass(frozen=True, slots=True)
class _Storage:
    """Bytes of one record of the archive, not read yet."""

    dtype: str
    record: str
    numel: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage; the optimiser's moments in a file are never read from disk."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self, archive: zipfile.ZipFile, big_endian: bool) -> np.ndarray:
        """The array; ValueError when the view leaves its storage."""
        storage = self.storage
        dtype = np.dtype(ml_dtypes.bfloat16 if storage.dtype == "bfloat16" else storage.dtype)
        data = np.frombuffer(archive.read(storage.record), dtype)
        data = data.byteswap() if big_endian else data
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        count = math.prod(self.shape)
        if min((self.offset, *self.shape, *self.stride)) < 0 or max(last + 1, count) > data.size:
            raise ValueError(f"got a tensor {self.shape} outside its {data.size} stored values")
        strides = [s * dtype.itemsize for s in self.stride]
        view = np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, strides)
        return _widened(np.array(view))


class _Ignored:
    """Stands for numpy scalars such as an official file's best error, which no one needs."""

    __slots__ = ()

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, stride: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("got a tensor without a storage, expected one")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
    ("numpy", "dtype"): _Ignored,
    ("numpy.core.multiarray", "scalar"): _Ignored,
    ("numpy._core.multiarray", "scalar"): _Ignored,
    ("_codecs", "encode"): _Ignored,
}


class _WeightsUnpickler(pickle._Unpickler):
    """Builds dictionaries, numbers and tensors alone.

    The Python implementation on purpose: C's reserves memory as large as a file asks it to.
    """

    def __init__(self, data: bytes, root: str) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.root = root

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a permitted name; everything else is refused."""
        if (module, name) not in ALLOWED:
            raise ValueError(f"got {module}.{name} inside, expected weights only")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, by the tuple that torch.save leaves in its place."""
        kind, dtype, key, _, numel = pid
        if kind != "storage" or dtype not in STORAGES.values():
            raise ValueError(f"got a stored object {kind!r} of {dtype!r}, expected a storage")
        return _Storage(dtype, f"{self.root}data/{key}", int(numel))


def _read_zip(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            content, root = _unpickled(archive)
            names = set(archive.namelist())
            big = f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big"
            tensors = {str(k): x for k, x in unwrap(content).items() if isinstance(x, _Tensor)}
            if sum(math.prod(x.shape) for x in tensors.values()) > path.stat().st_size:
                raise ValueError("got more values than the file has bytes, expected each once")
            state_dict = {key: tensor.read(archive, big) for key, tensor in tensors.items()}
    except Exception as error:  # hostile bytes raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"got {path}: {reason}; expected a PyTorch file of weights") from error
    return state_dict, _parsed_info(content)


def _unpickled(archive: zipfile.ZipFile) -> tuple[dict[str, Any], str]:
    """The top dictionary of an archive and the name of its root folder."""
    for entry in archive.infolist():
        # torch.save stores records as they are, so no entry can be larger than the file.
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"got the compressed record {entry.filename}, expected stored ones")
    pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1 or archive.getinfo(pickles[0]).file_size > MAX_PICKLE_BYTES:
        raise ValueError(f"got {len(pickles)} records data.pkl, expected one of moderate size")
    root = pickles[0].removesuffix("data.pkl")
    content = _WeightsUnpickler(archive.read(pickles[0]), root).load()
    if not isinstance(content, Mapping):
        raise ValueError(f"got a {type(content).__name__}, expected a dictionary")
    return dict(content), root


def _parsed_info(content: Mapping[str, Any]) -> dict[str, Any]:
    text = content.get(INFO)
    info = json.loads(text) if isinstance(text, str) else {}
    return info if isinstance(info, dict) else {}


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype in (ml_dtypes.bfloat16, np.float16) else array


def _write_zip(path: Path, content: Mapping[str, Any]) -> None:
    """The archive of torch.save: a pickle of tensors by record number, and one record a tensor."""
    arrays: list[np.ndarray] = []
    program = b"\x80\x02" + b"".join(_pickled(content, arrays)) + b"."
    records = {"data.pkl": program, "byteorder": b"little"}
    for i, array in enumerate(arrays):
        records[f"data/{i}"] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    records["version"] = b"3\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in records.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)


def _pickled(value: Any, arrays: list[np.ndarray]) -> Iterator[bytes]:
    """Pickle opcodes (protocol 2) of nested dictionaries of strings and arrays."""
    if isinstance(value, Mapping):
        yield b"}("
        for key, item in value.items():
            yield from _pickled(key, arrays)
            yield from _pickled(item, arrays)
        yield b"u"
    elif isinstance(value, str):
        data = value.encode()
        yield b"X" + len(data).to_bytes(4, "little") + data
    elif isinstance(value, int):
        yield b"J" + value.to_bytes(4, "little", signed=True)
    elif isinstance(value, tuple):
        yield b"("
        for item in value:
            yield from _pickled(item, arrays)
        yield b"t"
    else:
        yield from _pickled_tensor(value, arrays)


def _pickled_tensor(array: np.ndarray, arrays: list[np.ndarray]) -> Iterator[bytes]:
    """The call `_rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict())`."""
    key, stride = str(len(arrays)), tuple(s // array.itemsize for s in array.strides)
    storage = next(name for name, kind in STORAGES.items() if array.dtype == kind)
    arrays.append(array)
    yield b"ctorch._utils\n_rebuild_tensor_v2\n(("
    yield from _pickled("storage", arrays)
    yield f"ctorch\n{storage}\n".encode()
    for item in (key, "cpu", array.size):
        yield from _pickled(item, arrays)
    yield b"tQ"
    for item in (0, array.shape, stride):
        yield from _pickled(item, arrays)
    yield b"\x89ccollections\nOrderedDict\n)RtR"
