"""What a dataset builder has to say: which files there are, and how one becomes sequences.

A builder is a folder `datasets/<name>/` with `<name>_dataset_builder.py`, whose `Builder` extends
`SequenceBuilder`: `items` lists the files (or other units of work), `read` turns one into
`Sequence`s, and an `Options` dataclass holds its settings, each of which is a flag of `prepare`.
Everything else (bad files, progress, resuming, the report, the frame bank) is here and in prepare.
"""

from __future__ import annotations

import abc
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from .schema import NUM_JOINTS, Sequence, features, to_record


class Unfit(ValueError):
    """What `read` raises to stop a preparation as a whole: nothing is skipped, nothing written."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One unit of work, usually a file: it is read whole, or named as bad and skipped."""

    key: str  # unique and stable; what reports call it, e.g. the path below the source
    path: Path = Path()
    split: str = "train"
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # whatever `read` needs
    also: tuple[str, ...] = ()  # further splits it belongs to; it is read once

    @property
    def splits(self) -> tuple[str, ...]:
        """Every split that the sequences of this item go to."""
        return tuple(dict.fromkeys((self.split, *self.also)))


@dataclasses.dataclass(frozen=True)
class Options:
    """Settings of a builder without any."""


def option(default: Any, help: str) -> Any:
    """A field of an Options dataclass; its name is the flag and `help` explains it."""
    return dataclasses.field(default=default, metadata={"help": help})


class SequenceBuilder(tfds.core.GeneratorBasedBuilder):
    """A tfds builder of whole sequences in the schema of `schema.features()`.

    Args:
      options: the builder's settings (an instance of its OPTIONS).
      source: folder to read; None takes tfds's manual_dir.
      chosen: the items to write, in place of `items`.
      parsed: sequences of an item that were read before, in place of `read` (prepare's cache).
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Give the folder to read (prepare: --source)."
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}  # pyright: ignore
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [  # pyright: ignore
        tfds.core.BuilderConfig(name="default")
    ]
    OPTIONS: ClassVar[type] = Options
    NEEDS_SOURCE: ClassVar[bool] = True
    EXPECTS: ClassVar[str] = "a folder"  # what --source should be, in words

    def __init__(
        self,
        *,
        options: Any = None,
        source: str | Path | None = None,
        chosen: list[Item] | None = None,
        parsed: Callable[[Item], Iterable[Sequence]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.options = options or self.OPTIONS()
        self.source = Path(source) if source else None
        self.chosen = chosen
        self.parsed = parsed
        self.notes: Counter[str] = Counter()  # what `items` counted, for the report
        super().__init__(**kwargs)

    @property
    def num_joints(self) -> int:
        """Joints J of its sequences."""
        return NUM_JOINTS

    @abc.abstractmethod
    def items(self, source: Path) -> list[Item]:
        """The units of work in `source`; ValueError saying what was expected when it is wrong."""

    @abc.abstractmethod
    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The sequences of one item; an exception marks it as bad (but for `Unfit`).

        `notes` feed the report.
        """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=features(self.num_joints), disable_shuffling=True
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        items = self.chosen
        if items is None:
            manual = dl_manager.manual_dir if self.NEEDS_SOURCE and not self.source else "."
            items = self.items(self.source or Path(manual))
        splits = dict.fromkeys(split for item in items for split in item.splits)
        return {split: self._generate_examples(items, split) for split in splits}

    def _generate_examples(self, items: list[Item], split: str) -> Iterator[tuple[int, Any]]:
        # Keys are positions: the order of the files is the order of the records.
        chosen = (item for item in items if split in item.splits)
        sequences = (sequence for item in chosen for sequence in self._sequences(item))
        for position, sequence in enumerate(sequences):
            yield position, to_record(sequence)

    def _sequences(self, item: Item) -> Iterable[Sequence]:
        return self.parsed(item) if self.parsed else self.read(item, Counter())
