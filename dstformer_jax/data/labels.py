"""Which clip shows what: class lists, and the CSV beside a folder of motion files.

A class list is a text file with one name a line, in the order of the labels. A labels CSV has one
row a clip; see `read_labels`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dstformer_jax.body.motion import natural_key

MAX_BYTES = 64 * 2**20
CSV_NAME = "labels.csv"
LIST_NAME = "classes.txt"
# Where the name of the class is looked for, the first that there is.
COLUMNS = ("label_name", "action_name", "action", "label")


@dataclass(frozen=True)
class Row:
    """One row of a labels CSV."""

    line: int  # in the file, for messages
    file: str
    label: int  # 0 .. K-1
    name: str  # of the class
    cells: Mapping[str, str]  # every column, stripped

    def get(self, column: str) -> str:
        """The text in a column; empty where there is no such column."""
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Labels:
    """The rows of a labels CSV and the K class names in label order."""

    path: Path
    rows: tuple[Row, ...]
    classes: tuple[str, ...]


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names, one a line; ValueError for none, or for one that comes twice."""
    path = Path(path)
    names = [line.strip() for line in _text(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    seen: dict[str, int] = {}
    for line, name in enumerate(names, start=1):
        if not name or name in seen:
            known = f"as in line {seen[name]}" if name in seen else "which is empty"
            raise ValueError(f"{path}, line {line}: got {name!r}, {known}; expected different ones")
        seen[name] = line
    if not names:
        raise ValueError(f"{path}: got an empty class list, expected one name a line")
    return tuple(names)


def read_labels(
    path: str | Path,
    file_column: str = "file",
    class_column: str = "",
    classes: Sequence[str] | None = None,
    where: Sequence[str] = (),
) -> Labels:
    """Reads a labels CSV.

    Args:
      path: the CSV, with a header line.
      file_column: the column that names the clip's file.
      class_column: the column of the class; empty takes the first of label_name, action_name,
        action and label that there is.
      classes: the class names in label order. Without them a numeric column `label` that counts
        the names from 0 gives the numbers, else the names are numbered in their natural order.
      where: `COLUMN=VALUE`: only rows with these values.

    Raises:
      ValueError: naming the line: a missing column, a clip without a class, a class that the list
        does not have, or numbers and names that disagree.
    """
    path = Path(path)
    table = _table(path, [file_column, *([class_column] if class_column else [])], where)
    column = class_column or next((name for name in COLUMNS if name in table[0][1]), "")
    if not column:
        raise ValueError(
            f"{path}: got columns {', '.join(table[0][1])}, expected one of {', '.join(COLUMNS)}"
        )
    texts = [cells[column] for _, cells in table]
    for (line, cells), text in zip(table, texts, strict=True):
        if not text or not cells[file_column]:
            raise ValueError(
                f"{path}, line {line}: got {cells[file_column]!r} with {column} {text!r}, expected "
                "a file and its class; do remove the line"
            )
    names = tuple(classes) if classes else _own_classes(path, table, texts)
    rows = tuple(
        _row(path, line, cells, text, names, file_column)
        for (line, cells), text in zip(table, texts, strict=True)
    )
    return Labels(path, rows, names)


def _text(path: Path) -> str:
    """A text file of bounded size."""
    if not path.is_file():
        raise ValueError(f"got {path}, which is not a file; expected a text file there")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: got {path.stat().st_size} bytes, expected at most {MAX_BYTES}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: got bytes that are not UTF-8 ({error}), expected text") from None


def _table(
    path: Path, needed: Sequence[str], where: Sequence[str]
) -> list[tuple[int, dict[str, str]]]:
    """(line, cells) of the wanted rows."""
    reader = csv.DictReader(_text(path).splitlines(), restkey="")
    columns = [str(name or "").strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    wanted = dict(_condition(text) for text in where)
    missing = [name for name in (*needed, *wanted) if name not in columns]
    if missing:
        raise ValueError(
            f"{path}: got columns {', '.join(columns) or 'none'}, "
            f"expected {', '.join(missing)} among them"
        )
    rows = []
    try:
        for row in reader:
            cells = {name: (row[name] or "").strip() for name in columns}
            if any(cells.values()) and all(cells[k] == v for k, v in wanted.items()):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}, expected a CSV") from None
    if not rows:
        condition = f" with {', '.join(where)}" if where else ""
        raise ValueError(f"{path}: got no row{condition}, expected one a clip")
    return rows


def _condition(text: str) -> tuple[str, str]:
    column, found, value = text.partition("=")
    if not found or not column.strip():
        raise ValueError(f"got condition {text!r}, expected COLUMN=VALUE")
    return column.strip(), value.strip()


def _own_classes(
    path: Path, table: Sequence[tuple[int, Mapping[str, str]]], texts: Sequence[str]
) -> tuple[str, ...]:
    """Class names in label order, from the CSV itself."""
    given = [cells.get("label", "") for _, cells in table]
    if not all(text.isdecimal() for text in given):
        return tuple(sorted(set(texts), key=natural_key))
    numbers: dict[str, str] = {}
    for (line, _), name, number in zip(table, texts, given, strict=True):
        if numbers.setdefault(name, number) != number:
            raise ValueError(
                f"{path}, line {line}: got label {number} for {name!r}, expected "
                f"{numbers[name]} as before"
            )
    # Numbers with gaps, or from 1, only give the order.
    order = sorted(numbers, key=lambda name: (int(numbers[name]), name))
    if len(set(numbers.values())) != len(numbers):
        raise ValueError(f"{path}: got one label for several names, expected one for each")
    return tuple(order)


def _row(
    path: Path,
    line: int,
    cells: Mapping[str, str],
    text: str,
    classes: Sequence[str],
    file_column: str,
) -> Row:
    """A row with its label; a number means a place in the list where no class is called so."""
    if text in classes:
        label = classes.index(text)
    elif text.isdecimal() and int(text) < len(classes):
        label = int(text)
    else:
        raise ValueError(
            f"{path}, line {line}: got class {text!r}, expected {shown(classes)} "
            f"or a label from 0 to {len(classes) - 1}"
        )
    return Row(line, cells[file_column], label, classes[label], cells)


def shown(names: Iterable[str], most: int = 6) -> str:
    """The first few of many names, for messages."""
    names = list(names)
    return ", ".join(names[:most]) + (f" ... ({len(names)})" if len(names) > most else "")


def split_name(text: str) -> str:
    """A text as the name of a split: letters, digits, underscore, dot and dash."""
    name = re.sub(r"[^\w.-]", "_", text.strip())
    if not name or name.strip("_.-") == "" or name == "all":
        raise ValueError(f"got {text!r} as the name of a split, expected a word other than all")
    return name
