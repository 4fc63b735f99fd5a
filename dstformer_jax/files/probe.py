"""A first look at a file or folder, by which formats are told apart."""

import codecs
import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstformer_jax.files.members import Members, first_of, is_archive
from dstformer_jax.files.records import parse_json, sample

HEAD = 2**16
EMPTY = 1000  # files without people that may come first in a folder


@dataclass(frozen=True)
class Probe:
    """What is to be seen at the beginning.

    Attributes:
      path: the file or folder.
      head: the first bytes of the file, or of the first text file of a folder or archive.
      members: names of the files of a folder or zip archive; empty for other files.
      arrays: names of the arrays of an .npz file.
      json: the beginning of the JSON content (of the first JSON file of a folder); None without.
      broken: what is wrong with that JSON, or "".
      rows: the first lines of a table (CSV), as cells.
    """

    path: Path
    head: bytes = b""
    members: tuple[str, ...] = ()
    arrays: frozenset[str] = frozenset()
    json: Any = None
    broken: str = ""
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def first_record(self) -> dict[str, Any]:
        """The first item of a JSON list where that is an object, else an empty one."""
        first = self.json[0] if isinstance(self.json, list) and self.json else None
        return first if isinstance(first, dict) else {}

    @property
    def first_person(self) -> dict[str, Any]:
        """The first object inside the lists of the JSON content: a person of some frame."""
        content = self.json
        while isinstance(content, list):  # empty frames come first in some files
            content = next((item for item in content if item not in ([], {}, None)), None)
        return content if isinstance(content, dict) else {}

    def person_inside(self, keys: Iterable[str]) -> dict[str, Any]:
        """The first person of a list under one of these keys of that object; without one itself."""
        person = self.first_person
        for key in keys:
            nested = person.get(key)
            if isinstance(nested, list) and nested and isinstance(nested[0], dict):
                person = nested[0]
        return person

    @property
    def nested_keypoints(self) -> bool:
        """Whether that person's keypoints are [[x, y], ...] and not flat."""
        points = self.first_person.get("keypoints")
        return isinstance(points, list) and bool(points) and isinstance(points[0], list)

    @property
    def header(self) -> tuple[str, ...]:
        """The cells of the first line in small letters."""
        return tuple(cell.strip().lower() for cell in self.rows[0]) if self.rows else ()


def is_single(path: Path) -> bool:
    """Whether a path is one plain file, neither folder nor archive."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return not is_archive(file.read(4))


def look(path: Path) -> Probe:
    """Looks at a file or folder; what cannot be read at all raises ValueError."""
    if path.is_dir():
        return _look_inside(path)
    with path.open("rb") as file:
        head = file.read(HEAD).removeprefix(codecs.BOM_UTF8)
    if is_archive(head):
        return _look_inside(path)
    if head.lstrip()[:1] in (b"{", b"["):
        content, broken = sample(path)
        return Probe(path, head, json=content, broken=broken)
    return Probe(path, head, rows=_rows(head))


def _look_inside(path: Path) -> Probe:
    """A folder or archive: the names, and the first file that can tell."""
    with Members(path) as members:
        names = tuple(members.names)
        if names and all(name.endswith(".npy") for name in names):
            return Probe(path, arrays=frozenset(name.removesuffix(".npy") for name in names))
        content, broken, head = None, "", b""
        if first_of(names, ".json"):
            content, broken = _first_content(members)
        elif name := first_of(names, ".txt"):
            head = members.read(name)[:HEAD]
        return Probe(path, head, names, json=content, broken=broken)


def _first_content(members: Members) -> tuple[Any, str]:
    """The JSON of the first file with something in it; frames without people may come first."""
    content = None
    for name in [name for name in members.names if name.lower().endswith(".json")][:EMPTY]:
        try:
            content = parse_json(members.read(name), members.where(name))
        except ValueError as error:
            return content, str(error)
        if content:
            break
    return content, ""


def _rows(head: bytes) -> tuple[tuple[str, ...], ...]:
    """The first lines of a text as cells; none for other files."""
    text = head.decode("utf-8", errors="replace")
    if "\0" in text or not text.strip():
        return ()
    lines = [line for line in text.splitlines()[:24] if line.strip() and line[:1] != "#"][:6]
    try:
        rows = list(csv.reader(lines, delimiter=delimiter(lines[0]) if lines else ","))
    except csv.Error:
        return ()
    return tuple(tuple(row) for row in rows if row)


def delimiter(line: str) -> str:
    """What separates the cells of a table, by its first line."""
    return max((",", ";", "\t"), key=line.count)
