"""Smooth curves of time: periodic splines through key values, and slow noise."""

from __future__ import annotations

import numpy as np


def spline(phase: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Periodic monotone cubic through `values` [K] at `keys` [K] in [0, 1); `phase` any numbers.

    Tangents are harmonic means of the neighbouring slopes and zero at turning points (Fritsch and
    Butland 1984), so a curve never overshoots its key poses.
    """
    if len(keys) == 1:
        return np.full(phase.shape, values[0])
    gaps = np.diff(np.append(keys, keys[0] + 1.0))
    slopes = np.diff(np.append(values, values[0])) / gaps
    before = np.roll(slopes, 1)
    product = before * slopes
    tangents = np.where(product > 0, 2 * product / np.where(product > 0, before + slopes, 1.0), 0.0)
    phase = np.mod(phase - keys[0], 1.0) + keys[0]
    left = np.searchsorted(keys, phase, side="right") - 1
    right = (left + 1) % len(keys)
    u = (phase - keys[left]) / gaps[left]
    gap = gaps[left]
    return (
        values[left] * (1 + 2 * u) * (1 - u) ** 2
        + gap * tangents[left] * u * (1 - u) ** 2
        + values[right] * u * u * (3 - 2 * u)
        + gap * tangents[right] * u * u * (u - 1)
    )


def slow_noise(
    rng: np.random.Generator, time: np.ndarray, scale: float, highest: float = 0.6
) -> np.ndarray:
    """A sum of five sinusoids below `highest` Hz with standard deviation `scale`; `time` [T] s."""
    rates = rng.uniform(0.05, highest, 5)[:, None]
    phases = rng.uniform(0, 2 * np.pi, 5)[:, None]
    sizes = rng.uniform(0.5, 1.0, 5)[:, None]
    waves = sizes * np.sin(2 * np.pi * rates * time + phases)
    return scale * waves.sum(0) / np.sqrt((sizes**2).sum() / 2)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing of [T] or [T, C] over time, `sigma` in frames; the ends lean inward."""
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    columns = values.reshape(len(values), -1).T
    inside = slice(reach, reach + len(values))
    total = np.convolve(np.ones(len(values)), kernel)[inside]
    return np.stack([np.convolve(c, kernel)[inside] / total for c in columns], -1).reshape(
        values.shape
    )
