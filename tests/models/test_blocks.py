"""The halves of a stream: what may mix with what, and how dropped paths fall."""

from functools import partial
from math import erf

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.models.blocks import (
    Half,
    Mlp,
    Options,
    Stream,
    attend,
    embedding_initialiser,
    kernel_initialiser,
)

# Optimising these little programs costs more than running them.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
OPTIONS = Options(num_heads=2, mlp_ratio=2)


def tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def random_variables(module, x: np.ndarray):
    """Variables without zeros, so that nothing is blocked by its initial value."""
    init = partial(module.init, deterministic=True)
    shapes = jax.eval_shape(init, jax.random.key(0), x)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)


def swap(x):
    """Frames and joints change places."""
    return x.swapaxes(1, 2)


@pytest.mark.parametrize("size", [2, 5])  # of a head: less and more than what is attended to
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("axis", ["spatial", "temporal"])
def test_attention_equals_numpy(axis, swapped, size):
    query, key, value = (tokens(3, 2, 4, 3, 2, size)[i] for i in range(3))
    if swapped:
        mixed = swap(attend(*map(swap, (query, key, value)), axis, swapped=True))
    else:
        mixed = attend(query, key, value, axis)
    index = (slice(None), 2) if axis == "spatial" else (slice(None), slice(None), 1)
    q, k, v = (x[index] for x in (query, key, value))  # [B, N, H, D] of one frame or one joint
    logits = np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(size)
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = np.einsum("bhnm,bmhd->bnhd", weights, v)
    np.testing.assert_allclose(mixed[index], expected, rtol=0, atol=1e-6)


def test_cudnn_attention_says_where_it_runs():
    query = tokens(1, 2, 3, 2, 8)
    with pytest.raises(ValueError, match=r"'cudnn' on \w+ for float32 heads of size 8, expected"):
        attend(query, query, query, "temporal", "cudnn")
    with pytest.raises(ValueError, match="with attention dropout"):
        attend(query, query, query, "temporal", "cudnn", dropout=lambda weights: weights)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("axis", ["spatial", "temporal"])
def test_cudnn_attention_agrees(axis, swapped):
    query, key, value = (tokens(3, 2, 9, 17, 2, 16)[i].astype(jnp.bfloat16) for i in range(3))

    def loss(implementation, *arrays):
        mixed = attend(*arrays, axis, implementation, swapped=swapped).astype(jnp.float32)
        return (mixed * tokens(*mixed.shape)).sum(), mixed

    differentiate = jax.jit(jax.grad(loss, argnums=(1, 2, 3), has_aux=True), static_argnums=0)
    plain, fused = (differentiate(name, query, key, value) for name in ("xla", "cudnn"))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(fused), strict=True):
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        assert np.linalg.norm(a - b) < 0.02 * np.linalg.norm(a)


@pytest.mark.parametrize("axis", ["spatial", "temporal"])
def test_a_half_mixes_only_its_own_axis(axis):
    """Gradient of the output at one token: it reaches that token's frame, or its joint, alone."""
    half, x = Half(axis, OPTIONS), tokens(1, 4, 3, 8)
    variables = random_variables(half, x)

    def one_token(x):
        return half.apply(variables, x, True)[0, 2, 1].sum()

    touched = np.abs(quick(jax.grad(one_token))(x))[0].max(axis=-1) > 0
    expected = np.zeros((4, 3), bool)
    expected[(2, slice(None)) if axis == "spatial" else (slice(None), 1)] = True
    np.testing.assert_array_equal(touched, expected)


@pytest.mark.parametrize("order", ["st", "ts"])
def test_one_mlp_follows_both_attentions(order):
    stream = Stream(order, OPTIONS, one_mlp=True)
    shapes = random_variables(stream, tokens(1, 2, 3, 8))["params"]
    last = "temporal" if order == "st" else "spatial"
    assert [name for name, half in shapes.items() if "mlp" in half] == [last]


def test_mlp_uses_exact_gelu():
    mlp, x = Mlp(OPTIONS), tokens(1, 1, 5, 4)
    variables = random_variables(mlp, x)
    first, second = (variables["params"][name] for name in ("fc1", "fc2"))
    hidden = x @ first["kernel"] + first["bias"]
    exact = hidden * 0.5 * (1 + np.vectorize(erf)(hidden / np.sqrt(2)))
    expected = exact @ second["kernel"] + second["bias"]
    np.testing.assert_allclose(mlp.apply(variables, x, True), expected, rtol=0, atol=2e-6)


def test_post_norm_ends_in_a_layer_norm():
    half = Half("spatial", Options(num_heads=2, norm="post"))
    x = tokens(1, 2, 3, 8)
    variables = random_variables(half, x)
    variables["params"]["norm_mlp"] = {"scale": np.ones(8), "bias": np.zeros(8)}
    out = half.apply(variables, x, True)
    np.testing.assert_allclose(out.mean(axis=-1), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(axis=-1), 1, atol=1e-4)


def test_drop_path_drops_whole_frames_at_its_rate():
    rate, frames = 0.3, 2000
    half, x = Half("spatial", OPTIONS, drop_path=rate, with_mlp=False), tokens(2, frames, 3, 8)
    variables = random_variables(half, x)
    apply = quick(half.apply, static_argnums=2)
    branch = apply(variables, x, True) - x
    dropped = apply(variables, x, False, rngs={"dropout": jax.random.key(0)}) - x
    gone = np.asarray(jnp.abs(dropped).max(axis=(2, 3)) == 0)
    assert abs(gone.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / gone.size)
    np.testing.assert_allclose(dropped[~gone], branch[~gone] / (1 - rate), rtol=0, atol=2e-5)


def test_dropout_of_attention_weights_keeps_their_mean():
    half = Half("temporal", Options(num_heads=2, attention_dropout=0.5), with_mlp=False)
    x = tokens(1, 6, 3, 8)
    variables = random_variables(half, x)

    @quick
    def drawn(keys):
        return jax.vmap(lambda key: half.apply(variables, x, False, rngs={"dropout": key}))(keys)

    values = np.asarray(drawn(jax.random.split(jax.random.key(0), 500)))
    error = values.std(axis=0) / np.sqrt(len(values))
    assert error.min() > 0
    expected = half.apply(variables, x, True)
    assert (np.abs(values.mean(axis=0) - expected) < 5 * error).all()


def test_initialisers():
    """Official N(0, 0.02), never cut at two sigma; or unit gain whatever the width."""
    key = jax.random.key(0)
    for make in (kernel_initialiser, embedding_initialiser):
        official = make("official")(key, (64, 400))
        assert official.std() == pytest.approx(0.02, rel=0.02)
        assert np.abs(official).max() > 0.06
    assert kernel_initialiser("fan_in")(key, (64, 400)).std() == pytest.approx(1 / 8, rel=0.02)
    assert embedding_initialiser("fan_in")(key, (64, 400)).std() == pytest.approx(0.3, rel=0.02)
