"""A body's rest pose and that of a BVH file brought together: directions, twists, axes, names."""

import dataclasses

import numpy as np
import pytest
from fixtures_body import NAMES, write_body

from dstformer_jax.body import geometry, rotations
from dstformer_jax.body.model import BodyModel
from dstformer_jax.files.bodies import read_body
from dstformer_jax.files.bvh import Bvh, read_bvh
from dstformer_jax.files.rigs import choose_rig

ALIGNED = {"LeftUpLeg", "LeftLeg", "LeftFoot", "RightUpLeg", "RightLeg", "Spine"}
ALIGNED |= {"Neck", "LeftArm", "LeftForeArm", "RightArm", "RightForeArm"}


@pytest.fixture(scope="module")
def retarget(part):
    return part("body_bvh.retarget")


@pytest.fixture(scope="module")
def body(tmp_path_factory) -> BodyModel:
    return read_body(write_body(tmp_path_factory.mktemp("body") / "toy.npz"))


def moving(bvh: Bvh, frames: int = 12, seed: int = 0) -> Bvh:
    """The skeleton of a file, all of its joints turned at random."""
    values = np.random.default_rng(seed).uniform(-80, 80, (frames, bvh.values.shape[1]))
    return dataclasses.replace(bvh, values=values)


@pytest.fixture
def file(write_bvh, tmp_path) -> Bvh:
    return moving(read_bvh(write_bvh(tmp_path / "one.bvh", np.zeros((1, 3)))))


def bone_places(body: BodyModel, turns: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Where the bones of a posed body are, [T, B, 3], by a chain written out."""
    rest = body.bone_template + body.bone_shapes @ shape
    spaces, places = [turns[:, 0]], [np.repeat(rest[None, 0], len(turns), axis=0)]
    for bone in range(1, body.num_bones):
        parent = body.parents[bone]
        places.append(places[parent] + spaces[parent] @ (rest[bone] - rest[parent]))
        spaces.append(spaces[parent] @ turns[:, bone])
    return np.stack(places, axis=1)


def angles_apart(body: BodyModel, places: np.ndarray, fitted, positions: np.ndarray) -> np.ndarray:
    """Degrees between bones of the body and of the file, [T, aligned bones]."""
    ours = np.flatnonzero(fitted.toward >= 0)
    ends = fitted.toward[ours]
    theirs = positions.astype(np.float64)
    mine = places[:, ends] - places[:, ours]
    wanted = theirs[:, fitted.nodes[ends]] - theirs[:, fitted.nodes[ours]]
    mine, wanted = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (mine, wanted))
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(mine - wanted, axis=-1) / 2, 0, 1)))


@pytest.mark.parametrize("shape", [(0.0, 0.0), (1.5, -1.0)])
def test_posed_bones_point_where_the_files_do(retarget, body, file, shape):
    rest = body.bone_template + body.bone_shapes @ np.array(shape)
    fitted = retarget.fit(body, rest, file, retarget.load_names())
    assert {NAMES[bone] for bone in np.flatnonzero(fitted.toward >= 0)} == ALIGNED
    posed = retarget.bone_turns(fitted, body, file)
    places = bone_places(body, retarget.to_local(posed, body.parents), np.array(shape))
    assert angles_apart(body, places, fitted, file.positions).max() < 0.01


def test_the_way_into_the_files_rest_pose_is_the_shortest(retarget, body, file):
    """The arms, 45 degrees down, come up by so much about the axis to the front."""
    fitted = retarget.fit(body, body.bone_template, file, retarget.load_names())
    up = rotations.to_vector(fitted.rest[NAMES.index("LeftArm")])
    np.testing.assert_allclose(up, [0, 0, np.pi / 4], atol=1e-9)
    np.testing.assert_allclose(fitted.rest[NAMES.index("Head")], np.eye(3), atol=1e-12)
    elbow = fitted.rest[NAMES.index("LeftForeArm")] @ fitted.rest[NAMES.index("LeftArm")].T
    own = body.bone_template[NAMES.index("LeftHand")] - body.bone_template[13]
    bent = fitted.rest[NAMES.index("LeftArm")] @ own
    across = rotations.to_vector(elbow)
    assert abs(across @ bent) < 1e-9  # no twist about the forearm
    assert np.linalg.norm(across) == pytest.approx(np.arccos(bent[0] / np.linalg.norm(bent)))


def test_a_body_that_rests_as_the_file_takes_its_rotations(retarget, body, file):
    names = retarget.load_names()
    nodes = retarget.fit(body, body.bone_template, file, names).nodes
    still = dataclasses.replace(file, values=np.zeros((1, file.values.shape[1])))
    alike = still.positions[0, nodes].astype(float) / 100  # that of the missing toes is not used
    fitted = retarget.fit(body, alike, file, names)
    np.testing.assert_allclose(fitted.rest, np.broadcast_to(np.eye(3), (18, 3, 3)), atol=1e-6)
    posed = retarget.bone_turns(fitted, body, file)[:, nodes >= 0]
    np.testing.assert_allclose(posed, file.turns[:, nodes[nodes >= 0]], atol=1e-6)


def z_up(bvh: Bvh) -> Bvh:
    """The same motion with z up: x stays, y becomes z, z becomes -y."""
    axes, signs = {0: 0, 1: 2, 2: 1}, {0: 1, 1: 1, 2: -1}
    flat = [axis for channels in bvh.channels for _, axis in channels]
    return dataclasses.replace(
        bvh,
        offsets=bvh.offsets[:, [0, 2, 1]] * [1, -1, 1],
        channels=tuple(tuple((kind, axes[a]) for kind, a in one) for one in bvh.channels),
        values=bvh.values * [signs[axis] for axis in flat],
    )


def test_files_with_z_up_pose_the_body_alike(retarget, body, file):
    names = retarget.load_names()
    posed = []
    for bvh, up in ((file, "y"), (z_up(file), "z")):
        fitted = retarget.fit(body, body.bone_template, bvh, names, up)
        posed.append(retarget.bone_turns(fitted, body, bvh, up))
    np.testing.assert_allclose(posed[1], posed[0], atol=1e-9)


def test_a_bone_without_a_joint_keeps_still(retarget, body, file):
    names = tuple("other" if name == "lradius" else name for name in file.names)
    renamed = dataclasses.replace(file, names=names)
    fitted = retarget.fit(body, body.bone_template, renamed, retarget.load_names())
    posed = retarget.bone_turns(fitted, body, renamed)
    local = retarget.to_local(posed, body.parents)[:, NAMES.index("LeftForeArm")]
    np.testing.assert_allclose(local, np.broadcast_to(np.eye(3), local.shape), atol=1e-9)


@pytest.mark.parametrize("end", [(0, 0, 2), (0, 0, -1), (3, 0, 0), (1, -2, 0.5)])
def test_a_swing_is_a_rotation_onto_the_direction(retarget, end):
    turn = retarget.swing(np.array([0, 0, 0.7]), np.array(end, float))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn @ [0, 0, 1], end / np.linalg.norm(end), atol=1e-12)


def test_rotations_between_frames_are_on_the_way(retarget):
    turns = rotations.to_matrix(np.radians([[[0, 0, 20]], [[0, 0, 80]]]))
    found = retarget.between(turns[:1], turns[1:], np.array([0.25]))
    np.testing.assert_allclose(np.degrees(rotations.to_vector(found)), [[[0, 0, 35]]], atol=1e-9)


def test_a_file_that_faces_another_way_is_refused(retarget, body, file):
    turned = dataclasses.replace(file, offsets=file.offsets[:, [2, 1, 0]])
    with pytest.raises(ValueError, match="got a rest pose whose left is towards"):
        retarget.fit(body, body.bone_template, turned, retarget.load_names())
    others = dataclasses.replace(file, names=tuple(f"my_{name}" for name in file.names))
    with pytest.raises(ValueError, match=r"body toy is posed by, such as root, lfemur"):
        retarget.fit(body, body.bone_template, others, retarget.load_names())


@pytest.mark.parametrize("name", ["cmu_mocap/bvh/08_01", "cmu_mocap_more/bvh/06_08"])
def test_a_real_body_follows_real_motion(retarget, shared, name):
    """The CC0 body by asf31 and cgspeed31; its hips and neck lie at other places."""
    body = read_body(shared / "data/cc0_body_model/body_cmu31.npz")
    bvh = read_bvh(shared / "data" / f"{name}.bvh")
    pose = choose_rig(bvh).pose(bvh, 0.01).astype(np.float64)
    fitted = retarget.fit(body, body.bone_template, bvh, retarget.load_names())
    assert (fitted.nodes >= 0).all()
    aligned = [body.bone_names[bone] for bone in np.flatnonzero(fitted.toward >= 0)]
    assert {"LeftArm", "LeftForeArm", "LeftUpLeg", "LeftLeg", "Spine", "Neck1"} <= set(aligned)
    unaligned = dataclasses.replace(fitted, rest=np.broadcast_to(np.eye(3), (31, 3, 3)))
    apart, astray = [], []
    for each in (fitted, unaligned):
        posed = retarget.bone_turns(each, body, bvh)
        turns = retarget.to_local(posed, body.parents)
        joints = body.joint_body.joints(turns, np.zeros((len(turns), 10)))
        apart.append(1000 * np.linalg.norm(geometry.align(joints, pose) - pose, axis=-1).mean())
        places = bone_places(body, turns, np.zeros(10))
        astray.append(angles_apart(body, places, fitted, bvh.positions).max())
    assert astray[0] < 0.02
    assert astray[1] > 40
    assert apart[0] < 70
    assert apart[0] < apart[1] / 2
