"""Network = backbone + head, built from a config."""

from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dstformer_jax.models.backbones import build_backbone
from dstformer_jax.models.heads import PoseHead
from dstformer_jax.models.heads_action import ActionHead, EmbeddingHead
from dstformer_jax.models.heads_mesh import MeshHead, MeshRefiner

HEADS = {
    "pose": PoseHead,
    "action": ActionHead,
    "embedding": EmbeddingHead,
    "mesh": MeshHead,
    "refiner": MeshRefiner,
}


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
        return self.backbone(motion, deterministic=not train, axis_name=axis_name)


def build_network(
    model: Mapping[str, Any], head: str = "pose", settings: Mapping[str, Any] | None = None
) -> Network:
    """Builds a Network from `config.model`.

    Args:
      model: backbone, size and any field of that backbone; see `build_backbone`.
      head: which head predicts; see HEADS.
      settings: keyword arguments of the head, such as num_classes.

    Raises:
      ValueError: an unknown key, size or head, naming the valid ones.
    """
    backbone: Any = build_backbone(model)
    if head not in HEADS:
        raise ValueError(f"got head {head!r}, expected one of {sorted(HEADS)}")
    pose = PoseHead(initialiser=backbone.initialiser)
    if head == "pose":
        return Network(backbone, pose, head)
    return Network(backbone, HEADS[head](**dict(settings or {})), head, pose)


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
