"""Joints to rotations: a tree of bones of constant length that moves as the joints do.

Joints alone do not show how a bone is turned about itself. The convention here: a joint with
several children (hips, thorax) has the rotation that best fits the places of its neighbours; a
joint with one child has the smallest rotation from the frame of the joint above it that points at
the child, so no twist of its own. Children of one joint do not move as one rigid part (shoulders
shrug, the spine bends), so each gets a node of its own at the joint, `JOINT_to_CHILD`, that swings
its bone into place. All frames of a track are computed at once; only bone lengths and the rest
pose are taken over all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dstformer_jax.body.rotations import nearest
from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.body.skinning import chain
from dstformer_jax.body.smoothing import fill

# Where joints are at rest: a T pose of an adult in metres, y up, facing +z, the left side at +x.
# Only directions between joints are used. Joints of the right side are mirrored.
_T_POSE: dict[str, tuple[float, float, float]] = {
    "root": (0, 1.0, 0),
    "pelvis": (0, 1.03, 0),
    "spine_base": (0, 1.0, 0),
    "hip": (0.1, 1.0, 0),
    "knee": (0.1, 0.53, 0),
    "ankle": (0.1, 0.09, 0),
    "heel": (0.1, 0.03, -0.06),
    "foot": (0.1, 0.03, 0.13),
    "foot_index": (0.1, 0.02, 0.15),
    "big_toe": (0.08, 0.02, 0.15),
    "small_toe": (0.14, 0.02, 0.13),
    "spine1": (0, 1.13, 0),
    "spine2": (0, 1.24, 0),
    "spine3": (0, 1.33, 0),
    "spine_mid": (0, 1.25, 0),
    "spine_shoulder": (0, 1.45, 0),
    "belly": (0, 1.25, 0),
    "neck": (0, 1.48, 0),
    "nose": (0, 1.6, 0.09),
    "head": (0, 1.72, 0.03),
    "eye": (0.03, 1.64, 0.08),
    "eye_inner": (0.02, 1.64, 0.085),
    "eye_outer": (0.045, 1.64, 0.075),
    "ear": (0.07, 1.62, 0),
    "mouth": (0.025, 1.55, 0.08),
    "collar": (0.07, 1.45, 0),
    "shoulder": (0.18, 1.45, 0),
    "elbow": (0.46, 1.45, 0),
    "wrist": (0.71, 1.45, 0),
    "hand": (0.79, 1.45, 0),
    "hand_tip": (0.88, 1.45, 0),
    "thumb": (0.77, 1.45, 0.05),
    "index": (0.81, 1.45, 0.03),
    "pinky": (0.8, 1.45, -0.03),
}
_UP = np.array([0.0, 1.0, 0.0])
# Share of the parent's frame in the best fit: it decides only where the neighbours lie on one line.
_PRIOR = 1e-5
_SHORT = 1e-6  # bones below this share of all bones' length have no direction


@dataclass(frozen=True, eq=False)
class Articulation:
    """A tree of N nodes over T frames; parents come before children, depth first.

    Attributes:
      names: of the nodes: those of the joints, and JOINT_to_CHILD.
      parents: int [N], -1 for the first.
      offsets: [N, 3] from the parent at rest, in the points' unit. The rest is a T pose, y up,
        facing +z, in which the children of one joint have their average directions.
      turns: [T, N, 3, 3], each node's rotation relative to its parent; the identity is the rest.
      path: [T, 3], where the first node is.
      joints: int [J], the node of each joint of the skeleton.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    offsets: np.ndarray
    turns: np.ndarray
    path: np.ndarray
    joints: np.ndarray

    @cached_property
    def rest(self) -> np.ndarray:
        """[N, 3]: where the nodes are at rest, the first at the origin."""
        places = np.zeros_like(self.offsets)
        for node, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                places[node] = places[parent] + self.offsets[node]
        return places

    @property
    def positions(self) -> np.ndarray:
        """[T, J, 3]: the joints that the rotations give (forward kinematics)."""
        rest = np.broadcast_to(self.rest, (len(self.turns), *self.rest.shape))
        return (chain(self.turns, rest, self.parents, np)[1] + self.path[:, None])[:, self.joints]


@dataclass(frozen=True)
class _Node:
    """A node, the joint whose place it has, and the joints that it points at."""

    name: str
    parent: int
    joint: int
    ends: tuple[int, ...]
    is_swing: bool = False  # JOINT_to_CHILD


def articulate(
    points: np.ndarray, skeleton: Skeleton, confidence: np.ndarray | None = None
) -> Articulation:
    """Rotations of constant bones from joints.

    Directions of bones are kept exactly and their lengths become the medians over time: where the
    lengths are constant already, `positions` gives back the points.

    Args:
      points: [T, J, 3], y up, any unit, T >= 1.
      skeleton: with one root.
      confidence: [T, J]; joints with 0 are interpolated over time, and held at the ends.

    Raises:
      ValueError: no frame, or a skeleton in several parts.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 3 or points.shape[1:] != (skeleton.num_joints, 3) or not len(points):
        raise ValueError(
            f"got points of shape {points.shape}, expected [T, {skeleton.num_joints}, 3] with T > 0"
        )
    known = np.ones(points.shape[:2], bool) if confidence is None else np.asarray(confidence) > 0
    points = fill(points, known)
    lengths = _lengths(points, known, skeleton)
    nodes = tuple(_nodes(skeleton))
    where = {node.name: index for index, node in enumerate(nodes)}
    parents = np.array([node.parent for node in nodes])
    rest = np.stack([_rest_direction(skeleton, joint) for joint in range(skeleton.num_joints)])
    world, rest = _world_turns(points, nodes, rest, lengths)
    turns = np.where((parents < 0)[:, None, None], world, _relative(world, parents))
    offsets = [
        np.zeros(3)
        if node.parent < 0 or nodes[node.parent].joint == node.joint
        else lengths[node.joint] * rest[node.joint]
        for node in nodes
    ]
    return Articulation(
        tuple(node.name for node in nodes),
        parents,
        np.stack(offsets),
        turns,
        points[:, nodes[0].joint],
        np.array([where[name] for name in skeleton.names]),
    )


def swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotations `[..., 3, 3]` from unit vectors to unit vectors `[..., 3]`.

    Between opposite vectors no half turn is smaller than the others; one of them is chosen.
    """
    start, end = np.broadcast_arrays(start, end)
    dot = np.sum(start * end, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(np.cross(start, end), -1, 0)
    zero = np.zeros_like(x)
    rows = [np.stack(row, axis=-1) for row in ([zero, -z, y], [z, zero, -x], [-y, x, zero])]
    cross = np.stack(rows, axis=-2)
    opposite = dot < -1 + 1e-9
    turn = np.eye(3) + cross + cross @ cross / np.where(opposite, 1.0, 1 + dot)
    # The axis of a half turn: the coordinate axis least along the vector, made orthogonal to it.
    axis = np.eye(3)[np.argmin(np.abs(start), axis=-1)]
    axis = axis - np.sum(axis * start, axis=-1, keepdims=True) * start
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-12)
    half = 2 * axis[..., :, None] * axis[..., None, :] - np.eye(3)
    return np.where(opposite, half, turn)


def _nodes(skeleton: Skeleton) -> Iterator[_Node]:
    """The nodes of a skeleton, depth first: joints, and one for each child of several."""
    roots = [joint for joint, parent in enumerate(skeleton.parents) if parent < 0]
    if len(roots) != 1:
        raise ValueError(f"got {len(roots)} roots in {skeleton.name}, expected one tree of joints")
    count = 0

    def walk(joint: int, parent: int) -> Iterator[_Node]:
        nonlocal count
        ends = tuple(child for child, above in enumerate(skeleton.parents) if above == joint)
        own, count = count, count + 1
        yield _Node(skeleton.names[joint], parent, joint, ends)
        for child in ends:
            at = own
            if len(ends) > 1:
                at, count = count, count + 1
                name = f"{skeleton.names[joint]}_to_{skeleton.names[child]}"
                yield _Node(name, own, joint, (child,), True)
            yield from walk(child, at)

    yield from walk(roots[0], -1)


def _rest_direction(skeleton: Skeleton, joint: int) -> np.ndarray:
    """Unit vector [3] from a joint's parent to the joint at rest; up where names say nothing."""
    ends = [_rest_place(skeleton.names[index]) for index in (skeleton.parents[joint], joint)]
    if ends[0] is None or ends[1] is None:
        return _UP
    bone = ends[1] - ends[0]
    length = np.linalg.norm(bone)
    return bone / length if length > 0 else _UP


def _rest_place(name: str) -> np.ndarray | None:
    side, _, stem = name.partition("_")
    if side not in ("left", "right"):
        side, stem = "left", name
    place = _T_POSE.get(stem)
    return None if place is None else np.array(place) * [1 if side == "left" else -1, 1, 1]


def _lengths(points: np.ndarray, known: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Median length [J] of the bone from each joint's parent, over frames that show both."""
    lengths = np.zeros(skeleton.num_joints)
    for parent, joint in skeleton.limbs:
        both = known[:, parent] & known[:, joint]
        rows = both if both.any() else slice(None)
        bone = points[rows, joint] - points[rows, parent]
        lengths[joint] = np.median(np.linalg.norm(bone, axis=-1))
    return lengths


def _world_turns(
    points: np.ndarray,
    nodes: tuple[_Node, ...],
    rest: np.ndarray,
    lengths: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of the nodes in the world [T, N, 3, 3], and the rest directions [J, 3] they use."""
    rest = rest.copy()
    short = _SHORT * lengths.sum()
    turns: list[np.ndarray] = []
    frames: list[np.ndarray] = []  # what a node's children are turned from
    for node in nodes:
        frame = np.broadcast_to(np.eye(3), (len(points), 3, 3))
        if node.parent >= 0:
            frame = frames[node.parent]
        ends = list(node.ends)
        bones = points[:, ends] - points[:, node.joint, None]
        size = np.linalg.norm(bones, axis=-1, keepdims=True)
        still = np.einsum("tij,kj->tki", frame, rest[ends])
        units = np.where(size > short, bones / np.maximum(size, 1e-300), still)
        turn = frame
        if len(ends) == 1:
            turn = swing(still[:, 0], units[:, 0]) @ frame
        elif ends:
            turn, rest[ends] = _best_fit(node, nodes, turns, units, rest, lengths)
        turns.append(turn)
        frames.append(frame if node.is_swing else turn)
    return np.stack(turns, axis=1), rest


def _best_fit(
    node: _Node,
    nodes: tuple[_Node, ...],
    turns: list[np.ndarray],
    units: np.ndarray,
    rest: np.ndarray,
    lengths: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [T, 3, 3] of a joint with K children, and their rest directions [K, 3].

    Least squares over the places of the children and of the joint's parent (Kabsch 1976). The rest
    directions then become those that the children have on average in the frame so found, and the
    fit is repeated: so the nodes that swing the children turn as little as can be.

    Args:
      units: directions to the children, [T, K, 3].
    """
    ends = list(node.ends)
    weight = lengths[ends] ** 2
    prior = np.broadcast_to(np.eye(3), (len(units), 3, 3))
    spine = np.zeros_like(prior)
    if node.parent >= 0:
        prior = turns[node.parent]
        own = rest[node.joint]
        # The bone from the parent is the parent node's: it points along that node's rest direction.
        spine = lengths[node.joint] ** 2 * (prior @ own)[..., :, None] * own
    base = spine + _PRIOR * max(weight.sum(), 1e-12) * prior
    chosen = rest[ends]
    turn = nearest(base + np.einsum("k,tki,kj->tij", weight, units, chosen))
    mean = np.einsum("tij,tki->kj", turn, units) / len(units)
    steady = np.linalg.norm(mean, axis=-1, keepdims=True)
    chosen = np.where(steady > 0.5, mean / np.maximum(steady, 0.5), chosen)
    return nearest(base + np.einsum("k,tki,kj->tij", weight, units, chosen)), chosen


def _relative(world: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Rotations relative to the parents', [T, N, 3, 3]."""
    return np.swapaxes(world[:, parents], -1, -2) @ world
