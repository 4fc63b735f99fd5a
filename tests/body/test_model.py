"""BodyModel against smplx (golden arrays and the package), and on its own terms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body import rotations
from dstformer_jax.body.model import BodyModel, mirrored_bones
from dstformer_jax.body.skeleton import SMPL24
from dstformer_jax.files.bodies import read_body

SYMMETRY = np.array([-1, 1, 1])


def posed(body: BodyModel, theta, shape) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of axis-angles, in one compiled program."""
    run = jax.jit(lambda t, s: (body.vertices(body.turns(t), s), body.joints(body.turns(t), s)))
    vertices, joints = run(jnp.asarray(theta), jnp.asarray(shape))
    return np.asarray(vertices), np.asarray(joints)


@pytest.fixture(scope="module")
def smpl(smpl_folder) -> BodyModel:
    return read_body(smpl_folder)


@pytest.fixture(scope="module")
def symmetric() -> BodyModel:
    """Three bones, the left the mirror of the right; two vertices a bone."""
    rest = np.array([[0, 1, 0], [0.2, 0.5, 0.1], [-0.2, 0.5, 0.1]])
    template = np.concatenate([rest, rest - np.array([0, 0.4, 0])])
    shapes = np.random.default_rng(0).normal(size=(6, 3, 2)) * 0.1
    shapes[[2, 5]] = shapes[[1, 4]] * SYMMETRY[:, None]
    shapes[[0, 3], 0] = 0
    return BodyModel(
        name="toy",
        bone_names=("hips", "left_leg", "right_leg"),
        parents=np.array([-1, 0, 0]),
        template=template,
        shapes=shapes,
        bends=np.zeros((6, 3, 0)),
        weights=np.tile(np.eye(3), (2, 1)),
        bone_template=rest,
        bone_shapes=shapes[:3],
        regressor=np.eye(6),
        faces=np.zeros((0, 3), int),
        mirror=np.array([0, 2, 1]),
    )


def test_vertices_and_joints_match_smplx(smpl, golden):
    arrays = golden("e_mesh_head")
    vertices, joints = posed(smpl, arrays["smpl/pose_aa"], arrays["smpl/betas"])
    np.testing.assert_allclose(vertices, arrays["smpl/vertices"], atol=2e-6)
    np.testing.assert_allclose(joints, arrays["smpl/h36m17"], atol=2e-6)


def test_the_smplx_package_agrees_on_new_poses(smpl, smpl_folder, golden):
    lbs = pytest.importorskip("smplx.lbs")
    torch = pytest.importorskip("torch")
    arrays = {
        k: torch.tensor(v) for k, v in golden("synthetic_smpl").items() if v.dtype.kind == "f"
    }
    rng = np.random.default_rng(3)
    theta = rng.normal(0, 0.8, (6, 72)).astype(np.float32)
    beta = rng.normal(size=(6, 10)).astype(np.float32)
    vertices, _ = lbs.lbs(
        torch.tensor(beta),
        torch.tensor(theta),
        arrays["v_template"],
        arrays["shapedirs"],
        arrays["posedirs"].reshape(-1, 207).T,
        arrays["J_regressor"],
        torch.tensor(smpl.parents),
        arrays["weights"],
    )
    found, _ = posed(smpl, theta, beta)
    np.testing.assert_allclose(found, vertices.numpy(), atol=5e-6)


def test_any_leading_axes(smpl):
    theta = np.random.default_rng(0).normal(size=(2, 3, 72)).astype(np.float32)
    shape = np.zeros((2, 3, 10), np.float32)
    vertices, together = posed(smpl, theta, shape)
    assert together.shape == (2, 3, 17, 3)
    assert vertices.shape == (2, 3, 150, 3)
    alone = smpl.joint_body.joints(rotations.to_matrix(theta[1, 2].reshape(24, 3)), shape[1, 2])
    np.testing.assert_allclose(alone, together[1, 2], rtol=1e-4, atol=1e-6)


def test_joints_are_the_regressor_times_the_vertices(smpl):
    rng = np.random.default_rng(4)
    theta, shape = rng.normal(size=(5, 72)), rng.normal(size=(5, 10))
    vertices, joints = posed(smpl, theta.astype(np.float32), shape.astype(np.float32))
    expected = np.einsum("jv,tvc->tjc", smpl.regressor, vertices)
    np.testing.assert_allclose(joints, expected, atol=2e-6)


def test_gradients_are_finite_at_rest(smpl):
    def error(theta, shape):
        return jnp.sum(smpl.joints(smpl.turns(theta), shape) ** 2)

    gradients = jax.jit(jax.grad(error, argnums=(0, 1)))(jnp.zeros((2, 72)), jnp.zeros((2, 10)))
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)


def test_turning_the_root_turns_the_body_about_it(symmetric):
    turn = rotations.to_matrix(np.array([0.3, -1.0, 0.4]))
    rest = jnp.broadcast_to(jnp.eye(3), (3, 3, 3))
    shape = jnp.zeros(2)
    before = np.asarray(symmetric.vertices(rest, shape))
    after = symmetric.vertices(rest.at[0].set(turn), shape)
    place = symmetric.bone_template[0]
    np.testing.assert_allclose(after, (before - place) @ turn.T + place, atol=1e-6)


def test_a_bone_of_the_regressor_is_where_the_bone_is(symmetric):
    """Columns beyond the vertices stand for posed bones."""
    columns = np.concatenate([np.zeros((3, 6)), np.eye(3)], axis=1)
    body = dataclasses.replace(symmetric, regressor=columns)
    rng = np.random.default_rng(0)
    theta, shape = rng.normal(size=9).astype(np.float32), rng.normal(size=2).astype(np.float32)
    vertices, joints = posed(body, theta, shape)
    # Vertices 0 to 2 of this body lie on its bones.
    np.testing.assert_allclose(joints, vertices[:3], atol=1e-6)


def test_the_mirrored_pose_is_the_mirror_image(symmetric):
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(4, 9)).astype(np.float32)
    shape = jnp.asarray(rng.normal(size=(4, 2)).astype(np.float32)).at[:, 0].set(0)
    shape = shape * jnp.array([[0.0, 0.0]])  # the toy's shapes are not all symmetric
    flipped = symmetric.flip_theta(jnp.asarray(theta))
    image = posed(symmetric, theta, shape)[0][:, [0, 2, 1, 3, 5, 4]] * SYMMETRY
    found = posed(symmetric, flipped, shape)[0]
    centre = symmetric.bone_template[0]
    np.testing.assert_allclose(found - centre, image - centre, atol=2e-6)
    turns = symmetric.turns(jnp.asarray(theta))
    np.testing.assert_allclose(symmetric.flip_turns(turns), symmetric.turns(flipped), atol=2e-6)
    np.testing.assert_allclose(symmetric.flip_theta(flipped), theta, atol=0)


def test_flip_matches_the_official_flip(smpl, golden):
    arrays = golden("c_mesh_loss_rot")
    found = smpl.flip_theta(jnp.asarray(arrays["flip_thetas_batch/in"]))
    np.testing.assert_allclose(found, arrays["flip_thetas_batch/out"], atol=0)


def test_sides_by_name():
    names = ("Hips", "LHipJoint", "LeftLeg", "RHipJoint", "RightLeg", "LowerBack", "LThumb")
    assert mirrored_bones(names).tolist() == [0, 3, 4, 1, 2, 5, 6]
    np.testing.assert_array_equal(mirrored_bones(SMPL24.names), SMPL24.mirror)
    assert mirrored_bones(("root", "lfemur", "rfemur", "L_Knee", "R_Knee")).tolist() == [
        0, 2, 1, 4, 3,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.zeros((6, 2))}, "got weights of shape"),
        ({"bends": np.zeros((6, 3, 5))}, "got bends of shape"),
        ({"regressor": np.zeros((17, 8))}, "got regressor of shape"),
        ({"parents": np.array([-1, 2, 0])}, "expected -1 for the first"),
        ({"mirror": np.array([1, 2, 0])}, "not its own inverse"),
    ],
)
def test_arrays_that_do_not_belong_together(symmetric, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(symmetric, **changes)
