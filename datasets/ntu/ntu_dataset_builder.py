"""PYSKL pickles of 2D skeletons (NTU RGB+D 60 and 120, FineGYM, your own) -> labelled motion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.labels import shown, split_name
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.pyskl import Pyskl, read_pyskl

from .sequences import broken, chunks, class_names, to_sequence


@dataclass(frozen=True)
class NtuOptions:
    """Settings of the ntu dataset."""

    classes: str = option(
        "", "text file of the class names, one a line in label order [NTU's own, else numbers]"
    )
    splits: tuple[str, ...] = option((), "splits to write, such as xsub_train,xsub_val [all]")
    fps: float = option(30.0, "frames a second; the files do not say")
    official_confidence: bool = option(False, "scores in COCO order, as in the official code")
    official_rounding: bool = option(False, "compute in the file's float16, as the official code")


class Builder(SequenceBuilder):
    """One sequence a clip, with the second person as partner; a clip may be in several splits."""

    OPTIONS = NtuOptions
    EXPECTS = "a PYSKL pickle such as ntu60_hrnet.pkl, or a folder with one"
    _file: Pyskl
    _names: tuple[str, ...]

    def items(self, source: Path) -> list[Item]:
        """Clips of the same splits, some at a time; one for each record that is bad or missing."""
        options: NtuOptions = self.options
        if not options.fps > 0:
            raise ValueError(f"got --fps={options.fps}, expected more than 0")
        path = _pickle(source, self.EXPECTS)
        self._file = read_pyskl(path)
        self._names = class_names(options.classes, self._file.annotations, str(path))
        chosen = _chosen(self._file, options.splits, path)
        ids: dict[str, list[str]] = {}
        for split, names in chosen.items():
            for name in dict.fromkeys(names):
                ids.setdefault(name, []).append(split_name(split))
        good = {name: ids[name] for name in self._file.annotations if name in ids}
        if not good:
            raise ValueError(f"{path}: got splits {shown(chosen)} without any clip of the file")
        self.notes["clips in no split, left out"] = len(self._file.annotations) - len(good)
        lost = {
            name: "got no annotation of this id, which a split names"
            for name in ids
            if name not in good and name not in self._file.bad
        }
        return chunks(good, path) + broken({**self._file.bad, **lost}, path)

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The clips of one item."""
        options: NtuOptions = self.options
        if "error" in item.about:
            raise ValueError(item.about["error"])
        for name in item.about["ids"]:
            found = self._file.annotations[name]
            notes["clips of two or more people"] += len(found.points) > 1
            notes["clips of more than two people, of which two are kept"] += len(found.points) > 2
            yield to_sequence(
                found,
                found.label,
                self._names[found.label],
                options.fps,
                options.official_confidence,
                options.official_rounding,
            )


def _pickle(source: Path, expects: str) -> Path:
    """The file itself, or the only pickle of a folder."""
    if source.is_file():
        return source
    found = sorted(source.glob("*.pkl"))
    if len(found) != 1:
        names = shown(path.name for path in found) or "no .pkl file"
        raise ValueError(f"got {source} with {names}, expected {expects}; do name the file")
    return found[0]


def _chosen(file: Pyskl, wanted: tuple[str, ...], path: Path) -> dict[str, tuple[str, ...]]:
    for name in wanted:
        if name not in file.splits:
            raise ValueError(
                f"{path}: got split {name!r}, expected one of {', '.join(file.splits)}"
            )
    return {name: file.splits[name] for name in wanted or file.splits}
