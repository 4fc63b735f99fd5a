"""GLB: read by pygltflib, whose nodes and animation a test of its own walks, and by trimesh."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures_glb import Reader
from fixtures_motion import HEIGHT, two_people

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import COCO17, H36M17
from dstformer_jax.files.formats import write

pytest.importorskip("pygltflib")

MOTION = two_people()
CLOSE = 1e-4 * HEIGHT


def test_animated_joints_are_those_of_the_motion(tmp_path):
    (path,) = write(MOTION, tmp_path / "clip", ["glb"])
    reader = Reader(path)
    for track in MOTION:
        for row in (0, 3, 12, len(track) - 1):
            worlds = reader.worlds((track.start + row) / MOTION.fps)
            for joint, name in enumerate(H36M17.names):
                if track.confidence[row, joint] > 0:
                    node = reader.names.index(f"person{track.id}_{name}")
                    place = worlds[node][:3, 3]
                    assert np.abs(place - track.points[row, joint]).max() < CLOSE
    # The second person is held before and after.
    held = [reader.worlds(time)[reader.names.index("person7_left_knee")] for time in (0.0, 5 / 30)]
    np.testing.assert_allclose(held[0], held[1], atol=1e-6)


def test_the_skin_carries_the_bones(tmp_path):
    """Skinned vertices at a frame: every bar runs from a joint to its child."""
    (path,) = write(MOTION, tmp_path / "clip", ["glb"])
    reader = Reader(path)
    assert len(reader.file.skins) == len(reader.file.meshes) == 2
    for track, skin, mesh in zip(MOTION, reader.file.skins, reader.file.meshes, strict=True):
        inverse = reader.array(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        assert len(inverse) == len(skin.joints) == 23
        (primitive,) = mesh.primitives
        corners = reader.array(primitive.attributes.POSITION)
        joints = reader.array(primitive.attributes.JOINTS_0)
        weights = reader.array(primitive.attributes.WEIGHTS_0)
        faces = reader.array(primitive.indices)[:, 0].reshape(-1, 3)
        np.testing.assert_allclose(weights.sum(1), 1)
        assert faces.max() == len(corners) - 1
        worlds = reader.worlds((track.start + 1) / MOTION.fps)
        moves = np.stack([worlds[node] for node in skin.joints]) @ inverse
        ends = np.c_[corners, np.ones(len(corners))]
        skinned = np.einsum("vij,vj->vi", moves[joints[:, 0]], ends)[:, :3].reshape(-1, 14, 3)
        assert len(skinned) == len(H36M17.limbs) == 16
        for parent, child in H36M17.limbs:
            distance = np.abs(skinned[:, [0, 13]] - track.points[1, [parent, child]]).max((1, 2))
            assert distance.min() < CLOSE
        # Faces look outwards: the volume of each bar is positive.
        a, b, c = (corners[faces[:, i]].astype(float) for i in range(3))
        volume = np.sum(a * np.cross(b, c), -1).reshape(16, 24).sum(1) / 6
        assert (volume > 0).all()
        centre = corners.reshape(16, 14, 3).mean(1)[np.arange(16).repeat(24)]
        assert (np.sum((a - centre) * np.cross(b - a, c - a), -1) > 0).all()


def test_the_file_describes_itself(tmp_path):
    (path,) = write(MOTION, tmp_path / "clip", ["glb"])
    reader = Reader(path)
    extras = reader.file.asset.extras
    assert (extras["unit"], extras["axes"], extras["fps"]) == ("m", "world", 30.0)
    assert extras["notes"] == list(MOTION.notes)
    assert reader.file.asset.version == "2.0"
    tops = [reader.names[node] for node in reader.file.scenes[0].nodes]
    assert tops == ["person0", "person0_body", "person7", "person7_body"]
    colours = [m.pbrMetallicRoughness.baseColorFactor for m in reader.file.materials]
    assert colours[0] != colours[1]
    data = path.read_bytes()
    assert int.from_bytes(data[8:12], "little") == len(data)
    assert all(view.byteOffset % 4 == 0 for view in reader.file.bufferViews)


def test_changed_bones_are_told(tmp_path):
    track = MOTION.tracks[0]
    points = track.points.copy()
    points[::3, H36M17.index("head")] += np.float32([0, 0.3, 0])  # the median bone stays
    grown = Motion((replace(track, points=points),), H36M17, 30, "m", "world")
    (note,) = Reader(write(grown, tmp_path / "clip", ["glb"])[0]).file.asset.extras["notes"]
    told = int(note.split(" mm ")[0].split()[-1])
    assert note.startswith("person0: bones of constant length move the joints by ")
    assert 1 <= told <= 300 / 3 / 17 + 1


def test_one_person_has_plain_names(tmp_path):
    track = MOTION.tracks[0]
    (path,) = write(Motion((track,), H36M17, 30, "m", "world"), tmp_path / "clip", ["glb"])
    assert set(H36M17.names) <= set(Reader(path).names)


def test_trimesh_reads_it(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    (path,) = write(MOTION, tmp_path / "clip", ["glb"])
    scene = trimesh.load(path)
    assert {len(mesh.faces) for mesh in scene.geometry.values()} == {16 * 24}
    assert all(mesh.is_winding_consistent for mesh in scene.geometry.values())
    place = scene.graph.get("person0_root")[0][:3, 3]
    np.testing.assert_allclose(place, MOTION.tracks[0].points[0, 0], atol=1e-5)
    wrist = scene.graph.get("person0_left_wrist")[0][:3, 3]
    left = MOTION.tracks[0].points[0, H36M17.index("left_wrist")]
    np.testing.assert_allclose(wrist, left, atol=CLOSE)


def test_quaternions_keep_their_sign(tmp_path):
    """Neighbouring keys are on one side, so that viewers take the short way between them."""
    (path,) = write(MOTION, tmp_path / "clip", ["glb"])
    reader = Reader(path)
    animation = reader.file.animations[0]
    for channel in animation.channels:
        if channel.target.path == "rotation":
            keys = reader.array(animation.samplers[channel.sampler].output)
            assert (np.sum(keys[1:] * keys[:-1], axis=-1) > 0).all()
            np.testing.assert_allclose(np.linalg.norm(keys, axis=-1), 1, atol=1e-6)


def test_other_skeletons_and_a_body_without_extent(tmp_path):
    pose = np.random.default_rng(0).normal(size=(3, 17, 3))
    motion = Motion((Track(0, 0, pose, np.ones((3, 17))),), COCO17, 25, "m", "world")
    assert "nose_to_left_shoulder" in Reader(write(motion, tmp_path / "a", ["glb"])[0]).names
    point = Motion((Track(0, 0, 0 * pose, np.ones((3, 17))),), COCO17, 25, "m", "world")
    with pytest.raises(ValueError, match="joints are all in one place"):
        write(point, tmp_path / "b", ["glb"])
