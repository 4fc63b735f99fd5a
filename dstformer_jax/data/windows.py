"""Windows: which frames of a bank the clips of a source are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """The clips of a source: N windows of its bank."""

    spans: np.ndarray  # int32 [N, 2]: first frame in the bank, length (< T when short)
    sequence: np.ndarray  # int32 [N]: which sequence
    resampled: np.ndarray  # bool [N]: stretched to T frames instead of padded

    def __len__(self) -> int:
        return len(self.spans)

    def where(self, keep: np.ndarray) -> Windows:
        """The windows where `keep` (bool [N]) is True, or those that it numbers (int)."""
        return Windows(self.spans[keep], self.sequence[keep], self.resampled[keep])


def whole_windows(lengths: np.ndarray) -> Windows:
    """One window for each sequence, to be stretched or thinned to T frames."""
    lengths = np.asarray(lengths, np.int64)
    spans = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1).astype(np.int32)
    return Windows(spans, np.arange(len(lengths), dtype=np.int32), np.ones(len(lengths), bool))


def index_windows(
    lengths: np.ndarray, frames: int, stride: int, short: str = "resample", tail: str = "drop"
) -> Windows:
    """Windows of `frames` every `stride` frames of sequences that lie end to end.

    Follows the official split_clips (reference 3.2), except that the last sequence is treated
    like all others (there it is lost when it is short) and that tails may be kept.

    lengths: int [S], frames of every sequence. short: what becomes of sequences shorter than a
    window ("resample" | "pad" | "drop"); tail: of the frames after the last full window
    ("drop" | "pad").
    """
    lengths = np.asarray(lengths, np.int64)
    starts = np.cumsum(lengths) - lengths
    full = np.maximum((lengths - frames) // stride + 1, 0)
    covered = np.where(full > 0, (full - 1) * stride + frames, 0)
    is_short = lengths < frames
    # With gaps between windows (stride > frames) a tail may end before the next window begins.
    has_tail = (lengths > covered) & (lengths > full * stride)
    extra = np.where(is_short, short != "drop", (tail == "pad") & has_tail)
    counts = full + extra
    sequence = np.repeat(np.arange(len(lengths)), counts)
    order = np.arange(len(sequence)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = order * stride
    span = np.minimum(frames, lengths[sequence] - first)
    return Windows(
        spans=np.stack([starts[sequence] + first, span], axis=1).astype(np.int32),
        sequence=sequence.astype(np.int32),
        resampled=is_short[sequence] & (short == "resample"),
    )


def few(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Numbers of `count` clips of each class, repeated to as many as all clips are.

    So a pass over few clips is as many steps as one over all: budgets stay equal. Fewer clips of
    the same seed are among more of them.

    labels: int [N]. Returns int64 [N].
    """
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.resize(np.concatenate([rows[:count] for rows in members]), len(labels))
