"""What of a checkpoint is exported: a function of motion alone, and what its users must know.

Axes: B clips, M people, T frames, J joints, C channels of E, K classes, D of an embedding.
"""

import hashlib
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body.declared import skeleton_of
from dstformer_jax.body.geometry import Normaliser
from dstformer_jax.convert import read_any
from dstformer_jax.models.network import Network, build_network
from dstformer_jax.torch_files import is_torch_path

PARTS = ("pose", "backbone", "action", "embedding")
FORMAT = "dstformer_jax export 1"
# Fields of `config.model` that only change execution, as every export has them.
PLAIN = {"dtype": "float32"}
PLAIN_DSTFORMER = {
    "attention": "xla",
    "temporal_layout": "native",
    "scan_layers": False,
    "remat": "none",
}
UNITS = {
    "pose": "normalised, as the input's x and y",
    "backbone": "none (after tanh)",
    "action": "logits",
    "embedding": "none (length 1)",
}


class Part(NamedTuple):
    """A part of a network, ready for export.

    Attributes:
      name: one of PARTS.
      network: with this part's head, computing in float32.
      variables: its `{"params", "batch_stats"}`, jax arrays.
      people: whether its input has an axis of people.
      metadata: JSON values; see docs/export.md.
    """

    name: str
    network: Network
    variables: dict[str, Any]
    people: bool
    metadata: dict[str, Any]

    @property
    def maxlen(self) -> int:
        """Most frames of a clip."""
        return self.metadata["maxlen"]

    @property
    def joints(self) -> int:
        """Joints of the input."""
        return len(self.metadata["joints"])

    @property
    def function(self) -> Callable[[jax.Array], jax.Array]:
        """motion [B, (M,) T, J, 3] -> this part's output, the weights inside."""
        return lambda motion: _apply(self, motion)


def read_part(path: str | Path, name: str | None = None, num_heads: int | None = None) -> Part:
    """Reads the part of a checkpoint that is to be exported.

    Args:
      path: a workdir of ours, or a PyTorch or safetensors file.
      name: one of PARTS; None: what the checkpoint's head predicts.
      num_heads: attention heads of a PyTorch file of others (default 8).

    Raises:
      ValueError: nothing there, a part that it does not have, or a backbone that has no export.
    """
    if not (Path(path).exists() or is_torch_path(path)):
        raise ValueError(f"got {str(path)!r}, expected a workdir or a PyTorch file; do check it")
    variables, info = read_any(path, num_heads)
    name = _name(name, info)
    model = dict(info["model"])
    backbone = model.get("backbone") or "dstformer"
    if backbone not in ("dstformer", "poseformer"):
        raise ValueError(f"got the backbone {backbone!r}, expected dstformer or poseformer")
    head = dict(info.get("head") or {"name": "pose"})
    variables = {"batch_stats": {}, **variables}
    if name in ("pose", "backbone"):
        variables, head = _with_pose_head(variables), {"name": "pose"}
    model |= {**PLAIN, **(PLAIN_DSTFORMER if backbone == "dstformer" else {"attention": "xla"})}
    network = build_network(model, head.pop("name"), head)
    people = bool(getattr(network.head, "people", False))
    variables = jax.tree.map(jnp.asarray, variables)
    part = Part(name, network, variables, people, {})
    return part._replace(metadata=_metadata(part, Path(path).name, info))


def _name(name: str | None, info: Mapping[str, Any]) -> str:
    """The part that is meant; ValueError where this checkpoint has no such part."""
    head = dict(info.get("head") or {"name": "pose"})["name"]
    name = name or head
    mine = [*dict.fromkeys(("pose", "backbone", head))]
    mine = [part for part in mine if part in PARTS]
    if name not in mine:
        raise ValueError(
            f"got part {name!r} of a network with the head {head!r}, expected {' or '.join(mine)}; "
            "do give --part"
        )
    return name


def _with_pose_head(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of backbone and pose head alone."""
    params, batch_stats = dict(variables["params"]), dict(variables["batch_stats"])
    if "pose" in params:
        params["head"] = params.pop("pose")
        batch_stats.pop("head", None)
    return {"params": params, "batch_stats": batch_stats}


def _apply(part: Part, motion: jax.Array) -> jax.Array:
    network, variables = part.network, part.variables
    if part.name == "backbone":
        representation: Any = network.apply(variables, motion, method=network.represent)
        return representation
    inputs = {}
    if getattr(network.head, "absent", "zeros") == "masked":
        inputs["present"] = (motion[..., 2] != 0).any(axis=(2, 3))  # as in training
    outputs: Any = network.apply(variables, motion, **inputs)
    return outputs[part.name]


def _metadata(part: Part, source: str, info: Mapping[str, Any]) -> dict[str, Any]:
    skeleton = skeleton_of(info.get("skeleton") or "h36m17")
    normaliser = Normaliser(**(info.get("normaliser") or {}))
    backbone: Any = part.network.backbone
    people, joints = ["M"] if part.people else [], backbone.num_joints
    motion = jax.ShapeDtypeStruct((1, *(1 for _ in people), 1, joints, 3), jnp.float32)
    shape = jax.eval_shape(part.function, motion).shape
    output = ["B", "T", *shape[2:]] if len(shape) > 2 else ["B", *shape[1:]]
    return {
        "format": FORMAT,
        "package": "dstformer_jax",
        "version": _version(),
        "source": source,
        "weights_sha256": weights_digest(part.variables),
        "part": part.name,
        "input": {"name": "motion", "shape": ["B", *people, "T", joints, 3]},
        "output": {"name": part.name, "shape": output, "unit": UNITS[part.name]},
        "maxlen": backbone.maxlen,
        "skeleton": skeleton.name,
        "joints": list(skeleton.names),
        "normaliser": {"mode": normaliser.mode, "ratio": normaliser.ratio},
        "fps": info.get("fps"),
        "root": info.get("root"),
        "classes": info.get("classes") if part.name == "action" else None,
    }


def weights_digest(variables: Mapping[str, Any]) -> str:
    """SHA-256 of weights: of every path, shape and little-endian float32 bytes, by path."""
    digest = hashlib.sha256()
    leaves = jax.tree.leaves_with_path(dict(variables))
    named = [(jax.tree_util.keystr(path, simple=True, separator="/"), x) for path, x in leaves]
    for name, leaf in sorted(named, key=lambda pair: pair[0]):
        array = np.ascontiguousarray(leaf, "<f4")
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _version() -> str:
    try:
        return version("dstformer_jax")
    except PackageNotFoundError:
        return "not installed"  # run from its source tree
