"""The CSV beside a folder of motion files: who does what, and which split a file belongs to."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

DEFAULTS = ("index.csv", "labels.csv")


@dataclass(frozen=True)
class Entry:
    """One row of the CSV; what it does not say is empty."""

    subject: str = ""
    action: str = ""
    label: int = -1
    split: str = "train"
    rig: str = ""
    unit: float | None = None  # metres per file unit
    fps: float | None = None


def find_index(source: Path, given: str) -> Path | None:
    """The CSV to use: the one given (its path, or its name in the folder), or a default name."""
    if given:
        path = Path(given) if Path(given).is_file() else source / given
        if not path.is_file():
            raise ValueError(f"got --index={given}, expected a CSV file there or in {source}")
        return path
    found = [source / name for name in DEFAULTS if (source / name).is_file()]
    return found[0] if found else None


def read_index(path: Path, action: str = "", split: str = "split") -> dict[str, Entry]:
    """Reads the CSV as {file: Entry}.

    Columns: file (needed), subject, action or label_name or label, label (a number, or a word
    whose place in the alphabet becomes the number), split, skeleton, unit_to_m, fps. `action`
    names another column to take actions and labels from, `split` another for the split ("none":
    everything is training).
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    columns = set(rows[0]) if rows else set()
    wanted = {"file"} | ({action} if action else set()) | ({split} - {"none", "split"})
    if not wanted <= columns:
        raise ValueError(
            f"{path}: got columns {', '.join(sorted(map(str, columns))) or 'none'}, "
            f"expected {', '.join(sorted(wanted))} among them"
        )
    names = [name for name in (action or "action", "label_name", "label") if name in columns]
    actions = [_text(row, names[0]) if names else "" for row in rows]
    labels = _labels(rows, actions, chosen=bool(action))
    return {
        _text(row, "file"): Entry(
            subject=_text(row, "subject"),
            action=actions[i],
            label=labels[i],
            split=(_text(row, split) or "train") if split != "none" else "train",
            rig=_text(row, "skeleton"),
            unit=_number(path, i, row, "unit_to_m"),
            fps=_number(path, i, row, "fps"),
        )
        for i, row in enumerate(rows)
    }


def _text(row: dict, column: str) -> str:
    return (row.get(column) or "").strip()


def _labels(rows: list[dict], actions: list[str], chosen: bool) -> list[int]:
    """Numbers of the label column, else the places of the actions in the alphabet."""
    given = [_text(row, "label") for row in rows]
    if not chosen and all(text.isdigit() for text in given):
        return [int(text) for text in given]
    places = {name: place for place, name in enumerate(sorted(set(actions) - {""}))}
    return [places.get(name, -1) for name in actions]


def _number(path: Path, row_number: int, row: dict, column: str) -> float | None:
    text = _text(row, column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(
            f"{path}, line {row_number + 2}: got {column} {text!r}, expected a number above 0"
        )
    return value
