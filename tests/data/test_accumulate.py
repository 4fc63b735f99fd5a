"""Moves that add up, against the official way: a loop that moves a stored array in place."""

import numpy as np
import pytest

from dstformer_jax.body import geometry
from dstformer_jax.data import pipeline
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.clips import draw_clips
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData

FRAMES, CLIPS, EPOCHS = 6, 20, 4  # of 20 clips a pass of two batches of 8 leaves four out


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """Clips of exactly T frames, so that resampling draws change nothing; two people in some."""
    rng, sequences = np.random.default_rng(0), []
    for number in range(CLIPS):
        motion = rng.uniform(0.1, 1, (2, FRAMES, 17, 3)).astype(np.float32)
        motion[1] *= number % 2
        about = {"unit": "normalised", "label": number % 5, "action": f"a{number % 5}"}
        sequences.append(
            Sequence(id=f"s{number}", fps=30, motion=motion[0], partner=motion[1], **about)
        )
    return Bank.read(write_bank(sequences, tmp_path_factory.mktemp("bank") / "train"))


def opened(bank, **settings) -> SourceData:
    about = {"supervision": "label", "input": "motion", "window": "whole", "persons": 2}
    about |= {"move": True, "accumulate": True, "batch": 8, "crop": (1.0, 3.0)}
    return SourceData.of(Source("a", "b", frames=FRAMES, **{**about, **settings}), bank)


def made(data, start=0, **settings):
    plan = pipeline.open_plan([data], EPOCHS, seed=7)
    settings = {"feed": "numpy", **settings}
    return plan, [batch for _, batch in pipeline.batches(plan, [data], start, **settings)]


def moved_in_place(stored: np.ndarray, ends: np.ndarray) -> None:
    """One frame at a time: x, y [M, T, J, 3] turned, scaled and shifted as drawn at both ends."""
    for frame in range(FRAMES):
        angle, scale, *shift = ends[0] + (ends[1] - ends[0]) * frame / (FRAMES - 1)
        cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turn = scale * np.array([[cosine, -sine], [sine, cosine]])
        stored[:, frame, :, :2] = stored[:, frame, :, :2] @ turn.T + shift


@pytest.mark.parametrize("per_class", [0, 2])
@pytest.mark.parametrize("crop", [None, (1.0, 3.0)])
def test_clips_are_those_of_a_loop_that_moves_its_array_in_place(bank, per_class, crop):
    """Absent people are moved too; crops do not add up."""
    data = opened(bank, per_class=per_class, crop=crop)
    plan, batches = made(data)
    people = np.stack([bank.motion, bank.partner]).reshape(2, CLIPS, FRAMES, 17, 3)
    stored = people.swapaxes(0, 1).astype(np.float64)
    assert len(batches) == 2 * EPOCHS
    for draw, batch in enumerate(batches):
        draws = draw_clips(plan.generator(0, draw), data.source, data.resamples)
        rows = plan.windows(0, draw)
        np.testing.assert_array_equal(batch["index"], rows)
        for place, row in enumerate(rows):
            moved_in_place(stored[row], draws.move[place])
            wanted = stored[row]
            if crop:
                both = wanted.reshape(-1, 17, 3)
                wanted = geometry.crop_scale(both, draws.ratio[place]).reshape(wanted.shape)
            np.testing.assert_allclose(batch["motion"][place], wanted, atol=2e-5)
    visits = np.bincount(np.concatenate([batch["index"] for batch in batches]), minlength=CLIPS)
    assert visits.max() > 2
    if per_class:  # somebody came twice in a pass: that counts as well
        passes = [np.concatenate([b["index"] for b in batches[i : i + 2]]) for i in (0, 2, 4, 6)]
        assert any(len(set(each)) < len(each) for each in passes)


def test_a_run_that_resumes_sees_the_same_clips_bit_for_bit(bank):
    """From every step, in any number of threads, by either feed, and each process its rows."""
    data = opened(bank)
    _, whole = made(data)
    for start in (1, 4, 7):
        _, rest = made(data, start, threads=4)
        assert len(rest) == len(whole) - start
        for one, other in zip(rest, whole[start:], strict=True):
            np.testing.assert_array_equal(one["motion"], other["motion"])
    for process in (0, 1):
        _, part = made(data, 5, process_index=process, process_count=2)
        for one, other in zip(part, whole[5:], strict=True):
            rows = slice(4 * process, 4 * process + 4)
            np.testing.assert_array_equal(one["motion"], other["motion"][rows])
    _, theirs = made(data, 6, feed="tf")
    np.testing.assert_array_equal(theirs[0]["motion"], whole[6]["motion"])


def test_without_the_switch_every_draw_moves_the_stored_clip(bank):
    """The first pass is the same; later ones are near where the clip is stored."""
    (_, plain), (_, added) = made(opened(bank, accumulate=False)), made(opened(bank))
    for one, other in zip(plain[:2], added[:2], strict=True):
        np.testing.assert_allclose(one["motion"], other["motion"], atol=1e-6)
    apart = [
        np.abs(one["motion"] - other["motion"]).max()
        for one, other in zip(plain, added, strict=True)
    ]
    assert min(apart[2:]) > 0.05
