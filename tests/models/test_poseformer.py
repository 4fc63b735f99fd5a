"""PoseFormer: sizes, order of its two transformers, position embeddings, options."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.models.poseformer import SIZES, PoseFormer

TINY = {"dim_feat": 8, "dim_rep": 4, "depth": 1, "num_heads": 4, "maxlen": 9}
# Optimising these little programs costs more than running them.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def random_params(network: PoseFormer, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    motion = jax.ShapeDtypeStruct((1, 1, 17, 3), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), motion)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes["params"])


def random_motion(*leading: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (*leading, 17, 3)).astype(np.float32)


def encode(network: PoseFormer, params: dict[str, Any], motion: np.ndarray) -> np.ndarray:
    return np.asarray(quick(network.apply)({"params": params}, motion))


@pytest.mark.parametrize("leading", [(1,), (2, 9), (2, 3, 5)])
def test_shapes(leading):
    network = PoseFormer(**TINY)
    encoded = encode(network, random_params(network), random_motion(*leading))
    assert encoded.shape == (*leading, 17, 4)
    assert np.all(np.abs(encoded) < 1)


def test_the_published_network_with_another_end():
    """PoseFormer has 9.60 million parameters at 81 frames; what differs, by hand."""

    def block(c: int) -> int:
        return 2 * 2 * c + (3 * c * c + 3 * c) + (c * c + c) + (4 * c * c + 2 * c + c)

    joint, frame = 32, 17 * 32
    body = (2 * joint + joint) + 17 * joint + 4 * block(joint) + 2 * joint
    body += 81 * frame + 4 * block(frame) + 2 * frame
    pooling, head = 81 + 1, 2 * frame + frame * 51 + 51
    published = body + pooling + head
    assert published == 9_602_885
    confidence, longer = joint, (243 - 81) * frame
    end = frame * 17 * 512 + 17 * 512
    motion = jax.ShapeDtypeStruct((1, 1, 17, 3), np.float32)
    shapes = jax.eval_shape(PoseFormer(**SIZES["full"]).init, jax.random.key(0), motion)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    assert count == published - pooling - head + confidence + longer + end == 14_405_760


def test_reversed_frames_with_reversed_embedding_give_the_reverse():
    network = PoseFormer(**TINY)
    params, motion = random_params(network), random_motion(2, 9)
    backwards = {**params, "temp_embed": params["temp_embed"][::-1]}
    expected = encode(network, params, motion)
    reverse = encode(network, backwards, motion[:, ::-1])
    np.testing.assert_allclose(reverse[:, ::-1], expected, atol=1e-5)
    assert np.abs(encode(network, params, motion[:, ::-1])[:, ::-1] - expected).max() > 1e-2


def test_frames_meet_in_the_temporal_blocks_alone():
    """Joints of a frame mix in the spatial blocks, and every frame reaches every other."""
    network = PoseFormer(**TINY)
    params, motion = random_params(network), random_motion(7)

    def first_channel(params, motion):
        return network.apply({"params": params}, motion)[..., 0]

    jacobian = quick(jax.jacrev(first_channel, argnums=1))
    assert np.all(np.abs(jacobian(params, motion)).max(-1) > 0)  # [T, J, T, J]
    silent = jax.tree.map(np.copy, params)
    silent["temporal_0"]["attention"]["proj"]["kernel"][:] = 0
    between = np.abs(jacobian(silent, motion)).max((1, 3, 4))  # [T, T]
    assert np.all(between[~np.eye(7, dtype=bool)] == 0)
    assert np.all(between.diagonal() > 0)


def test_every_parameter_learns():
    network = PoseFormer(**TINY)
    params, motion = random_params(network), random_motion(2, 9)

    def loss(params):
        encoded: Any = network.apply({"params": params}, motion)
        return jnp.mean(jnp.sin(jnp.arange(encoded.size)) * encoded.ravel() ** 2)

    gradients = quick(jax.grad(loss))(params)
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert np.abs(gradient).max() > 1e-7, jax.tree_util.keystr(path)


def test_pytorch_transformer_layers_give_the_same_numbers():
    """PyTorch's own encoder layers, pre-norm with exact GELU, in place of our blocks."""
    torch = pytest.importorskip("torch")
    network = PoseFormer(**{**TINY, "depth": 2})
    params, motion = random_params(network), random_motion(2, 5)

    def tensor(array):
        return torch.from_numpy(np.array(array))

    def run(x, half):
        width, hidden = x.shape[-1], 2 * x.shape[-1]
        options = {"dropout": 0, "activation": "gelu", "layer_norm_eps": 1e-6}
        layer = torch.nn.TransformerEncoderLayer(
            width, 4, hidden, batch_first=True, norm_first=True, **options
        )
        attention, mlp = half["attention"], half["mlp"]
        linear = {
            "self_attn.out_proj": attention["proj"],
            "linear1": mlp["fc1"],
            "linear2": mlp["fc2"],
        }
        weights = {
            "self_attn.in_proj_weight": tensor(attention["qkv"]["kernel"].T),
            "self_attn.in_proj_bias": tensor(attention["qkv"]["bias"]),
        }
        for name, dense in linear.items():
            weights[f"{name}.weight"] = tensor(dense["kernel"].T)
            weights[f"{name}.bias"] = tensor(dense["bias"])
        for name, norm in (("norm1", half["norm_attention"]), ("norm2", half["norm_mlp"])):
            weights[f"{name}.weight"] = tensor(norm["scale"])
            weights[f"{name}.bias"] = tensor(norm["bias"])
        layer.load_state_dict(weights)
        return layer.train()(x)  # eval takes a path with other rounding; there is no dropout

    def dense(x, name):
        return x @ tensor(params[name]["kernel"]) + tensor(params[name]["bias"])

    def normalise(x, name):
        scale, bias = (tensor(params[name][key]) for key in ("scale", "bias"))
        return torch.nn.functional.layer_norm(x, x.shape[-1:], scale, bias, 1e-6)

    x = dense(tensor(motion), "joints_embed") + tensor(params["pos_embed"])
    x = x.flatten(0, 1)
    for i in range(2):
        x = run(x, params[f"spatial_{i}"])
    x = normalise(x, "norm_spatial").reshape(2, 5, -1) + tensor(params["temp_embed"])[:5]
    for i in range(2):
        x = run(x, params[f"temporal_{i}"])
    expected = dense(normalise(x, "norm_temporal"), "pre_logits").tanh().reshape(2, 5, 17, 4)
    encoded = encode(network, params, motion)
    np.testing.assert_allclose(encoded, expected.detach().numpy(), atol=2e-5)


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout", "drop_path"])
def test_rates_act_in_training_alone(rate):
    network = PoseFormer(**{**TINY, "depth": 2, rate: 0.5})  # drop_path is 0 in the first block
    params, motion = random_params(network), random_motion(2, 9)

    def three(deterministic, key):
        return [
            network.apply({"params": params}, motion, deterministic[i], rngs={"dropout": k})
            for i, k in enumerate((key, jax.random.fold_in(key, 1), key))
        ]

    first, second, silent = quick(partial(three, (False, False, True)))(jax.random.key(0))
    assert np.abs(first - second).max() > 1e-3
    plain = encode(PoseFormer(**{**TINY, "depth": 2}), params, motion)
    np.testing.assert_allclose(silent, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 10, 17, 3), {}, "10 frames, expected 1 to 9"),
        ((2, 9, 16, 3), {}, "motion of shape"),
        ((2, 9, 17, 3), {"num_heads": 9}, "num_heads=9 for 8 channels"),
    ],
)
def test_what_it_cannot_take_is_named(shape, options, message):
    network = PoseFormer(**{**TINY, **options})
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))
