import numpy as np
import pytest

from dstformer_jax.body import geometry
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.clips import draw_clips, frame_ids, gather, gather_mirrored, make_clips
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData, Views

BATCH, FRAMES = 16, 12


def make_bank(path, **fields):
    rng = np.random.default_rng(0)
    sequences = [
        Sequence(
            id=f"s{number}",
            fps=30,
            pose=rng.normal(size=(frames, 17, 3)).astype(np.float32),
            motion=rng.uniform(-1, 1, (frames, 17, 3)) * rng.choice([0, 1], (frames, 17, 1)),
            **fields,
        )
        for number, frames in enumerate((40, 7, 33, 60))
    ]
    return Bank.read(write_bank(sequences, path))


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return make_bank(tmp_path_factory.mktemp("bank") / "train")


def data_of(bank, **settings):
    settings = {"frames": FRAMES, "stride": 5, "batch": BATCH} | settings
    return SourceData.of(Source("a", "b", **settings), bank)


def drawn(data, seed=0, **fixed):
    draws = draw_clips(np.random.default_rng(seed), data.source)
    return draws._replace(**fixed)


def frames_of(data, rows, array, draws):
    ids, _ = frame_ids(
        data.windows.spans[rows], data.windows.resampled[rows], FRAMES, draws.resample
    )
    return np.asarray(array)[ids]


@pytest.mark.parametrize("length", [1, 2, 5, 11, 12])
def test_short_windows_are_resampled_as_geometry_says(length):
    draws = np.random.default_rng(length).random((3, FRAMES), np.float32)
    spans = np.array([[100, length], [50, FRAMES], [7, length]])
    resampled = np.array([True, False, True])
    ids, valid = frame_ids(spans, resampled, FRAMES, draws)
    for row in (0, 2):
        expected = geometry.resample_indices(length, FRAMES, "random", draws[row])
        if length == FRAMES:
            expected = np.arange(FRAMES)
        np.testing.assert_array_equal(ids[row] - spans[row, 0], expected)
    np.testing.assert_array_equal(ids[1], 50 + np.arange(FRAMES))
    assert valid.all()
    even, _ = frame_ids(spans, resampled, FRAMES)
    np.testing.assert_array_equal(even[0] - 100, geometry.resample_indices(length, FRAMES))


def test_resampling_is_the_official_one(golden):
    official = golden("d_data")["split_clips/27_9"]
    (row,) = [ids for ids in official if ids[0] == 70 and ids[-1] == 89]
    bits = np.random.RandomState(4).randint(2, size=27)[None]
    ids, _ = frame_ids(np.array([[70, 20]]), np.array([True]), 27, bits)
    np.testing.assert_array_equal(ids[0], row)


def test_padding_repeats_the_last_frame_and_marks_it():
    ids, valid = frame_ids(np.array([[10, 3], [20, 6]]), np.zeros(2, bool), 6)
    assert ids[0].tolist() == [10, 11, 12, 12, 12, 12]
    assert valid[0].tolist() == [True, True, True, False, False, False]
    assert valid[1].all()


def test_gather_copies_frames_and_mirrors_joints(bank):
    ids = np.array([[3, 4], [50, 50], [51, 7]])
    flip = np.array([False, True, True])
    np.testing.assert_array_equal(gather(bank.pose, ids), bank.pose[ids])
    clips = gather_mirrored(bank.pose, ids, flip)
    np.testing.assert_array_equal(clips[0], bank.pose[3:5])
    np.testing.assert_array_equal(clips[1:], bank.pose[ids[1:]][:, :, H36M17.mirror])


def test_plain_3d_clip_is_the_pose(bank):
    data = data_of(bank, scale=0.298)
    rows = np.arange(BATCH)
    draws = drawn(data)
    batch = make_clips(data, rows, draws)
    pose = frames_of(data, rows, bank.pose, draws)
    np.testing.assert_allclose(batch["target"], pose * 0.298, atol=1e-6)
    np.testing.assert_array_equal(batch["motion"][..., :2], batch["target"][..., :2])
    assert (batch["motion"][..., 2] == 1).all()
    assert (batch["confidence"] == 1).all()
    np.testing.assert_allclose(batch["scale"], 1000 / 0.298, rtol=1e-6)
    np.testing.assert_array_equal(batch["index"], rows)
    assert batch["valid"].all()
    for name in ("motion", "target", "confidence", "scale"):
        assert batch[name].dtype == np.float32


def test_views_flips_and_crops_are_those_of_geometry(bank):
    views = Views(yaw=(0, 360), pitch=(0, 20))
    data = data_of(bank, views=views, crop=(0.8, 1.2), flip=True)
    rows = np.arange(5, 5 + BATCH)
    draws = drawn(data)
    assert 2 < draws.flip.sum() < BATCH - 2
    batch = make_clips(data, rows, draws)
    pose = geometry.view(frames_of(data, rows, bank.pose, draws), draws.yaw, draws.pitch)
    pose = np.where(draws.flip[:, None, None, None], geometry.flip(pose), pose)
    low, high = pose[..., :2].min((1, 2)), pose[..., :2].max((1, 2))
    half = (high - low).max(-1) * draws.ratio / 2
    pose[..., :2] -= ((low + high) / 2)[:, None, None]
    pose[..., 2] -= pose[:, :1, :1, 2].copy()
    pose /= half[:, None, None, None]
    np.testing.assert_allclose(batch["target"], pose, atol=2e-6)
    np.testing.assert_allclose(batch["scale"], 1000 * half, rtol=1e-5)
    largest = np.abs(batch["target"][..., :2]).max((1, 2, 3))
    np.testing.assert_allclose(largest, 1 / draws.ratio, rtol=1e-5)
    # Root-relative poses times scale are millimetres again.
    lengths = np.linalg.norm(batch["target"][:, :, 2] - batch["target"][:, :, 1], axis=-1)
    original = frames_of(data, rows, bank.pose, draws)
    mirrored = geometry.flip(original)
    original = np.where(draws.flip[:, None, None, None], mirrored, original)
    expected = np.linalg.norm(original[:, :, 2] - original[:, :, 1], axis=-1) * 1000
    np.testing.assert_allclose(lengths * batch["scale"][:, None], expected, rtol=1e-4)


def test_drawn_numbers_are_in_range_and_uniform():
    source = Source(
        "a", "b", batch=1 << 16, frames=1, views=Views((30, 90), (0, 20)), crop=(0.25, 1), flip=True
    )
    draws = draw_clips(np.random.default_rng(0), source)
    for values, low, high in (
        (np.degrees(draws.yaw), 30, 90),
        (np.degrees(draws.pitch), 0, 20),
        (draws.ratio, 0.25, 1),
    ):
        assert values.min() >= low - 1e-4
        assert values.max() <= high + 1e-4
        error = (high - low) / np.sqrt(12 * len(values))
        assert abs(values.mean() - (low + high) / 2) < 5 * error
    assert abs(draws.flip.mean() - 0.5) < 5 * 0.5 / 256
    values = np.stack([draws.yaw, draws.pitch, draws.ratio, draws.flip])
    correlation = np.corrcoef(values)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < 5 / 256
    still = draw_clips(np.random.default_rng(0), Source("a", "b", frames=1))
    assert not still.flip.any()
    assert (still.ratio == 1).all()
    assert (still.yaw == 0).all()


def test_training_on_fixed_views_draws_among_them():
    views = Views((0, 90, 180, 270), (10, 20), fixed=True)
    source = Source("a", "b", batch=8000, frames=1, views=views)
    draws = draw_clips(np.random.default_rng(0), source)
    pairs, counts = np.unique(
        np.degrees(np.stack([draws.yaw, draws.pitch], 1)).round(), axis=0, return_counts=True
    )
    assert {tuple(pair) for pair in pairs} == {tuple(pair) for pair in views.angles()}
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    return make_bank(tmp_path_factory.mktemp("px") / "train", unit="px", axes="camera")


def test_2d_clips(pixels):
    data = data_of(pixels, supervision="2d", input="motion", crop=(0.25, 1), flip=True)
    rows = np.arange(BATCH)
    draws = drawn(data)
    batch = make_clips(data, rows, draws)
    stored = frames_of(data, rows, pixels.motion, draws)
    expected = geometry.crop_scale(stored, draws.ratio[:, None, None, None])
    expected = np.where(expected[..., 2:] == 0, 0, expected)
    mirrored = geometry.flip(expected)
    expected = np.where(draws.flip[:, None, None, None], mirrored, expected)
    np.testing.assert_allclose(batch["motion"], expected, atol=2e-6)
    np.testing.assert_array_equal(batch["target"][..., :2], batch["motion"][..., :2])
    assert (batch["target"][..., 2] == 0).all()
    np.testing.assert_array_equal(batch["confidence"], batch["motion"][..., 2])
    assert (batch["confidence"] == 0).any()
    seen = np.where(stored[..., 2:] != 0, stored[..., :2], np.nan)
    extent = (np.nanmax(seen, (1, 2)) - np.nanmin(seen, (1, 2))).max(-1)
    np.testing.assert_allclose(batch["scale"], extent * draws.ratio / 2, rtol=1e-5)


def test_detections_with_3d_truth_keep_together(tmp_path):
    bank = make_bank(tmp_path / "train", unit="normalised", axes="camera")
    data = data_of(bank, input="motion", flip=True)
    rows = np.arange(BATCH)
    draws = drawn(data)
    batch = make_clips(data, rows, draws)
    for name, array in (("motion", bank.motion), ("target", bank.pose)):
        stored = frames_of(data, rows, array, draws)
        mirrored = np.where(draws.flip[:, None, None, None], geometry.flip(stored), stored)
        np.testing.assert_allclose(batch[name], mirrored, atol=1e-6)
    assert (batch["scale"] == 0).all()
    # Cropped, both are moved and scaled alike.
    square = make_clips(data_of(bank, input="motion", flip=True, crop=(1, 1)), rows, draws)
    np.testing.assert_allclose(
        (square["motion"] - square["target"])[..., :2]
        / (batch["motion"] - batch["target"])[..., :2],
        np.broadcast_to(
            (np.ptp(square["target"][..., 0], (1, 2)) / np.ptp(batch["target"][..., 0], (1, 2)))
            [:, None, None, None],
            (BATCH, FRAMES, 17, 2),
        ),
        rtol=2e-2,
    )  # fmt: skip


def test_rows_of_draws():
    source = Source("a", "b", batch=16, frames=3, supervision="label", move=True)
    draws = draw_clips(np.random.default_rng(0), source)
    part = draws.rows(slice(4, 8))
    for whole, some in zip(draws, part, strict=True):
        assert (whole is None) == (some is None)
        if whole is not None:
            np.testing.assert_array_equal(whole[4:8], some)
    assert draw_clips(np.random.default_rng(0), source, resample=False).rows(slice(0, 2))[4] is None
