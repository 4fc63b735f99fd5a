import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.spatial.transform import Rotation

from dstformer_jax.body.rotations import (
    flip_vectors,
    from_six,
    to_matrix,
    to_quaternion,
    to_six,
    to_vector,
    to_zxy,
)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """float32 [200, 3] of angles from 0 to almost pi, tiny ones among them."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(200, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    angles = np.concatenate([np.logspace(-8, 0, 100), rng.uniform(0, np.pi - 1e-3, 100)])
    return (axes * angles[:, None]).astype(np.float32)


def test_vectors_to_matrices_match_the_official_code(golden):
    arrays = golden("c_mesh_loss_rot")
    np.testing.assert_allclose(to_matrix(arrays["rod/aa"]), arrays["rod/R"], atol=2e-6)


def test_matrices_to_vectors_match_the_official_code(golden):
    """Where the official code is sound: its angles at half turns may differ by the axis' sign."""
    arrays = golden("c_mesh_loss_rot")
    back = to_vector(arrays["rod/R"])
    official = arrays["rod/back"]
    sound = np.linalg.norm(official, axis=-1) < 3.1
    assert sound.sum() >= 15
    np.testing.assert_allclose(back[sound], official[sound], atol=2e-5)
    np.testing.assert_allclose(to_matrix(back), arrays["rod/R"], atol=2e-6)


def test_vectors_survive_the_way_there_and_back(vectors):
    np.testing.assert_allclose(to_vector(to_matrix(vectors)), vectors, atol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_half_turns(axis):
    vector = np.pi * np.eye(3)[axis]
    matrix = to_matrix(vector)
    np.testing.assert_allclose(matrix, 2 * np.diag(np.eye(3)[axis]) - np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.abs(to_vector(matrix)), vector, atol=1e-7)


def test_matrices_match_jaxs_rotation_class(vectors):
    expected = Rotation.from_rotvec(jnp.asarray(vectors)).as_matrix()
    np.testing.assert_allclose(to_matrix(vectors), expected, atol=2e-6)
    np.testing.assert_allclose(jax.jit(lambda v: to_matrix(v, jnp))(vectors), expected, atol=2e-6)


def test_six_numbers_match_the_official_code(golden):
    arrays = golden("c_mesh_loss_rot")
    matrices = from_six(arrays["rot6d/in"])
    np.testing.assert_allclose(matrices, arrays["rot6d/R"], atol=2e-6)
    np.testing.assert_allclose(to_vector(matrices), arrays["rot6d/aa"], atol=2e-5)
    np.testing.assert_allclose(from_six(to_six(matrices)), matrices, atol=1e-6)


def test_mirrored_poses_match_the_official_code(golden):
    arrays = golden("c_mesh_loss_rot")
    given = arrays["flip_thetas/in"]
    np.testing.assert_array_equal(flip_vectors(given), arrays["flip_thetas/out"])
    batch = arrays["flip_thetas_batch/in"]
    flipped = flip_vectors(batch.reshape(*batch.shape[:-1], 24, 3)).reshape(batch.shape)
    np.testing.assert_array_equal(flipped, arrays["flip_thetas_batch/out"])


def test_gradients_are_finite_everywhere():
    """At rest, around the switch to the series, and at a half turn."""
    angles = jnp.array([0.0, 1e-12, 1e-4, 1e-3, 1.0, np.pi], jnp.float32)
    vectors = angles[:, None] * jnp.eye(1, 3)
    weights = jnp.arange(9.0).reshape(3, 3)

    def gradients(vector):
        there = jax.grad(lambda v: jnp.sum(weights * to_matrix(v, jnp)))(vector)
        back = jax.grad(lambda m: jnp.sum(to_vector(m, jnp)))(to_matrix(vector, jnp))
        return there, back

    there, back = jax.jit(jax.vmap(gradients))(vectors)
    assert np.isfinite(there).all()
    assert np.isfinite(back).all()
    # d R / d v at the identity is the cross product: w_ij - w_ji
    np.testing.assert_allclose(there[0], [7 - 5, 2 - 6, 3 - 1], atol=1e-5)


def test_gradients_of_degenerate_six_numbers_are_finite():
    gradient = jax.jit(jax.grad(lambda six: jnp.sum(from_six(six, jnp) ** 3)))(jnp.zeros(6))
    assert np.isfinite(gradient).all()


def test_quaternions_and_euler_angles_are_those_of_scipy(vectors):
    from scipy.spatial.transform import Rotation as Exact

    exact = Exact.from_rotvec(vectors.astype(np.float64))
    quaternions = to_quaternion(exact.as_matrix())
    assert (quaternions[:, 3] >= 0).all()
    np.testing.assert_allclose(quaternions, exact.as_quat(canonical=True), atol=1e-9)
    angles = to_zxy(exact.as_matrix())
    np.testing.assert_allclose(angles, exact.as_euler("ZXY"), atol=1e-7)


def test_locked_euler_angles_are_still_the_rotation():
    from scipy.spatial.transform import Rotation as Exact

    for middle in (90, -90):
        locked = Exact.from_euler("ZXY", [30, middle, 50], degrees=True).as_matrix()
        angles = to_zxy(locked)
        assert angles[2] == 0
        np.testing.assert_allclose(Exact.from_euler("ZXY", angles).as_matrix(), locked, atol=1e-9)
