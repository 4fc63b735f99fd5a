import numpy as np
import pytest
from fixtures_motion import HEIGHT, moving, offsets, posed, smooth_noise
from scipy.spatial.transform import Rotation

from dstformer_jax.body.kinematics import articulate, swing
from dstformer_jax.body.rotations import to_vector
from dstformer_jax.body.skeleton import H36M17, SKELETONS, Skeleton

TIMES = np.arange(90) / 30


def angle_steps(turns: np.ndarray) -> np.ndarray:
    """Angles between rotations of neighbouring frames, [T - 1, N] radians."""
    change = np.swapaxes(turns[1:], -1, -2) @ turns[:-1]
    return np.linalg.norm(to_vector(change), axis=-1)


@pytest.mark.parametrize("seed", range(3))
def test_constant_bones_come_back_exactly(seed):
    points = moving(TIMES, seed)
    body = articulate(points, H36M17)
    assert np.abs(body.positions - points).max() < 1e-9 * HEIGHT
    exact = np.abs(articulate(points.astype(np.float32), H36M17).positions - points)
    assert exact.max() < 1e-5 * HEIGHT
    np.testing.assert_allclose(
        body.turns @ np.swapaxes(body.turns, -1, -2) - np.eye(3), 0, atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(body.turns), 1)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_any_skeleton_comes_back(skeleton):
    rng = np.random.default_rng(3)
    points = np.zeros((40, skeleton.num_joints, 3))
    order = sorted(range(skeleton.num_joints), key=lambda joint: depth(skeleton, joint))
    for joint in order:
        parent = skeleton.parents[joint]
        if parent >= 0:
            way = smooth_noise(TIMES[:40], 3, rng) + np.array([0.3, 0.7, 0.1])
            way /= np.linalg.norm(way, axis=-1, keepdims=True)
            points[:, joint] = points[:, parent] + rng.uniform(0.05, 0.5) * way
    body = articulate(points, skeleton)
    assert np.abs(body.positions - points).max() < 1e-9
    assert all(parent < node for node, parent in enumerate(body.parents))
    assert [body.names[node] for node in body.joints] == list(skeleton.names)


def depth(skeleton: Skeleton, joint: int) -> int:
    parent = skeleton.parents[joint]
    return 0 if parent < 0 else 1 + depth(skeleton, parent)


def test_nothing_jumps():
    """The same smooth motion at four times the rate has steps of a quarter: there are no flips."""
    for seed in range(2):
        coarse = articulate(moving(np.arange(0, 3, 1 / 60), seed), H36M17)
        fine = articulate(moving(np.arange(0, 3, 1 / 240), seed), H36M17)
        ratio = angle_steps(fine.turns).max(0) / np.maximum(angle_steps(coarse.turns).max(0), 1e-3)
        assert ratio.max() < 0.35
        assert angle_steps(fine.turns).max() < 0.2


def test_directions_are_kept_and_lengths_become_medians():
    points = moving(TIMES)
    rng = np.random.default_rng(0)
    grown = points.copy()
    for parent, joint in H36M17.limbs:
        stretch = rng.uniform(0.9, 1.1, (len(points), 1))
        grown[:, joint] = grown[:, parent] + stretch * (points[:, joint] - points[:, parent])
    back = articulate(grown, H36M17).positions
    for parent, joint in H36M17.limbs:
        bone, wanted = back[:, joint] - back[:, parent], grown[:, joint] - grown[:, parent]
        length = np.linalg.norm(wanted, axis=-1, keepdims=True)
        np.testing.assert_allclose(bone, wanted / length * np.median(length), atol=1e-9)


def test_a_rigid_body_turns_at_its_root_alone():
    turn = Rotation.from_rotvec(3 * smooth_noise(TIMES, 3, np.random.default_rng(5))).as_matrix()
    body = articulate(posed({"root": turn}, np.zeros((90, 3))), H36M17)
    # The rest pose has its arms spread, and these bones swing down from it; all else is at rest.
    still = [n for n, name in enumerate(body.names) if name.endswith(("hip", "knee", "belly"))]
    np.testing.assert_allclose(to_vector(body.turns[:, still]), 0, atol=3e-4)
    np.testing.assert_allclose(body.turns[:, 0], turn, atol=3e-4)
    assert angle_steps(body.turns[:, 1:]).max() < 1e-4


def test_single_children_are_reached_without_twist():
    """The knee's turn has no part about the shin, nor the elbow's about the forearm."""
    body = articulate(moving(TIMES), H36M17)
    for joint, child in (("right_knee", "right_ankle"), ("left_elbow", "left_wrist")):
        bone = body.offsets[body.names.index(child)]
        twist = to_vector(body.turns[:, body.names.index(joint)]) @ (bone / np.linalg.norm(bone))
        assert np.abs(twist).max() < 1e-7
        assert np.ptp(to_vector(body.turns[:, body.names.index(joint)]), axis=0).max() > 0.3


def test_swing_is_the_smallest_rotation():
    rng = np.random.default_rng(2)
    start, end = (
        v / np.linalg.norm(v, axis=-1, keepdims=True) for v in rng.normal(size=(2, 50, 3))
    )
    end[:2] = -start[:2]
    end[2] = start[2]
    turn = swing(start, end)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", turn, start), end, atol=1e-7)
    np.testing.assert_allclose(np.linalg.det(turn), 1)
    angle = np.arccos(np.clip(np.sum(start * end, -1), -1, 1))
    np.testing.assert_allclose(np.linalg.norm(to_vector(turn), axis=-1), angle, atol=1e-6)


def test_degenerate_poses_stay_finite():
    rng = np.random.default_rng(0)
    line = np.zeros((5, 17, 3))
    line[..., 1] = rng.normal(size=(5, 17))
    for points in (np.zeros((5, 17, 3)), line, np.ones((1, 17, 3)), 1e-8 * moving(TIMES[:5])):
        body = articulate(points, H36M17)
        assert np.isfinite(body.turns).all()
        np.testing.assert_allclose(np.linalg.det(body.turns), 1, atol=1e-9)
    still = articulate(np.zeros((5, 17, 3)), H36M17)
    np.testing.assert_allclose(
        still.turns, np.broadcast_to(np.eye(3), still.turns.shape), atol=1e-9
    )


def test_missing_joints_are_interpolated():
    points = posed({}, np.linspace([0, 1, 0], [2, 1, 0], 21))
    scores = np.ones((21, 17))
    scores[5:9] = 0
    scores[:3, 4] = 0
    broken = np.where(scores[..., None] > 0, points, 50.0)
    back = articulate(broken, H36M17, scores).positions
    np.testing.assert_allclose(back[3:], points[3:], atol=1e-9)
    # Held in place at the start, so the bone only keeps its direction there.
    assert np.abs(back[:3] - points[:3]).max() < 0.3


def test_bones_have_the_lengths_of_the_body():
    body = articulate(moving(TIMES), H36M17)
    lengths = np.linalg.norm(body.offsets[body.joints], axis=-1)
    np.testing.assert_allclose(lengths[1:], np.linalg.norm(offsets(), axis=-1)[1:], atol=1e-9)


@pytest.mark.parametrize(
    ("points", "skeleton", "message"),
    [
        (np.zeros((0, 17, 3)), H36M17, "with T > 0"),
        (np.zeros((2, 17, 2)), H36M17, "expected \\[T, 17, 3\\]"),
        (np.zeros((2, 2, 3)), Skeleton("two", ("a", "b"), (-1, -1)), "got 2 roots in two"),
    ],
)
def test_what_cannot_be_articulated(points, skeleton, message):
    with pytest.raises(ValueError, match=message):
        articulate(points, skeleton)
