"""The work folder of a preparation: what was read already, one file an item, so it resumes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from .builder import Item
from .schema import NAMES, Sequence

_FIELDS = tuple(item.name for item in dataclasses.fields(Sequence))
_SETTINGS = "settings.json"


class Work:
    """A folder of finished items; wiped when it was begun with other settings."""

    def __init__(self, path: Path, settings: dict) -> None:
        self.path = path
        about = {**settings, "fields": _FIELDS}
        wanted = json.dumps(about, sort_keys=True, default=str)
        kept = path / _SETTINGS
        if path.exists() and not (kept.is_file() and kept.read_text() == wanted):
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        kept.write_text(wanted)

    def _file(self, item: Item) -> Path:
        return self.path / f"{hashlib.sha256(item.key.encode()).hexdigest()[:24]}.zip"

    def has(self, item: Item) -> bool:
        """Whether the item was read before, from a source file that has not changed since."""
        path = self._file(item)
        return path.is_file() and _notes(path).get("stamp") == _stamp(item)

    def write(self, item: Item, sequences: Iterable[Sequence], notes: Counter[str]) -> None:
        """Keeps the sequences of an item: all of them or, when reading fails, none."""
        partial = self._file(item).with_suffix(f".partial-{uuid.uuid4().hex}")
        self._file(item).unlink(missing_ok=True)
        stamp = _stamp(item)
        try:
            with zipfile.ZipFile(partial, "w", allowZip64=True) as archive:
                for position, sequence in enumerate(sequences):
                    _put(archive, position, sequence)
                facts = {"stamp": stamp, "notes": notes}
                archive.writestr("notes.json", json.dumps(facts))
            partial.replace(self._file(item))
        finally:
            partial.unlink(missing_ok=True)

    def read(self, item: Item) -> Iterator[Sequence]:
        """The kept sequences of an item, one at a time; none when it was skipped."""
        if not self._file(item).is_file():
            return
        with zipfile.ZipFile(self._file(item)) as archive:
            for position in range(_count(archive)):
                yield _get(archive, position)

    def count(self, item: Item) -> int:
        """Number of kept sequences of an item."""
        if not self._file(item).is_file():
            return 0
        with zipfile.ZipFile(self._file(item)) as archive:
            return _count(archive)

    def notes(self, item: Item) -> Counter[str]:
        """What reading the item counted."""
        path = self._file(item)
        return Counter(_notes(path)["notes"]) if path.is_file() else Counter()

    def remove(self) -> None:
        """Deletes the folder, and those of the dataset where nothing else is in them."""
        shutil.rmtree(self.path, ignore_errors=True)
        for folder in self.path.parents[:2]:  # of the name, and of the dataset
            if any(folder.iterdir()):
                break
            folder.rmdir()


def _stamp(item: Item) -> list[float]:
    """Size and time of the item's file: a changed file is read again."""
    if item.path == Path() or not item.path.exists():
        return []
    facts = item.path.stat()
    return [facts.st_size, facts.st_mtime]


def _notes(path: Path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("notes.json"))


def _count(archive: zipfile.ZipFile) -> int:
    return len(archive.namelist()) // len(_FIELDS)  # and one entry for the notes


def _put(archive: zipfile.ZipFile, position: int, sequence: Sequence) -> None:
    for name in _FIELDS:
        with archive.open(f"{position}/{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.asarray(getattr(sequence, name)), allow_pickle=False)


def _get(archive: zipfile.ZipFile, position: int) -> Sequence:
    values = {}
    for name in _FIELDS:
        with archive.open(f"{position}/{name}.npy") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        values[name] = array.item() if array.ndim == 0 else array
    for names in NAMES:
        values[names] = tuple(str(name) for name in values[names])
    return Sequence(**values)
