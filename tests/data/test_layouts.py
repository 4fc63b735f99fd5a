"""Clips as detectors' layouts and pinhole cameras show them."""

import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body.landmarks import LAYOUTS
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data import people
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.clips import draw_clips
from dstformer_jax.data.framing import project
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData

FRAMES = 6


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.5, (40, 17, 3)) + np.array([0, 1, 0])
    seen = np.stack([pose + 0.02 * layout for layout in range(len(LAYOUTS))], axis=1)
    sequence = Sequence(id="one", fps=30, pose=pose, seen=seen)
    return Bank.read(write_bank([sequence], tmp_path_factory.mktemp("bank") / "train"))


def opened(bank, **settings):
    views = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0)}
    fields = {"views": views, "crop": (1.0, 1.0), "flip": True, **settings}
    return SourceData.of(Source("a", "b", frames=FRAMES, stride=3, batch=8, **fields), bank)


def clips(data, seed=0):
    draws = draw_clips(np.random.default_rng(seed), data.source)
    return people.make_batch(data, np.arange(8), draws), draws


def test_the_input_is_the_layout_and_the_target_the_pose(bank):
    plain, _ = clips(opened(bank))
    for number, name in enumerate(LAYOUTS):
        batch, draws = clips(opened(bank, input=name))
        # Every joint of layout n is 2 n cm away in x, y and z; the square is around the layout.
        apart = (batch["motion"] - batch["target"])[..., :2]
        assert (np.abs(apart).max() > 1e-3) == (number > 0)
        np.testing.assert_allclose(apart, apart[:, :1, :1] + 0 * apart, atol=1e-5)
        low, high = (batch["motion"][..., :2].reshape(8, -1, 2) for _ in range(2))
        span = (high.max(1) - low.min(1)).max(-1)
        np.testing.assert_allclose(span, 2, atol=1e-5)
        shape = batch["target"] - batch["target"][:, :1, :1]
        same = plain["target"] - plain["target"][:, :1, :1]
        np.testing.assert_allclose(shape, same, atol=1e-5)
        assert (batch["motion"][..., 2] == 1).all()
        assert (draws.layout == number).all()


def test_layouts_are_drawn_clip_by_clip_and_alike_again(bank):
    data = opened(bank, input="layouts")
    drawn = np.concatenate([clips(data, seed)[1].layout for seed in range(20)])
    assert np.bincount(drawn, minlength=len(LAYOUTS)).min() > 10
    np.testing.assert_array_equal(clips(data, 3)[0]["motion"], clips(data, 3)[0]["motion"])


def test_other_sources_draw_what_they_drew(bank):
    _, plain = clips(opened(bank))
    _, shown = clips(opened(bank, input="coco17", lens=(20.0, 90.0)))
    for name in ("yaw", "pitch", "ratio", "flip", "resample"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(shown, name))


@pytest.mark.parametrize("settings", [{"input": "layouts"}, {"lens": (30.0, 60.0)}])
def test_host_and_device_make_the_same_clips(bank, settings):
    data = opened(bank, **settings)
    batch, draws = clips(data)
    gathered = people.gather_batch(data, np.arange(8), draws)
    finished = people.finish_batch({k: jnp.asarray(v) for k, v in gathered.items()}, data, jnp)
    assert finished.keys() == batch.keys()
    for name, array in batch.items():
        np.testing.assert_allclose(finished[name], array, atol=2e-5)


def planes(points):
    return tuple(points.reshape(len(points), -1, 3)[..., axis] for axis in range(3))


def test_a_far_camera_sees_what_an_orthographic_one_does():
    points = np.random.default_rng(0).normal(size=(3, 4, 17, 3)).astype(np.float32)
    lens = np.array([[1e-4, 1.0, 0, 0]] * 3, np.float32)
    x, y, z = planes(points)
    seen = project((x, y, z), lens)
    for found, axis in zip(seen[:2], (x, y), strict=True):
        middle = (axis.max(1) + axis.min(1)) / 2
        np.testing.assert_allclose(found, axis - middle[:, None], atol=3e-3)
    np.testing.assert_array_equal(seen[2], z)


@pytest.mark.parametrize("aside", [(0.0, 0.0), (0.7, -0.4)])
def test_pinhole_cameras_are_pinhole_cameras(aside):
    """Against a camera written out: its place, and x / z of what it sees."""
    points = np.random.default_rng(1).normal(0, 0.4, (1, 2, 17, 3))
    half_view, share = np.tan(np.radians(60) / 2), 0.5
    seen = project(planes(points), np.array([[half_view, share, *aside]]))
    flat = points.reshape(-1, 3)
    middle = (flat.max(0) + flat.min(0)) / 2
    half = (flat.max(0) - flat.min(0))[:2].max() / 2
    distance = half / (share * half_view)
    place = middle - np.array([0, 0, distance])
    off = (distance * half_view - half) * np.array(aside)
    place[:2] -= off
    rays = flat - place
    expected = rays[:, :2] / rays[:, 2:] * distance
    np.testing.assert_allclose(np.stack(seen[:2], -1)[0], expected, rtol=1e-6)
    assert np.abs(expected).max() <= distance * half_view * 1.6  # in view, but for what is nearer


def test_nobody_reaches_through_the_lens():
    deep = np.zeros((1, 1, 2, 3), np.float32)
    deep[0, 0, :, 2] = (-5, 5)
    deep[0, 0, :, 0] = (-0.01, 0.01)
    seen = project(planes(deep), np.array([[1.0, 1.0, 0, 0]], np.float32))
    assert np.isfinite(seen[0]).all()
    assert np.sign(seen[0]).tolist() == [[-1, 1]]


def test_perspective_moves_the_input_alone(bank):
    plain, _ = clips(opened(bank))
    batch, draws = clips(opened(bank, lens=(20.0, 90.0)))
    assert draws.lens.shape == (8, 4)
    assert np.abs(batch["motion"] - plain["motion"]).max() > 0.01
    shape = batch["target"] - batch["target"][:, :1, :1]
    same = plain["target"] - plain["target"][:, :1, :1]
    ratio = batch["scale"] / plain["scale"]
    np.testing.assert_allclose(shape * ratio[:, None, None, None], same, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": "coco18"}, "coco18"),
        ({"input": "coco17", "crop": None}, "a crop"),
        ({"lens": (20.0, 90.0), "supervision": "2d"}, "supervision '3d'"),
        ({"lens": (90.0, 20.0)}, "low <= high"),
        ({"lens": (20.0, 180.0)}, "low <= high"),
    ],
)
def test_settings_that_cannot_work_are_told(bank, settings, message):
    with pytest.raises(ValueError, match=message):
        opened(bank, **settings)


def test_a_bank_without_layouts_names_the_option(tmp_path):
    sequence = Sequence(id="one", fps=30, pose=np.ones((9, H36M17.num_joints, 3)))
    bare = Bank.read(write_bank([sequence], tmp_path / "train"))
    with pytest.raises(ValueError, match="--layouts"):
        opened(bare, input="layouts")
