"""Writes moving bodies: every number as .npz, and the surface on its bones as .glb (glTF 2.0)."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.model import CHUNK, BodyModel
from dstformer_jax.body.motion import Motion
from dstformer_jax.files.glb import COLOURS, Scene, Skinned, packed
from dstformer_jax.files.output import beside, description, in_metres, whole_file
from dstformer_jax.files.tables import npz_arrays

_UPSIDE_DOWN = np.diag([1.0, -1.0, -1.0])  # from camera axes to y up, as `in_metres` has it


@dataclass(frozen=True, eq=False)
class BodyMotion:
    """People as moving bodies, in metres. The lists have an entry for each track.

    Attributes:
      motion: the joints of each person, with fps, axes and notes.
      body: whose parameters follow.
      turns: [T, B, 3, 3] of the bones relative to their parents, the root's in the motion's axes.
      shapes: [S], one for all frames of a person.
      places: [T, 3], added to the body's vertices and joints.
    """

    motion: Motion
    body: BodyModel
    turns: Sequence[np.ndarray]
    shapes: Sequence[np.ndarray]
    places: Sequence[np.ndarray]

    def vertices(self, track: int, rows: slice) -> np.ndarray:
        """Surface [n, V, 3] in up to CHUNK frames of a track, float32."""
        turns = np.asarray(self.turns[track][rows], np.float32)
        count = len(turns)
        turns = np.pad(turns, [(0, CHUNK - count)] + [(0, 0)] * 3)  # one compiled shape
        shape = np.tile(np.asarray(self.shapes[track], np.float32), (CHUNK, 1))
        surface = np.asarray(self._posed(turns, shape))[:count]
        return surface + np.asarray(self.places[track][rows, None], np.float32)

    @cached_property
    def _posed(self):
        return jax.jit(self.body.vertices)


def write_meshes(people: BodyMotion, stem: Path, formats: Sequence[str]) -> list[Path]:
    """Writes `STEM.mesh.npz` and `STEM.mesh.glb`, those of `formats`."""
    return [{"npz": write_mesh_npz, "glb": write_mesh_glb}[name](people, stem) for name in formats]


def write_mesh_npz(people: BodyMotion, stem: Path) -> Path:
    """One archive: the motion's arrays (`tables.npz_arrays`: `points_ID` are its joints) and more.

    For each track ID: `theta_ID` [T, 3 B] axis-angles, `beta_ID` [S], `translation_ID` [T, 3] and
    `vertices_ID` [T, V, 3], which are the body's vertices of the first two plus the third. For all:
    `faces` [F, 3], `body` and `bones`, names. Memory does not grow with the frames' number.
    """
    arrays = npz_arrays(people.motion)
    arrays["faces"] = people.body.faces.astype(np.int32)
    arrays["body"] = np.array(people.body.name, np.str_)
    arrays["bones"] = np.array(people.body.bone_names, np.str_)
    for track, turns, shape, place in zip(
        people.motion, people.turns, people.shapes, people.places, strict=True
    ):
        vectors = rotations.to_vector(turns).reshape(len(turns), -1)
        arrays[f"theta_{track.id}"] = vectors.astype(np.float32)
        arrays[f"beta_{track.id}"] = shape.astype(np.float32)
        arrays[f"translation_{track.id}"] = place.astype(np.float32)
    path = beside(stem, ".mesh.npz")
    with whole_file(path) as partial:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        with zipfile.ZipFile(partial, "a") as archive:
            for number in range(len(people.turns)):
                _add_vertices(archive, people, number)
    return path


def _add_vertices(archive: zipfile.ZipFile, people: BodyMotion, number: int) -> None:
    """`vertices_ID` of a track, a few frames at a time."""
    frames, name = len(people.turns[number]), people.motion.tracks[number].id
    shape = (frames, len(people.body.template), 3)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with archive.open(f"vertices_{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, frames, CHUNK):
            vertices = people.vertices(number, slice(start, start + CHUNK))
            file.write(np.ascontiguousarray(vertices, "<f4").tobytes())


def write_mesh_glb(people: BodyMotion, stem: Path) -> Path:
    """One file with everybody: metres, y up, the surface skinned to the bones, one animation.

    Time 0 is frame 0 of the video. What a pose bends the surface beyond its bones (SMPL's posedirs)
    has no place in glTF: a note says by how much vertices differ.

    Raises:
      ValueError: a body without faces.
    """
    body, metric = people.body, in_metres(people.motion, "GLB")
    if not len(body.faces):
        raise ValueError(f"got the body {body.name} without faces, expected triangles for GLB")
    scene = Scene()
    for number, track in enumerate(metric):
        name = f"person{track.id}"
        skinned = _skinned(people, number)
        times = (track.start + np.arange(len(track))) / metric.fps
        prefix = f"{name}_" if len(metric.tracks) > 1 else ""
        scene.add_skinned(skinned, times, name, prefix, COLOURS[number % len(COLOURS)])
    if body.bends.shape[-1]:
        scene.notes.append(_bent(people))
    about = {**description(metric), "body": body.name, "bones": list(body.bone_names)}
    path = beside(stem, ".mesh.glb")
    with whole_file(path) as partial:
        partial.write_bytes(packed(scene.content(about), bytes(scene.data)))
    return path


def _skinned(people: BodyMotion, number: int) -> Skinned:
    """A person's surface on its bones, y up."""
    body, shape = people.body, people.shapes[number].astype(np.float64)
    rest = body.bone_template + body.bone_shapes @ shape
    turns, path = people.turns[number].astype(np.float64), people.places[number] + rest[0]
    if people.motion.axes == "camera":
        turns = turns.copy()
        turns[:, 0] = _UPSIDE_DOWN @ turns[:, 0]
        path = path @ _UPSIDE_DOWN
    corners = body.template + body.shapes @ shape
    owners, weights = _heaviest(body.weights)
    return Skinned(
        names=body.bone_names,
        parents=body.parents,
        offsets=rest - rest[body.parents] * (body.parents >= 0)[:, None],
        rest=rest,
        path=path,
        turns=turns,
        turning=range(body.num_bones),
        corners=corners,
        faces=body.faces,
        owners=owners,
        weights=weights,
        normals=_normals(corners, body.faces),
    )


def _heaviest(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bones int [V, K] of weights [V, B] in falling order, and their weights; K is 4, 8, ..."""
    most = int((weights > 0).sum(1).max())
    width = -(-most // 4) * 4
    owners = np.argsort(-weights, axis=1, kind="stable")[:, :width]
    owners = np.pad(owners, [(0, 0), (0, width - owners.shape[1])])
    taken = np.take_along_axis(weights, owners, axis=1)
    taken[:, most:] = 0
    return np.where(taken > 0, owners, 0), taken / taken.sum(1, keepdims=True)


def _normals(corners: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of corners: of the faces around them by their area."""
    first, second, third = (corners[faces[:, side]] for side in range(3))
    across = np.cross(second - first, third - first)
    normals = np.zeros_like(corners)
    for side in range(3):
        np.add.at(normals, faces[:, side], across)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.maximum(length, 1e-30), [0.0, 1.0, 0.0])


def _bent(people: BodyMotion) -> str:
    """How far bones alone are from the body, in a frame in the middle of each track."""
    plain = BodyMotion(
        people.motion, _unbent(people.body), people.turns, people.shapes, people.places
    )
    most = 0.0
    for number, turns in enumerate(people.turns):
        row = slice(len(turns) // 2, len(turns) // 2 + 1)
        apart = people.vertices(number, row) - plain.vertices(number, row)
        most = max(most, float(np.linalg.norm(apart, axis=-1).max()))
    return (
        "The surface follows the bones alone, without what the pose bends beyond them: up to "
        f"{1000 * most:.0f} mm in the frames looked at."
    )


def _unbent(body: BodyModel) -> BodyModel:
    return replace(body, bends=np.zeros((*body.template.shape, 0)))
