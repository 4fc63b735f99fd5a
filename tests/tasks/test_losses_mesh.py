"""Losses of body parameters against the official MeshLoss, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body import rotations
from dstformer_jax.tasks import losses, losses_mesh, metrics

OFFICIAL = {  # of their loss dict, and the weights of every official mesh configuration
    "loss_3d_pos": 0.5,
    "loss_3d_scale": 0.0,
    "loss_3d_velocity": 10.0,
    "loss_lv": 0.0,
    "loss_lg": 0.0,
    "loss_a": 0.0,
    "loss_av": 0.0,
    "loss_pose": 1000.0,
    "loss_shape": 1.0,
    "loss_norm": 20.0,
}


@pytest.fixture(scope="module")
def arrays(golden):
    return golden("c_mesh_loss_rot")


def turns(theta):
    return rotations.to_matrix(theta[..., :72].reshape(*theta.shape[:-1], 24, 3), jnp)


def official_terms(theta, joints, arrays, kind):
    """Theirs by ours; theta is (pose, shape), as they hold it."""
    pred, true = metrics.centre(joints), metrics.centre(arrays["gt_kp_3d"])
    target = arrays["gt_theta"]
    return {
        "loss_3d_pos": losses.mpjpe(pred, true),
        "loss_3d_scale": losses.n_mpjpe(pred, true),
        "loss_3d_velocity": losses.velocity(pred, true),
        "loss_lv": losses.limb_variance(pred),
        "loss_lg": losses.limb_length(pred, true),
        "loss_a": losses.angle(pred, true),
        "loss_av": losses.angle_velocity(pred, true),
        "loss_pose": losses_mesh.rotation(turns(theta), turns(target), kind),
        "loss_shape": losses_mesh.difference(theta[..., 72:], target[..., 72:], kind),
        "loss_norm": losses_mesh.parameter_norm(theta[..., :72], theta[..., 72:]),
    }


@pytest.mark.parametrize("kind", ["l1", "mse"])
def test_terms_total_and_gradients_are_the_official(arrays, kind):
    @jax.jit
    def run(theta, joints):
        def total(theta, joints):
            terms = official_terms(theta, joints, arrays, kind)
            return sum(weight * terms[name] for name, weight in OFFICIAL.items()), terms

        return jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(theta, joints)

    (total, terms), gradients = run(arrays["pred_theta"], arrays["pred_kp_3d"])
    prefix = kind.upper()
    for name, value in terms.items():
        np.testing.assert_allclose(value, arrays[f"{prefix}/{name}"], rtol=3e-6, err_msg=name)
    np.testing.assert_allclose(total, arrays[f"{prefix}/total_shipped_lambdas"], rtol=2e-6)
    for gradient, name in zip(gradients, ("grad_theta", "grad_kp"), strict=True):
        expected = arrays[f"{prefix}/{name}"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradient / scale, expected / scale, atol=5e-6, err_msg=name)


def test_the_papers_norms_are_apart():
    rng = np.random.default_rng(0)
    theta, beta = rng.normal(size=(2, 3, 9)), rng.normal(size=(2, 3, 4))
    lengths = [np.linalg.norm(x, axis=-1) for x in (theta, beta)]
    found = losses_mesh.parameter_norms(jnp.asarray(theta), jnp.asarray(beta))
    np.testing.assert_allclose(found, lengths[0].mean() + lengths[1].mean(), rtol=1e-6)
    both = losses_mesh.parameter_norm(jnp.asarray(theta), jnp.asarray(beta))
    np.testing.assert_allclose(both, np.hypot(*lengths).mean(), rtol=1e-6)
    assert both < found


def test_gradients_are_finite_at_rest():
    """Zero pose and shape, equal to the target: where norms and roots have no derivative."""

    def total(theta, beta):
        pose = rotations.to_matrix(theta.reshape(1, 2, 24, 3), jnp)
        return (
            losses_mesh.rotation(pose, jnp.broadcast_to(jnp.eye(3), pose.shape))
            + losses_mesh.parameter_norm(theta, beta)
            + losses_mesh.parameter_norms(theta, beta)
            + losses_mesh.difference(beta, beta)
        )

    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(
        jnp.zeros((1, 2, 72)), jnp.zeros((1, 2, 10))
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_padded_frames_do_not_count():
    rng = np.random.default_rng(1)
    pred, true = rng.normal(size=(2, 3, 5, 17, 3)).astype(np.float32)
    valid = np.ones((3, 5), bool)
    valid[1, 3:] = False
    valid[2] = False
    mean = losses_mesh.over_valid(jnp.asarray(valid), losses.plain_mean)
    found = losses_mesh.difference(jnp.asarray(pred), jnp.asarray(true), "mse", mean)
    np.testing.assert_allclose(found, ((pred - true)[valid] ** 2).mean(), rtol=1e-5)
    moved = losses.velocity(jnp.asarray(pred), jnp.asarray(true), mean)
    steps = np.linalg.norm(np.diff(pred - true, axis=1), axis=-1)
    counted = np.concatenate([steps[0], steps[1, :2]])
    np.testing.assert_allclose(moved, counted.mean(), rtol=1e-5)
    # What stands in padded frames changes nothing.
    pred[~valid] = 9
    again = losses_mesh.difference(jnp.asarray(pred), jnp.asarray(true), "mse", mean)
    np.testing.assert_allclose(again, found, rtol=1e-6)
