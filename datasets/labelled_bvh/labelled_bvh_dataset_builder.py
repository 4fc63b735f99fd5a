"""BVH files and a CSV of labels -> clips for action recognition, 3D joints in metres, y up."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bvh.bvh_dataset_builder import Builder as BvhBuilder
from bvh.bvh_dataset_builder import MotionOptions, check
from bvh.index import Entry

from dstformer_jax.data.builder import Item
from dstformer_jax.data.labelled import (
    LabelOptions,
    cut,
    deal,
    number,
    open_labels,
    span,
    to_items,
    unlisted,
)
from dstformer_jax.data.labels import Row
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.bvh import Bvh, read_bvh


@dataclass(frozen=True)
class LabelledBvhOptions(LabelOptions, MotionOptions):
    """Settings of the labelled_bvh dataset."""


class Builder(BvhBuilder):
    """One sequence a row of the CSV: a file, or the frames start to end of one."""

    OPTIONS = LabelledBvhOptions
    EXPECTS = "a folder of .bvh files with labels.csv (columns file, label)"

    def items(self, source: Path) -> list[Item]:
        """The clips that the CSV lists; each goes to one split or, with --leave_out, to many."""
        options: LabelledBvhOptions = self.options
        check(options)
        labels = open_labels(options, source)
        found = (path for path in source.rglob("*") if path.suffix.lower() == ".bvh")
        names = (path.relative_to(source).as_posix() for path in found)
        self.notes.update(unlisted(names, labels, options))
        items = to_items(deal(labels, options), source, ("start", "end"))
        try:
            return [_with_entry(item, options.group) for item in items]
        except ValueError as error:
            raise ValueError(f"{labels.path}, {error}") from None

    def load(self, item: Item) -> Bvh:
        """The frames of the clip."""
        bvh = read_bvh(item.path)
        frames = cut(len(bvh.values), item.about["row"])
        return dataclasses.replace(bvh, values=bvh.values[frames])

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The clip or, where it is cut at glitches, its longest piece."""
        pieces = list(super().read(item, notes))
        if not pieces:
            raise ValueError(
                f"got no smooth piece of {self.options.min_frames} frames or more, expected a clip"
            )
        notes["pieces beside the longest of a clip, left out"] += len(pieces) - 1
        longest = max(pieces, key=lambda piece: piece.num_frames)
        yield dataclasses.replace(longest, id=item.key.replace(".bvh", ""))


def _with_entry(item: Item, group: str) -> Item:
    """The item with what the bvh builder asks of a CSV."""
    row: Row = item.about["row"]
    span(row)
    entry = Entry(
        subject=row.get(group),
        action=row.name,
        label=row.label,
        rig=row.get("skeleton"),
        unit=number(row, "unit_to_m", at_least=1e-9),
        fps=number(row, "fps", at_least=1e-3),
    )
    return dataclasses.replace(item, about={"row": row, "entry": entry})
