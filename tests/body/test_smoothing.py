"""Filters over time: polynomials stay, noise shrinks, the one-euro filter is as published."""

import math

import numpy as np
import pytest

from dstformer_jax.body.smoothing import fill, one_euro, savitzky_golay


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 8, 30])
def test_polynomials_of_the_order_stay(frames):
    time = np.arange(frames)[:, None, None]
    motion = np.array([1.0, -0.5, 0.25]) + time * np.array([0.5, 1.0, 0]) + 0.1 * time**2
    np.testing.assert_allclose(savitzky_golay(motion, 9, 2), motion, atol=1e-9)


def test_the_middle_of_a_window_is_its_least_squares_fit():
    values = np.random.default_rng(0).normal(size=(40, 3))
    time = np.arange(-4, 5)
    fit = np.polynomial.polynomial.polyfit(time, values[10:19], 2)
    np.testing.assert_allclose(savitzky_golay(values, 9, 2)[14], fit[0], atol=1e-9)


def euro_of_one_number(values: list[float], fps: float, cutoff: float, beta: float) -> list[float]:
    """Written from the paper's algorithm 1 and 2."""

    def alpha(frequency: float) -> float:
        tau = 1 / (2 * math.pi * frequency)
        return 1 / (1 + tau * fps)

    out, last, speed = [values[0]], values[0], 0.0
    for value in values[1:]:
        slope = (value - last) * fps
        speed = alpha(1.0) * slope + (1 - alpha(1.0)) * speed
        share = alpha(cutoff + beta * abs(speed))
        last = share * value + (1 - share) * last
        out.append(last)
    return out


@pytest.mark.parametrize(("cutoff", "beta"), [(1.0, 0.0), (0.5, 2.0), (4.0, 0.7)])
def test_one_euro_is_the_published_filter(cutoff, beta):
    values = np.cumsum(np.random.default_rng(1).normal(size=(50, 2, 3)), axis=0)
    smooth = one_euro(values, 25.0, cutoff, beta)
    expected = euro_of_one_number(values[:, 1, 2].tolist(), 25.0, cutoff, beta)
    np.testing.assert_allclose(smooth[:, 1, 2], expected, rtol=1e-9)
    assert one_euro(values.astype(np.float32), 25.0).dtype == np.float32


def test_one_euro_keeps_what_stands_still_and_calms_noise():
    noise = np.random.default_rng(2).normal(size=(400, 5))
    assert one_euro(noise, 30.0, 1.0)[100:].std() < 0.5 * noise.std()
    np.testing.assert_array_equal(one_euro(np.full((9, 2), 3.0), 30.0), 3.0)


def test_mistakes_are_told():
    motion = np.zeros((20, 3))
    for window, order in ((8, 2), (3, 3), (9, -1)):
        with pytest.raises(ValueError, match=f"window={window}"):
            savitzky_golay(motion, window, order)
    for settings in ((0.0, 1.0, 0.0), (30.0, 0.0, 0.0), (30.0, 1.0, -1.0)):
        with pytest.raises(ValueError, match="expected positive"):
            one_euro(motion, *settings)


def test_gaps_are_filled_by_straight_lines():
    values = np.arange(6.0)[:, None, None] * np.array([[1.0, 2], [10, 20], [0, 0]])
    known = np.ones((6, 3), bool)
    known[[0, 2, 3], 0] = False
    known[4:, 1] = False
    known[:, 2] = False
    broken = np.where(known[..., None], values, -7)
    filled = fill(broken, known)
    np.testing.assert_allclose(filled[:, 0], np.maximum(values[:, 0], values[1, 0]))
    np.testing.assert_allclose(filled[:, 1], np.minimum(values[:, 1], values[3, 1]))
    np.testing.assert_array_equal(filled[:, 2], -7)
    np.testing.assert_array_equal(broken[0, 0], -7)
