"""Windows cover every frame, blend without seams, and the seam metric sees seams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstformer_jax.lift.windows import (
    Blend,
    blend_weights,
    mirrored,
    seam_ratio,
    window_rows,
)


@given(st.integers(1, 300), st.integers(1, 40), st.floats(0, 0.95))
def test_every_frame_is_in_a_window_and_windows_overlap(length, frames, overlap):
    rows = window_rows(length, frames, overlap)
    assert rows.shape[1] == frames
    assert set(rows.ravel().tolist()) == set(range(length))
    if length >= frames:
        assert (np.diff(rows, axis=1) == 1).all()
        steps = np.diff(rows[:, 0])
        assert (steps <= np.ceil(max(1, frames * (1 - overlap)))).all()


def test_short_motion_runs_back_and_forth():
    np.testing.assert_array_equal(window_rows(3, 8)[0], [0, 1, 2, 1, 0, 1, 2, 1])
    np.testing.assert_array_equal(window_rows(1, 4), [[0, 0, 0, 0]])
    np.testing.assert_array_equal(mirrored(np.arange(-3, 8), 4), [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1])


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_equal_answers_blend_to_themselves(overlap):
    pose = np.random.default_rng(0).normal(size=(50, 2, 3))
    blend, weights = Blend(50, 2), blend_weights(9, overlap)
    for rows in window_rows(50, 9, overlap):
        blend.add(rows, pose[rows], weights)
    np.testing.assert_allclose(blend.mean, pose, atol=1e-12)
    np.testing.assert_allclose(blend.spread, 0, atol=1e-6)


def test_mean_and_spread_are_those_of_numpy():
    rng = np.random.default_rng(1)
    blend, rows = Blend(4, 1), np.arange(4)
    answers, weights = rng.normal(size=(5, 4, 1, 3)), rng.uniform(0.1, 1, (5, 4))
    for answer, weight in zip(answers, weights, strict=True):
        blend.add(rows, answer, weight)
    mean = (answers * weights[..., None, None]).sum(0) / weights.sum(0)[:, None, None]
    square = (((answers - mean) ** 2).sum(-1) * weights[..., None]).sum(0) / weights.sum(0)[:, None]
    np.testing.assert_allclose(blend.mean, mean, atol=1e-12)
    np.testing.assert_allclose(blend.spread, np.sqrt(square), atol=1e-6)


def test_the_seam_metric_passes_blended_windows_and_fails_cut_ones():
    """Answers that are off by a constant of their window: what a network does at most."""
    rng = np.random.default_rng(2)
    length, frames = 3000, 27
    smooth = np.cumsum(rng.normal(size=(length, 17, 3)), axis=0)
    ratios = {}
    for overlap in (0.0, 0.5):
        rows = window_rows(length, frames, overlap)
        blend, weights = Blend(length, 17), blend_weights(frames, overlap)
        for window in rows:
            blend.add(window, smooth[window] + rng.normal(0, 4, (1, 17, 3)), weights)
        ratios[overlap] = seam_ratio(blend.mean, rows)
    assert ratios[0.5] == pytest.approx(1, abs=0.05)
    assert ratios[0.0] > 1.5


def test_mistakes_are_told():
    for arguments in ((0, 9, 0.5), (9, 0, 0.5), (9, 3, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            window_rows(*arguments)
    with pytest.raises(ValueError, match="single window"):
        seam_ratio(np.zeros((9, 17, 3)), window_rows(9, 9))
