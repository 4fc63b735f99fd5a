"""Moving bodies from 2D tracks: blended, placed, written, and read back by others."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from fixtures_bodies import write_stick
from fixtures_glb import Reader
from fixtures_lift import wander
from random_networks import SIZES, random_variables
from scipy.spatial.transform import Rotation

from dstformer_jax import convert, load, read
from dstformer_jax.body import rotations
from dstformer_jax.body.geometry import Normaliser
from dstformer_jax.body.model import BodyModel
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.body.skinning import chain
from dstformer_jax.files.bodies import read_body
from dstformer_jax.files.formats import write
from dstformer_jax.files.meshes import BodyMotion, write_meshes
from dstformer_jax.files.npz import load_npz
from dstformer_jax.lift import Lifter, World
from dstformer_jax.lift import __main__ as command
from dstformer_jax.lift.meshes import body_of, recover

UPSIDE_DOWN = np.diag([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def stick(tmp_path_factory) -> Path:
    return write_stick(tmp_path_factory.mktemp("body") / "stick.npz")


class Posing:
    """Stands in for a mesh model: a bone turns by x of a joint, the root is upright; one shape."""

    skeleton, maxlen, fps, network = H36M17, 9, None, None

    def __init__(self, body: BodyModel, gain: float = 1.0) -> None:
        self.body, self.normaliser, self.shapes = body, Normaliser("crop"), set()
        self.info, self.gain = {}, gain

    def turns(self, clips: np.ndarray) -> np.ndarray:
        """[N, T, B, 3, 3] of clips, on the right side of the mirror."""
        angle = self.gain * clips[:, :, 10, 0]  # the head's, which is in the middle
        vectors = np.zeros((*angle.shape, self.body.num_bones, 3))
        vectors[..., 1, 2] = vectors[..., 2, 1] = angle
        turns = rotations.to_matrix(vectors)
        turns[..., 0, :, :] = UPSIDE_DOWN
        return turns.astype(np.float32)

    def run(self, function: object, clips: np.ndarray) -> np.ndarray:
        self.shapes.add(clips.shape)
        half = len(clips) // 2
        turns = self.turns(clips[:half])
        mirrored = np.asarray(self.body.flip_turns(self.turns(clips[:half])))
        both = np.concatenate([turns, mirrored]).reshape(*clips.shape[:2], -1, 3)
        shape = np.zeros((*clips.shape[:2], 1, 3))
        shape[..., 0, :2] = 0.5, -1
        return np.concatenate([both, shape], axis=-2)


def people(*lengths: int) -> Motion:
    tracks = []
    for number, length in enumerate(lengths):
        motion = wander(length, number)
        motion[0, :, :2] = motion[-1, :, :2] = motion[length // 2, :, :2]
        tracks.append(Track(3 * number, 2 * number, motion[..., :2], motion[..., 2]))
    return Motion(tuple(tracks), H36M17, 30, size=(640, 480), source="clip.json")


def test_answers_are_blended_and_people_stand_upright(stick):
    body = read_body(stick)
    model = Posing(body)
    lifter, motion = Lifter(model, batch=2), people(9, 9)
    found = recover(motion, lifter, body, World(space="world"))
    assert model.shapes == {(4, 9, 17, 3)}
    for number, (track, joints) in enumerate(zip(motion, found.motion, strict=True)):
        clip, _ = model.normaliser.encode(track.motion, motion.size)
        wanted = model.turns(clip[None])[0]
        np.testing.assert_allclose(found.turns[number][:, 1:], wanted[:, 1:], atol=1e-6)
        np.testing.assert_allclose(found.shapes[number], [0.5, -1])
        # The joints are those of the body where it stands; y is up.
        vertices = np.concatenate(
            [found.vertices(number, slice(0, 5)), found.vertices(number, slice(5, 9))]
        )
        np.testing.assert_allclose(vertices[:, :17], joints.points, atol=1e-5)
        assert (joints.id, joints.start, len(joints)) == (track.id, track.start, 9)
    assert (found.motion.axes, found.motion.unit) == ("world", "m")
    assert any("Scale: that of the body" in note for note in found.motion.notes)
    assert any("focal length" in note for note in found.motion.notes)


def test_rotations_of_many_windows_stay_rotations(stick):
    body = read_body(stick)
    found = recover(people(40), Lifter(Posing(body), batch=2), body, World())
    (turns,) = found.turns
    unit = np.einsum("...ij,...kj->...ik", turns, turns)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-6)
    # Upright before the camera is upright in the world, the lowest joint near the floor.
    np.testing.assert_allclose(turns[:, 0], np.broadcast_to(np.eye(3), (40, 3, 3)), atol=1e-6)
    heights = found.motion.tracks[0].points[..., 1]
    soles = heights[:, [H36M17.index(f"{side}_ankle") for side in ("left", "right")]] - 0.039 * 1.7
    assert np.abs(np.minimum(soles.min(1), heights.min(1))).max() < 0.05


def test_bodies_stand_where_the_camera_saw_them(stick):
    body, frames = read_body(stick), 20
    turns = np.tile(np.eye(3), (frames, body.num_bones, 1, 1))
    turns[:, 0] = UPSIDE_DOWN
    points = body.joint_body.joints(turns, np.tile([0.5, -1], (frames, 1)))
    walk = np.linspace([-0.5, 0.1, 4], [0.8, 0.1, 6], frames)
    points = points + (walk - points[:, 0])[:, None]
    seen = 768 * points[..., :2] / points[..., 2:] + np.array([320, 240])
    motion = Motion((Track(0, 0, seen, np.ones((frames, 17))),), H36M17, 30, size=(640, 480))
    found = recover(motion, Lifter(Posing(body, 0), batch=2), body, World(space="camera"))
    np.testing.assert_allclose(found.motion.tracks[0].points, points, atol=2e-3)
    np.testing.assert_allclose(found.turns[0], turns, atol=1e-6)
    vertices = found.vertices(0, slice(4, 20))
    np.testing.assert_allclose(vertices[:, :17], points[4:], atol=2e-3)


def moving(body: BodyModel, axes: str = "world") -> BodyMotion:
    """Two people in random poses that change smoothly, the second from frame 4 on."""
    rng = np.random.default_rng(0)
    turns, places, tracks, shapes = [], [], [], []
    for number, frames in enumerate((12, 7)):
        vectors = rng.normal(0, 0.4, (1, body.num_bones, 3))
        vectors = vectors + np.cumsum(rng.normal(0, 0.05, (frames, body.num_bones, 3)), axis=0)
        turns.append(rotations.to_matrix(vectors))
        places.append(
            np.cumsum(rng.normal(0, 0.02, (frames, 3)), axis=0) + np.array([number, 1, 3])
        )
        shapes.append(rng.normal(0, 1, body.num_shapes))
        joints = body.joint_body.joints(turns[-1], np.tile(shapes[-1], (frames, 1)))
        joints = joints + places[-1][:, None]
        tracks.append(Track(number, 4 * number, joints, np.ones(joints.shape[:2])))
    motion = Motion(tuple(tracks), H36M17, 25, "m", axes, notes=("So it is.",))
    return BodyMotion(motion, body, turns, shapes, places)


def skinned(body: BodyModel, theta: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The surface [V, 3] of a body without pose directions, in float64."""
    rest = body.bone_template + body.bone_shapes @ beta
    turned, placed = chain(rotations.to_matrix(theta.reshape(-1, 3)), rest, body.parents, np)
    surface = body.template + body.shapes @ beta
    moved = np.einsum("vb,bij,vj->vi", body.weights, turned, surface, optimize=True)
    return moved + body.weights @ (placed - np.einsum("bij,bj->bi", turned, rest))


def check_glb(found: BodyMotion, path: Path, turn: np.ndarray, atol: float = 1e-4) -> Reader:
    """The skinned surface is the body's, at a few frames."""
    reader = Reader(path)
    for number, track in enumerate(found.motion):
        for row in (0, 3, len(track) - 1):
            expected = found.vertices(number, slice(row, row + 1))[0] @ turn.T
            skinned = reader.skinned(number, (track.start + row) / found.motion.fps)
            np.testing.assert_allclose(skinned, expected, atol=atol)
    return reader


@pytest.mark.parametrize("axes", ["world", "camera"])
def test_the_free_body_in_both_files(shared, tmp_path, axes):
    body = read_body(shared / "data/cc0_body_model/body_cmu31.npz")
    found = moving(body, axes)
    formats = ["npz", "glb"] if axes == "world" else ["glb"]
    paths = write_meshes(found, tmp_path / "clip", formats)
    assert [path.name for path in paths] == [f"clip.mesh.{name}" for name in formats]
    reader = check_glb(found, paths[-1], np.eye(3) if axes == "world" else UPSIDE_DOWN)
    assert reader.file.asset.extras["body"] == "body_cmu31"
    assert "So it is." in reader.file.asset.extras["notes"]
    assert {"person0_Hips", "person1_LeftToeBase"} <= set(reader.names)
    if axes == "camera":
        return
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.load(paths[1], process=False)
    assert [len(mesh.faces) for mesh in scene.geometry.values()] == 2 * [len(body.faces)]
    assert all(mesh.volume > 0.02 for mesh in scene.geometry.values())  # outside is outside
    arrays = load_npz(paths[0])
    for track in found.motion:
        theta, beta, place, vertices = (
            arrays[f"{name}_{track.id}"] for name in ("theta", "beta", "translation", "vertices")
        )
        last = skinned(body, theta[-1].astype(float), beta.astype(float)) + place[-1]
        np.testing.assert_allclose(vertices[-1], last, atol=1e-5)
        assert vertices.shape == (len(track), 13_380, 3)
    np.testing.assert_array_equal(arrays["faces"], body.faces)
    assert (str(arrays["unit"]), str(arrays["axes"]), float(arrays["fps"])) == ("m", "world", 25)
    again = read(paths[0])  # it is a file of motion, too
    np.testing.assert_array_equal(again.tracks[1].points, found.motion.tracks[1].points)


def test_what_a_pose_bends_is_told(smpl_folder, tmp_path):
    body = read_body(smpl_folder)
    found = moving(body)
    (path,) = write_meshes(found, tmp_path / "clip", ["glb"])
    plain = replace(body, bends=np.zeros((*body.template.shape, 0)))
    reader = check_glb(replace(found, body=plain), path, np.eye(3))
    note = reader.file.asset.extras["notes"][-1]
    assert 0 < int(note.split(" mm ")[0].split()[-1]) < 1e5


def test_bodies_without_faces_have_no_glb(stick, tmp_path):
    with pytest.raises(ValueError, match="without faces"):
        write_meshes(moving(read_body(stick)), tmp_path / "clip", ["glb"])


# The command --------------------------------------------------------------------------------------


def network(path: Path, body: BodyModel, where: object = "gone.npz", **info: object) -> Path:
    """A file of ours with a random network for a body."""
    head = {"name": "mesh", "bones": body.num_bones, "shapes": body.num_shapes, "hidden": 7}
    variables = random_variables(SIZES, head)
    about = {"path": str(where), "bones": list(body.bone_names)}
    fixed = {"model": SIZES, "head": head, "clips": {"frames": 4}, "normaliser": {"mode": "crop"}}
    convert.write_any(path, variables, {**fixed, "body": about, **info})
    return path


def test_the_command_recovers_bodies(stick, tmp_path, capsys):
    weights = network(tmp_path / "mesh.bin", read_body(stick), fps=30)
    (source,) = write(replace(people(30), fps=60), tmp_path / "clip", ["npz"])
    options = ["--task=mesh", f"--weights={weights}", f"--output={tmp_path / 'out'}", "--quiet"]
    assert command.main([str(source), *options, f"--body={stick}", "--formats=npz"]) == 0
    assert "resampled from 60 to the network's 30 fps" in capsys.readouterr().out
    arrays = load_npz(tmp_path / "out" / "clip.mesh.npz")
    assert arrays["vertices_0"].shape == (30, 34, 3)
    assert arrays["theta_0"].shape == (30, 51)
    assert (float(arrays["fps"]), arrays["beta_0"].shape) == (60.0, (2,))
    np.testing.assert_allclose(arrays["vertices_0"][:, :17], arrays["points_0"], atol=1e-4)


def test_windows_are_as_long_as_the_clips_of_the_training(stick, tmp_path):
    body = read_body(stick)
    model = load(network(tmp_path / "mesh.bin", body), head="mesh")
    assert Lifter(model).window == 4
    # One window of the trained length: the network's own answer, without the mirrored one.
    motion = people(4)
    found = recover(motion, Lifter(model, flip=False, batch=1), body, World(space="camera"))
    clip, _ = model.normaliser.encode(motion.tracks[0].motion, motion.size)
    variables = {"params": model.params, "batch_stats": model.batch_stats}
    outputs = jax.jit(model.network.apply)(variables, clip[None].astype(np.float32))
    vectors = Rotation.from_matrix(found.turns[0].reshape(-1, 3, 3)).as_rotvec()
    np.testing.assert_allclose(vectors.reshape(4, -1), outputs["theta"][0], atol=1e-4)
    np.testing.assert_allclose(found.shapes[0], outputs["beta"][0].mean(0), atol=1e-5)


def test_bodies_that_are_missing_or_others_are_told(stick, smpl_folder, tmp_path, capsys):
    weights = network(tmp_path / "mesh.bin", read_body(stick))
    fixed = ["x.json", "--task=mesh", f"--weights={weights}", f"--output={tmp_path}"]
    assert command.main(fixed) == 2
    told = capsys.readouterr().err
    assert "gone.npz" in told
    assert "do give --body=PATH" in told
    assert command.main([*fixed, f"--body={smpl_folder}"]) == 2
    assert "24 bones and 10 shapes, expected the training's: 17 and 2" in capsys.readouterr().err
    there = network(tmp_path / "there.bin", read_body(stick), stick)
    assert body_of(load(there, head="mesh")).num_bones == 17
