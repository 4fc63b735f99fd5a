"""Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers") on stacks of equal matrices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

MATRICES, KEPT = "matrices ", " kept"  # names of stacks: by shape, and those that do not decay
Stacks = dict[str, jax.Array]


def muon(
    schedule: Callable[[Any], Any], weight_decay: float, decayed: Any = None
) -> optax.GradientTransformation:
    """Muon for every matrix, AdamW without decay for all else.

    The numbers are those of one matrix after another, as `optax.contrib.muon` has them, of some
    dozen stacked products in the place of a thousand small ones.

    Args:
      decayed: a tree like the parameters of bools, which of them decay; None: all matrices.
    """
    axes = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    kept = {path for path, decays in _leaves(decayed).items() if not decays}

    def decays(stacks: Any) -> Any:
        return {name: KEPT not in name for name in stacks}

    def matrices(stacks: Any) -> Any:
        return {name: axes if name.startswith(MATRICES) else None for name in stacks}

    inner = optax.contrib.muon(
        schedule,
        weight_decay=weight_decay,
        weight_decay_mask=decays,
        adam_b2=0.99,
        muon_weight_dimension_numbers=matrices,
    )

    def init(params: Any) -> Any:
        return inner.init(_stacked(params, kept))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        given = None if params is None else _stacked(params, kept)
        changed: Any
        changed, state = inner.update(_stacked(updates, kept), state, given)
        return _unstacked(changed, updates, kept), state

    return optax.GradientTransformation(init, update)


def _leaves(tree: Any) -> dict[str, Any]:
    """The leaves by their paths; masked ones are none."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def _groups(leaves: Mapping[str, Any], kept: set[str]) -> dict[str, list[str]]:
    """Paths by stack: matrices by their shape and whether they decay, other leaves alone."""
    groups: dict[str, list[str]] = {}
    for path, leaf in leaves.items():
        shape = "x".join(map(str, leaf.shape))
        name = f"{MATRICES}{shape}{KEPT * (path in kept)}" if leaf.ndim == 2 else path
        groups.setdefault(name, []).append(path)
    return groups


def _stacked(tree: Any, kept: set[str]) -> Stacks:
    """Matrices of a kind as one array [N, rows, columns]."""
    leaves = _leaves(tree)
    return {
        name: jnp.stack([leaves[path] for path in paths])
        if name.startswith(MATRICES)
        else leaves[name]
        for name, paths in _groups(leaves, kept).items()
    }


def _unstacked(stacks: Mapping[str, jax.Array], like: Any, kept: set[str]) -> Any:
    """The tree again, of the structure of `like`."""
    leaves, found = _leaves(like), {}
    for name, paths in _groups(leaves, kept).items():
        parts = stacks[name] if name.startswith(MATRICES) else [stacks[name]]
        found |= dict(zip(paths, parts, strict=True))
    return jax.tree.unflatten(jax.tree.structure(like), [found[path] for path in leaves])
