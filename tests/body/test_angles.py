"""Angles of poses that are built with known ones: facing +z, the left side at +x."""

import numpy as np
import pytest
from fixtures_motion import moving, posed
from scipy.spatial.transform import Rotation

from dstformer_jax.body.angles import ANGLES, joint_angles
from dstformer_jax.body.skeleton import COCO17, H36M17, HALPE26, SMPL24

ANYWHERE = Rotation.from_rotvec([0.4, 2.0, -0.7])
# From anatomical axes (x forward, y up, z right) to a body that faces +z with its left at +x.
FACING = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]], float)


def angles_of(turns: dict[str, np.ndarray], whole: Rotation = ANYWHERE) -> dict[str, float]:
    """Angles of one pose of rotations by joint, in anatomical axes, the body turned anyhow."""
    given = {joint: (FACING @ turn @ FACING.T)[None] for joint, turn in turns.items()}
    points = posed(given, np.zeros((1, 3))) @ whole.as_matrix().T + [1, 2, 3]
    return {name: float(value[0]) for name, value in joint_angles(points, H36M17).items()}


def turn(sequence: str, *degrees: float) -> np.ndarray:
    """Rotations in the order of the letters, each about the axes that the last one left."""
    return Rotation.from_euler(sequence, degrees, degrees=True).as_matrix()


def test_standing_is_zero():
    for whole in (ANYWHERE, Rotation.identity()):
        values = angles_of({}, whole)
        assert len(values) == len(ANGLES) - 2
        np.testing.assert_allclose(list(values.values()), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("joint", "rotation", "name", "wanted"),
    [
        ("right_hip", turn("Z", 40), "hip_flexion_right", 40),
        ("left_hip", turn("Z", -25), "hip_flexion_left", -25),
        ("right_hip", turn("X", -20), "hip_abduction_right", 20),
        ("left_hip", turn("X", 20), "hip_abduction_left", 20),
        ("left_hip", turn("X", -15), "hip_abduction_left", -15),
        ("right_knee", turn("Z", -70), "knee_flexion_right", 70),
        ("left_knee", turn("Z", -110), "knee_flexion_left", 110),
        ("belly", turn("Z", -30), "trunk_flexion", 30),
        ("belly", turn("X", 20), "trunk_bending", 20),
        ("belly", turn("Y", 35), "trunk_rotation", 35),
        ("right_shoulder", turn("Z", 90), "shoulder_flexion_right", 90),
        ("left_shoulder", turn("Z", 150), "shoulder_flexion_left", 150),
        ("right_shoulder", turn("X", -60), "shoulder_abduction_right", 60),
        ("left_shoulder", turn("X", 60), "shoulder_abduction_left", 60),
        ("right_elbow", turn("Z", 120), "elbow_flexion_right", 120),
        ("left_elbow", turn("Z", 45), "elbow_flexion_left", 45),
    ],
)
def test_one_turn_gives_one_angle(joint, rotation, name, wanted):
    values = angles_of({joint: rotation})
    assert values.pop(name) == pytest.approx(wanted, abs=1e-4)
    np.testing.assert_allclose(list(values.values()), 0, atol=1e-4)


def test_signs_in_plain_places():
    """Seen without rotations: where hands, feet and shoulders are."""
    still = posed({}, np.zeros((1, 3)))

    def moved(**places) -> dict[str, float]:
        points = still.copy()
        for name, change in places.items():
            points[:, H36M17.index(name)] += change
        return {name: float(value[0]) for name, value in joint_angles(points, H36M17).items()}

    assert moved(right_knee=(0, 0, 0.2))["hip_flexion_right"] > 20  # forward is +z
    assert moved(left_knee=(0.2, 0, 0))["hip_abduction_left"] > 20  # its left is +x
    assert moved(right_ankle=(0, 0, -0.2))["knee_flexion_right"] > 20
    assert moved(right_wrist=(0, 0.1, 0.2))["elbow_flexion_right"] > 20
    assert moved(neck=(0, 0, 0.1))["trunk_flexion"] > 15
    lower = moved(right_shoulder=(0, -0.05, 0), left_shoulder=(0, 0.05, 0), neck=(-0.05, 0, 0))
    assert lower["trunk_bending"] > 10
    turned = moved(right_shoulder=(0, 0, 0.1), left_shoulder=(0, 0, -0.1))
    assert turned["trunk_rotation"] > 20


@pytest.mark.parametrize("seed", range(3))
def test_combined_turns_in_the_stated_order(seed):
    rng = np.random.default_rng(seed)
    flexion, abduction, turned = rng.uniform([-30, -40, -30], [120, 40, 30])
    bend, lean, twist = rng.uniform(-40, 40, 3)
    knee = rng.uniform(5, 140)
    values = angles_of(
        {
            "right_hip": turn("ZXY", flexion, -abduction, turned),
            "left_shoulder": turn("ZXY", flexion, abduction, turned),
            "right_knee": turn("Z", -knee),
            "belly": turn("ZXY", -bend, lean, twist),
        }
    )
    for name, wanted in {
        "hip_flexion_right": flexion,
        "hip_abduction_right": abduction,
        "shoulder_flexion_left": flexion,
        "shoulder_abduction_left": abduction,
        "knee_flexion_right": knee,
        "trunk_flexion": bend,
        "trunk_bending": lean,
        "trunk_rotation": twist,
    }.items():
        assert values[name] == pytest.approx(wanted, abs=1e-4), name


def test_mirrored_people_have_mirrored_angles():
    points = moving(np.arange(20) / 10, most=0.8)
    mirrored = points[:, H36M17.mirror] * [-1, 1, 1]
    angles, other = joint_angles(points, H36M17), joint_angles(mirrored, H36M17)
    for name, values in angles.items():
        partner = name.replace("right", "\0").replace("left", "right").replace("\0", "left")
        sign = -1 if name in ("trunk_bending", "trunk_rotation") else 1
        np.testing.assert_allclose(other[partner], sign * values, atol=1e-6)


def test_ankles_need_toes():
    body = posed({}, np.zeros((3, 3)))
    points = np.zeros((3, 26, 3))
    for index, name in enumerate(HALPE26.names):
        if name in H36M17.names:
            points[:, index] = body[:, H36M17.index(name)]
    toes = np.array([[0, -0.08, 0.2], [0, 0.02, 0.2], [0, -0.08, 0.1]])
    for name, ahead in (("heel", 0.0), ("big_toe", 0.0), ("small_toe", 0.0)):
        for side in ("left", "right"):
            foot = points[:, HALPE26.index(f"{side}_ankle")]
            place = foot + (toes if "toe" in name else [0, -0.08, -0.05]) + ahead
            points[:, HALPE26.index(f"{side}_{name}")] = place
    scores = np.ones((3, 26))
    scores[2, HALPE26.index("left_heel")] = 0
    values = joint_angles(points, HALPE26, scores)
    wanted = [0, np.rad2deg(np.arctan2(0.1, 0.25)), 0]
    np.testing.assert_allclose(values["ankle_dorsiflexion_right"], wanted, atol=1e-6)
    assert np.isnan(values["ankle_dorsiflexion_left"]).tolist() == [False, False, True]
    assert not any("ankle" in name for name in joint_angles(body, H36M17))
    assert "ankle_dorsiflexion_left" in joint_angles(np.ones((1, 24, 3)), SMPL24)


def test_missing_joints_leave_angles_unknown():
    scores = np.ones((4, 17))
    scores[1, H36M17.index("left_wrist")] = 0
    scores[2, H36M17.index("belly")] = 0
    scores[3] = 0
    values = joint_angles(posed({}, np.zeros((4, 3))), H36M17, scores)
    gone = {name: np.flatnonzero(np.isnan(column)).tolist() for name, column in values.items()}
    assert gone["elbow_flexion_left"] == [1, 3]
    assert gone["knee_flexion_left"] == [3]
    assert gone["trunk_flexion"] == gone["hip_flexion_right"] == [2, 3]


def test_other_joint_sets_are_converted():
    body = moving(np.arange(5) / 10, most=0.5)
    points = np.zeros((5, 17, 3))
    for index, name in enumerate(COCO17.names):
        if name in H36M17.names:
            points[:, index] = body[:, H36M17.index(name)]
    ours, theirs = joint_angles(body, H36M17), joint_angles(points, COCO17)
    np.testing.assert_allclose(theirs["knee_flexion_left"], ours["knee_flexion_left"], atol=1e-4)
    assert set(ours) == set(theirs)
