"""The curve from spread to error: found in made-up data, never falling, applied where it holds."""

import json

import numpy as np
import pytest
from fixtures_lift import Leaning, wander
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.inference import STARTER, load
from dstformer_jax.lift import Lifter, lift
from dstformer_jax.lift.calibration import Calibration, Curve
from dstformer_jax.lift.measure.uncertainty import rank_correlation

KNOWN = {
    "seen": {"a": 1.0, "b": 0.5, "c": 0.02},
    "missing": {"a": 2.0, "b": 0.5, "c": 0.05},
    "flip": True,
    "overlap": 0.5,
    "frames": 9,
}


@pytest.mark.parametrize("true", [Curve(0.8, 0.6, 0.01), Curve(0.3, 1.0, 0.0), Curve(0, 1, 0.04)])
def test_a_curve_is_recovered_from_made_up_errors(true):
    rng = np.random.default_rng(0)
    spread = rng.gamma(2, 0.02, 20_000)
    error = true(spread) * rng.gamma(4, 1 / 4, spread.shape)  # of mean 1
    found = Curve.fit(spread, error)
    at = np.quantile(spread, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(found(at), true(at), rtol=0.05)


values = arrays(np.float64, 12, elements=st.floats(0, 3))


@given(values, values)
def test_a_fitted_curve_never_falls(spread, error):
    found = Curve.fit(spread, error)
    expected = found(np.linspace(0, 4, 50))
    assert np.isfinite(expected).all()
    assert expected[0] >= 0
    assert (np.diff(expected) >= 0).all()


def test_too_little_to_fit_is_told():
    with pytest.raises(ValueError, match="2 joints"):
        Curve.fit(np.ones(2), np.ones(2))


def swaying(model: Leaning, **settings) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Uncertainty, confidence and notes of a lifted motion of 20 frames with a hole."""
    motion = wander(20)
    motion[5, 3, 2] = 0
    seen = Motion((Track(0, 0, motion[..., :2], motion[..., 2]),), H36M17, fps=30)
    lifted = lift(seen, Lifter(model, **{"batch": 2, **settings}))
    (track,) = lifted
    return track.uncertainty, track.confidence, lifted.notes


class Unsure(Leaning):
    """Answers that depend on the window."""

    def lift(self, motion: np.ndarray) -> np.ndarray:
        shift = np.random.default_rng(0).normal(0, 0.1, (len(motion), 1, *motion.shape[2:]))
        return super().lift(motion) + shift


def test_uncertainty_is_the_expected_error_where_a_calibration_holds():
    raw, confidence, notes = swaying(Unsure())
    assert any("no errors were fitted" in note for note in notes)
    model = Unsure()
    model.info = {"calibration": KNOWN}
    expected, _, notes = swaying(model)
    assert any("fitted on people" in note for note in notes)
    np.testing.assert_allclose(
        expected[:, 1:],
        np.where(confidence <= 0.05, 2 * raw**0.5 + 0.05, raw**0.5 + 0.02)[:, 1:],
        rtol=1e-4,
    )
    assert confidence[5, 3] == np.float32(0.05)
    assert not expected[:, 0].any()


@pytest.mark.parametrize("settings", [{"flip": False}, {"overlap": 0.25}, {"frames": 5}])
def test_other_settings_keep_the_spread(settings):
    model = Unsure()
    model.info = {"calibration": KNOWN}
    calibrated, _, notes = swaying(model, **settings)
    plain, _, _ = swaying(Unsure(), **settings)
    np.testing.assert_array_equal(calibrated, plain)
    assert any("no errors were fitted" in note for note in notes)


def test_the_shipped_calibration_is_that_of_the_shipped_weights():
    model = load()
    values = json.loads(STARTER.with_suffix(".calibration.json").read_text())
    assert model.info["calibration"] == values
    assert values["step"] == model.info["step"]
    found = Calibration.of(Lifter(model))
    assert found is not None
    spread = np.linspace(0, 0.2, 20)
    for curve in (found.seen, found.missing):
        assert (np.diff(curve(spread)) > 0).all()
        assert 0.005 < curve(np.array(0.02)) < 0.3


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    left = rng.normal(size=50)
    right = left + rng.normal(size=50)
    assert rank_correlation(left, right) == pytest.approx(spearmanr(left, right).statistic)
