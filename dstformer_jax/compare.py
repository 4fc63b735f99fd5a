"""Our network against its PyTorch twin: the same weights, the same clip, outputs and gradients.

Importing this without PyTorch is an ImportError that says so.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax import convert
from dstformer_jax.models.network import Network, build_network
from dstformer_jax.torch_twin import TWIN_FIELDS, build_twin, torch

MAX_FRAMES = 81  # longer clips cost minutes on a CPU and show nothing more


class Difference(NamedTuple):
    """The largest |ours - theirs| of some arrays, and the largest value among theirs."""

    largest: float
    scale: float

    def __str__(self) -> str:
        return f"{self.largest:.3g} (values up to {self.scale:.3g})"


def compare(
    params: Mapping[str, Any], model: Mapping[str, Any], clips: int = 2, seed: int = 0
) -> dict[str, Difference]:
    """Runs both networks in float32 on random clips.

    Args:
      params: `{"backbone": ..., "head": ...}`.
      model: `config.model` of these parameters.
      clips: how many clips, of min(maxlen, 81) frames.
      seed: of the clips and of the targets of the loss whose gradients are compared.

    Returns:
      Differences of "representation" and "pose", and of the gradients of the mean squared error
      with respect to every parameter, under "gradients".
    """
    network = build_network({**model, "dtype": "float32", "attention": "xla"})
    motion, target = random_clips(network, clips, seed)
    arrays: dict[str, Any] = jax.tree.map(np.asarray, dict(params))
    ours = _ours(network, arrays, motion, target)
    theirs = _theirs(network, arrays, motion, target)
    return {name: _difference(ours[name], theirs[name]) for name in ours}


def random_clips(network: Network, clips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Motion with x, y in [-1, 1] and confidence in [0, 1], and targets; [B, T, J, 3] each."""
    backbone: Any = network.backbone
    shape = (clips, min(backbone.maxlen, MAX_FRAMES), backbone.num_joints, 3)
    rng = np.random.default_rng(seed)
    motion = rng.uniform(-1, 1, shape).astype(np.float32)
    motion[..., 2] = rng.uniform(0, 1, shape[:-1])
    return motion, rng.uniform(-1, 1, shape).astype(np.float32)


def _ours(
    network: Network, params: dict[str, Any], motion: np.ndarray, target: np.ndarray
) -> dict[str, Any]:
    def loss(params: dict[str, Any]) -> tuple[jax.Array, dict[str, jax.Array]]:
        outputs: Any = network.apply({"params": params}, motion)
        return jnp.mean((outputs["pose"] - target) ** 2), outputs

    # The twin never uses half precision, so neither may an accelerator's matrix products here.
    with jax.default_matmul_precision("highest"):
        gradients, outputs = jax.jit(jax.grad(loss, has_aux=True))(params)
    return {**outputs, "gradients": gradients}


def _theirs(
    network: Network, params: dict[str, Any], motion: np.ndarray, target: np.ndarray
) -> dict[str, Any]:
    model = {name: getattr(network.backbone, name) for name in TWIN_FIELDS}
    twin = build_twin(model, convert.to_torch(params))
    representation = twin.represent(torch.from_numpy(motion))
    pose = twin.head(representation)
    ((pose - torch.from_numpy(target)) ** 2).mean().backward()
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in twin.named_parameters()
    }
    return {
        "pose": pose.detach().numpy(),
        "representation": representation.detach().numpy(),
        # The table only moves axes, so gradients convert as the parameters do.
        "gradients": convert.from_torch(gradients),
    }


def _difference(ours: Any, theirs: Any) -> Difference:
    pairs = jax.tree.leaves(jax.tree.map(lambda a, b: _largest(np.asarray(a) - b), ours, theirs))
    return Difference(max(pairs), max(map(_largest, jax.tree.leaves(theirs))))


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0.0))
