"""TCN: PyTorch's dilated convolutions, what a frame sees, batch statistics, any length."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.models.tcn import SIZES, TCN, neighbours

TINY = {"dim_feat": 12, "dim_rep": 4, "dropout": 0.0}
# Optimising these little programs costs more than running them.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def random_variables(network: TCN, seed: int = 0) -> dict[str, Any]:
    """Variables without zeros or ones; running variances are positive."""
    rng = np.random.default_rng(seed)
    motion = jax.ShapeDtypeStruct((1, 1, 17, 3), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), motion)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32), dict(shapes))
    for name, layer in variables["batch_stats"].items():
        variables["batch_stats"][name]["norm"]["var"] = np.exp(layer["norm"]["var"])
    return variables


def random_motion(*leading: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (*leading, 17, 3)).astype(np.float32)


def test_neighbours_repeat_the_ends():
    x = jnp.arange(5.0)[None, :, None]
    for dilation in (1, 3, 81):
        times = np.arange(5)[:, None] + np.array([-dilation, 0, dilation])
        np.testing.assert_array_equal(neighbours(x, dilation)[0], times.clip(0, 4))


@pytest.mark.parametrize("frames", [1, 9, 300])
def test_any_length_and_any_leading_axes(frames):
    """More than maxlen too: that is what callers cut motion to, not a size of the network."""
    network = TCN(**TINY)
    variables = random_variables(network)
    motion = random_motion(2, 3, frames)
    encoded = quick(network.apply)(variables, motion)
    assert encoded.shape == (2, 3, frames, 17, 4)
    assert 0.01 < np.abs(encoded).max() <= 1
    alone = quick(network.apply)(variables, motion[1])
    np.testing.assert_allclose(encoded[1], alone, atol=1e-6)


def test_a_frame_sees_243_frames():
    """The gradient of the middle frame reaches 121 frames to either side, and no further."""
    network = TCN(**{**TINY, "dim_feat": 32})
    variables = random_variables(network)

    def middle(motion):
        encoded: Any = network.apply(variables, motion)
        return encoded[130].sum()

    gradient = np.abs(quick(jax.grad(middle))(random_motion(261))).max((1, 2))
    seen = np.flatnonzero(gradient)
    np.testing.assert_array_equal(seen, np.arange(130 - 121, 130 + 122))


def test_moving_in_time_moves_the_representation():
    """Away from the ends, whose repeated frames differ."""
    network = TCN(**{**TINY, "depth": 3})
    variables, motion = random_variables(network), random_motion(60)
    early, late = (quick(network.apply)(variables, motion[start : start + 50]) for start in (0, 7))
    np.testing.assert_allclose(early[20:37], late[13:30], atol=1e-6)


def test_standing_still_is_the_same_at_every_frame():
    network = TCN(**TINY)
    variables = random_variables(network)
    still = np.repeat(random_motion(1, 1), 40, axis=1)
    encoded = quick(network.apply)(variables, still)
    np.testing.assert_allclose(encoded, np.repeat(encoded[:, :1], 40, axis=1), atol=1e-6)


def test_the_published_network_with_another_end():
    """VideoPose3D has 16.95 million parameters; what we add and leave out, by hand."""
    expand, levels = 34 * 1024 * 3 + 2 * 1024, 4 * (4 * 1024**2 + 2 * 2 * 1024)
    published = expand + levels + (1024 * 51 + 51)
    assert published == 16_952_371
    confidence, end = 17 * 1024 * 3, 1024 * 17 * 512 + 17 * 512
    motion = jax.ShapeDtypeStruct((1, 1, 17, 3), np.float32)
    shapes = jax.eval_shape(TCN(**SIZES["full"]).init, jax.random.key(0), motion)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    assert count == published - (1024 * 51 + 51) + confidence + end == 25_873_920


def test_training_normalises_by_the_batch_and_moves_the_running_statistics():
    network = TCN(**TINY)
    variables, motion = random_variables(network), random_motion(4, 9)
    train = quick(partial(network.apply, deterministic=False, mutable=["batch_stats"]))
    _, updates = train(variables, motion)
    before, after = variables["batch_stats"], updates["batch_stats"]
    kernel = variables["params"]["expand"]["dense"]["kernel"]
    rows = np.asarray(neighbours(jnp.asarray(motion.reshape(4, 9, 51)), 1)).reshape(36, -1) @ kernel
    expected = 0.9 * before["expand"]["norm"]["mean"] + 0.1 * rows.mean(0)
    np.testing.assert_allclose(after["expand"]["norm"]["mean"], expected, atol=1e-5)
    assert all(
        np.all(old != new)
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    )


def test_eight_devices_share_their_batch_statistics():
    network = TCN(**TINY)
    variables, motion = random_variables(network), random_motion(8, 5)

    def step(motion, axis_name=None):
        return network.apply(variables, motion, False, axis_name, mutable=["batch_stats"])

    encoded, updates = quick(step)(motion)
    several = jax.pmap(partial(step, axis_name="data"), axis_name="data")
    shards, shard_updates = several(motion.reshape(8, 1, 5, 17, 3))
    np.testing.assert_allclose(shards.reshape(encoded.shape), encoded, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[3], b, atol=1e-5), dict(shard_updates), updates
    )


def test_dropout_acts_in_training_alone():
    network = TCN(**{**TINY, "dropout": 0.5})
    variables, motion = random_variables(network), random_motion(2, 5)

    def train(key):
        rngs = {"dropout": key}
        return network.apply(variables, motion, False, rngs=rngs, mutable=["batch_stats"])[0]

    first, second = (quick(train)(jax.random.key(i)) for i in (0, 1))
    assert np.abs(first - second).max() > 1e-3
    silent, plain = (quick(n.apply)(variables, motion) for n in (network, TCN(**TINY)))
    np.testing.assert_array_equal(silent, plain)


def test_pytorch_convolutions_give_the_same_numbers():
    """Conv1d with replicated ends, BatchNorm1d and ReLU in the published order."""
    torch = pytest.importorskip("torch")
    network = TCN(**TINY)
    variables, motion = random_variables(network), random_motion(2, 30)
    params, stats = variables["params"], variables["batch_stats"]

    def apply_filter(x, name, dilation, width=3):
        kernel = params[name]["dense"]["kernel"].reshape(width, x.shape[1], -1)
        reach = dilation * (width - 1) // 2
        x = torch.nn.functional.pad(x, (reach, reach), mode="replicate")
        weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(2, 1, 0)))
        x = torch.nn.functional.conv1d(x, weight, dilation=dilation)
        norm, running = params[name]["norm"], stats[name]["norm"]
        arrays = (running["mean"], running["var"], norm["scale"], norm["bias"])
        return torch.nn.functional.batch_norm(x, *map(torch.from_numpy, arrays)).relu()

    x = apply_filter(torch.from_numpy(motion.reshape(2, 30, 51)).mT, "expand", 1)
    for i in range(1, 5):
        wide = apply_filter(x, f"dilated_{i}", 3**i)
        x = x + apply_filter(wide, f"single_{i}", 1, width=1)
    end = params["pre_logits"]
    expected = (x.mT @ torch.from_numpy(end["kernel"]) + torch.from_numpy(end["bias"])).tanh()
    encoded = quick(network.apply)(variables, motion)
    np.testing.assert_allclose(encoded, expected.reshape(2, 30, 17, 4), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 16, 3), (5, 17, 2), (17, 3), (2, 0, 17, 3)])
def test_other_shapes_are_refused(shape):
    network = TCN(**TINY)
    with pytest.raises(ValueError, match=r"motion of shape|0 frames"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))
