"""Our network against its PyTorch twin: the same weights, the same clip, outputs and gradients.

Importing this without PyTorch is an ImportError that says so.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax import convert
from dstformer_jax.models.network import Network, build_network, example
from dstformer_jax.torch_twin import TWIN_FIELDS, build_twin, torch
from dstformer_jax.torch_twin_heads import build_finetuned

MAX_FRAMES = 81  # longer clips cost minutes on a CPU and show nothing more
PEOPLE = 2
# What is compared of each head. Axis-angles are left out: at half turns their sign is free.
OUTPUTS = {
    "pose": ("pose",),
    "action": ("action",),
    "embedding": ("embedding",),
    "mesh": ("turns", "beta"),
    "refiner": ("turns", "beta"),
}

Arrays = dict[str, Any]


class Difference(NamedTuple):
    """The largest |ours - theirs| of some arrays, and the largest value among theirs."""

    largest: float
    scale: float

    def __str__(self) -> str:
        return f"{self.largest:.3g} (values up to {self.scale:.3g})"


def compare(
    variables: Mapping[str, Any],
    model: Mapping[str, Any],
    head: Mapping[str, Any] | None = None,
    clips: int = 2,
    seed: int = 0,
) -> dict[str, Difference]:
    """Runs both networks in float32, as in evaluation, on random clips.

    Args:
      variables: `{"params": ..., "batch_stats": ...}`.
      model: `config.model` of these parameters.
      head: name and settings of the head, as in `info["head"]`; default the pose head.
      clips: how many clips, of min(maxlen, 81) frames, with two people where the head takes people.
      seed: of the clips and of the targets of the loss whose gradients are compared.

    Returns:
      Differences of "representation" and of the head's outputs, and of the gradients of the mean
      squared error with respect to every parameter, under "gradients".

    Raises:
      ValueError: see `check_comparable`.
    """
    head = dict(head or {"name": "pose"})
    check_comparable(model, head)
    name = head.pop("name")
    network = build_network({**model, "dtype": "float32", "attention": "xla"}, name, head)
    inputs = random_inputs(network, clips, seed)
    arrays: Arrays = jax.tree.map(np.asarray, {"batch_stats": {}, **variables})
    targets = _targets(network, arrays, inputs, seed)
    ours = _ours(network, arrays, inputs, targets)
    theirs = _theirs(network, arrays, inputs, targets)
    return {key: _difference(ours[key], theirs[key]) for key in theirs}


def check_comparable(model: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """Raises ValueError for what the twin does not have."""
    if (backbone := model.get("backbone") or "dstformer") != "dstformer":
        raise ValueError(
            f"got --compare for the backbone {backbone!r}, expected dstformer: no "
            "other has a PyTorch twin"
        )
    if not head.get("use_representation", True):
        raise ValueError("got --compare for a refiner that ignores E, which has no PyTorch twin")


def random_inputs(network: Network, clips: int, seed: int) -> Arrays:
    """The "motion", x and y in [-1, 1] and confidence in [0, 1], and what the head reads beside."""
    backbone: Any = network.backbone
    motion, inputs = example(network, min(backbone.maxlen, MAX_FRAMES))
    people = (PEOPLE,) * (motion.ndim - 4)
    rng = np.random.default_rng(seed)
    drawn = {"motion": rng.uniform(-1, 1, (clips, *people, *motion.shape[-3:]))}
    drawn["motion"][..., 2] = rng.uniform(0, 1, drawn["motion"].shape[:-1])
    for name, shape in inputs.items():
        drawn[name] = rng.normal(size=(clips, *shape.shape[1:]))
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def _targets(network: Network, variables: Arrays, inputs: Arrays, seed: int) -> Arrays:
    shapes: Any = jax.eval_shape(lambda: _apply(network, variables, inputs))
    rng = np.random.default_rng((seed, 1))
    names = OUTPUTS[network.head_name]
    return {name: rng.uniform(-1, 1, shapes[name].shape).astype(np.float32) for name in names}


def _apply(network: Network, variables: Arrays, inputs: Arrays) -> dict[str, jax.Array]:
    motion, others = inputs["motion"], {k: x for k, x in inputs.items() if k != "motion"}
    if getattr(network.head, "absent", "zeros") == "masked":
        others["present"] = jnp.ones(motion.shape[:2], bool)  # all: the twin counts everybody
    outputs: Any = network.apply(variables, motion, **others)
    return outputs


def _ours(network: Network, variables: Arrays, inputs: Arrays, targets: Arrays) -> Arrays:
    def loss(params: Arrays) -> tuple[jax.Array, dict[str, jax.Array]]:
        outputs = _apply(network, {**variables, "params": params}, inputs)
        errors = [jnp.mean((outputs[name] - target) ** 2) for name, target in targets.items()]
        return jnp.sum(jnp.stack(errors)), outputs

    # The twin never uses half precision, so neither may an accelerator's matrix products here.
    with jax.default_matmul_precision("highest"):
        gradients, outputs = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    return {**outputs, "gradients": gradients}


def _theirs(network: Network, variables: Arrays, inputs: Arrays, targets: Arrays) -> Arrays:
    state_dict = convert.to_torch(variables["params"], variables["batch_stats"])
    model = {name: getattr(network.backbone, name) for name in TWIN_FIELDS}
    given = {name: torch.from_numpy(x) for name, x in inputs.items()}
    if network.head_name == "pose":
        twin = build_twin(model, state_dict)
        representation = twin.represent(given["motion"])
        outputs = {"pose": twin.head(representation), "representation": representation}
    else:
        head: Any = network.head
        fields = {field.name: getattr(head, field.name) for field in dataclasses.fields(head)}
        twin = build_finetuned(model, {**fields, "name": network.head_name}, state_dict)
        outputs = twin(**given)
    errors = [((outputs[name] - torch.from_numpy(x)) ** 2).mean() for name, x in targets.items()]
    torch.stack(errors).sum().backward()
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in twin.named_parameters()
    }
    return {
        **{name: output.detach().numpy() for name, output in outputs.items()},
        # The table only moves axes, so gradients convert as the parameters do.
        "gradients": convert.from_torch({**state_dict, **gradients}),
    }


def _difference(ours: Any, theirs: Any) -> Difference:
    pairs = jax.tree.leaves(jax.tree.map(lambda a, b: _largest(np.asarray(a) - b), ours, theirs))
    return Difference(max(pairs), max(map(_largest, jax.tree.leaves(theirs))))


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0.0))
