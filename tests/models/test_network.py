"""Counting: parameters, operations and memory, against what XLA says."""

import jax
import jax.numpy as jnp
import pytest

from dstformer_jax.models.backbones import forward_flops
from dstformer_jax.models.network import Network, build_network
from dstformer_jax.weight_table import DESIGNS


def compiled(network: Network, frames: int, gradient: bool = False):
    """The compiled forward pass, or gradient, of one clip; nothing is run."""
    motion = jax.ShapeDtypeStruct((1, frames, 17, 3), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), motion)

    def loss(params, motion):
        return jnp.mean(network.apply(params, motion)["pose"] ** 2)

    function = jax.grad(loss) if gradient else network.apply
    # Unoptimised machine code: the graph that is counted is the same, and ready much sooner.
    return jax.jit(function).lower(params, motion).compile({"xla_backend_optimization_level": 0})


@pytest.mark.parametrize("design", list(DESIGNS))
def test_flops_formula_agrees_with_the_compiler(design):
    network = build_network(
        {"dim_feat": 512, "dim_rep": 512, "depth": 1, "num_heads": 8, "design": design}
    )
    counted = compiled(network, frames=27).cost_analysis()["flops"]
    assert forward_flops(network.backbone, frames=27) == pytest.approx(counted, rel=0.03)


def test_flops_of_the_official_sizes():
    """The figures of PyTorch's counter on the official model, 370.8 and 142.1 GFLOP."""
    for size, expected in (("full", 370.8), ("lite", 142.1)):
        flops = forward_flops(build_network({"size": size}).backbone, frames=243)
        assert flops / 1e9 == pytest.approx(expected, abs=0.05)


def test_scan_with_remat_saves_memory():
    options = {"dim_feat": 64, "dim_rep": 64, "depth": 5, "num_heads": 4, "design": "st"}
    plain, saving = (
        compiled(build_network({**options, **extra}), frames=81, gradient=True)
        .memory_analysis()
        .temp_size_in_bytes
        for extra in ({}, {"scan_layers": True, "remat": "layer"})
    )
    assert plain > 2.5 * saving


def test_config_placeholders_mean_the_size():
    network = build_network({"size": "demo", "depth": None, "dim_rep": 32, "dtype": "bfloat16"})
    backbone = network.backbone
    assert (backbone.depth, backbone.dim_feat, backbone.dim_rep) == (2, 64, 32)
    assert backbone.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"size": "demo", "heads": 4}, r"model\.heads"),
        ({"size": "tiny"}, r"model\.size='tiny'"),
        ({"size": "demo", "dtype": "float8"}, r"model\.dtype='float8'"),
    ],
)
def test_wrong_settings_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        build_network(model)


def test_unknown_head():
    with pytest.raises(ValueError, match="head 'nose'"):
        build_network({"size": "demo"}, head="nose")


def test_the_choice_of_initialisation_reaches_backbone_and_head():
    network = build_network({"size": "demo", "init": "fan_in"})
    assert (network.backbone.initialiser, network.head.initialiser) == ("fan_in", "fan_in")
