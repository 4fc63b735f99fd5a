"""Size, place, gravity and floor, on people whose answer is known."""

import tracemalloc

import numpy as np
import pytest

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.lift.world import (
    ANKLE,
    SHARES,
    World,
    camera_position,
    constant_bones,
    metres_per_pixel,
    upright,
)

SIDES = {"left": -1.0, "right": 1.0}


def person(height: float = 1.7) -> np.ndarray:
    """Someone who stands upright, arms down: [17, 3] in metres, y up, the floor at 0."""
    pose = np.zeros((17, 3))
    hip = (ANKLE + SHARES["ankle"] + SHARES["knee"]) * height
    for name, share in (("root", 0.53), ("belly", 0.65), ("neck", 0.82), ("nose", 0.93)):
        pose[H36M17.index(name), 1] = share * height
    pose[H36M17.index("head"), 1] = height
    for side, x in SIDES.items():
        leg = {"hip": hip, "knee": hip - SHARES["knee"] * height, "ankle": ANKLE * height}
        shoulder = 0.81 * height
        elbow = shoulder - SHARES["elbow"] * height
        arm = {"shoulder": shoulder, "elbow": elbow, "wrist": elbow - SHARES["wrist"] * height}
        for name, y in (leg | arm).items():
            wide = 0.1 if name in leg else 0.18
            pose[H36M17.index(f"{side}_{name}")] = (wide * x * height, y, 0)
    return pose


def turned(angle: float) -> np.ndarray:
    """About x, by degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def filmed(places: np.ndarray, height: float, pitch: float = 0.0, focal: float = 900.0):
    """Someone at places [T, 3] before a camera 1.4 m above the floor that looks down by `pitch`.

    Returns 2D motion [T, 17, 3] in pixels of 1280 x 720, the pose in camera axes, and in the world.
    """
    world = person(height) + places[:, None]
    camera = (world - np.array([0, 1.4, 0])) * np.array([1, -1, -1]) @ turned(-pitch).T
    seen = camera[..., :2] / camera[..., 2:] * focal + np.array([640, 360])
    return np.concatenate([seen, np.ones_like(seen[..., :1])], -1), camera, world


def motions(motion: np.ndarray, camera: np.ndarray, pixels: np.ndarray | float = 300.0):
    """What `Lifter` would give: the root-relative pose, `pixels` long a metre; and the input."""
    frames = len(motion)
    relative = (camera - camera[:, :1]) * np.reshape(pixels, (-1, 1, 1))
    ones = np.ones((frames, 17))
    lifted = Track(0, 0, relative, ones, uncertainty=0.03 * np.reshape(pixels, (-1, 1)) * ones)
    seen = Track(0, 0, motion[..., :2], ones)
    make = lambda track, axes: Motion((track,), H36M17, 30, "px", axes, (1280, 720))  # noqa: E731
    return make(lifted, "camera"), make(seen, "image")


PLACES = np.stack([np.linspace(-1, 1, 60), np.zeros(60), np.linspace(-4, -7, 60)], -1)


def test_people_get_their_height_whatever_the_scale():
    motion, camera, world = filmed(PLACES, 1.85)
    scales = np.linspace(200, 320, 60)  # they come nearer
    lifted, seen = motions(motion, camera, scales)
    out = World(height=1.85)(lifted, seen)
    (track,) = out
    still = world - world[:, :1]
    relative = track.points - track.points[:, :1]
    # Over two seconds one scale: at the ends of a steady change it is off by a few percent.
    np.testing.assert_allclose(relative[20:40], still[20:40], atol=0.03)
    np.testing.assert_allclose(track.points[:, [3, 6], 1], ANKLE * 1.85, atol=0.02)
    np.testing.assert_allclose(track.points[:, 0, [0, 2]], 0, atol=1e-6)
    np.testing.assert_allclose(track.uncertainty[20:40], 0.03, rtol=0.03)
    assert (out.unit, out.axes) == ("m", "world")


def test_the_camera_space_is_where_the_person_was():
    motion, camera, _ = filmed(PLACES, 1.7)
    lifted, seen = motions(motion, camera)
    out = World(height=1.7, focal=900.0, space="camera")(lifted, seen)
    np.testing.assert_allclose(out.tracks[0].points, camera, atol=1e-3)
    assert not out.notes
    assert out.axes == "camera"


@pytest.mark.parametrize("space", ["local", "world"])
def test_nobody_is_below_the_floor(space):
    motion, camera, _ = filmed(PLACES, 1.7)
    upside_down = (camera - camera[:, :1]) * [1, -1, 1] + camera[:, :1]
    seen = upside_down[..., :2] / upside_down[..., 2:] * 900 + [640, 360]
    motion[..., :2] = seen
    lifted, seen = motions(motion, upside_down)
    (track,) = World(height=1.7, focal=900.0, space=space)(lifted, seen)
    np.testing.assert_allclose(track.points[..., 1].min(1), 0, atol=0.02)  # the head
    assert track.points[:, [3, 6], 1].min() > 1.4


@pytest.mark.parametrize("pitch", [0.0, 12.0, 30.0])
def test_people_stand_upright_and_walk_over_the_floor_before_a_tilted_camera(pitch):
    motion, camera, world = filmed(PLACES, 1.7, pitch)
    lifted, seen = motions(motion, camera)
    (track,) = World(height=1.7, focal=900.0, space="world")(lifted, seen)
    steps = track.points[:, 0] - track.points[0, 0]
    np.testing.assert_allclose(steps, world[:, 0] - world[0, 0], atol=2e-2)
    np.testing.assert_allclose(track.points[..., 1], world[..., 1], atol=2e-2)


def test_without_a_standing_person_the_camera_is_level_and_it_says_so():
    motion, camera, _ = filmed(PLACES, 1.7)
    bent = camera.copy()
    for side in SIDES:
        bent[:, H36M17.index(f"{side}_ankle")] = bent[:, H36M17.index(f"{side}_hip")] + 0.2
    turn, standing = upright([bent], H36M17)
    assert not standing
    np.testing.assert_array_equal(turn, np.eye(3))
    lifted, seen = motions(motion, bent)
    assert any("level" in note for note in World(space="world")(lifted, seen).notes)


def test_position_is_the_least_squares_of_numpy():
    motion, camera, _ = filmed(PLACES[:3], 1.7)
    rng = np.random.default_rng(0)
    motion[..., :2] += rng.normal(0, 5, motion[..., :2].shape)
    motion[..., 2] = rng.uniform(0, 1, motion.shape[:2])
    pose = camera - camera[:, :1]
    found = camera_position(pose, motion, 900.0, np.array([640, 360]))
    for t in range(3):
        rows, goals = [], []
        for joint in range(17):
            u = (motion[t, joint, :2] - np.array([640, 360])) / 900
            for k in range(2):
                row = np.zeros(3)
                row[k], row[2] = 1, -u[k]
                root = np.sqrt(motion[t, joint, 2])
                rows.append(root * row)
                goals.append(root * (u[k] * pose[t, joint, 2] - pose[t, joint, k]))
        expected = np.linalg.lstsq(np.array(rows), np.array(goals), rcond=None)[0]
        np.testing.assert_allclose(found[t], expected, rtol=1e-4, atol=1e-4)


def test_frames_without_detections_take_the_nearest_place():
    motion, camera, _ = filmed(PLACES[:10], 1.7)
    motion[4:6, :, 2] = 0
    motion[9, 1:, 2] = 0
    found = camera_position(camera - camera[:, :1], motion, 900.0, np.array([640, 360]))
    np.testing.assert_array_equal(found[[4, 5, 9]], found[[3, 6, 8]])
    assert not camera_position(camera, 0 * motion, 900.0, np.zeros(2)).any()


def test_places_of_an_hour_take_the_memory_of_its_poses():
    frames = 108_000
    motion = np.ones((frames, 3, 3), np.float32) * [700, 400, 0]
    motion[::1000, :, 2] = 1  # else not seen
    pose = np.zeros((frames, 3, 3), np.float32)
    pose[:, 1, 1], motion[:, 1, 1] = 1.0, 500
    tracemalloc.start()
    found = camera_position(pose, motion, 900.0, np.array([640, 360]))
    assert tracemalloc.get_traced_memory()[1] < 300e6  # every frame with every other: 93 GB
    tracemalloc.stop()
    assert len(found) == frames
    np.testing.assert_allclose(found[499:502], found[[0, 0, 1000]], atol=1e-9)


def test_bones_become_constant_and_keep_their_directions():
    rng = np.random.default_rng(0)
    pose = person()[None] + rng.normal(0, 0.02, (30, 17, 3))
    out = constant_bones(pose, H36M17)
    for parent, child in H36M17.limbs:
        before, after = (each[:, child] - each[:, parent] for each in (pose, out))
        lengths = np.linalg.norm(after, axis=-1)
        np.testing.assert_allclose(lengths, np.median(np.linalg.norm(before, axis=-1)), rtol=1e-6)
        cosine = (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / lengths
        np.testing.assert_allclose(cosine, 1, atol=1e-9)
    np.testing.assert_array_equal(out[:, 0], pose[:, 0])


def test_a_filter_comes_last():
    motion, camera, _ = filmed(PLACES, 1.7)
    lifted, seen = motions(motion, camera)
    (track,) = World(smooth=lambda pose: pose * 0 + 1)(lifted, seen)
    assert (track.points == 1).all()


def test_scale_is_that_of_the_limbs():
    pose = np.repeat(person(1.7)[None], 5, axis=0) * 250
    np.testing.assert_allclose(metres_per_pixel(pose, H36M17, 1.7, 30), 1 / 250, rtol=1e-6)


def test_mistakes_are_told():
    for settings in ({"space": "moon"}, {"height": 0.0}, {"focal": -1.0}):
        with pytest.raises(ValueError, match="expected"):
            World(**settings)
