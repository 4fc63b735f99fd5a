"""Network = backbone + head, built from a config."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dstformer_jax.models.dstformer import SIZES, DSTformer
from dstformer_jax.models.heads import PoseHead

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
HEADS = {"pose": PoseHead}


class Network(nn.Module):
    """A backbone and one head; parameters are `{"backbone": ..., "head": ...}`."""

    backbone: nn.Module
    head: nn.Module
    head_name: str = "pose"

    def __call__(self, motion: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Runs backbone and head.

        Args:
          motion: [B, T, J, 3] normalised x, y, confidence.
          train: applies dropout (needs a "dropout" key).

        Returns:
          `{head_name: prediction, "representation": E}`; for the pose head [B, T, J, 3].
        """
        representation = self.represent(motion, train)
        prediction = self.head(representation, train)
        return {self.head_name: prediction, "representation": representation}

    def represent(self, motion: jax.Array, train: bool = False) -> jax.Array:
        """Motion representation E [B, T, J, dim_rep]."""
        return self.backbone(motion, deterministic=not train)


def build_network(model: Mapping[str, Any], head: str = "pose") -> Network:
    """Builds a Network from `config.model`.

    Args:
      model: a `size` name (full, lite, starter, small, demo) and any field of DSTformer, which
        overrides the size; `dtype` is "float32" or "bfloat16".
      head: which head predicts; see HEADS.

    Raises:
      ValueError: an unknown key or size, naming the valid ones.
    """
    backbone = DSTformer(**backbone_fields(model))
    if head not in HEADS:
        raise ValueError(f"got head {head!r}, expected one of {sorted(HEADS)}")
    return Network(backbone, HEADS[head](initialiser=backbone.initialiser), head)


def backbone_fields(model: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of DSTformer that `config.model` means."""
    fields = dict(model)
    size = fields.pop("size", None)
    if size is not None:
        if size not in SIZES:
            raise ValueError(f"got model.size={size!r}, expected one of {sorted(SIZES)}")
        fields = {**dataclasses.asdict(SIZES[size]), **_without_none(fields)}
    if "init" in fields:  # Flax modules have a method of that name
        fields["initialiser"] = fields.pop("init")
    valid = {f.name for f in dataclasses.fields(DSTformer)} - {"parent", "name"}
    if unknown := sorted(set(fields) - valid):
        raise ValueError(f"got model.{unknown[0]}, expected one of {sorted(valid)}")
    dtype = fields.get("dtype", "float32")
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise ValueError(f"got model.dtype={dtype!r}, expected one of {sorted(DTYPES)}")
        fields["dtype"] = DTYPES[dtype]
    return _without_none(fields)


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    """Config placeholders left at None mean: as the size says."""
    return {key: value for key, value in fields.items() if value is not None}


def parameter_count(network: Network) -> int:
    """Number of parameters, without computing any of them."""
    joints = network.backbone.num_joints
    motion = jax.ShapeDtypeStruct((1, 1, joints, 3), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), motion)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def forward_flops(model: DSTformer, frames: int, dim_out: int = 3) -> int:
    """Floating-point operations of one forward pass of one clip (multiply-add counts two).

    The closed formula counts matrix products: linear layers and the two products of attention.
    Holds for every design; element-wise work (about 2 %) is left out, as in usual MFU figures.
    """
    c, j, t = model.dim_feat, model.num_joints, frames
    inner = model.num_heads * (c // model.num_heads)
    attention = {
        "spatial": 4 * c * inner + 2 * inner * j,
        "temporal": 4 * c * inner + 2 * inner * t,
    }
    mlp = 2 * c * int(c * model.mlp_ratio)
    both = attention["spatial"] + attention["temporal"] + 2 * mlp
    fusion = 4 * c
    per_level = {
        "st": both,
        "ts": both,
        "parallel": both + fusion,
        "one_mlp": both - mlp,
        "average": 2 * both,
        "adaptive": 2 * both + fusion,
    }[model.design]
    per_token = 3 * c + model.depth * per_level + c * model.dim_rep + model.dim_rep * dim_out
    return 2 * per_token * t * j
