"""Answers of an evaluation as files: one .npz a sequence (and fixed view) when it is complete."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.files.output import file_stem

Rows = dict[str, np.ndarray]


class ResultFiles:
    """Gathers the windows of each sequence and writes its frames.

    Windows come in the order of the index table, so a sequence is written, and forgotten, as soon
    as its last window is there: vertices of a whole test set would not fit in memory. A file holds
    the arrays of `Task.results` [F, ...], frames int64 [F] (from 0, those that a window covers),
    sequence, fps and view (yaw and pitch in degrees, NaN: not turned).
    """

    def __init__(self, folder: Path, index: Mapping[str, Any], starts: Mapping[str, int]):
        """Starts the files of one source.

        Args:
          folder: is made when the first file is written.
          index: the host table of the evaluation, see `data.pipeline.index_table`.
          starts: sequence -> its first frame in the bank.

        Raises:
          ValueError: two sequences whose ids give one file name.
        """
        self._folder, self._index, self._starts = folder, index, starts
        self._names = file_names(index["sequence"], index["view"])
        self._last = {name: row for row, name in enumerate(self._names)}
        self._waiting: dict[str, list[tuple[int, Rows]]] = {}

    def add(self, rows: Rows) -> None:
        """Takes the results of a batch, [B, T, ...] arrays and "index" [B] (-1: only fills)."""
        index = rows["index"].tolist()
        for place in np.argsort(index, kind="stable"):
            row = index[place]
            if row < 0:
                continue
            clip = {name: array[place] for name, array in rows.items() if name != "index"}
            name = self._names[row]
            self._waiting.setdefault(name, []).append((row, clip))
            if row == self._last[name]:
                self._write(name, self._waiting.pop(name))

    def _write(self, name: str, clips: list[tuple[int, Rows]]) -> None:
        """Writes one file, complete or not at all."""
        rows = np.array([row for row, _ in clips])
        frames, chosen = one_a_frame(self._index["frames"][rows], self._index["valid"][rows])
        arrays = {
            key: np.concatenate([clip[key] for _, clip in clips])[chosen] for key in clips[0][1]
        }
        sequence = str(self._index["sequence"][rows[0]])
        facts = {key: self._index[key][rows[0]] for key in ("sequence", "fps", "view")}
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.npz"
        partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
        with partial.open("wb") as file:
            np.savez(file, **arrays, frames=frames - self._starts[sequence], **facts)
        partial.replace(path)


def one_a_frame(frames: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which place of some windows gives each frame: where it is nearest to a window's middle.

    Args:
      frames: int [N, T] of N windows.
      valid: bool [N, T], places that do not only pad.

    Returns:
      the frames in order, int [F], and for each its place among the N * T, int [F].
    """
    length = frames.shape[1]
    off = np.abs(np.arange(length) - (length - 1) / 2)
    places = np.flatnonzero(valid)
    flat = frames.reshape(-1)[places]
    order = np.lexsort((np.tile(off, len(frames))[places], flat))
    unique, first = np.unique(flat[order], return_index=True)
    return unique, places[order][first]


def file_names(sequences: np.ndarray, views: np.ndarray) -> list[str]:
    """A file name without ending for each of N rows: the sequence, and the view where it is fixed.

    Raises:
      ValueError: two sequences of one name.
    """
    owners: dict[str, str] = {}
    names = []
    for sequence, (yaw, pitch) in zip(map(str, sequences), views.tolist(), strict=True):
        stem = file_stem(sequence)
        if owners.setdefault(stem, sequence) != sequence:
            raise ValueError(
                f"got sequences {owners[stem]!r} and {sequence!r}, whose results would both be "
                f"{stem}.npz, expected ids that differ in letters or digits"
            )
        names.append(stem if np.isnan(yaw) else f"{stem}_yaw{yaw:g}_pitch{pitch:g}")
    return names
