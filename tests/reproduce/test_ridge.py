"""Per-frame regression: it finds what it can express, and answers as a network does."""

import numpy as np
import pytest

from dstformer_jax.reproduce import ridge


def batches(rule, count=20, clips=4, frames=9):
    """Batches whose pose is `rule` of their x, y and confidence; the last frame is padding."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        motion = rng.normal(size=(clips, frames, 17, 3)).astype(np.float32)
        target = rule(motion).astype(np.float32)
        target[:, -1] = 1e3
        valid = np.ones((clips, frames), bool)
        valid[:, -1] = False
        yield {"motion": motion, "target": target + 5, "valid": valid}


def error_of(found, rule):
    motion = np.random.default_rng(1).normal(size=(2, 9, 17, 3)).astype(np.float32)
    pose = np.asarray(found.apply({}, motion, False)["pose"])
    expected = rule(motion)
    return np.abs(pose - (expected - expected[..., :1, :])).mean()


def test_a_linear_map_is_found_by_linear_ridge(monkeypatch):
    turn = np.random.default_rng(2).normal(size=(3, 3))
    monkeypatch.setattr(ridge, "_some", lambda _: batches(lambda motion: motion @ turn))
    found = ridge.fit_ridge(None, linear=True)
    assert found.directions.shape == (51, 0)
    assert error_of(found, lambda motion: motion @ turn) < 0.02


def test_random_features_find_more_than_lines(monkeypatch):
    """A depth that bends with x, of frames that lie on a line."""

    def on_a_line(rng, *shape):
        places = rng.uniform(-2, 2, size=(*shape, 1, 1))
        return (places * np.ones((17, 3))).astype(np.float32)

    def rule(motion):
        return motion * (1, 1, 0) + np.sin(3 * motion[..., :1]) * np.arange(17)[:, None] * (0, 0, 1)

    made = [on_a_line(np.random.default_rng(seed), 4, 9) for seed in range(20)]
    known = [{"motion": m, "target": rule(m), "valid": np.ones((4, 9), bool)} for m in made]
    monkeypatch.setattr(ridge, "_some", lambda _: known)
    monkeypatch.setattr(ridge, "FEATURES", 256)
    held = on_a_line(np.random.default_rng(99), 2, 9)
    errors = []
    for linear in (True, False):
        pose = np.asarray(ridge.fit_ridge(None, linear).apply({}, held, False)["pose"])
        errors.append(np.abs(pose - (rule(held) - rule(held)[..., :1, :])).mean())
    assert errors[1] < 0.1 * errors[0]


def test_features_are_cosines_and_one():
    frames = np.random.default_rng(3).normal(size=(4, 51))
    directions, phases = np.ones((51, 2)), np.array([0.0, np.pi / 2])
    known = ridge.features(frames, directions, phases)
    np.testing.assert_allclose(known[:, 0], np.cos(frames.sum(1)))
    np.testing.assert_allclose(known[:, 1], -np.sin(frames.sum(1)), atol=1e-12)
    np.testing.assert_array_equal(known[:, 2], 1)


@pytest.mark.parametrize("every", [1, 3])
def test_padding_is_not_fitted(every):
    inputs, targets = ridge._frames(next(batches(lambda motion: every * motion)))
    assert inputs.shape == targets.shape == (4 * 8, 51)
    assert np.abs(targets).max() < 100
    np.testing.assert_allclose(targets[:, :3], 0, atol=1e-5)
