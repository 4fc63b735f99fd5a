"""What another method might have answered: the truth with the faults that such methods have.

Answers frame by frame tremble with memory, now and then turn one joint wrong, and hang while a
person is hidden. A refiner starts from this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from detected_bvh.detector import autoregressive, spans

from dstformer_jax.body.rotations import to_matrix, to_vector


@dataclass(frozen=True)
class Guesser:
    """How badly it errs.

    noise: degrees, the standard deviation about each axis of every bone; memory: of this noise
    from one frame to the next at 30 fps; shape: standard deviation of every shape coefficient;
    outliers: share of frames in which one bone is turned wrong by `turned` degrees; freezes: how
    often a second the answer hangs, for `hang` seconds.
    """

    noise: float = 6.0
    memory: float = 0.9
    shape: float = 0.5
    outliers: float = 0.05
    turned: float = 40.0
    freezes: float = 0.1
    hang: float = 1.0

    def guess(
        self, turns: np.ndarray, shape: np.ndarray, fps: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Axis-angles [T, 3 B] and shape [T, S] guessed of rotations [T, B, 3, 3] and shape."""
        frames, bones = turns.shape[:2]
        memory = self.memory ** (30 / fps)
        spread = np.full(bones, np.radians(self.noise))
        guessed = turns @ to_matrix(autoregressive(frames, spread, memory, rng, axes=3))
        wrong = np.flatnonzero(rng.random(frames) < self.outliers)
        bone = rng.integers(bones, size=len(wrong))
        axis = rng.standard_normal((len(wrong), 3))
        axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
        guessed[wrong, bone] = guessed[wrong, bone] @ to_matrix(np.radians(self.turned) * axis)
        spread = np.full(shape.shape[1], self.shape)
        body = shape + autoregressive(frames, spread, memory, rng, axes=1)[..., 0]
        for hanging in spans(frames, self.freezes, (self.hang, self.hang), fps, rng):
            guessed[hanging] = guessed[hanging.start]
            body[hanging] = body[hanging.start]
        return to_vector(guessed).reshape(frames, -1), body
