"""Poses a body by the joints of a BVH file, whose rest pose is another one.

Rotations of a BVH file are relative to its own rest pose (arms out to the sides); those of a body
to the body's (arms down). So the body is first brought into the file's rest pose: bone after bone,
beginning at the root, it follows its parent and then swings the shortest way until it points where
the file's bone points. A posed bone is the file's rotation times this alignment, and points exactly
where the file's bone does. The shortest way after the parent keeps twists of limbs small.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.body.model import BodyModel
from dstformer_jax.body.rotations import to_matrix, to_vector
from dstformer_jax.files.bvh import Bvh

SHIPPED = Path(__file__).with_name("skeletons.json")
_Z_UP_TO_Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
_ASTRAY = np.cos(np.radians(60))  # a rest pose whose hips are turned by more faces another way


@dataclass(frozen=True)
class Names:
    """aliases: bone -> further names of the joint that poses it; upright: see skeletons.json."""

    aliases: Mapping[str, tuple[str, ...]]
    upright: frozenset[str]


def load_names(path: str | Path = "") -> Names:
    """The table of a JSON file {"aliases": {bone: [joints]}, "upright": [bones]}, by default ours.

    Raises:
      ValueError: naming the file that is no such table.
    """
    path = Path(path or SHIPPED)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        aliases = {str(bone): tuple(map(str, joints)) for bone, joints in table["aliases"].items()}
        return Names(aliases, frozenset(map(str, table["upright"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path}: got no table of names ({error!r:.80}), expected the layout of {SHIPPED.name}"
        ) from None


@dataclass(frozen=True, eq=False)
class Fit:
    """How the joints of a file pose the bones of a body.

    nodes: int [B], the joint of each bone, -1 where the file has none (the bone keeps still).
    toward: int [B], the bone that each bone points at, -1 where its direction is not made equal.
    rest: [B, 3, 3], the body in the file's rest pose: each bone's rotation in space.
    """

    nodes: np.ndarray
    toward: np.ndarray
    rest: np.ndarray


def fit(body: BodyModel, places: np.ndarray, bvh: Bvh, names: Names, up: str = "y") -> Fit:
    """Fits a body whose bones rest at `places` [B, 3] to the joints of a file.

    Raises:
      ValueError: a file without the joints that the bones are called by, or facing another way.
    """
    nodes = _nodes(body, bvh, names)
    offsets = bvh.offsets @ (_Z_UP_TO_Y_UP.T if up == "z" else np.eye(3))
    toward = np.full(body.num_bones, -1)
    rest = np.empty((body.num_bones, 3, 3))
    for bone, (name, parent) in enumerate(zip(body.bone_names, body.parents, strict=True)):
        above = rest[parent] if parent >= 0 and name not in names.upright else np.eye(3)
        end = -1 if name in names.upright else _main_child(body, bone)
        rest[bone] = above
        if end < 0 or nodes[bone] < 0 or bvh.parents[nodes[end]] != nodes[bone]:
            continue
        own, wanted = places[end] - places[bone], offsets[nodes[end]]
        if np.linalg.norm(own) > 1e-3 and np.any(wanted):
            rest[bone] = swing(above @ own, wanted) @ above
            toward[bone] = end
    _check_facing(body, places, bvh, nodes, offsets)
    return Fit(nodes, toward, rest)


def _nodes(body: BodyModel, bvh: Bvh, names: Names) -> np.ndarray:
    """int [B]: the joint of each bone by name, -1 without."""
    known = {name: node for node, name in reversed(list(enumerate(bvh.names)))}
    called = [(name, *names.aliases.get(name, ())) for name in body.bone_names]
    nodes = np.array([next((known[n] for n in each if n in known), -1) for each in called])
    if nodes[0] < 0 or 2 * (nodes >= 0).sum() < len(nodes):
        missing = [each[-1] for each, node in zip(called, nodes, strict=True) if node < 0]
        raise ValueError(
            f"got joints {', '.join(bvh.names[:6])}..., expected those that body {body.name} is "
            f"posed by, such as {', '.join(missing[:4])}; do give --names"
        )
    return nodes


def _main_child(body: BodyModel, bone: int) -> int:
    """The child that a bone points at: in the middle of the body if the bone is there, else the
    one that carries most bones; -1 without children."""
    children = np.flatnonzero(body.parents == bone).tolist()
    middle = [child for child in children if body.mirror[child] == child]
    if body.mirror[bone] == bone and middle:
        children = middle
    return max(children, key=lambda child: _carried(body, child), default=-1)


def _carried(body: BodyModel, bone: int) -> int:
    return 1 + sum(_carried(body, int(child)) for child in np.flatnonzero(body.parents == bone))


def swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation [3, 3] that turns direction `start` [3] into `end` [3]."""
    axis, cosine = np.cross(start, end), start @ end
    sine = np.linalg.norm(axis)
    if sine < 1e-9 * abs(cosine):  # equal or opposite: about anything across
        axis = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
    return to_matrix(axis / np.linalg.norm(axis) * np.arctan2(sine, cosine))


def _check_facing(
    body: BodyModel, places: np.ndarray, bvh: Bvh, nodes: np.ndarray, offsets: np.ndarray
) -> None:
    """The rest pose of the file must have its left and right where the body has them."""
    still = np.zeros_like(offsets)
    for node, parent in enumerate(bvh.parents):
        still[node] = offsets[node] + (still[parent] if parent >= 0 else 0)
    pairs = [(b, int(m)) for b, m in enumerate(body.mirror) if b < m and nodes[[b, m]].min() >= 0]
    own = sum((places[a] - places[b] for a, b in pairs), np.zeros(3))
    theirs = sum((still[nodes[a]] - still[nodes[b]] for a, b in pairs), np.zeros(3))
    size = np.linalg.norm(own) * np.linalg.norm(theirs)
    if size > 0 and own @ theirs < _ASTRAY * size:
        raise ValueError(
            f"got a rest pose whose left is towards {theirs.round(2).tolist()}, expected "
            f"{own.round(2).tolist()} as in body {body.name}; do turn the file"
        )


def bone_turns(fitted: Fit, body: BodyModel, bvh: Bvh, up: str = "y") -> np.ndarray:
    """Rotations [T, B, 3, 3] of all bones in space, which the file's frames pose."""
    turns = bvh.turns
    if up == "z":
        turns = _Z_UP_TO_Y_UP @ turns @ _Z_UP_TO_Y_UP.T
    posed = np.empty((len(turns), body.num_bones, 3, 3))
    for bone, (node, parent) in enumerate(zip(fitted.nodes, body.parents, strict=True)):
        posed[:, bone] = turns[:, node] @ fitted.rest[bone] if node >= 0 else posed[:, parent]
    return posed


def to_local(posed: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Rotations in space [T, B, 3, 3] -> relative to the parents; the root's stays."""
    local = posed.copy()
    local[:, 1:] = posed[:, parents[1:]].swapaxes(-1, -2) @ posed[:, 1:]
    return local


def between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Rotations [T, B, 3, 3], a share [T] of the way from first to second."""
    if not share.any():
        return first
    step = to_vector(first.swapaxes(-1, -2) @ second)
    return first @ to_matrix(share[:, None, None] * step)
