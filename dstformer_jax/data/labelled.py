"""What builders of labelled clips share: options, and which splits a clip goes to.

The clips of a labels CSV (`labels.py`) are dealt to train and test by people or other groups, by
the CSV's own column, or by holding some out; to every leave-one-group-out pair; or, for one-shot
recognition, by class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .builder import Item, option
from .labels import CSV_NAME, LIST_NAME, Labels, Row, read_classes, read_labels, shown, split_name

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class LabelOptions:
    """Settings of every dataset that is read from a labels CSV."""

    labels: str = option("", f"CSV of clips and their classes [{CSV_NAME} in the folder]")
    classes: str = option(
        "", f"text file of class names in label order [{LIST_NAME} beside the CSV, else the CSV]"
    )
    class_from: str = option("", "CSV column of the class [label_name, action_name, action, label]")
    where: tuple[str, ...] = option((), "COLUMN=VALUE,...: rows to take")
    group: str = option("subject", "CSV column of the people (or styles ...) to split by")
    test: tuple[str, ...] = option((), "groups that go to the split test; the others train")
    split_from: str = option("split", "CSV column of the split, unless --test is given; or none")
    holdout: float = option(
        0.2, "share of the groups (of the files, without groups) to test, where no column says"
    )
    leave_out: bool = option(False, "also write only_X and without_X for every group X")
    novel: tuple[str, ...] = option(
        (), "classes for one-shot recognition: they alone are test, and numbered from 0"
    )


def open_labels(options: LabelOptions, source: Path, file_column: str = "file") -> Labels:
    """The labels CSV that the options mean, with the class list there is.

    Raises:
      ValueError: as `read_labels`; no CSV; settings out of range.
    """
    if not 0 <= options.holdout < 1:
        raise ValueError(f"got --holdout={options.holdout}, expected 0 to below 1")
    if options.novel and (options.leave_out or options.test):
        raise ValueError("got --novel with --test or --leave_out, expected one way to split")
    path = _path(options.labels, source / CSV_NAME, source)
    if not path.is_file():
        raise ValueError(
            f"got {source} without {CSV_NAME}, expected a CSV with the columns file and label "
            "(one clip a row); do write it, or name another with --labels"
        )
    listed = _path(options.classes, path.parent / LIST_NAME, source)
    # A list beside the CSV is of its own classes, not of those in a column chosen here.
    has_list = bool(options.classes) or (listed.is_file() and not options.class_from)
    classes = read_classes(listed) if has_list else None
    return read_labels(path, file_column, options.class_from, classes, options.where)


def _path(given: str, default: Path, source: Path) -> Path:
    """A path as given, or as a name in the folder of the dataset."""
    if not given:
        return default
    return Path(given) if Path(given).exists() else source / given


def deal(labels: Labels, options: LabelOptions) -> list[tuple[Row, tuple[str, ...]]]:
    """Every row with the splits it goes to; with --novel also with its new label.

    Raises:
      ValueError: a group or class that no row has, a row without a group where groups are wanted,
        or nothing left to train on.
    """
    if options.novel:
        return _by_class(labels, options.novel)
    splits = [[split] for split in _base(labels, options)]
    if options.leave_out:
        groups = _groups(labels, options.group)
        for group in sorted(set(groups)):
            for row, own in enumerate(groups):
                splits[row].append(split_name(f"{'only' if own == group else 'without'}_{group}"))
    return [(row, tuple(own)) for row, own in zip(labels.rows, splits, strict=True)]


def _groups(labels: Labels, column: str) -> list[str]:
    """The group of each row; ValueError where there is none."""
    for row in labels.rows:
        if not row.get(column):
            raise ValueError(
                f"{labels.path}, line {row.line}: got no {column}, expected it in every row; do "
                "name the column to split by with --group"
            )
    return [row.get(column) for row in labels.rows]


def _base(labels: Labels, options: LabelOptions) -> list[str]:
    """train, test, or what the column says."""
    if options.test:
        groups = _groups(labels, options.group)
        unknown = sorted(set(options.test) - set(groups))
        if unknown or set(groups) <= set(options.test):
            raise ValueError(
                f"{labels.path}: got --test={','.join(options.test)}, expected some, not all, of "
                f"the values of {options.group}: {', '.join(sorted(set(groups)))}"
            )
        return [TEST if group in options.test else TRAIN for group in groups]
    given = [row.get(options.split_from) for row in labels.rows]
    if any(given) and options.split_from != "none":
        return [split_name(text) if text else TRAIN for text in given]
    if options.split_from not in ("split", "none"):
        raise ValueError(
            f"{labels.path}: got --split_from={options.split_from}, expected a column with splits"
        )
    return _held_out(labels, options)


def _held_out(labels: Labels, options: LabelOptions) -> list[str]:
    """A share of the groups or, where a row has none, of the files of each class.

    The choice is by a hash of the names: it does not change when files are added.
    """
    groups = [row.get(options.group) for row in labels.rows]
    if all(groups) and len(set(groups)) > 1:
        chosen = _some(set(groups), options.holdout)
        return [TEST if group in chosen else TRAIN for group in groups]
    files: dict[int, set[str]] = {}
    for row in labels.rows:
        files.setdefault(row.label, set()).add(row.file)
    # A file that holds several clips goes whole.
    chosen = {name for names in files.values() for name in _some(names, options.holdout)}
    return [TEST if row.file in chosen else TRAIN for row in labels.rows]


def _some(names: set[str], share: float) -> set[str]:
    """About a share of the names, at least one of several."""
    count = min(max(round(share * len(names)), 1), len(names) - 1) if share else 0
    return set(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:count])


def _by_class(labels: Labels, novel: Sequence[str]) -> list[tuple[Row, tuple[str, ...]]]:
    """New classes to test, the others to train; both are numbered from 0."""
    numbers = {str(label): name for label, name in enumerate(labels.classes)}
    names = [name if name in labels.classes else numbers.get(name, "") for name in novel]
    if not all(names) or set(names) >= set(labels.classes):
        raise ValueError(
            f"{labels.path}: got --novel={','.join(novel)}, expected some, not all, of "
            f"{shown(labels.classes)}"
        )
    order = {
        name: place
        for side in (False, True)
        for place, name in enumerate(n for n in labels.classes if (n in names) == side)
    }
    return [
        (replace(row, label=order[row.name]), (TEST,) if row.name in names else (TRAIN,))
        for row in labels.rows
    ]


def to_items(
    dealt: Sequence[tuple[Row, tuple[str, ...]]], source: Path, parts: Sequence[str] = ()
) -> list[Item]:
    """One item a row: `about` holds the row, and `parts` (columns) tell clips of one file apart.

    Raises:
      ValueError: the same clip in two rows.
    """
    items: dict[str, Item] = {}
    for row, splits in dealt:
        marks = [row.get(column) for column in parts]
        key = row.file + (f"[{':'.join(marks)}]" if any(marks) else "")
        if key in items:
            first = items[key].about["row"].line
            raise ValueError(
                f"got {key} in line {row.line} as in line {first}, expected each clip once"
            )
        items[key] = Item(key, source / row.file, splits[0], {"row": row}, splits[1:])
    return list(items.values())


def number(row: Row, column: str, at_least: float = 0.0, whole: bool = False) -> float | None:
    """The number in a column, None where it is empty; ValueError naming the line."""
    text = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not at_least <= value < 1e9 or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise ValueError(
            f"line {row.line}: got {column} {text!r}, expected a {kind} from {at_least:g}"
        )
    return value


def span(row: Row) -> tuple[int, int | None]:
    """The columns start and end of a row: [first, last) frames of its file; None: to the end."""
    start = int(number(row, "start", whole=True) or 0)
    end = number(row, "end", at_least=1, whole=True)
    if end is not None and end <= start:
        raise ValueError(
            f"line {row.line}: got frames {start} to {end:g}, expected a start before the end"
        )
    return start, None if end is None else int(end)


def cut(length: int, row: Row) -> slice:
    """The frames of a clip in a file of `length` frames; ValueError where it has too few."""
    start, end = span(row)
    if start >= length or (end or 0) > length:
        raise ValueError(
            f"line {row.line}: got frames {start} to {end if end else 'the end'} of a file of "
            f"{length}, expected frames that it has"
        )
    return slice(start, end)


def unlisted(found: Iterable[str], labels: Labels, options: LabelOptions) -> dict[str, int]:
    """A note that names the files without a label; none where only some rows are wanted."""
    names = sorted(set(found) - {row.file for row in labels.rows})
    if options.where or not names:
        return {}
    return {f"files without a label, left out ({shown(names, 4)})": len(names)}
