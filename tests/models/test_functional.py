"""Layer normalisation, GELU and weighted sums: values and gradients against plain formulas."""

from math import erf

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.models.functional import LAYER_NORM_EPSILON, channel_sum, gelu, layer_norm

SHAPE = (2, 3, 5, 8)


def arrays(dtype: str = "float32") -> tuple[jax.Array, ...]:
    """An input off zero, scale, bias, and a gradient of the output."""
    rng = np.random.default_rng(0)
    x, gradient = rng.normal(3, 2, SHAPE), rng.normal(size=SHAPE)
    scale, bias = rng.normal(size=(2, SHAPE[-1])).astype(np.float32)
    return tuple(map(jnp.asarray, (x.astype(dtype), scale, bias, gradient.astype(dtype))))


def plain_layer_norm(x, scale, bias):
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
    return jnp.einsum("...c,c->...c", centred / deviation, scale) + jnp.broadcast_to(bias, x.shape)


@pytest.mark.parametrize(("dtype", "most"), [("float32", 2e-6), ("bfloat16", 0.03)])
def test_layer_norm_and_its_gradient(dtype, most):
    *inputs, gradient = arrays(dtype)
    found, pull = jax.vjp(layer_norm, *inputs)
    exact = [x.astype(jnp.float32) for x in (*inputs, gradient)]
    expected, expected_pull = jax.vjp(plain_layer_norm, *exact[:3])
    expected = (expected, *expected_pull(exact[3]))
    answers, like = (found, *pull(gradient)), (gradient, *inputs)
    assert [(a.shape, a.dtype) for a in answers] == [(a.shape, a.dtype) for a in like]
    for ours, theirs in zip(answers, expected, strict=True):
        size = np.abs(theirs).max()
        np.testing.assert_allclose(np.asarray(ours, float) / size, theirs / size, atol=most)


def test_layer_norm_can_be_differentiated_twice():
    *inputs, _ = arrays()

    def slope(norm, x):
        return (jax.grad(lambda x: (norm(x, *inputs[1:]) ** 3).sum())(x) ** 2).sum()

    found, expected = (jax.grad(slope, 1)(f, inputs[0]) for f in (layer_norm, plain_layer_norm))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_layer_norm_in_half_precision_is_that_of_flax():
    x, scale, bias, _ = arrays("bfloat16")
    norm = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, dtype=jnp.bfloat16)
    expected = norm.apply({"params": {"scale": scale, "bias": bias}}, x)
    found = layer_norm(x, scale, bias)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(np.float32(found), np.float32(expected), rtol=2**-7, atol=2**-9)


def test_layer_norm_far_from_zero_and_of_no_tokens():
    x, scale, bias, _ = arrays()
    near = layer_norm(x, scale, bias)
    np.testing.assert_allclose(layer_norm(x + 1000, scale, bias), near, atol=2e-3)
    none = jnp.zeros((0, *SHAPE[1:]))
    found, pull = jax.vjp(layer_norm, none, scale, bias)
    assert found.shape == none.shape
    assert [float(jnp.abs(each).sum()) for each in pull(found)] == [0, 0, 0]


def test_equal_channels_are_normalised_to_the_bias():
    _, scale, bias, _ = arrays()
    found = layer_norm(jnp.full(SHAPE, 7.0), scale, bias)
    np.testing.assert_array_equal(found, np.broadcast_to(bias, SHAPE))


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_channel_sum_on_each_device(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x, weights, *_ = arrays()
    expected = np.einsum("btjc,c->btj", np.float64(x), np.float64(weights))[..., None]
    np.testing.assert_allclose(channel_sum(x, weights), expected, rtol=1e-5, atol=1e-5)
    assert channel_sum(x.astype(jnp.bfloat16), weights).dtype == jnp.float32


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-6), ("bfloat16", 0.01)])
def test_gelu_and_its_slope_in_each_type(dtype, most):
    x = jnp.linspace(-6, 6, 601).astype(dtype)
    exact = np.asarray(x, np.float64)
    below = 0.5 * (1 + np.vectorize(erf)(exact / np.sqrt(2)))
    slope = below + exact * np.exp(-(exact**2) / 2) / np.sqrt(2 * np.pi)
    found = gelu(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(np.asarray(found, float), exact * below, rtol=most, atol=most)
    gradient = jax.vmap(jax.grad(gelu))(x)
    np.testing.assert_allclose(np.asarray(gradient, float), slope, rtol=most, atol=most)


@pytest.mark.parametrize(
    ("function", "arguments", "kept"),
    [
        # The input, and for the norm two numbers of a token; scale and bias are there anyway.
        (gelu, arrays()[:1], [SHAPE]),
        (layer_norm, arrays()[:3], [(30, 8), (30, 1), (30, 1)]),
    ],
)
def test_the_backward_pass_keeps_only_the_input(function, arguments, kept):
    _, pull = jax.vjp(function, *arguments)
    shapes = [leaf.shape for leaf in jax.tree.leaves(pull)]
    assert sorted(shape for shape in shapes if len(shape) > 1) == sorted(kept)
