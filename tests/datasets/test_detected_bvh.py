"""The detected_bvh dataset: the camera's geometry, the detector's mistakes, the records."""

import importlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.builder import Item
from dstformer_jax.data.prepare import load_builder
from dstformer_jax.tasks.metrics import h36m_protocol

WALK = np.linspace([0, 90, 0], [40, 90, 100], 50)  # root in cm, y up


@pytest.fixture(scope="module")
def parts():
    builder = load_builder("detected_bvh")
    names = ("detector", "filming")
    modules = {name: importlib.import_module(f"detected_bvh.{name}") for name in names}
    return SimpleNamespace(builder=builder, **modules)


def standing(turn: float, frames: int = 40) -> np.ndarray:
    """A person of 17 points turned by `turn` degrees about the vertical; at 0 facing +z."""
    rng = np.random.default_rng(0)
    pose = rng.uniform(-0.1, 0.1, (17, 3))
    pose[:, 1] = np.linspace(0, 1.7, 17)
    for name in ("hip", "shoulder"):
        pose[H36M17.index(f"left_{name}")] = [0.2, 1, 0]
        pose[H36M17.index(f"right_{name}")] = [-0.2, 1, 0]
    pose[H36M17.index("nose")] = [0, 1.6, 0.3]
    a = np.radians(turn)
    turned = pose @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    return np.repeat(turned[None], frames, axis=0)


@pytest.mark.parametrize("turn", [0, 50, 200, 310])
def test_the_front_is_seen_from_the_front(parts, turn):
    pose = standing(turn, 2)
    shot = parts.filming.film(pose, parts.filming.yaw_of_front(pose), 0, 4)
    left, right = (shot.pixels[0, H36M17.index(f"{side}_hip"), 0] for side in ("left", "right"))
    assert left > right  # as in a mirror: their left is on the image's right
    assert shot.pose[0, H36M17.index("nose"), 2] < shot.pose[0, 0, 2]  # towards the camera


def test_the_answer_is_2_5d(parts):
    """x, y are the projection; mm per pixel times depth difference gives millimetres."""
    pose = standing(30)
    shot = parts.filming.film(pose, 70, 10, 4.5)
    np.testing.assert_allclose(shot.pose[..., :2], shot.pixels)
    np.testing.assert_allclose(shot.pose[:, 0, 2], 0, atol=1e-9)
    depth_mm = shot.pose[..., 2] * shot.factor[:, None]
    yaw, pitch = np.radians(70), np.radians(10)
    away = np.sin(yaw) * pose[..., 0] - np.cos(yaw) * pose[..., 2]
    depth = np.cos(pitch) * away - np.sin(pitch) * pose[..., 1]
    np.testing.assert_allclose(depth_mm, 1000 * (depth - depth[:, :1]), rtol=1e-6, atol=1e-6)


def test_the_camera_keeps_away(parts):
    pose = standing(0)
    pose[:, 5, 2] += 10
    shot = parts.filming.film(pose, 0, 0, 3.5)
    assert shot.factor.min() > 1000 * parts.filming.NEAREST / parts.filming.FOCAL


def test_jitter_has_memory_and_size(parts):
    path = parts.detector.autoregressive(20000, np.array([0.5]), 0.9, np.random.default_rng(0))
    x = path[:, 0, 0]
    assert x.std() == pytest.approx(0.5, rel=0.1)
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.9, abs=0.02)


def test_a_faultless_detector_sees_the_truth(parts):
    points = standing(0)[..., :2]
    still = parts.detector.Detector(jitter=0, swaps=0, flips=0, occlusions=0)
    motion = still.detect(points, 30, np.random.default_rng(0))
    np.testing.assert_allclose(motion[..., :2], points, atol=1e-6)
    assert motion[..., 2].min() > 0.5


@pytest.mark.parametrize("fault", ["flips", "swaps", "occlusions"])
def test_each_fault_does_what_it_says(parts, fault):
    points = np.random.default_rng(1).uniform(-1, 1, (17, 2)) + np.zeros((3000, 1, 1))
    faults = {"jitter": 0, "swaps": 0, "flips": 0, "occlusions": 0, "missing": 1.0, fault: 0.5}
    detector = parts.detector.Detector(**faults)
    motion = detector.detect(points, 30, np.random.default_rng(0))
    wrong = np.linalg.norm(motion[..., :2] - points, axis=-1) > 1e-6
    assert 0.02 < wrong.any(axis=1).mean() < 0.5
    unpaired = H36M17.mirror == np.arange(17)
    assert not wrong[:, unpaired].any()  # the middle of the body has no other side
    if fault == "flips":
        bad = wrong.any(axis=1)
        np.testing.assert_allclose(motion[bad][..., :2], points[bad][:, H36M17.mirror], atol=1e-6)
    elif fault == "swaps":
        assert sorted(set(np.flatnonzero(wrong.any(axis=0)))) == parts.detector.OUTER
    else:
        lost = motion[..., 2] == 0
        np.testing.assert_array_equal(lost, wrong)
        assert not motion[lost].any()
        lengths = np.diff(np.flatnonzero(np.diff(np.pad(lost[:, 3].astype(int), 1))))[::2]
        assert lengths.min() >= 9  # 0.3 s


def test_guessed_joints_have_little_confidence(parts):
    points = standing(0, 600)[..., :2]
    detector = parts.detector.Detector(jitter=0, swaps=0, flips=0, missing=0.0)
    motion = detector.detect(points, 30, np.random.default_rng(0))
    wrong = np.linalg.norm(motion[..., :2] - points, axis=-1) > 0.02
    assert wrong.any()
    assert motion[wrong][:, 2].max() < 0.5


def test_records_follow_the_protocol(parts, write_bvh, tmp_path):
    """A perfect answer to the stored records is scored 0 by Human3.6M's protocol."""
    path = write_bvh(tmp_path / "walk.bvh", WALK)
    options = parts.builder.OPTIONS(seconds=1.0, cameras=2, fps=30.0)
    builder = parts.builder(options=options, data_dir=str(tmp_path / "data"))
    item = builder.items(tmp_path)[0]
    assert isinstance(item, Item)
    assert item.path == path
    takes = list(builder.read(item, Counter()))
    assert len(takes) % 2 == 0
    assert len({take.id for take in takes}) == len(takes)
    again = list(builder.read(item, Counter()))
    for take, twin in zip(takes, again, strict=True):
        np.testing.assert_array_equal(take.motion, twin.motion)
        assert (take.unit, take.axes) == ("normalised", "camera")
        assert take.size[0] == take.size[1]
        assert np.abs(take.motion[..., :2]).max() <= 1
        score = h36m_protocol(
            (take.pose - take.pose[:, :1])[None],
            np.arange(take.num_frames)[None],
            np.array([take.size]),
            factor=take.factor[None],
            pose_mm=take.pose_mm[None],
            action=["a"],
            source=[take.id],
        )
        assert score["mpjpe"] < 0.01
    assert not np.array_equal(takes[0].motion, takes[1].motion)


@pytest.mark.parametrize("name", ["seconds", "cameras", "margin", "faults", "front"])
def test_bad_settings_are_told(parts, write_bvh, tmp_path, name):
    write_bvh(tmp_path / "walk.bvh", WALK)
    options = parts.builder.OPTIONS(**{name: -1})
    builder = parts.builder(options=options, data_dir=str(tmp_path / "data"))
    (item,) = builder.items(tmp_path)
    with pytest.raises(ValueError, match=f"got --{name}=-1"):
        next(builder.read(item, Counter()))
