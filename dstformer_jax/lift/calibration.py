"""From the spread of a network's answers to the error that is to be expected of a joint.

The constants stand beside the weights, in `<weights>.calibration.json`; they are fitted by
`python -m dstformer_jax.lift.measure uncertainty` on people whom the network has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.lift.lifter import FILLED, Lifter

POWERS = np.linspace(0.05, 2.0, 40)
RAW = "Uncertainty: the spread of the answers that were averaged; no errors were fitted to it."
FITTED = (
    "Uncertainty: the error that is to be expected of a joint, relative to the root, fitted on "
    "people whom the network had not seen; errors of an assumed size come on top."
)


@dataclass(frozen=True)
class Curve:
    """Expected error a s^b + c of spread s, both in metres; a, b, c >= 0, so it never falls."""

    a: float
    b: float
    c: float

    def __call__(self, spread: np.ndarray) -> np.ndarray:
        """Of any shape."""
        return self.a * np.power(spread, self.b) + self.c

    @classmethod
    def fit(cls, spread: np.ndarray, error: np.ndarray) -> Curve:
        """Least squares on pairs [N]: the mean error at each spread.

        Raises:
          ValueError: fewer than three pairs.
        """
        if len(spread) < 3:
            raise ValueError(f"got {len(spread)} joints to fit, expected 3 or more")
        curves = [_at_power(spread, error, power) for power in POWERS]
        return min(curves, key=lambda curve: float(((curve(spread) - error) ** 2).sum()))


def _at_power(spread: np.ndarray, error: np.ndarray, power: float) -> Curve:
    """The best a and c at one b, neither below 0."""
    rising = spread**power
    centred = rising - rising.mean()
    slope = max(float(centred @ error) / max(float(centred @ centred), 1e-12), 0.0)
    offset = float(error.mean() - slope * rising.mean())
    if offset < 0:
        slope, offset = float(rising @ error) / max(float(rising @ rising), 1e-12), 0.0
    return Curve(slope, float(power), offset)


@dataclass(frozen=True)
class Calibration:
    """Curves of joints that a detector saw and of those that the network filled in.

    They hold for answers that were averaged as in the fit: with flips or without, with windows that
    overlap so far, and are so long.
    """

    seen: Curve
    missing: Curve
    flip: bool
    overlap: float
    frames: int

    @classmethod
    def of(cls, lifter: Lifter) -> Calibration | None:
        """What stands beside the lifter's weights, if it holds for its settings."""
        values: Mapping[str, Any] | None = lifter.model.info.get("calibration")
        if not values:
            return None
        seen, missing = (Curve(**values[name]) for name in ("seen", "missing"))
        found = cls(seen, missing, values["flip"], values["overlap"], values["frames"])
        same = (found.flip, found.overlap, found.frames) == _settings(lifter)
        return found if same else None

    @classmethod
    def fit(
        cls, lifter: Lifter, spread: np.ndarray, error: np.ndarray, missing: np.ndarray
    ) -> Calibration:
        """Of joints [N]: spread and error in metres, and whether the joint was missing."""
        seen, unseen = (Curve.fit(spread[rows], error[rows]) for rows in (~missing, missing))
        return cls(seen, unseen, *_settings(lifter))

    def __call__(self, spread: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """Expected error in metres of joints with this spread, both of one shape."""
        return np.where(confidence <= FILLED, self.missing(spread), self.seen(spread))


def calibrated(motion: Motion, lifter: Lifter) -> Motion:
    """A motion in metres whose uncertainty is an expected error, where a calibration is known.

    The root stays at 0: errors are relative to it. Notes say which of both the numbers are.
    """
    calibration = Calibration.of(lifter)
    if calibration is None:
        return replace(motion, notes=(*motion.notes, RAW))
    tracks = []
    for track in motion:
        assert track.uncertainty is not None
        expected = calibration(track.uncertainty, track.confidence)
        expected[:, [parent < 0 for parent in motion.skeleton.parents]] = 0
        tracks.append(replace(track, uncertainty=expected))
    return replace(motion, tracks=tuple(tracks), notes=(*motion.notes, FITTED))


def _settings(lifter: Lifter) -> tuple[bool, float, int]:
    return lifter.flip, lifter.overlap, lifter.window
