"""Every loss term against the official values and gradients, closed forms and numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.tasks import losses

# Official name -> our term as a function of (pred, golden arrays).
TERMS = {
    "loss_mpjpe": lambda pred, a: losses.mpjpe(pred, a["target"]),
    "n_mpjpe": lambda pred, a: losses.n_mpjpe(pred, a["target"]),
    "loss_velocity": lambda pred, a: losses.velocity(pred, a["target"]),
    "loss_limb_var": lambda pred, a: losses.limb_variance(pred),
    "loss_limb_gt": lambda pred, a: losses.limb_length(pred, a["target"]),
    "loss_angle": lambda pred, a: losses.angle(pred, a["target"]),
    "loss_angle_velocity": lambda pred, a: losses.angle_velocity(pred, a["target"]),
    "weighted_mpjpe_full": lambda pred, a: losses.weighted_mpjpe(pred, a["target"], a["w_full"]),
    "weighted_mpjpe_sample": lambda pred, a: losses.weighted_mpjpe(
        pred, a["target"], a["w_sample"]
    ),
    "loss_2d_weighted": lambda pred, a: losses.reprojection(pred, a["target"], a["conf"]),
}


def with_gradient(term):
    """(pred, ...) -> the term and its gradient by pred, as one program: much faster to compile."""
    return jax.jit(jax.value_and_grad(term))


PAIRED = {
    name: with_gradient(getattr(losses, name))
    for name in ("mpjpe", "n_mpjpe", "velocity", "limb_length", "angle", "angle_velocity")
}


@pytest.fixture(scope="module")
def official(golden):
    return golden("c_losses")


@pytest.fixture
def poses() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pred, target = rng.normal(size=(2, 3, 5, 17, 3)).astype(np.float32)
    return pred, target


@pytest.mark.parametrize("name", TERMS)
def test_value_and_gradient_are_the_official_ones(official, name):
    value, gradient = with_gradient(TERMS[name])(jnp.asarray(official["pred"]), official)
    np.testing.assert_allclose(value, official[f"val/{name}"], rtol=3e-6)
    expected = official[f"grad/{name}"]
    scale = np.abs(expected).max()
    # The arc cosine of nearly straight limbs amplifies rounding.
    tolerance = 3e-5 if "angle" in name else 6e-6
    np.testing.assert_allclose(gradient, expected, rtol=6e-5, atol=tolerance * scale)


@pytest.mark.parametrize("name", TERMS)
def test_single_frame(official, name):
    one = {k: v[:, :1] if v.ndim > 2 else v for k, v in official.items()}
    value, gradient = with_gradient(TERMS[name])(jnp.asarray(one["pred"]), one)
    expected = official[f"valT1/{name}"]
    if np.isfinite(expected):  # the others were not computed
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_limbs_and_angles_are_the_official_ones(official):
    lengths = jax.jit(losses.limb_lengths)(official["pred"])
    np.testing.assert_allclose(lengths, official["get_limb_lens"], rtol=1e-6)
    angles = jax.jit(losses.angles)(official["pred"])
    np.testing.assert_allclose(angles, official["get_angles"], rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize("name", ["loss_mpjpe", "loss_velocity"])
def test_gradient_at_zero_error_is_zero(official, name):
    gradient = jax.jit(jax.grad(TERMS[name]))(jnp.asarray(official["target"]), official)
    np.testing.assert_array_equal(gradient, official[f"grad_at_zero/{name}"])


@pytest.mark.parametrize("name", PAIRED)
def test_finite_where_prediction_equals_target(poses, name):
    _, target = poses
    value, gradient = PAIRED[name](jnp.asarray(target), target)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", PAIRED)
def test_all_zero_prediction_is_finite(poses, name):
    _, target = poses
    value, gradient = PAIRED[name](jnp.zeros_like(target), target)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_all_zero_prediction_of_the_official_angle_loss(official):
    def loss(pred):
        return losses.angle(pred, official["target"])

    value, gradient = with_gradient(loss)(jnp.zeros_like(official["target"]))
    np.testing.assert_allclose(value, official["degenerate/loss_angle_zero_pred"], rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_n_mpjpe_of_an_all_zero_frame_is_the_size_of_the_target(poses):
    """The official code divides 0 by 0 here; a dead frame must not stop a run."""
    pred, target = poses
    dead = pred.copy()
    dead[0, 2] = 0
    n_mpjpe = jax.jit(lambda pred: losses.n_mpjpe(pred, target, mean=lambda values: values))
    per_frame = n_mpjpe(dead)
    np.testing.assert_allclose(
        per_frame[0, 2], np.linalg.norm(target[0, 2], axis=-1), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(per_frame[1:], n_mpjpe(pred)[1:])


def test_n_mpjpe_forgives_the_scale_of_each_frame(poses):
    _, target = poses
    scales = np.array([0.1, 3.0, 1.0, 20.0, 0.5], np.float32)[:, None, None]
    np.testing.assert_allclose(losses.n_mpjpe(jnp.asarray(target * scales), target), 0, atol=1e-6)


def test_zero_confidence_has_zero_gradient_and_stays_in_the_denominator(poses):
    pred, target = poses
    confidence = np.ones(pred.shape[:3], np.float32)
    confidence[0, 1, 4] = confidence[2] = 0
    gradient = jax.jit(jax.grad(losses.reprojection))(jnp.asarray(pred), target, confidence)
    assert np.isfinite(gradient).all()
    hidden = confidence == 0
    assert (np.asarray(gradient)[hidden] == 0).all()
    assert (np.abs(np.asarray(gradient)[~hidden][..., :2]).sum(-1) > 0).all()
    assert (np.asarray(gradient)[..., 2] == 0).all()
    error = np.linalg.norm((pred - target)[..., :2], axis=-1) * confidence
    value = losses.reprojection(jnp.asarray(pred), target, confidence)
    np.testing.assert_allclose(value, error.sum() / error.size, rtol=1e-6)
    flat = losses.reprojection(jnp.asarray(pred), target, confidence[..., None])
    np.testing.assert_allclose(value, flat, rtol=1e-7)


def test_reprojection_needs_no_depth(poses):
    pred, target = poses
    confidence = np.ones(pred.shape[:3], np.float32)
    flat = losses.reprojection(jnp.asarray(pred[..., :2]), target[..., :2], confidence)
    assert flat == losses.reprojection(jnp.asarray(pred), target, confidence)


def test_velocity_ignores_a_shift_and_limbs_a_turn(poses):
    pred, target = poses
    np.testing.assert_allclose(jax.jit(losses.velocity)(target + 3, target), 0, atol=1e-5)
    turned = target[..., [1, 2, 0]]
    np.testing.assert_allclose(jax.jit(losses.limb_length)(turned, target), 0, atol=1e-6)
    np.testing.assert_allclose(jax.jit(losses.angle)(turned, target), 0, atol=1e-4)
    still = np.repeat(pred[:, :1], 5, axis=1)
    np.testing.assert_allclose(jax.jit(losses.limb_variance)(still), 0, atol=1e-10)


def test_limb_variance_counts_valid_frames_only(poses):
    pred, _ = poses
    valid = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool)
    variance = jax.jit(losses.limb_variance)
    got = variance(pred, valid=valid)
    lengths = np.asarray(jax.jit(losses.limb_lengths)(pred))
    parts = [lengths[0].var(axis=0, ddof=1), lengths[1, :3].var(axis=0, ddof=1)]
    np.testing.assert_allclose(got, np.mean(parts), rtol=1e-5)
    whole = variance(pred, valid=np.ones((3, 5), bool))
    np.testing.assert_allclose(whole, variance(pred), rtol=1e-5)


def test_plain_mean_is_the_weighted_mean():
    rng = np.random.default_rng(1)
    values, weight = rng.normal(size=(4, 3, 5)), rng.uniform(size=(4, 3, 1))
    expected = np.average(values, weights=np.broadcast_to(weight, values.shape))
    got = losses.plain_mean(jnp.asarray(values), jnp.asarray(weight))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_allclose(losses.plain_mean(jnp.asarray(values)), values.mean(), rtol=1e-4)
    assert losses.plain_mean(jnp.asarray(values), jnp.zeros((4, 3, 1))) == 0
