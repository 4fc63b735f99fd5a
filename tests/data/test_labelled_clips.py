"""Labelled clips of one and two people, batches by class, and body parameters."""

import numpy as np
import pytest

from dstformer_jax.body import geometry
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data import people, pipeline
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.clips import draw_clips
from dstformer_jax.data.plan import Plan, by_class
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData

FRAMES, LENGTHS = 12, (40, 7, 33, 60, 12, 25, 9, 14)


def make_sequence(number, frames, **fields):
    """A labelled person in view, a partner in every second sequence."""
    rng = np.random.default_rng(number)
    motion = rng.uniform(0.1, 1, (2, frames, 17, 3)).astype(np.float32)
    motion[1] *= number % 2
    arrays = {
        "motion": motion[0],
        "partner": motion[1],
        "pose": rng.normal(size=(frames, 17, 3)),
        "theta": rng.normal(size=(frames, 9)),
        "beta": rng.normal(size=(frames, 4)),
    }
    about = {"unit": "normalised", "axes": "world", "label": number % 4, "action": f"a{number % 4}"}
    return Sequence(id=f"s{number}", fps=30, **{**arrays, **about, **fields})


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    sequences = [make_sequence(number, frames) for number, frames in enumerate(LENGTHS)]
    return Bank.read(write_bank(sequences, tmp_path_factory.mktemp("bank") / "train"))


def labelled(bank, **settings):
    settings = {"supervision": "label", "input": "motion", "window": "whole", **settings}
    return SourceData.of(Source("a", "b", frames=FRAMES, batch=8, **settings), bank)


def clips(data, seed=0):
    draws = draw_clips(np.random.default_rng(seed), data.source)
    return people.make_batch(data, np.arange(8), draws), draws


def test_whole_sequences_are_stretched_or_thinned_to_every_clip(bank):
    data = labelled(bank, persons=2)
    assert len(data.windows) == len(LENGTHS)
    batch, _ = clips(data)
    assert batch["motion"].shape == (8, 2, FRAMES, 17, 3)
    assert batch["valid"].all()
    np.testing.assert_array_equal(batch["label"], np.arange(8) % 4)
    np.testing.assert_array_equal(batch["present"], [[True, i % 2 == 1] for i in range(8)])
    starts = np.cumsum(LENGTHS) - LENGTHS
    for row, (start, length) in enumerate(zip(starts, LENGTHS, strict=True)):
        frames = bank.motion[start : start + length]
        found = [
            np.flatnonzero((frames == clip).all(axis=(1, 2))) for clip in batch["motion"][row, 0]
        ]
        picked = np.concatenate(found)
        assert len(picked) == FRAMES
        assert (np.diff(picked) >= 0).all()
        if (
            length >= FRAMES
        ):  # one frame of every twelfth of the sequence, which ends within a frame
            ends = (np.arange(FRAMES) + 1) * length / FRAMES
            assert (picked >= np.floor(ends - length / FRAMES)).all()
            assert (picked <= ends).all()


def test_evaluation_takes_the_official_even_steps(bank):
    data = labelled(bank, persons=2)
    batch = next(iter(pipeline.evaluation(data)[0]))
    starts = np.cumsum(LENGTHS) - LENGTHS
    for row, (start, length) in enumerate(zip(starts, LENGTHS, strict=True)):
        steps = geometry.resample_indices(length, FRAMES)
        np.testing.assert_array_equal(batch["motion"][row, 0], bank.motion[start + steps])


def test_the_move_is_the_official_one(golden):
    arrays = golden("d_data")
    ends = arrays["random_move/params_A_S_TX_TY"].T[None].astype(np.float32)
    moved = arrays["random_move/in"][None].copy()
    people.move(moved, ends)
    np.testing.assert_allclose(moved[0], arrays["random_move/out"], atol=2e-6)


def test_moves_are_drawn_in_the_official_ranges(bank):
    _, draws = clips(labelled(bank, move=True))
    many = np.concatenate([clips(labelled(bank, move=True), seed)[1].move for seed in range(200)])
    assert draws.move.shape == (8, 2, 4)
    low, high = many.min(axis=(0, 1)), many.max(axis=(0, 1))
    np.testing.assert_allclose(low, [-10, 0.9, -0.1, -0.1], atol=0.05)
    np.testing.assert_allclose(high, [10, 1.1, 0.1, 0.1], atol=0.05)


def test_moving_leaves_the_stored_frames_alone(bank):
    before = np.array(bank.motion)
    clips(labelled(bank, move=True, persons=2, crop=(1.0, 3.0)))
    np.testing.assert_array_equal(bank.motion, before)


def test_both_people_are_cropped_together(bank):
    batch, draws = clips(labelled(bank, persons=2, crop=(2.0, 2.0)))
    plain, _ = clips(labelled(bank, persons=2))
    for row in range(8):
        both = plain["motion"][row].reshape(-1, 17, 3)  # one box around both
        expected = geometry.crop_scale(both, draws.ratio[row])
        seen = both[..., 2] > 0
        got = batch["motion"][row].reshape(-1, 17, 3)
        np.testing.assert_allclose(got[seen], expected[seen], atol=1e-5)


def test_a_mirrored_pair_is_the_mirrored_clip(bank):
    data = labelled(bank, persons=2, flip=True)
    draws = draw_clips(np.random.default_rng(0), data.source)
    sides = [
        people.make_batch(data, np.arange(8), draws._replace(flip=np.full(8, side)))["motion"]
        for side in (False, True)
    ]
    np.testing.assert_array_equal(sides[1], geometry.flip(sides[0]))


def test_poses_in_the_world_can_be_the_input(bank):
    views = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0)}
    batch, _ = clips(labelled(bank, input="pose", views=views))
    assert batch["motion"].shape == (8, 1, FRAMES, 17, 3)
    assert (batch["motion"][..., 2] == 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"persons": 2, "input": "pose"}, "two persons"),
        ({"noise": True}, "noise or mask"),
        ({"per_class": 3}, "per_class 3"),
        ({"persons": 3}, "persons 3"),
        ({"accumulate": True}, "got accumulate in source 'a', expected move, no flip"),
        ({"accumulate": True, "move": True, "flip": True}, "got accumulate"),
        ({"accumulate": True, "move": True, "limit_per_class": 2}, "got accumulate"),
        ({"supervision": "2d", "crop": (1, 1)}, "window='whole'"),
    ],
)
def test_settings_that_cannot_work(bank, settings, message):
    with pytest.raises(ValueError, match=message):
        labelled(bank, **settings)


def test_sequences_without_a_label_are_named(tmp_path):
    unlabelled = Bank.read(write_bank([make_sequence(3, 20, label=-1)], tmp_path / "train"))
    with pytest.raises(ValueError, match=r"1 sequences without a label.*s3"):
        labelled(unlabelled)


def test_widths_of_body_parameters_must_agree(tmp_path):
    sequences = [make_sequence(0, 9), make_sequence(1, 9, theta=np.zeros((9, 12)))]
    with pytest.raises(ValueError, match=r"theta of width \(12,\).*'s1'"):
        write_bank(sequences, tmp_path / "train")


# Batches by class ---------------------------------------------------------------------------------


def test_batches_hold_different_clips_of_some_classes():
    labels = np.repeat(np.arange(6), [5, 4, 9, 7, 3, 12])
    rows = by_class(np.random.default_rng(0), labels, 20, 8, 2).reshape(20, 8)
    for batch in rows:
        assert len(set(batch)) == 8
        assert np.bincount(labels[batch], minlength=6).tolist().count(2) == 4
    assert set(labels[rows.ravel()]) == set(range(6))


def test_the_plan_of_pairs_is_a_function_of_the_step(bank):
    data = labelled(bank, per_class=2)
    plan = pipeline.open_plan([data], epochs=3, seed=1)
    assert plan.total_steps == 3
    rows = [plan.windows(0, draw) for draw in range(3)]
    again = pipeline.open_plan([data], epochs=3, seed=1)
    for draw in (2, 0, 1):
        np.testing.assert_array_equal(again.windows(0, draw), rows[draw])
        assert np.bincount(data.labels[rows[draw]]).tolist() == [2, 2, 2, 2]


def test_too_few_classes_or_labels_for_pairs(bank):
    with pytest.raises(ValueError, match="4 classes"):
        by_class(np.random.default_rng(0), np.arange(8) % 4, 1, 16, 2)
    source = labelled(bank, per_class=2).source
    with pytest.raises(ValueError, match="per_class"):
        Plan((source,), (8,), 1).windows(0, 0)


# Bodies -------------------------------------------------------------------------------------------


def test_body_parameters_come_with_the_view_that_saw_them(bank):
    views = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0)}
    source = Source("a", "b", frames=FRAMES, batch=8, supervision="body", views=views, flip=True)
    data = SourceData.of(source, bank)
    batch, draws = clips(data)
    assert batch["theta"].shape == (8, FRAMES, 9)
    assert batch["beta"].shape == (8, FRAMES, 4)
    assert "initial_theta" not in batch
    np.testing.assert_array_equal(batch["mirrored"], draws.flip)
    camera = batch["camera"]
    np.testing.assert_allclose(np.linalg.det(camera), 1, atol=1e-5)
    ids, _ = people.clip_frames(data, np.arange(8), draws)
    seen = np.einsum("bxy,btjy->btjx", camera, bank.pose[ids])
    seen[draws.flip] = geometry.flip(seen[draws.flip], H36M17)
    np.testing.assert_allclose(batch["motion"][..., :2], seen[..., :2], atol=1e-5)
