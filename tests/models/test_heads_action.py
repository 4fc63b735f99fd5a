"""Heads of recognition against the same arithmetic in numpy and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.models.heads_action import ActionHead, EmbeddingHead, pool, unit

SHAPE = (3, 2, 5, 4, 6)  # B, M, T, J, C


@pytest.fixture(scope="module")
def representation() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def weights(layer: dict) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(layer["kernel"]), np.asarray(layer["bias"])


def test_action_head_is_pool_linear_normalise_relu_linear(representation):
    head = ActionHead(classes=7, hidden=8)
    variables = head.init(jax.random.key(0), representation)
    assert set(variables["params"]) == {"fc1", "bn", "fc2"}
    got = head.apply(variables, representation)
    pooled = representation.mean(axis=(1, 2)).reshape(3, -1)
    kernel, bias = weights(variables["params"]["fc1"])
    hidden = np.maximum((pooled @ kernel + bias) / np.sqrt(1 + 1e-5), 0)
    kernel, bias = weights(variables["params"]["fc2"])
    np.testing.assert_allclose(got, hidden @ kernel + bias, atol=2e-6)


def test_joints_are_flattened_before_channels_as_torch_does():
    """fc1's inputs are joint-major: a checkpoint's rows mean the same in both libraries."""
    one = np.zeros((1, 1, 1, 4, 6), np.float32)
    one[0, 0, 0, 2, 3] = 5.0
    assert np.flatnonzero(pool(jnp.asarray(one))[0]).tolist() == [2 * 6 + 3]


def test_training_uses_the_batch_and_moves_the_running_statistics(representation):
    head = ActionHead(classes=7, hidden=8, dropout=0.0)
    variables = head.init(jax.random.key(0), representation)
    got, updates = head.apply(variables, representation, train=True, mutable=["batch_stats"])
    kernel, bias = weights(variables["params"]["fc1"])
    hidden = representation.mean(axis=(1, 2)).reshape(3, -1) @ kernel + bias
    normal = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
    kernel, bias = weights(variables["params"]["fc2"])
    np.testing.assert_allclose(got, np.maximum(normal, 0) @ kernel + bias, atol=1e-5)
    moved = 0.9 + 0.1 * hidden.var(0, ddof=1)
    np.testing.assert_allclose(updates["batch_stats"]["bn"]["var"], moved, rtol=1e-5)


def test_a_probe_is_one_linear_layer(representation):
    head = ActionHead(classes=7, hidden=0)
    variables = head.init(jax.random.key(0), representation)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {"fc2"}
    assert variables["params"]["fc2"]["kernel"].shape == (4 * 6, 7)


def test_absent_people_are_averaged_in_or_left_out(representation):
    present = jnp.array([[True, False], [True, True], [False, False]])
    masked = pool(jnp.asarray(representation), present)
    frames = representation.mean(axis=2).reshape(3, 2, -1)
    np.testing.assert_allclose(masked[0], frames[0, 0], atol=1e-6)
    np.testing.assert_allclose(masked[1], frames[1].mean(0), atol=1e-6)
    np.testing.assert_array_equal(masked[2], 0)
    both = {}
    for absent in ("zeros", "masked"):
        head = ActionHead(classes=7, hidden=8, absent=absent)
        variables = head.init(jax.random.key(0), representation)
        both[absent] = head.apply(variables, representation, present=present)
    assert np.abs(both["zeros"][0] - both["masked"][0]).max() > 1e-3
    np.testing.assert_allclose(both["zeros"][1], both["masked"][1], atol=1e-6)


def test_one_person_needs_no_axis_of_people(representation):
    head = ActionHead(classes=7, hidden=8)
    variables = head.init(jax.random.key(0), representation[:, 0])
    alone = head.apply(variables, representation[:, 0])
    np.testing.assert_allclose(alone, head.apply(variables, representation[:, :1]), atol=1e-6)


def test_dropout_acts_in_training_only(representation):
    head = EmbeddingHead(hidden=8, dropout=0.5)
    variables = head.init(jax.random.key(0), representation)
    first, second = (
        head.apply(variables, representation, train=True, rngs={"dropout": jax.random.key(seed)})
        for seed in (1, 2)
    )
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(
        head.apply(variables, representation), head.apply(variables, representation)
    )


def test_embeddings_have_length_one_as_torchs_normalize(representation):
    torch = pytest.importorskip("torch")
    head = EmbeddingHead(hidden=8)
    variables = head.init(jax.random.key(0), representation)
    got = np.asarray(head.apply(variables, representation))
    kernel, bias = weights(variables["params"]["fc1"])
    plain = representation.mean(axis=(1, 2)).reshape(3, -1) @ kernel + bias
    want = torch.nn.functional.normalize(torch.tensor(plain), dim=-1).numpy()
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_array_equal(unit(jnp.zeros((2, 3))), 0)
    assert np.isfinite(jax.grad(lambda x: unit(x).sum())(jnp.zeros((2, 3)))).all()


def test_initialisation_is_torchs_default():
    """Weights and biases are uniform within inputs^-0.5, which is kaiming-uniform of a = sqrt 5."""
    wide = np.zeros((1, 1, 1, 17, 24), np.float32)
    params = ActionHead(classes=60, hidden=256).init(jax.random.key(0), wide)["params"]
    for name, inputs in (("fc1", 17 * 24), ("fc2", 256)):
        for values in weights(params[name]):
            bound = inputs**-0.5
            assert np.abs(values).max() <= bound
            assert abs(values.std() / (bound / 3**0.5) - 1) < 0.15


def test_an_unknown_treatment_of_absent_people_is_named(representation):
    head = ActionHead(classes=7, absent="ignored")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"got task\.absent='ignored', expected 'zeros'"):
        head.init(jax.random.key(0), representation)
