"""The official loader's moves, which add up: every draw of a clip moves what the last one left.

That loader turns, scales and shifts its stored array in place (reference 3.10), so a clip of the
tenth epoch has been moved ten times. Nothing is stored here: the moves of all earlier draws follow
from the plan, and what they make of a clip together is one turn, scale and shift of each frame. So
a run that resumes sees what an uninterrupted one does.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from .clips import ClipDraws, draw_clips
from .people import along
from .plan import Plan
from .sources import SourceData


class Accumulated:
    """What the draws of one source of a plan have made of its clips."""

    def __init__(self, plan: Plan, source: int, data: SourceData) -> None:
        self._plan, self._source, self._data = plan, source, data
        self._starts: dict[int, np.ndarray] = {}  # of the two latest passes
        self._lock = Lock()  # batches are made in several threads

    def before(self, draw: int) -> np.ndarray:
        """The earlier moves of the clips of a draw, complex64 [B, T, 2]: see `compose`."""
        plan, source = self._plan, self._source
        pass_ = draw // plan.batches[source]
        rows = plan.windows(source, draw)
        moves = self._start(pass_)[rows]
        if self._data.source.per_class:  # a clip may come several times in a pass
            for earlier in range(pass_ * plan.batches[source], draw):
                _, mine, theirs = np.intersect1d(
                    rows, plan.windows(source, earlier), assume_unique=True, return_indices=True
                )
                if len(mine):
                    moves[mine] = compose(moves[mine], self._ends(earlier)[theirs])
        return moves

    def _start(self, pass_: int) -> np.ndarray:
        """The moves of all clips before a pass, complex64 [N, T, 2]."""
        with self._lock:
            if pass_ not in self._starts:
                self._starts = self._followed(pass_)
            return self._starts[pass_]

    def _followed(self, pass_: int) -> dict[int, np.ndarray]:
        """`_starts` of a pass and the one before it, from the nearest that is known."""
        at = max((each for each in self._starts if each < pass_), default=0)
        starts = {at: self._starts.get(at, self._still())}
        size = self._plan.batches[self._source]
        while at < pass_:
            moves = starts[at].copy()
            for draw in range(at * size, (at + 1) * size):
                rows = self._plan.windows(self._source, draw)
                moves[rows] = compose(moves[rows], self._ends(draw))
            starts = {at: starts[at], at + 1: moves}
            at += 1
        return starts

    def _still(self) -> np.ndarray:
        """No moves of any clip."""
        return np.tile(
            np.array([1, 0], np.complex64),
            (len(self._data.windows), self._data.source.frames, 1),
        )

    def _ends(self, draw: int) -> np.ndarray:
        """What a draw moves its clips by, float32 [B, 2, 4]."""
        rng = self._plan.generator(self._source, draw)
        draws: ClipDraws = draw_clips(rng, self._data.source, self._data.resamples)
        assert draws.move is not None
        return draws.move


def compose(moves: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Moves complex64 [B, T, 2] and then those drawn as `ends` [B, 2, 4], as `people.move` moves.

    A move of a frame is (a, b): x + iy becomes a (x + iy) + b.
    """
    angle, scale, right, down = np.moveaxis(along(ends, moves.shape[1]), -1, 0)
    turn = scale * np.exp(1j * np.radians(angle))
    shift = right + 1j * down
    return np.stack([turn * moves[..., 0], turn * moves[..., 1] + shift], -1).astype(np.complex64)
