"""Maps the joints of motion capture rigs to the Human3.6M joints, by name.

A rig is a list of 17 expressions in H36M17 order: `NAME`, `NAME:EndSite`, `mean(A,B)` or
`A+1.8*(B-A)` (an extrapolation, for rigs without a head top). `rigs.json` holds ours; a user's
own JSON has the same form, `{"my_rig": [17 expressions]}`, or
`{"my_rig": {"joints": [...], "landmarks": {"left_toe": "LToe"}}}`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17, parse_expression
from dstformer_jax.files.bvh import END_SITE, Bvh, read_bvh

SHIPPED = Path(__file__).with_name("rigs.json")
_NOT_RIGS = ("h36m17", "h36m17_parents", "note")
# Metres a unit: millimetre, centimetre, inch, cgspeed's CMU files, decimetre, metre.
_UNITS = (0.001, 0.01, 0.0254, 0.056444, 0.1, 1.0)
_LEG = 0.83  # metres from hip to ankle of a middle-sized adult


@dataclass(frozen=True)
class Rig:
    """How to read the Human3.6M joints, and some landmarks, off the nodes of a rig.

    Attributes:
      name: such as `asf31`.
      joints: 17 expressions over node names, in H36M17 order.
      landmarks: expressions for places that H36M17 lacks (toes, heels, hand ends).
    """

    name: str
    joints: tuple[str, ...]
    landmarks: Mapping[str, str] = field(default_factory=dict)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Node names that the joints need and `names` lacks."""
        known = set(names)
        return sorted({k for expr in self.joints for k in _weights(expr, known)} - known)

    def pose(self, bvh: Bvh, unit_to_m: float) -> np.ndarray:
        """float32 `[T, 17, 3]`: the joints in metres, in the file's axes (y up)."""
        return _evaluate(self.joints, bvh, unit_to_m)

    def node(self, bvh: Bvh, joint: int) -> int:
        """The node of the file that turns with a joint: the one that weighs most, no end site."""
        weights = _weights(self.joints[joint], set(bvh.names))
        name = max(weights, key=lambda each: (not each.endswith(END_SITE), weights[each]))
        return bvh.names.index(name.removesuffix(END_SITE))

    def present_landmarks(self, bvh: Bvh, unit_to_m: float) -> tuple[np.ndarray, tuple[str, ...]]:
        """float32 `[T, L, 3]` in metres and L names: the landmarks whose nodes the file has."""
        known = set(bvh.names)
        names = tuple(
            k for k, expr in self.landmarks.items() if set(_weights(expr, known)) <= known
        )
        return _evaluate([self.landmarks[name] for name in names], bvh, unit_to_m), names


def load_rigs(path: str | Path | None = None) -> dict[str, Rig]:
    """Reads a table of rigs; None is the shipped one. A malformed table raises ValueError."""
    path = SHIPPED if path is None else Path(path)
    if path.stat().st_size > 2**20:
        raise ValueError(f"{path}: got more than 1 MiB, expected a small table of rigs")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: got no valid JSON ({error}), expected a table of rigs") from None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: got {type(table).__name__}, expected an object of rigs by name")
    rigs = {name: _rig(path, name, row) for name, row in table.items() if name not in _NOT_RIGS}
    if not rigs:
        raise ValueError(f"{path}: got no rig, expected NAME: [17 expressions]")
    return rigs


def choose_rig(bvh: Bvh, rigs: Mapping[str, Rig] | None = None, name: str | None = None) -> Rig:
    """The rig called `name`, or the one whose nodes the file has (most named nodes win)."""
    rigs = load_rigs() if rigs is None else rigs
    if name is not None and name not in rigs:
        raise ValueError(f"got rig {name!r}, expected one of {', '.join(rigs)}")
    wanted = list(rigs.values()) if name is None else [rigs[name]]
    missing = {rig.name: rig.missing(bvh.names) for rig in wanted}
    fitting = [rig for rig in wanted if not missing[rig.name]]
    if not fitting:
        near = min(missing, key=lambda key: len(missing[key]))
        raise ValueError(
            f"got joints {', '.join(bvh.names[:8])}..., expected those of a known rig; the "
            f"nearest, {near}, also needs {', '.join(missing[near][:6])}; write a JSON of yours"
        )
    return max(fitting, key=lambda rig: len(set(rig.joints)))


def guess_unit(pose: np.ndarray) -> float:
    """Metres a unit, guessed from the length of the legs of `pose [T, 17, 3]` in file units."""
    lengths = np.linalg.norm(pose[:, [2, 3, 5, 6]] - pose[:, [1, 2, 4, 5]], axis=-1)
    leg = float(np.median(lengths.sum(-1))) / 2 if len(pose) else 0.0
    if not leg > 0:
        raise ValueError(f"got legs of length {leg}, expected a body; give the unit")
    return min(_UNITS, key=lambda unit: abs(np.log(leg * unit / _LEG)))


def _rig(path: Path, name: str, row: Any) -> Rig:
    """Checks one row of the table."""
    joints = row.get("joints") if isinstance(row, dict) else row
    landmarks = row.get("landmarks", {}) if isinstance(row, dict) else {}
    if (
        not isinstance(joints, list)
        or not all(isinstance(text, str) for text in joints)
        or len(joints) != H36M17.num_joints
    ):
        raise ValueError(f"{path}: got rig {name!r} of {row!r:.80}, expected 17 expressions")
    if not isinstance(landmarks, dict) or not all(isinstance(v, str) for v in landmarks.values()):
        raise ValueError(f"{path}: got landmarks {landmarks!r:.80} of rig {name!r}, expected names")
    for text in [*joints, *landmarks.values()]:
        parse_expression(text)
    return Rig(name, tuple(joints), landmarks)


def _weights(expression: str, known: set[str]) -> dict[str, float]:
    """Weights by node name; a node whose own name reads like an expression is that node."""
    return {expression: 1.0} if expression in known else parse_expression(expression)


def _evaluate(expressions: Sequence[str], bvh: Bvh, unit_to_m: float) -> np.ndarray:
    """float32 `[T, len(expressions), 3]` in metres."""
    known = set(bvh.names)
    mix = np.zeros((len(expressions), len(bvh.names)), np.float32)
    for row, expression in enumerate(expressions):
        for node, weight in _weights(expression, known).items():
            if node not in known:
                raise ValueError(f"got no joint {node!r} in the file, needed by {expression!r}")
            mix[row, bvh.names.index(node)] += weight
    return np.einsum("ln,tnc->tlc", mix * np.float32(unit_to_m), bvh.positions)


def read_motion(
    path: str | Path,
    rigs: Mapping[str, Rig] | None = None,
    rig: str | None = None,
    unit_to_m: float | None = None,
) -> Motion:
    """Reads a BVH file of a known rig as one track of Human3.6M joints, metres, y up.

    The rig is found by the file's names and the unit by the length of the legs, unless given.
    """
    bvh = read_bvh(path)
    try:
        chosen = choose_rig(bvh, rigs, rig)
        pose = chosen.pose(bvh, 1.0)
        unit = guess_unit(pose) if unit_to_m is None else unit_to_m
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    track = Track(0, 0, pose * np.float32(unit), np.ones(pose.shape[:2], np.float32))
    return Motion((track,), H36M17, bvh.fps, "m", "world", source=str(path))
