"""Body heads against the official SMPLRegressor and refiner (golden), and on their own terms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import savgol_filter

from dstformer_jax.body import rotations
from dstformer_jax.files.bodies import read_body
from dstformer_jax.models.heads_mesh import MeshHead, MeshRefiner, around

BONES, SHAPES = 24, 10


def tree(weights: dict[str, np.ndarray], prefix: str) -> dict:
    """Official weights as Flax variables; the names are the same."""
    params: dict = {}
    stats: dict = {}
    for key, value in weights.items():
        name, _, leaf = key.removeprefix(prefix).partition(".")
        if leaf == "weight" and name.startswith("bn"):
            params.setdefault(name, {})["scale"] = value
        elif leaf == "weight":
            params.setdefault(name, {})["kernel"] = value.T  # (out, in, k) -> (k, in, out)
        elif leaf == "bias":
            params.setdefault(name, {})["bias"] = value
        elif leaf in ("running_mean", "running_var"):
            stats.setdefault(name, {})[leaf.removeprefix("running_")] = value
        elif not leaf:
            stats[name] = value
    return {"params": params, "batch_stats": stats}


def chosen(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in arrays.items() if key.startswith(prefix)}


@pytest.fixture(scope="module")
def body(smpl_folder):
    return read_body(smpl_folder)


@pytest.fixture(scope="module")
def posed(body):
    """Compiled: prediction -> vertices and joints in mm, [N * T, ...]."""

    @jax.jit
    def pose(prediction):
        turns, beta = prediction["turns"], prediction["beta"]
        vertices = body.vertices(turns, beta).reshape(-1, 150, 3)
        return 1000 * vertices, 1000 * body.joints(turns, beta).reshape(-1, 17, 3)

    return pose


def same_rotations(found: np.ndarray, expected: np.ndarray) -> None:
    """Axis-angles may differ by full turns (the official sign at half turns)."""
    pair = [
        rotations.to_matrix(np.asarray(x, np.float64).reshape(-1, 3)) for x in (found, expected)
    ]
    np.testing.assert_allclose(*pair, atol=5e-6)


def test_head_matches_the_official_one(golden, posed):
    arrays = golden("e_mesh_head")
    head = MeshHead(BONES, SHAPES, hidden=48, dropout=0.0)
    variables = tree(chosen(arrays, "head/w/"), "head/w/")
    found = jax.jit(head.apply)(variables, arrays["head/feat"])
    same_rotations(found["theta"], arrays["head/eval/theta"][:, :72])
    np.testing.assert_allclose(
        found["beta"].reshape(-1, 10), arrays["head/eval/theta"][:, 72:], atol=2e-6
    )
    vertices, joints = posed(found)
    np.testing.assert_allclose(vertices, arrays["head/eval/verts"], atol=5e-3)  # mm
    np.testing.assert_allclose(joints, arrays["head/eval/kp_3d"], atol=5e-3)


def test_batch_statistics_match_the_official_ones(golden):
    arrays = golden("e_mesh_head")
    head = MeshHead(BONES, SHAPES, hidden=48, dropout=0.0)
    variables = tree(chosen(arrays, "head/w/"), "head/w/")
    apply = jax.jit(lambda v, x: head.apply(v, x, train=True, mutable=["batch_stats"]))
    found, updates = apply(variables, arrays["head/feat"])
    same_rotations(found["theta"], arrays["head/train_bn/theta"][:, :72])
    for name in ("bn1", "bn2"):
        for ours, theirs in (("mean", "running_mean"), ("var", "running_var")):
            np.testing.assert_allclose(
                updates["batch_stats"][name][ours],
                arrays[f"head/after_train/{name}.{theirs}"],
                rtol=1e-5,
                atol=1e-6,
            )
    np.testing.assert_array_equal(
        updates["batch_stats"]["init_pose"], arrays["head/w/init_pose"]
    )  # the mean pose does not move


def test_refiner_matches_the_official_one(golden, posed):
    arrays = golden("h_refine_head")
    head = MeshRefiner(BONES, SHAPES, hidden=24, dropout=0.0, form="conv")
    variables = tree(chosen(arrays, "w/"), "w/")
    found = jax.jit(head.apply)(
        variables,
        arrays["feat"],
        initial=arrays["init_pose_6d"].reshape(2, 6, 144),
        initial_beta=arrays["init_shape"],
    )
    same_rotations(found["theta"], arrays["eval/theta"][:, :72])
    vertices, joints = posed(found)
    np.testing.assert_allclose(vertices, arrays["eval/verts"], atol=5e-3)
    np.testing.assert_allclose(joints, arrays["eval/kp_3d"], atol=5e-3)


def test_a_new_head_answers_nearly_the_mean(golden):
    means = golden("synthetic_smpl")
    head = MeshHead(
        BONES,
        SHAPES,
        hidden=16,
        mean_pose=tuple(means["mean_pose"].tolist()),
        mean_shape=tuple(means["mean_shape"].tolist()),
    )
    features = jax.random.normal(jax.random.key(0), (2, 3, 17, 8))
    variables = jax.jit(head.init)(jax.random.key(1), features)
    small = jax.tree.map(lambda x: x, variables)
    for name in ("head_pose", "head_shape"):
        small["params"][name]["bias"] = jnp.zeros_like(small["params"][name]["bias"])
    found = jax.jit(head.apply)(small, features)
    mean = rotations.from_six(means["mean_pose"].reshape(24, 6))
    np.testing.assert_allclose(found["turns"][1, 2], mean, atol=0.05)
    np.testing.assert_allclose(found["beta"][1, 2], means["mean_shape"], atol=0.05)
    assert "init_pose" not in variables["params"]


def test_a_zero_residual_keeps_the_initial_prediction():
    """Where the official branch mixes two layouts of 6D and does not."""
    rng = np.random.default_rng(0)
    turns = rotations.to_matrix(rng.normal(size=(2, 5, 4, 3)).astype(np.float32))
    beta = rng.normal(size=(2, 5, 3)).astype(np.float32)
    initial = rotations.to_six(turns).reshape(2, 5, 24)
    for form, last in (("mlp", "residual"), ("conv", "head_pose")):
        head = MeshRefiner(4, 3, hidden=6, form=form, span=3)
        given = {"initial": initial, "initial_beta": beta}
        features = np.ones((2, 5, 17, 2), np.float32)
        variables = jax.jit(head.init)(jax.random.key(0), features, **given)
        variables["params"][last] = jax.tree.map(jnp.zeros_like, variables["params"][last])
        found = jax.jit(head.apply)(variables, features, **given)
        np.testing.assert_allclose(found["turns"], turns, atol=1e-6)
        one = np.broadcast_to(beta.mean(1, keepdims=True), beta.shape)
        np.testing.assert_allclose(found["beta"], one if form == "mlp" else beta, atol=1e-6)


def test_without_the_representation_nothing_of_it_matters():
    rng = np.random.default_rng(0)
    given = {"initial": np.ones((2, 5, 24), np.float32) + rng.normal(size=(2, 5, 24)) * 0.1}
    given["initial_beta"] = np.zeros((2, 5, 3), np.float32)
    given["initial"] = given["initial"].astype(np.float32)
    features = rng.normal(size=(2, 5, 17, 2)).astype(np.float32)
    for uses in (True, False):
        head = MeshRefiner(4, 3, hidden=6, use_representation=uses)
        variables = jax.jit(head.init)(jax.random.key(0), features, **given)
        apply = jax.jit(head.apply)
        first, second = (apply(variables, x, **given)["theta"] for x in (features, -features))
        assert np.array_equal(first, second) != uses


def test_a_smoothed_refiner_answers_its_answer_filtered():
    """Savitzky-Golay by scipy over the 6D of the answer without a filter."""
    rng = np.random.default_rng(0)
    initial = rng.normal(size=(2, 12, 24)).astype(np.float32)
    given = {"initial": initial, "initial_beta": np.zeros((2, 12, 3), np.float32)}
    features = rng.normal(size=(2, 12, 17, 2)).astype(np.float32)
    plain, smooth = (MeshRefiner(4, 3, hidden=6, smooth=window) for window in (0, 7))
    variables = jax.jit(plain.init)(jax.random.key(0), features, **given)
    variables["params"]["residual"] = jax.tree.map(jnp.zeros_like, variables["params"]["residual"])
    found = jax.jit(smooth.apply)(variables, features, **given)
    filtered = savgol_filter(initial, 7, 2, axis=1)
    expected = rotations.from_six(filtered.reshape(2, 12, 4, 6))
    np.testing.assert_allclose(found["turns"], expected, atol=1e-4)
    assert (
        np.abs(found["turns"] - jax.jit(plain.apply)(variables, features, **given)["turns"]).max()
        > 0.1
    )


def test_around_repeats_the_ends():
    values = jnp.arange(4.0).reshape(1, 4, 1)
    np.testing.assert_array_equal(
        around(values, 3)[0], [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    )


def test_bad_settings():
    features = jnp.zeros((1, 2, 17, 4))
    with pytest.raises(ValueError, match="got a mean pose of 5"):
        MeshHead(4, 3, mean_pose=(1.0,) * 5).init(jax.random.key(0), features)
    inputs = {"initial": jnp.zeros((1, 2, 24)), "initial_beta": jnp.zeros((1, 2, 3))}
    for changes in ({"form": "rnn"}, {"span": 2}):
        with pytest.raises(ValueError, match="expected mlp or conv and an odd span"):
            MeshRefiner(4, 3, **changes).init(jax.random.key(0), features, **inputs)
