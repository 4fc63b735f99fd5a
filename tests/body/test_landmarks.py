"""Face and feet on bones: where they are, how they turn, and what detectors' files make of them."""

import numpy as np
import pytest

from dstformer_jax.body import rotations
from dstformer_jax.body.landmarks import (
    LAYOUTS,
    facing,
    layout_points,
    seen_poses,
    virtual_landmarks,
)
from dstformer_jax.body.skeleton import BODY25, COCO17, H36M17, HALPE26

MIRROR = np.array([-1.0, 1.0, 1.0])


def person() -> np.ndarray:
    """Someone in a T-pose who looks along z, legs of 83 cm: [1, 17, 3]."""
    places = {
        "root": (0, 0.9, 0), "belly": (0, 1.1, 0), "neck": (0, 1.42, 0), "nose": (0, 1.55, 0.02),
        "head": (0, 1.72, 0.02), "left_hip": (0.1, 0.9, 0), "left_knee": (0.1, 0.48, 0),
        "left_ankle": (0.1, 0.07, 0), "left_shoulder": (0.18, 1.38, 0),
        "left_elbow": (0.45, 1.38, 0), "left_wrist": (0.70, 1.38, 0),
    }  # fmt: skip
    pose = np.zeros((1, 17, 3))
    for name, place in places.items():
        pose[0, H36M17.index(name)] = place
        if name.startswith("left"):
            pose[0, H36M17.index(name.replace("left", "right"))] = np.array(place) * MIRROR
    return pose


IDENTITY = np.eye(3)[None]


def landmarks(pose: np.ndarray, turn: np.ndarray = IDENTITY) -> dict[str, np.ndarray]:
    return virtual_landmarks(pose, turn, turn, turn)


def test_faces_look_forward_and_toes_point_there():
    pose = person()
    points = {name: place[0] for name, place in landmarks(pose).items()}
    head = pose[0, H36M17.index("head")]
    assert points["nose"][2] > points["left_eye"][2] > points["left_ear"][2]
    assert head[1] > points["left_eye"][1] > points["nose"][1] > points["left_mouth"][1]
    assert points["left_ear"][0] > points["left_eye"][0] > 0 > points["right_eye"][0]
    for side, sign in (("left", 1), ("right", -1)):
        ankle = pose[0, H36M17.index(f"{side}_ankle")]
        assert points[f"{side}_big_toe"][2] > ankle[2] > points[f"{side}_heel"][2]
        # Big toes are on the inner side; all stand on the floor.
        assert sign * (points[f"{side}_small_toe"][0] - points[f"{side}_big_toe"][0]) > 0
        assert abs(points[f"{side}_heel"][1]) < 0.02


def test_landmarks_turn_and_grow_with_the_person():
    pose = person()
    turn = rotations.to_matrix(np.array([[0.3, -1.0, 0.4]]))
    before, after = landmarks(pose), landmarks(2 * pose @ turn[0].T, turn)
    for name, place in before.items():
        np.testing.assert_allclose(after[name], 2 * place @ turn[0].T, atol=1e-9)


def test_a_mirrored_person_has_mirrored_landmarks():
    rng = np.random.default_rng(0)
    pose = person() + rng.normal(0, 0.05, (1, 17, 3))
    turns = rotations.to_matrix(rng.normal(0, 0.5, (3, 1, 3)))
    flipped = MIRROR[:, None] * turns * MIRROR
    mirrored = pose[:, H36M17.mirror] * MIRROR
    points = virtual_landmarks(pose, *turns)
    other = virtual_landmarks(mirrored, flipped[0], flipped[2], flipped[1])
    for name, place in points.items():
        swapped = name
        for one, two in (("left_", "right_"), ("right_", "left_")):
            if name.startswith(one):
                swapped = two + name.removeprefix(one)
        np.testing.assert_allclose(other[swapped], place * MIRROR, atol=1e-9)


def test_every_layout_has_all_its_joints():
    pose = person()
    points = landmarks(pose)
    for layout in LAYOUTS.values():
        if layout != H36M17:
            assert layout_points(layout, pose, points).shape == (1, layout.num_joints, 3)
    with pytest.raises(ValueError, match="left_eye"):
        layout_points(COCO17, pose, {})


def test_what_is_seen_is_what_files_of_each_layout_give():
    pose = person()
    points = landmarks(pose)
    seen = dict(zip(LAYOUTS, seen_poses(pose, points)[0], strict=True))
    np.testing.assert_allclose(seen["h36m17"], pose[0], atol=1e-6)
    for name in ("left_wrist", "right_knee", "left_shoulder"):
        for layout in seen.values():
            np.testing.assert_allclose(layout[H36M17.index(name)], pose[0, H36M17.index(name)])
    nose, head, neck = (H36M17.index(name) for name in ("nose", "head", "neck"))
    np.testing.assert_allclose(seen["coco17"][nose], points["nose"][0], atol=1e-6)
    eyes = (points["left_eye"] + points["right_eye"])[0] / 2
    for name in ("coco17", "body25", "mediapipe33"):
        np.testing.assert_allclose(seen[name][head], eyes, atol=1e-6)
        np.testing.assert_allclose(seen[name][neck], [0, 1.38, 0], atol=1e-6)
    np.testing.assert_allclose(seen["halpe26"][head], pose[0, head], atol=1e-6)
    np.testing.assert_allclose(seen["halpe26"][neck], pose[0, neck], atol=1e-6)
    # Conversion before or after a projection is the same.
    flat = layout_points(HALPE26, pose, points)[..., :2]
    np.testing.assert_allclose(
        HALPE26.convert(flat, None, H36M17)[0][0], seen["halpe26"][:, :2], atol=1e-6
    )
    assert BODY25.name in seen


def test_people_at_rest_face_across_their_hips():
    pose = person()[0]
    np.testing.assert_allclose(facing(pose, np.array([0, 1.0, 0])), np.eye(3), atol=1e-9)
    turn = rotations.to_matrix(np.array([0, 0.7, 0]))
    np.testing.assert_allclose(facing(pose @ turn.T, np.array([0, 1.0, 0])), turn, atol=1e-9)
