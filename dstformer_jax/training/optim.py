"""The optimiser: rates that follow the plan; rates, decay and freezing by path patterns.

A path is `backbone/layer_0/st/spatial/attention/qkv/kernel`; patterns are shell patterns in which
`*` also crosses `/`, so `backbone/*` is the whole backbone.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from dstformer_jax.data.plan import Plan
from dstformer_jax.training.muon import muon

Schedule = Callable[[Any], Any]
NAMES = ("adam", "adamw", "muon")
DEFAULTS: dict[str, Any] = {
    "name": "adamw",
    "learning_rate": 5e-4,
    "lr_decay": 0.99,  # factor an epoch, for schedule "epoch"
    "schedule": "epoch",  # "epoch" | "cosine" | "constant"
    "warmup": 0,  # steps of linear rise from 0
    "final": 0.0,  # cosine: last rate as a share of the first
    "weight_decay": 0.01,  # adam ignores it (paper: none)
    "no_decay": (),  # patterns of parameters without weight decay
    "clip": 0.0,  # largest global gradient norm; 0: no clipping
    "accumulate": 1,  # parts that a batch is computed in, one after the other (step.py)
    "lr_mult": (),  # pairs (pattern, factor); the last matching pattern wins
    "freeze": (),  # patterns of parameters that stay as they are
}


def settings(optim: Mapping[str, Any]) -> dict[str, Any]:
    """`config.optim` over the defaults; an unknown key or value raises ValueError."""
    if unknown := sorted(set(optim) - set(DEFAULTS)):
        raise ValueError(f"got optim.{unknown[0]}, expected one of {sorted(DEFAULTS)}")
    chosen = {**DEFAULTS, **{k: v for k, v in optim.items() if v is not None}}
    for key, valid in (("name", NAMES), ("schedule", ("epoch", "cosine", "constant"))):
        if chosen[key] not in valid:
            raise ValueError(f"got optim.{key}={chosen[key]!r}, expected one of {valid}")
    for key in ("learning_rate", "lr_decay", "warmup", "final", "weight_decay", "clip"):
        if not chosen[key] >= 0:
            raise ValueError(f"got optim.{key}={chosen[key]}, expected 0 or more")
    if not (isinstance(chosen["accumulate"], int) and chosen["accumulate"] >= 1):
        raise ValueError(f"got optim.accumulate={chosen['accumulate']}, expected 1, 2, ...")
    if any(isinstance(pair, str) or len(pair) != 2 for pair in chosen["lr_mult"]):
        raise ValueError(
            f"got optim.lr_mult={chosen['lr_mult']!r}, expected pairs, "
            "such as (('backbone/*', 0.1),)"
        )
    return chosen


def learning_rate(optim: Mapping[str, Any], plan: Plan) -> Schedule:
    """The rate as a function of the step, traceable under jit.

    "epoch" multiplies by lr_decay at each epoch of the plan (official; follows the plan when
    sources join), "cosine" falls to `final` at the last step of the plan: for short budgets, whose
    last millimetres come from the decay.
    """
    chosen = settings(optim)
    warmup = chosen["warmup"]
    rate = _falling(chosen, plan)

    def warmed(step: Any) -> Any:
        return rate(step) * jnp.minimum((step + 1) / warmup, 1.0)

    return warmed if warmup else rate


def _falling(chosen: Mapping[str, Any], plan: Plan) -> Schedule:
    """The schedule without its warm-up."""
    base, warmup = chosen["learning_rate"], chosen["warmup"]
    if chosen["schedule"] == "epoch":
        return plan.schedule(base, chosen["lr_decay"])
    if chosen["schedule"] == "constant":
        return optax.constant_schedule(base)
    cosine = optax.cosine_decay_schedule(
        base, max(plan.total_steps - warmup, 1), alpha=chosen["final"]
    )

    def delayed(step: Any) -> Any:
        return cosine(jnp.maximum(step - warmup, 0))

    return delayed


def build_optimizer(
    optim: Mapping[str, Any], plan: Plan, params: Any
) -> optax.GradientTransformation:
    """The optimiser of `config.optim` for parameters of this structure.

    Frozen parameters get no update, no weight decay and no moments. Adam ignores
    `weight_decay` (paper: none); AdamW decays every parameter, biases too, as PyTorch does
    (official), Muon the matrices. `no_decay` takes parameters out of it.

    Args:
      params: the parameters, or their shapes.

    Raises:
      ValueError: unknown settings, or a pattern that matches no parameter.
    """
    chosen = settings(optim)
    schedule = learning_rate(optim, plan)
    multiples = path_values(params, chosen["lr_mult"], 1.0)
    parts = [optax.clip_by_global_norm(chosen["clip"])] if chosen["clip"] else []
    kept = [(pattern, False) for pattern in chosen["no_decay"]]
    decayed = path_values(params, kept, True) if kept else None
    parts.append(_core(chosen, schedule, decayed))
    if chosen["lr_mult"]:
        parts.append(_scale_by(multiples))
    trained = optax.chain(*parts)
    frozen = frozen_parameters(params, chosen["freeze"])
    if not any(jax.tree.leaves(frozen)):
        return trained
    labels = jax.tree.map(lambda is_frozen: "frozen" if is_frozen else "trained", frozen)
    return optax.partition({"trained": trained, "frozen": optax.set_to_zero()}, labels)


def _core(
    chosen: Mapping[str, Any], schedule: Schedule, decayed: Any
) -> optax.GradientTransformation:
    """Gradients -> steps of the named optimiser. `decayed`: a tree of bools; None: all are.

    "muon" orthogonalises the momentum of every matrix and leaves vectors to AdamW (Jordan et al.
    2024, "Muon: an optimizer for hidden layers").
    """
    if chosen["name"] == "muon":
        return muon(schedule, chosen["weight_decay"], decayed)
    parts = [optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)]
    if chosen["name"] == "adamw":
        parts.append(optax.add_decayed_weights(chosen["weight_decay"], decayed))
    return optax.chain(*parts, optax.scale_by_learning_rate(schedule))


def frozen_parameters(params: Any, patterns: Sequence[str]) -> Any:
    """A tree like `params` of bools: True where a pattern matches the path.

    The passenger pose head of networks with another head never learns.
    """
    passenger = ("pose/*",) if "pose" in params else ()
    return path_values(params, [(pattern, True) for pattern in (*passenger, *patterns)], False)


def path_values(params: Any, pairs: Sequence[tuple[str, Any]], default: Any) -> Any:
    """A tree like `params` holding the value of the last (pattern, value) that matches each path.

    Raises:
      ValueError: a pattern matches nothing (a misspelt one would silently train everything).
    """
    paths = ["/".join(path) for path in traverse_util.flatten_dict(params)]
    for pattern, _ in pairs:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise ValueError(
                f"got the parameter pattern {pattern!r}, which matches none of the "
                f"{len(paths)} parameters, such as {paths[0]!r}; do use 'backbone/*' or 'head/*'"
            )
    values = {
        tuple(path.split("/")): next(
            (value for pattern, value in reversed(list(pairs)) if fnmatchcase(path, pattern)),
            default,
        )
        for path in paths
    }
    return traverse_util.unflatten_dict(values)


def stop_frozen(params: Any, frozen: Any) -> Any:
    """`params` with no gradient into the frozen ones, so that none is computed."""

    def stop(value: jax.Array, is_frozen: bool) -> jax.Array:
        return jax.lax.stop_gradient(value) if is_frozen else value

    return jax.tree.map(stop, params, frozen)


def _scale_by(multiples: Any) -> optax.GradientTransformation:
    """Multiplies each update by its own constant; masked leaves pass through."""

    def is_masked(leaf: Any) -> bool:
        return isinstance(leaf, optax.MaskedNode)

    def scale(update: Any, factor: float) -> Any:
        return update if is_masked(update) else update * factor

    def init(params: Any) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return jax.tree.map(scale, updates, multiples, is_leaf=is_masked), state

    return optax.GradientTransformation(init, update)
