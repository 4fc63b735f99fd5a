"""The frame bank: every frame of a split in plain memory-mapped .npy files, sequences end to end.

`<prepared>/bank/<split>/<array>.npy` (see `schema.TAILS`) and `sequences.json`. Frames are stored
once and clips are (start, length) windows of it, so overlapping clips cost nothing and any
machine with numpy can read it.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from dstformer_jax.body.skeleton import H36M17

from .schema import ARRAYS, TAILS, Sequence, from_record

INDEX = "sequences.json"
SUMS = "sums.json"  # CRC-32 of every other file
HEADER = 118  # bytes of an .npy header after the first 10; data then begin at byte 128
_FACTS = ("id", "subject", "action", "label", "camera", "rig", "fps", "unit", "axes", "size")


@dataclass(frozen=True, eq=False)
class Bank:
    """All F frames of one split; an absent array has 0 rows."""

    path: Path
    motion: np.ndarray  # [F, J, 3] x, y, confidence
    pose: np.ndarray  # [F, J, 3]
    factor: np.ndarray  # [F] mm per px
    pose_mm: np.ndarray  # [F, J, 3]
    partner: np.ndarray  # [F, J, 3] the second person's motion
    theta: np.ndarray  # [F, P] axis-angles
    beta: np.ndarray  # [F, S]
    initial_theta: np.ndarray  # [F, P] what a refiner starts from
    initial_beta: np.ndarray  # [F, S]
    seen: np.ndarray  # [F, 5, J, 3] the pose in each of `body.landmarks.LAYOUTS`
    sequences: tuple[dict[str, Any], ...]  # id, ..., start, frames

    @classmethod
    def open(cls, data_dir: str | Path, dataset: str, split: str = "train") -> Bank:
        """The bank of a prepared dataset such as "bvh/cmu_mocap"; rebuilt when only it is missing.

        Raises ValueError naming the prepare command when the dataset or split is not there.
        """
        prepared = prepared_path(data_dir, dataset)
        path = prepared / "bank" / split
        if not (path / INDEX).is_file():
            write_bank(_read_prepared(prepared, split), path)
        return cls.read(path)

    @classmethod
    def read(cls, path: str | Path) -> Bank:
        """The bank in one folder, memory-mapped."""
        path = Path(path)
        arrays = {name: _array(path, name) for name in ARRAYS}
        sequences = tuple(json.loads((path / INDEX).read_text()))
        return cls(path=path, sequences=sequences, **arrays)

    @classmethod
    def of(cls, sequences: Collection[Sequence]) -> Bank:
        """A bank in memory of sequences that all carry the same arrays."""
        arrays = {name: np.concatenate([getattr(s, name) for s in sequences]) for name in ARRAYS}
        index: list[dict[str, Any]] = []
        for sequence in sequences:
            index.append(_entry(sequence, index))
        return cls(path=Path("memory"), sequences=tuple(index), **arrays)

    def verify(self) -> None:
        """Reads every file once; ValueError naming one that is not what was written.

        Banks of programs that wrote no sums, and banks in memory, pass.
        """
        kept = self.path / SUMS
        sums = json.loads(kept.read_text()) if kept.is_file() else {}
        for name, expected in sums.items():
            if not (self.path / name).is_file() or crc(self.path / name) != expected:
                raise ValueError(
                    f"got {self.path / name}, which is not what was written; do delete "
                    f"{self.path}: it is made again from the records"
                )

    @property
    def starts(self) -> np.ndarray:
        """First frame of every sequence, int64 [S]."""
        return np.array([row["start"] for row in self.sequences], np.int64)

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the J joints, those of the first sequence."""
        return tuple(self.sequences[0].get("joints", H36M17.names))

    @property
    def lengths(self) -> np.ndarray:
        """Frames of every sequence, int64 [S]."""
        return np.array([row["frames"] for row in self.sequences], np.int64)


def crc(path: Path) -> int:
    """CRC-32 of a file, read block by block."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _array(path: Path, name: str) -> np.ndarray:
    """One array, memory-mapped; without rows in a bank that was written before there was one."""
    file = path / f"{name}.npy"
    if file.exists():
        return np.load(file, mmap_mode="r")
    return np.zeros((0, *(size or 0 for size in TAILS[name])), np.float32)


def prepared_path(data_dir: str | Path, dataset: str) -> Path:
    """`<data_dir>/<dataset>/<name>/<newest version>`; ValueError with the command when absent."""
    builder, _, name = dataset.partition("/")
    root = Path(data_dir) / builder / (name or "default")
    versions = [path for path in root.glob("*.*.*") if _version(path)]
    if not versions:
        raise ValueError(
            f"got dataset {dataset!r}, expected it prepared in {root}; do python -m "
            f"dstformer_jax.data.prepare --dataset={builder} --name={name or 'default'} "
            f"--source=DIR --data_dir={data_dir}"
        )
    return max(versions, key=_version)


def _version(path: Path) -> tuple[int, ...]:
    parts = path.name.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def _read_prepared(prepared: Path, split: str) -> Iterable[Sequence]:
    """The sequences of a prepared split, read through tfds without TensorFlow."""
    from tensorflow_datasets.core.read_only_builder import builder_from_directory

    builder: Any = builder_from_directory(prepared)  # its decorators hide the signatures
    if split not in builder.info.splits:
        raise ValueError(
            f"got split {split!r} of {prepared}, expected one of {sorted(builder.info.splits)}"
        )
    return _records(builder, prepared, split)


def _records(builder: Any, prepared: Path, split: str) -> Iterator[Sequence]:
    records = iter(builder.as_data_source(split))
    while True:
        try:
            record = next(records, None)
        except Exception as error:  # what the reader of a damaged file raises is its own affair
            raise ValueError(
                f"got records of split {split!r} in {prepared} that cannot be read "
                f"({str(error).strip().splitlines()[0]}); do prepare them again with --overwrite"
            ) from error
        if record is None:
            return
        yield from_record(record)


def write_bank(sequences: Iterable[Sequence], path: str | Path) -> Path:
    """Writes the bank of one split into `path`, complete or not at all; returns the folder.

    Every sequence must carry the same arrays: a split has 2D in all its sequences or in none.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write(sequences, partial)
        _replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def _entry(sequence: Sequence, before: list[dict[str, Any]]) -> dict[str, Any]:
    """What the index says of a sequence that follows others."""
    facts = {name: getattr(sequence, name) for name in _FACTS}
    start = before[-1]["start"] + before[-1]["frames"] if before else 0
    joints = {} if sequence.joints == H36M17.names else {"joints": list(sequence.joints)}
    return facts | joints | {"start": start, "frames": sequence.num_frames}


def _write(sequences: Iterable[Sequence], path: Path) -> None:
    index: list[dict[str, Any]] = []
    rows = dict.fromkeys(ARRAYS, 0)
    tails = {name: tuple(size or 0 for size in tail) for name, tail in TAILS.items()}
    files = {name: (path / f"{name}.npy").open("wb") for name in ARRAYS}
    try:
        for name, file in files.items():
            _write_header(file, 0, tails[name])
        for sequence in sequences:
            index.append(_entry(sequence, index))
            start = index[-1]["start"]
            for name, file in files.items():
                array = getattr(sequence, name)
                if rows[name] + len(array) not in (0, start + sequence.num_frames):
                    raise ValueError(
                        f"got sequence {sequence.id!r} that differs from those before it in "
                        f"having {name}, expected it in all sequences of a split or in none"
                    )
                if not rows[name]:
                    tails[name] = array.shape[1:]
                if array.shape[1:] != tails[name]:
                    raise ValueError(
                        f"got {name} of width {array.shape[1:]} in sequence {sequence.id!r}, "
                        f"expected {tails[name]} as in those before it"
                    )
                file.write(np.ascontiguousarray(array, "<f4").tobytes())
                rows[name] += len(array)
        for name, file in files.items():
            file.seek(0)
            _write_header(file, rows[name], tails[name])
    finally:
        for file in files.values():
            file.close()
    (path / INDEX).write_text(json.dumps(index, indent=0))
    sums = {file.name: crc(file) for file in sorted(path.iterdir())}
    (path / SUMS).write_text(json.dumps(sums, indent=0))


def _write_header(file: IO[bytes], rows: int, tail: tuple[int, ...]) -> None:
    """An .npy header, padded to one length, so that it can be rewritten in place."""
    shape = ", ".join(map(str, (rows, *tail))) + ("," if not tail else "")
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}"
    file.write(np.lib.format.magic(1, 0) + struct.pack("<H", HEADER))
    file.write(text.ljust(HEADER - 1).encode("ascii") + b"\n")


def _replace(partial: Path, path: Path) -> None:
    """Puts a finished folder in the place of an older one."""
    if path.exists():
        old = path.with_name(f"{path.name}.old-{os.getpid()}")
        path.rename(old)
        partial.rename(path)
        shutil.rmtree(old)
    else:
        partial.rename(path)
