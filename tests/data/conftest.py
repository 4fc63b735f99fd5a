"""A dataset builder that reads one sequence from each word of its text files."""

from pathlib import Path

import pytest

from dstformer_jax.data import prepare as command
from dstformer_jax.data.prepare import load_builder

BUILDER = """
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence


@dataclass(frozen=True)
class LinesOptions:
    scale: float = option(1.0, "metres a line")
    tags: tuple[str, ...] = option((), "names, 100% free")
    loud: bool = option(False, "shout")
    wait: float = option(0.0, "seconds a file")


class Builder(SequenceBuilder):
    OPTIONS = LinesOptions
    EXPECTS = "a folder of .txt files"
    reads = Counter()

    def items(self, source):
        paths = sorted(source.glob("*.txt"))
        if not paths:
            raise ValueError(f"got {source} without .txt files, expected {self.EXPECTS}")
        return [Item(p.name, p, "test" if "test" in p.name else "train") for p in paths]

    def read(self, item, notes):
        Builder.reads[item.key] += 1
        time.sleep(self.options.wait)
        print("read", item.key, flush=True)
        lines = item.path.read_text().split()
        for number, word in enumerate(lines):
            pose = np.full((3 + number, 17, 3), float(word) * self.options.scale)
            yield Sequence(id=f"{item.key}:{number}", fps=30.0, pose=pose, subject=item.key,
                           landmarks=pose[:, :2], landmark_names=("left_toe", "right_toe"))
            notes["lines"] += 1
"""


@pytest.fixture(scope="session")
def builders(tmp_path_factory) -> Path:
    """A `datasets` folder with the one builder `lines`."""
    folder = tmp_path_factory.mktemp("datasets")
    package = folder / "lines"
    package.mkdir()
    for name in ("__init__.py", "TAGS.txt", "CITATIONS.bib"):
        (package / name).write_text("")
    (package / "README.md").write_text("Lines.")
    (package / "lines_dataset_builder.py").write_text(BUILDER)
    return folder


@pytest.fixture
def source(tmp_path, builders, monkeypatch) -> Path:
    """Four good files and a bad one."""
    monkeypatch.setattr(command, "BUILDERS", builders)
    load_builder("lines").reads.clear()  # pyright: ignore
    folder = tmp_path / "source"
    folder.mkdir()
    for name, text in {"a": "1 2", "b": "3", "c": "4", "d_test": "5", "bad": "6 six"}.items():
        (folder / f"{name}.txt").write_text(text)
    return folder
