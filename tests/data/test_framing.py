"""Framing on its own, against geometry and the official code, and on the device as on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body import geometry
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.clips import draw_clips
from dstformer_jax.data.framing import crop_square, fill_square, swap
from dstformer_jax.data.people import finish_batch, gather_batch, make_batch
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData, Views

VIEWS = Views((0, 360), (0, 20))


def planes_of(clips):
    return tuple(np.moveaxis(clips, -1, 0).reshape(3, len(clips), -1))


def cropped(motion, ratio, xp=np):
    planes, _ = crop_square(planes_of(motion), ratio, xp)
    return np.stack(planes, axis=-1).reshape(motion.shape)


def crowd():
    """Clips in pixels; fewer than four joints are seen in three of them, or they span nothing."""
    rng = np.random.default_rng(1)
    motion = rng.uniform(100, 900, (7, 9, 17, 3)).astype(np.float32)
    motion[..., 2] = rng.choice([0, 0.3, 1], (7, 9, 17))
    motion[4, ..., 2] = 0
    motion[4, 0, :3, 2] = 1
    motion[5] = [7.0, 9.0, 1.0]
    motion[6, ..., 2] = 0
    return motion


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("ratio", [0.25, 1.0, 2.0])
def test_crop_square_is_crop_scale(ratio, xp):
    motion = crowd()
    expected = geometry.crop_scale(motion, np.float32(ratio))
    out = cropped(motion, np.full(7, ratio, np.float32), xp)
    np.testing.assert_allclose(out, expected, atol=2e-6)
    assert (out[4:] == 0).all()
    assert np.abs(out[0]).max() == 1


def test_crop_square_is_the_official_crop_scale(golden):
    arrays = golden("d_data")
    for name in ("r11", "r22", "r13", "r025_1"):
        motion = arrays["x"][:1].astype(np.float32)
        ratio = np.float32(arrays[f"crop_scale/ratio_{name}"])[None]
        motion = cropped(motion, ratio)
        np.testing.assert_allclose(motion[0], arrays[f"crop_scale/{name}"], atol=2e-6)


@pytest.mark.parametrize("frames", [1, 15, 16, 50, 243])
def test_fill_square_finds_the_box_whatever_the_length(frames):
    pose = np.random.default_rng(frames).normal(size=(3, frames, 17, 3)).astype(np.float32)
    low, high = pose.min((1, 2)), pose.max((1, 2))
    offset, factor = fill_square(planes_of(pose), np.ones(3, np.float32))
    np.testing.assert_allclose(offset[:, :2], (low + high)[:, :2] / 2, atol=1e-6)
    np.testing.assert_allclose(2 / factor, (high - low)[:, :2].max(1), rtol=1e-6)


def test_fill_square_survives_a_person_without_extent():
    planes = planes_of(np.ones((1, 4, 17, 3), np.float32))
    square = fill_square(planes, np.ones(1, np.float32))
    assert not any(plane.any() for plane in square.move(planes))
    assert square.factor == 1


def test_swapping_is_flipping_without_a_change_of_sign():
    motion = np.abs(crowd())
    for flip in (np.arange(7) % 2 == 0, np.zeros(7, bool)):
        expected = np.where(flip[:, None, None, None], np.abs(geometry.flip(motion)), motion)
        np.testing.assert_array_equal(swap(motion, flip), expected)


# On the device ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def banks(tmp_path_factory):
    """The same frames by unit; the sequences of 7 and 5 frames are shorter than a clip."""

    def sequence(number, frames, unit):
        rng = np.random.default_rng(number)
        motion = rng.uniform(100, 900, (frames, 17, 3)) * rng.choice([0, 1], (frames, 17, 1))
        return Sequence(
            id=f"s{number}", fps=30, unit=unit, axes="world", label=number, action=f"a{number}",
            pose=rng.normal(size=(frames, 17, 3)), motion=motion, partner=motion[::-1],
            theta=rng.normal(size=(frames, 9)), beta=rng.normal(size=(frames, 4)),
        )  # fmt: skip

    def write(unit):
        sequences = [sequence(number, n, unit) for number, n in enumerate((40, 7, 33, 60, 5))]
        return Bank.read(write_bank(sequences, tmp_path_factory.mktemp(unit) / "train"))

    return {unit: write(unit) for unit in ("m", "px", "normalised")}


FRAMINGS = [
    {"views": VIEWS, "crop": (0.5, 1.5)},
    {"views": VIEWS, "scale": 0.298},
    {"scale": 0.298, "crop": (1, 1)},
    {},
    {"input": "motion", "crop": (0.5, 1.5)},
    {"input": "motion"},
    {"supervision": "2d", "views": VIEWS, "crop": (0.25, 1)},
    {"supervision": "2d", "views": VIEWS, "scale": 0.5},
    {"supervision": "2d", "input": "motion", "crop": (0.25, 1)},
    {"supervision": "2d", "input": "motion", "short": "pad"},
    {"supervision": "body", "views": VIEWS, "crop": (0.9, 1.1)},
    {"supervision": "body", "input": "motion", "crop": (1, 1)},
    {"supervision": "label", "input": "motion", "persons": 2, "move": True, "crop": (1, 1)},
]
# The unit only says what the scale is.
CASES = [("m", each) for each in FRAMINGS]
CASES += [(unit, FRAMINGS[i]) for unit in ("px", "normalised") for i in (0, 4, 8)]


@pytest.mark.parametrize(("unit", "settings"), CASES)
def test_the_device_makes_the_clips_of_the_host(banks, unit, settings):
    """Within float32 rounding: of mirrored, resampled clips of every supervision."""
    source = Source("a", "b", frames=12, stride=5, batch=16, flip=True, **settings)
    data = SourceData.of(source, banks[unit])
    rows = np.r_[6, 8:23]  # 6 and 22 are short
    assert (data.windows.spans[rows, 1] < 12).sum() == 2
    draws = draw_clips(np.random.default_rng(0), source)
    assert 3 < draws.flip.sum() < 13
    expected = make_batch(data, rows, draws)
    gathered = gather_batch(data, rows, draws)
    got = jax.jit(lambda batch: finish_batch(batch, data, jnp))(gathered)
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        largest = np.abs(array).max() if array.dtype == np.float32 else 0
        np.testing.assert_allclose(got[name], array, rtol=2e-6, atol=2e-6 * largest, err_msg=name)
    for name, array in finish_batch(gathered, data, np).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
