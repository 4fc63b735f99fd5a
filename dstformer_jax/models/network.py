"""Network = backbone + head, built from a config."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dstformer_jax.models.dstformer import SIZES, DSTformer
from dstformer_jax.models.heads import PoseHead

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
HEADS = {"pose": PoseHead}


class Network(nn.Module):
    """A backbone and one head; parameters are `{"backbone": ..., "head": ...}`.

    `pose`, of networks with another head, is the pose head of their pretraining: a passenger that
    nothing reads, kept because official files of such networks hold it ("pose" in the parameters).
    """

    backbone: nn.Module
    head: nn.Module
    head_name: str = "pose"
    pose: nn.Module | None = None

    def __call__(
        self,
        motion: jax.Array,
        train: bool = False,
        frozen: Collection[str] = (),
        axis_name: str | None = None,
        **inputs: jax.Array,
    ) -> dict[str, jax.Array]:
        """Runs backbone and head.

        Args:
          motion: [..., T, J, 3] normalised x, y, confidence; [B, T, J, 3] for pose and body,
            [B, M, T, J, 3] of M people for actions.
          train: applies dropout (needs a "dropout" key) and renews the batch statistics.
          frozen: parts ("backbone", "head") that run as in evaluation although `train`.
          axis_name: the axis of pmap that batch statistics are averaged over.
          **inputs: what the head reads beside the representation.

        Returns:
          Its prediction under the head's name (or under the names of the head's own dict), and
          "representation", E.
        """
        representation = self.represent(motion, train and "backbone" not in frozen, axis_name)
        if self.pose is not None and self.is_initializing():
            self.pose(representation)
        train = train and "head" not in frozen
        prediction = self.head(representation, train, axis_name=axis_name, **inputs)
        if not isinstance(prediction, dict):
            prediction = {self.head_name: prediction}
        return {**prediction, "representation": representation}

    def represent(
        self, motion: jax.Array, train: bool = False, axis_name: str | None = None
    ) -> jax.Array:
        """Motion representation E [..., T, J, dim_rep]."""
        del axis_name  # no backbone with batch statistics yet
        return self.backbone(motion, deterministic=not train)


def build_network(
    model: Mapping[str, Any], head: str = "pose", settings: Mapping[str, Any] | None = None
) -> Network:
    """Builds a Network from `config.model`.

    Args:
      model: a `size` name (full, lite, starter, small, demo) and any field of DSTformer, which
        overrides the size; `dtype` is "float32" or "bfloat16".
      head: which head predicts; see HEADS.
      settings: keyword arguments of the head, such as num_classes.

    Raises:
      ValueError: an unknown key or size, naming the valid ones.
    """
    backbone = DSTformer(**backbone_fields(model))
    if head not in HEADS:
        raise ValueError(f"got head {head!r}, expected one of {sorted(HEADS)}")
    pose = PoseHead(initialiser=backbone.initialiser)
    if head == "pose":
        return Network(backbone, pose, head)
    return Network(backbone, HEADS[head](**dict(settings or {})), head, pose)


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


def example(network: Network, frames: int = 1) -> tuple[Any, dict[str, Any]]:
    """Shapes of one clip as the network takes it: motion, and what its head reads beside it."""
    joints = network.backbone.num_joints  # pyright: ignore[reportAttributeAccessIssue]
    people = (1,) if getattr(network.head, "people", False) else ()
    motion = jax.ShapeDtypeStruct((1, *people, frames, joints, 3), jnp.float32)
    inputs = getattr(network.head, "example_inputs", None)
    return motion, inputs(frames) if inputs else {}


def variable_shapes(network: Network, frames: int = 1) -> dict[str, Any]:
    """Shapes of the network's variables, `{"params", "batch_stats"}`, with nothing computed."""
    motion, inputs = example(network, frames)
    shapes = jax.eval_shape(network.init, jax.random.key(0), motion, **inputs)
    return {"batch_stats": {}, **shapes}


def parameter_count(network: Network) -> int:
    """Number of parameters, without computing any of them."""
    return sum(leaf.size for leaf in jax.tree.leaves(variable_shapes(network)["params"]))


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
