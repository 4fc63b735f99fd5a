"""Reads .glb files by the words of the glTF specification, with pygltflib."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

KINDS = {5126: "<f4", 5123: "<u2", 5125: "<u4"}
SIZES = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Reader:
    """A GLB by the words of the glTF specification."""

    def __init__(self, path: Path) -> None:
        pygltflib = pytest.importorskip("pygltflib")
        self.file = pygltflib.GLTF2().load(str(path))
        self.blob = self.file.binary_blob()
        self.names = [node.name for node in self.file.nodes]
        self.parents = {
            child: index
            for index, node in enumerate(self.file.nodes)
            for child in node.children or ()
        }

    def array(self, index: int) -> np.ndarray:
        """The numbers of an accessor, [N, C]."""
        accessor = self.file.accessors[index]
        view = self.file.bufferViews[accessor.bufferView]
        size = SIZES[accessor.type]
        values = np.frombuffer(
            self.blob, KINDS[accessor.componentType], accessor.count * size, view.byteOffset
        ).reshape(-1, size)
        if accessor.max:
            np.testing.assert_array_equal(values.max(0), np.float32(accessor.max))
            np.testing.assert_array_equal(values.min(0), np.float32(accessor.min))
        return values

    def worlds(self, time: float) -> dict[int, np.ndarray]:
        """[4, 4] of every node at a time: key frames before and after, clamped at the ends."""
        local = {}
        for index, node in enumerate(self.file.nodes):
            local[index] = [node.translation or [0, 0, 0], node.rotation or [0, 0, 0, 1]]
        animation = self.file.animations[0]
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            times = self.array(sampler.input)[:, 0].astype(float)
            values = self.array(sampler.output).astype(float)
            assert sampler.interpolation == "LINEAR"
            row = np.interp(time, times, np.arange(len(times)))
            low, high = int(np.floor(row)), int(np.ceil(row))
            mixed = (1 - (row - low)) * values[low] + (row - low) * values[high]
            local[channel.target.node][channel.target.path == "rotation"] = mixed
        worlds: dict[int, np.ndarray] = {}

        def world(index: int) -> np.ndarray:
            if index not in worlds:
                place, turn = local[index]
                matrix = np.eye(4)
                matrix[:3, :3] = Rotation.from_quat(turn).as_matrix()
                matrix[:3, 3] = place
                above = self.parents.get(index)
                worlds[index] = matrix if above is None else world(above) @ matrix
            return worlds[index]

        for index in range(len(self.file.nodes)):
            world(index)
        return worlds

    def skinned(self, number: int, time: float) -> np.ndarray:
        """Vertices [V, 3] of a mesh at a time, moved by all of its sets of four bones."""
        skin, mesh = self.file.skins[number], self.file.meshes[number]
        inverse = self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        worlds = self.worlds(time)
        moves = np.stack([worlds[node] for node in skin.joints]) @ inverse
        attributes = mesh.primitives[0].attributes
        names = [name for name in vars(attributes) if name.startswith("JOINTS_")]
        sets = [name[-1] for name in names if getattr(attributes, name) is not None]
        joints, weights = (
            np.concatenate([self.array(getattr(attributes, f"{kind}_{s}")) for s in sets], axis=1)
            for kind in ("JOINTS", "WEIGHTS")
        )
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
        corners = self.array(attributes.POSITION)
        ends = np.c_[corners, np.ones(len(corners))]
        return np.einsum("vk,vkij,vj->vi", weights, moves[joints], ends, optimize=True)[:, :3]
