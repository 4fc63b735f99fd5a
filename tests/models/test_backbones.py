"""Backbones from a config: fields, sizes, operations, and errors that name fields."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from dstformer_jax.models.backbones import (
    BACKBONES,
    backbone_fields,
    build_backbone,
    forward_flops,
)
from dstformer_jax.models.dstformer import DSTformer
from dstformer_jax.models.poseformer import PoseFormer
from dstformer_jax.models.tcn import TCN

STANDARD = {  # what a config starts with (configs/common.py)
    "size": "full",
    "dim_feat": None,
    "num_joints": 17,
    "maxlen": 243,
    "design": "adaptive",
    "norm": "pre",
    "attention": "auto",
    "temporal_layout": "native",
    "scan_layers": False,
    "remat": "none",
    "init": "official",
    "dropout": None,
    "attention_dropout": 0.0,
}


@pytest.mark.parametrize(
    ("name", "module"), [(None, DSTformer), ("tcn", TCN), ("poseformer", PoseFormer)]
)
def test_a_plain_config_gives_the_published_network(name, module):
    backbone: Any = build_backbone({**STANDARD, "backbone": name})
    assert backbone == module()


@pytest.mark.parametrize("name", list(BACKBONES))
@pytest.mark.parametrize("size", ["full", "lite", "starter", "small", "demo"])
def test_every_size_has_the_interface(name, size):
    backbone: Any = build_backbone({"backbone": name, "size": size, "maxlen": 9, "init": "fan_in"})
    motion = jax.ShapeDtypeStruct((2, 3, 5, 17, 3), jnp.float32)
    encoded, variables = jax.eval_shape(backbone.init_with_output, jax.random.key(0), motion)
    assert encoded.shape == (2, 3, 5, 17, backbone.dim_rep)
    assert (backbone.num_joints, backbone.maxlen, backbone.initialiser) == (17, 9, "fan_in")
    reference: Any = build_backbone({"size": size, "maxlen": 9})
    assert backbone.dim_rep == reference.dim_rep
    if size in ("starter", "small", "demo"):  # comparable by construction
        shapes = jax.eval_shape(reference.init, jax.random.key(0), motion)
        counts = [sum(x.size for x in jax.tree.leaves(v["params"])) for v in (variables, shapes)]
        assert counts[0] == pytest.approx(counts[1], rel=0.2)


def test_given_fields_override_the_size():
    fields = backbone_fields({"backbone": "tcn", "size": "demo", "dim_feat": 7, "dim_rep": None})
    assert fields == {"dim_feat": 7, "dim_rep": 64, "depth": 5, "dtype": jnp.float32}
    assert backbone_fields({"backbone": "tcn", "dtype": "bfloat16"}) == {"dtype": jnp.bfloat16}


@pytest.mark.parametrize("name", ["tcn", "poseformer"])
def test_bfloat16_computes_in_half_precision(name):
    options = {"backbone": name, "size": "demo", "maxlen": 9, "dtype": "bfloat16"}
    backbone: Any = build_backbone(options)
    motion = jax.ShapeDtypeStruct((1, 9, 17, 3), jnp.float32)
    encoded, variables = jax.eval_shape(backbone.init_with_output, jax.random.key(0), motion)
    assert encoded.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"backbone": "lstm"}, "model.backbone='lstm', expected one of .*tcn"),
        ({"backbone": "tcn", "num_heads": 4}, "num_heads=4 for the backbone 'tcn'.*pretrain.py"),
        ({"backbone": "tcn", "design": "st"}, "design='st' for the backbone 'tcn'"),
        ({"backbone": "poseformer", "norm": "post"}, "norm='post' for the backbone 'poseformer'"),
        ({"backbone": "poseformer", "channels": 4}, r"model\.channels, expected one of .*dim_feat"),
        ({"backbone": "tcn", "size": "tiny"}, "size='tiny', expected one of"),
        ({"backbone": "tcn", "dtype": "float8"}, "dtype='float8'"),
        ({"num_heads": 0}, "num_heads=0, expected more than 0"),
        ({"backbone": "tcn", "depth": -1}, "depth=-1, expected more than 0"),
        ({"drop_path": 1.0}, "drop_path=1.0, expected 0 <= rate < 1"),
    ],
)
def test_wrong_settings_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(model)


@pytest.mark.parametrize("name", ["tcn", "poseformer"])
def test_flops_formula_agrees_with_the_compiler(name):
    options: dict[str, Any] = {"depth": 2} if name == "poseformer" else {"dim_feat": 256}
    backbone: Any = build_backbone({"backbone": name, "size": "full", **options})
    motion = jax.ShapeDtypeStruct((1, 27, 17, 3), jnp.float32)
    variables = jax.eval_shape(backbone.init, jax.random.key(0), motion)
    compiled = jax.jit(backbone.apply).lower(variables, motion)
    counted = compiled.compile({"xla_backend_optimization_level": 0}).cost_analysis()["flops"]
    assert forward_flops(backbone, frames=27, dim_out=0) == pytest.approx(counted, rel=0.03)
