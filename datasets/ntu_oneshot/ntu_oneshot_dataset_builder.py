"""NTU RGB+D 120 -> its one-shot protocol: 100 classes to learn from, and one clip each of 20."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ntu.sequences import broken, chunks, class_names, to_sequence

from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.labels import read_classes, shown
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.pyskl import Annotation, Pyskl, read_pyskl

# Splits of the official file of the new classes (reference 3.10).
EXEMPLARS, TEST = "oneshot_train", "oneshot_val"
# The protocol of NTU RGB+D 120: every sixth class is new, and its exemplar is this clip of it.
NOVEL = tuple(range(0, 120, 6))
PROTOCOL = tuple(f"S{1 if label < 60 else 18:03d}C003P008R001A{label + 1:03d}" for label in NOVEL)


@dataclass(frozen=True)
class OneShotOptions:
    """Settings of the ntu_oneshot dataset."""

    novel: tuple[str, ...] = option(
        tuple(str(label) for label in NOVEL), "labels (from 0) of the classes to be recognised"
    )
    exemplars: str = option(
        "", "text file of exemplar ids [oneshot_train of the file, else the NTU 120 protocol]"
    )
    classes: str = option("", "text file of the class names, one a line in label order [NTU's own]")
    fps: float = option(30.0, "frames a second; the files do not say")
    official_confidence: bool = option(False, "scores in COCO order, as in the official code")
    official_rounding: bool = option(False, "compute in the file's float16, as the official code")


class Builder(SequenceBuilder):
    """Splits train (the other classes) and test (the new classes), each numbered from 0.

    The exemplars are in test, as the one-shot task wants them, and by themselves in exemplars.
    """

    OPTIONS = OneShotOptions
    EXPECTS = "ntu120_hrnet.pkl, ntu120_hrnet_oneshot.pkl, or a folder with either or both of them"
    _found: dict[str, Annotation]
    _labels: dict[int, int]
    _names: tuple[str, ...]

    def items(self, source: Path) -> list[Item]:
        """Clips some at a time, and one item for each record that is bad."""
        options: OneShotOptions = self.options
        novel = _numbers(options.novel)
        paths = _pickles(source, self.EXPECTS)
        files = [read_pyskl(path) for path in paths]
        self._found = {name: one for file in files for name, one in file.annotations.items()}
        self._names = class_names(options.classes, self._found, str(source))
        self._labels = _renumbered(len(self._names), novel)
        exemplars = _exemplars(options.exemplars, files, self._found)
        _check_exemplars(exemplars, self._found, novel, source)
        test = _test(files, self._found, novel, exemplars)
        train = [name for name, one in self._found.items() if one.label not in novel]
        if not train:
            self.notes["clips to learn from: none in this file (ntu120_hrnet.pkl has them)"] = 1
        ids = dict.fromkeys(train, ("train",)) | dict.fromkeys(exemplars, ("test", "exemplars"))
        bad = {name: reason for file in files for name, reason in file.bad.items()}
        return chunks(ids | dict.fromkeys(test, ("test",)), paths[0]) + broken(bad, paths[0])

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The clips of one item."""
        options: OneShotOptions = self.options
        if "error" in item.about:
            raise ValueError(item.about["error"])
        for name in item.about["ids"]:
            found = self._found[name]
            yield to_sequence(
                found,
                self._labels[found.label],
                self._names[found.label],
                options.fps,
                options.official_confidence,
                options.official_rounding,
            )


def _pickles(source: Path, expects: str) -> list[Path]:
    """The file itself, or those two of a folder; the one of the new classes last."""
    if source.is_file():
        return [source]
    paths = [source / f"ntu120_hrnet{part}.pkl" for part in ("", "_oneshot")]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise ValueError(f"got {source} with neither file, expected {expects}")
    return found


def _numbers(novel: tuple[str, ...]) -> tuple[int, ...]:
    if not novel or not all(text.isdecimal() for text in novel):
        raise ValueError(f"got --novel={','.join(novel)}, expected labels such as 0,6,12")
    return tuple(sorted({int(text) for text in novel}))


def _renumbered(count: int, novel: tuple[int, ...]) -> dict[int, int]:
    """Label of the file -> ours: new classes and the others are each counted from 0."""
    if novel[-1] >= count or len(novel) == count:
        raise ValueError(
            f"got new classes {shown(map(str, novel))} of {count}, expected some of "
            f"0 to {count - 1} and others left to learn from"
        )
    others = [label for label in range(count) if label not in novel]
    return {label: new for group in (novel, others) for new, label in enumerate(group)}


def _exemplars(given: str, files: list[Pyskl], found: Mapping[str, Annotation]) -> list[str]:
    if given:
        return list(read_classes(given))
    listed = [name for file in files for name in file.splits.get(EXEMPLARS, ())]
    return listed or [name for name in PROTOCOL if name in found]


def _check_exemplars(
    exemplars: list[str], found: Mapping[str, Annotation], novel: tuple[int, ...], source: Path
) -> None:
    """Refuses a set of exemplars that is not one clip of each new class."""
    absent = [name for name in exemplars if name not in found]
    if absent:
        raise ValueError(f"{source}: got no clip {shown(absent)}, expected all exemplars there")
    labels = Counter(found[name].label for name in exemplars)
    if labels != Counter(novel):
        lacking = sorted(set(novel) - labels.keys())
        extra = sorted(label for label, n in labels.items() if n > 1 or label not in novel)
        raise ValueError(
            f"{source}: got {len(exemplars)} exemplars, expected one of each of {len(novel)} new "
            f"classes (without one: {shown(map(str, lacking)) or 'none'}; too many: "
            f"{shown(map(str, extra)) or 'none'}); do give --novel and --exemplars"
        )


def _test(
    files: list[Pyskl],
    found: Mapping[str, Annotation],
    novel: tuple[int, ...],
    exemplars: list[str],
) -> list[str]:
    """The clips to recognise: oneshot_val, else all of the new classes that are no exemplars."""
    listed = [name for file in files for name in file.splits.get(TEST, ())]
    names = listed or list(found)
    return [
        name
        for name in names
        if name in found and found[name].label in novel and name not in exemplars
    ]
