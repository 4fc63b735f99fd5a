"""Writes animated skeletons for Blender, game engines and browsers: .glb (glTF 2.0).

Units, axes and rest pose are glTF's own: metres, y up, right-handed, facing +z. Every bone is a bar
that one node of the skeleton carries, so that the motion shows without a body.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dstformer_jax.body.kinematics import Articulation, articulate, swing
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.rotations import to_quaternion
from dstformer_jax.files.output import (
    GENERATOR,
    beside,
    description,
    in_metres,
    person_files,
    whole_file,
)

_FLOAT, _SHORT, _INT = 5126, 5123, 5125  # component types
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # buffer targets
# Red, green, blue of the people in turn.
COLOURS = ((0.10, 0.35, 0.80), (0.85, 0.35, 0.05), (0.05, 0.55, 0.25), (0.65, 0.15, 0.55))
_MOST_SHORT = 2**16 - 1  # the largest index is kept for restarts
_WORTH_SAYING = 0.0005  # metres
_SIDES = 6  # of the bars that bones are drawn as


def _bar() -> tuple[np.ndarray, np.ndarray]:
    """A bar along y from 0 to 1, thinner at its end: corners [14, 3] and triangles [24, 3]."""
    angle = 2 * np.pi * np.arange(_SIDES) / _SIDES
    ring = np.stack([np.cos(angle), np.zeros(_SIDES), -np.sin(angle)], axis=-1)
    lower = ring + np.array([0, 0.06, 0])
    upper = ring * [0.7, 1, 0.7] + np.array([0, 0.94, 0])
    corners = np.concatenate([np.zeros((1, 3)), lower, upper, [[0, 1, 0]]])
    first, top = np.arange(_SIDES), 2 * _SIDES + 1
    here, there = 1 + first, 1 + (first + 1) % _SIDES
    faces = [
        np.stack([np.zeros_like(first), there, here], axis=-1),
        np.stack([here, there, here + _SIDES], axis=-1),
        np.stack([there, there + _SIDES, here + _SIDES], axis=-1),
        np.stack([here + _SIDES, there + _SIDES, np.full_like(first, top)], axis=-1),
    ]
    return corners, np.concatenate(faces)


_WIDTH = (0.14, 0.035)  # half width of a bone: a share of its length, and at most, in metres


def write_glb(motion: Motion, stem: Path) -> list[Path]:
    """One file with everybody: a skin and a coloured mesh for each, one animation for all.

    Time 0 is frame 0 of the video. Missing joints are interpolated; before a person's first frame
    and after the last the pose is held. Node names are those of the joints (`body.kinematics`),
    after `person<id>_` where there are several people. The description is in `asset.extras`.
    """
    metric = in_metres(motion, "GLB")
    people = [track for track, _ in person_files(metric, stem, ".glb")]
    scene = Scene()
    for number, track in enumerate(people):
        name = f"person{track.id}"
        prefix = f"{name}_" if len(people) > 1 else ""
        scene.add_person(metric, track, name, prefix, COLOURS[number % len(COLOURS)])
    path = beside(stem, ".glb")
    with whole_file(path) as partial:
        partial.write_bytes(packed(scene.content(description(metric)), bytes(scene.data)))
    return [path]


def packed(content: dict[str, Any], data: bytes) -> bytes:
    """The two chunks of a binary glTF file, each padded to 4 bytes."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(data)
    head = struct.pack("<4sII", b"glTF", 2, size)
    first = struct.pack("<I4s", len(text), b"JSON") + text
    return head + first + struct.pack("<I4s", len(data), b"BIN\0") + data


class Skinned(NamedTuple):
    """A surface of V corners on N nodes over T frames; metres, y up.

    Attributes:
      names: of the nodes.
      parents: int [N], -1 for the first.
      offsets, rest: [N, 3] from the parent, and places, at rest.
      path: [T, 3] of the first node.
      turns: [T, N, 3, 3] relative to the parent.
      turning: the nodes that turn; the others do not move.
      corners: [V, 3] at rest.
      faces: int [F, 3].
      owners, weights: [V, K], the nodes that carry each corner; K is a multiple of 4. The heaviest
        come first: some viewers know of four.
      normals: [V, 3]; None: flat faces.
    """

    names: Sequence[str]
    parents: np.ndarray
    offsets: np.ndarray
    rest: np.ndarray
    path: np.ndarray
    turns: np.ndarray
    turning: Sequence[int]
    corners: np.ndarray
    faces: np.ndarray
    owners: np.ndarray
    weights: np.ndarray
    normals: np.ndarray | None = None


@dataclass
class Scene:
    """Collects the parts of the file; indices are places in its lists."""

    data: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    skins: list[dict[str, Any]] = field(default_factory=list)
    meshes: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)
    channels: list[dict[str, Any]] = field(default_factory=list)
    samplers: list[dict[str, Any]] = field(default_factory=list)
    tops: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def content(self, about: dict[str, Any]) -> dict[str, Any]:
        """The JSON of a file that this is said about."""
        about = {**about, "notes": [*about["notes"], *self.notes]}
        return {
            "asset": {"version": "2.0", "generator": GENERATOR, "extras": about},
            "scene": 0,
            "scenes": [{"name": "motion", "nodes": self.tops}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "skins": self.skins,
            "materials": self.materials,
            "animations": [
                {"name": "motion", "channels": self.channels, "samplers": self.samplers}
            ],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }

    def add_array(self, array: np.ndarray, kind: int, target: int | None = None) -> int:
        """Stores an array [N] or [N, C] and returns its accessor."""
        self.data += b"\0" * (-len(self.data) % 4)
        dtype = {_FLOAT: "<f4", _SHORT: "<u2", _INT: "<u4"}[kind]
        stored = np.ascontiguousarray(array, dtype)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": stored.nbytes}
        self.views.append(view if target is None else {**view, "target": target})
        self.data += stored.tobytes()
        self.data += b"\0" * (-len(self.data) % 4)
        flat = stored.reshape(len(stored), -1)
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": kind,
            "count": len(stored),
            "type": _TYPES[flat.shape[1]],
        }
        if flat.shape[1] in (1, 3):  # needed of times and vertices
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_person(
        self,
        motion: Motion,
        track: Track,
        name: str,
        prefix: str,
        colour: tuple[float, float, float],
    ) -> None:
        """Adds a person's nodes, mesh, skin and part of the animation."""
        body = articulate(track.points, motion.skeleton, track.confidence)
        moved = np.linalg.norm(body.positions - track.points, axis=-1)[track.confidence > 0].mean()
        if moved > _WORTH_SAYING:
            self.notes.append(
                f"{name}: bones of constant length move the joints by {1000 * moved:.0f} mm on "
                "average."
            )
        times = (track.start + np.arange(len(track))) / motion.fps
        self.add_skinned(_bones(body), times, name, prefix, colour)

    def add_skinned(
        self,
        skinned: Skinned,
        times: np.ndarray,
        name: str,
        prefix: str,
        colour: tuple[float, float, float],
    ) -> None:
        """Adds a surface on bones that moves; times [T] in seconds."""
        first = len(self.nodes)
        for node, (joint, offset) in enumerate(zip(skinned.names, skinned.offsets, strict=True)):
            place = skinned.path[0] if node == 0 else offset
            entry: dict[str, Any] = {"name": prefix + joint, "translation": place.tolist()}
            entry["rotation"] = to_quaternion(skinned.turns[0, node]).tolist()
            if below := np.flatnonzero(skinned.parents == node).tolist():
                entry["children"] = [first + child for child in below]
            self.nodes.append(entry)
        self._add_mesh(skinned, first, prefix, colour)
        # A node above the joints: Blender makes one armature of all joints below one node.
        self.nodes.append({"name": name, "children": [first]})
        self.tops += [len(self.nodes) - 1, len(self.nodes) - 2]
        self._animate(skinned, first, self.add_array(times, _FLOAT))

    def _add_mesh(
        self, skinned: Skinned, first: int, prefix: str, colour: tuple[float, float, float]
    ) -> None:
        """The surface at rest, each corner bound to the nodes that carry it."""
        inverse = np.tile(np.eye(4), (len(skinned.rest), 1, 1))
        inverse[:, :3, 3] = -skinned.rest
        attributes = {"POSITION": self.add_array(skinned.corners, _FLOAT, _VERTICES)}
        if skinned.normals is not None:
            attributes["NORMAL"] = self.add_array(skinned.normals, _FLOAT, _VERTICES)
        for number, start in enumerate(range(0, skinned.owners.shape[1], 4)):
            owners, weights = (
                array[:, start : start + 4] for array in (skinned.owners, skinned.weights)
            )
            attributes[f"JOINTS_{number}"] = self.add_array(owners, _SHORT, _VERTICES)
            attributes[f"WEIGHTS_{number}"] = self.add_array(weights, _FLOAT, _VERTICES)
        # glTF keeps matrices by columns.
        columns = np.swapaxes(inverse, 1, 2).reshape(-1, 16)
        self.materials.append(
            {
                "name": f"{prefix}bones",
                "pbrMetallicRoughness": {
                    "baseColorFactor": [*colour, 1],
                    "metallicFactor": 0,
                    "roughnessFactor": 0.8,
                },
            }
        )
        kind = _SHORT if len(skinned.corners) < _MOST_SHORT else _INT
        primitive = {
            "attributes": attributes,
            "indices": self.add_array(skinned.faces.reshape(-1), kind, _INDICES),
            "material": len(self.materials) - 1,
        }
        self.meshes.append({"name": f"{prefix}bones", "primitives": [primitive]})
        self.skins.append(
            {
                "name": f"{prefix}skeleton",
                "inverseBindMatrices": self.add_array(columns, _FLOAT),
                "joints": [first + node for node in range(len(skinned.names))],
                "skeleton": first,
            }
        )
        shown = {"name": f"{prefix}body", "mesh": len(self.meshes) - 1, "skin": len(self.skins) - 1}
        self.nodes.append(shown)

    def _animate(self, skinned: Skinned, first: int, times: int) -> None:
        """Rotations of all nodes that others hang on, and the place of the first."""
        self._add_channel(first, "translation", times, self.add_array(skinned.path, _FLOAT))
        turns = _continuous(to_quaternion(skinned.turns))
        for node in skinned.turning:
            values = self.add_array(turns[:, node], _FLOAT)
            self._add_channel(first + node, "rotation", times, values)

    def _add_channel(self, node: int, path: str, times: int, values: int) -> None:
        self.channels.append(
            {"sampler": len(self.samplers), "target": {"node": node, "path": path}}
        )
        self.samplers.append({"input": times, "output": values, "interpolation": "LINEAR"})


def _bones(body: Articulation) -> Skinned:
    """A body without a surface: its bones as bars, each carried by the node that it begins at."""
    corners, faces, owners = bars(body)
    return Skinned(
        names=body.names,
        parents=body.parents,
        offsets=body.offsets,
        rest=body.rest,
        path=body.path,
        turns=body.turns,
        turning=sorted(set(body.parents.tolist()) - {-1}),
        corners=corners,
        faces=faces,
        owners=np.pad(owners[:, None], [(0, 0), (0, 3)]),
        weights=np.tile(np.eye(4)[0], (len(owners), 1)),
    )


def bars(body: Articulation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bones of a body at rest as bars.

    Returns:
      corners [14 B, 3] in the body's unit, faces int [24 B, 3], and the node int [14 B] that
      carries each corner; B bones that have a length.
    """
    corners, faces, owners = [], [], []
    shape, triangles = _bar()
    for node, parent in enumerate(body.parents.tolist()):
        length = float(np.linalg.norm(body.offsets[node]))
        if length == 0:
            continue
        width = min(_WIDTH[0] * length, _WIDTH[1])
        turn = swing(np.array([0.0, 1.0, 0.0]), body.offsets[node] / length)
        faces.append(triangles + len(shape) * len(corners))
        corners.append(body.rest[parent] + shape * [width, length, width] @ turn.T)
        owners.append(np.full(len(shape), parent))
    if not corners:
        raise ValueError("got a body whose joints are all in one place, expected bones for GLB")
    return np.concatenate(corners), np.concatenate(faces), np.concatenate(owners)


def _continuous(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions [T, ..., 4] with the signs nearest to the frame before: q and -q are one turn."""
    near = np.sum(quaternions[1:] * quaternions[:-1], axis=-1, keepdims=True) >= 0
    signs = np.cumprod(np.where(near, 1, -1), axis=0)
    return np.concatenate([quaternions[:1], quaternions[1:] * signs])
