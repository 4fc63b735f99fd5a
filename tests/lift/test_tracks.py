"""Which stretches of which people are lifted."""

from dataclasses import replace

import numpy as np
import pytest

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import COCO17, H36M17
from dstformer_jax.lift.tracks import MASKED, SQUARE, bridged, prepare


def track(number: int, seen: list[bool] | np.ndarray, start: int = 0) -> Track:
    seen = np.asarray(seen)
    rng = np.random.default_rng(number)
    confidence = np.repeat(seen[:, None].astype(float), 17, axis=1)
    return Track(number, start, rng.uniform(0, 100, (len(seen), 17, 2)), confidence)


def motion(*tracks: Track, fps: float = 10.0) -> Motion:
    return Motion(tracks, COCO17, fps=fps)


def test_gaps_of_two_seconds_stay_and_longer_ones_split():
    short = track(0, [1] * 12 + [0] * 20 + [1] * 12)
    assert [len(part) for part in prepare(motion(short), H36M17)] == [44]
    long = track(0, [1] * 12 + [0] * 21 + [1] * 12, start=5)
    other = track(3, [1] * 20)
    parts = prepare(motion(long, other), H36M17)
    assert [(p.id, p.start, len(p)) for p in parts] == [(0, 5, 12), (4, 38, 12), (3, 0, 20)]


def test_ends_without_anybody_are_cut_off():
    (part,) = prepare(motion(track(1, [0, 0, 1, 0, 1, 0], start=7)), H36M17)
    assert (part.start, len(part)) == (9, 3)


def test_missing_joints_and_frames_are_zeros_as_masks_make_them():
    one = track(0, [1, 0, 1])
    one.confidence[0, COCO17.index("left_knee")] = 0
    (part,) = prepare(motion(one), H36M17)
    assert not part.motion[1].any()
    assert not part.motion[0, H36M17.index("left_knee")].any()
    assert part.motion[0, H36M17.index("right_knee")].all()


def test_short_tracks_go_by_the_rule_and_are_noted():
    long, nine, ten = track(0, [1] * 100), track(1, [1] * 9), track(2, [1] * 10)
    kept = prepare(motion(long, nine, ten), H36M17)
    assert [p.id for p in kept] == [0, 2]
    assert any("1 track(s)" in note for note in kept.notes)
    # Nine frames are a tenth of ninety: a short video keeps everybody.
    assert [p.id for p in prepare(motion(track(0, [1] * 90), nine), H36M17)] == [0, 1]
    assert len(prepare(motion(track(0, [1])), H36M17).tracks) == 1  # a photograph


def test_tracks_of_a_few_joints_are_left_out():
    whole, hand = track(0, [1] * 20), track(1, [1] * 20)
    hand.confidence[:, 4:] = 0
    kept = prepare(motion(whole, hand), H36M17)
    assert [p.id for p in kept] == [0]
    assert any("fewer than 6 joints" in note for note in kept.notes)
    assert len(prepare(motion(hand), H36M17).tracks) == 1  # better than nothing


def test_people_can_be_chosen():
    two = motion(track(4, [1] * 20), track(9, [1] * 20))
    assert [p.id for p in prepare(two, H36M17, [9])] == [9]
    with pytest.raises(ValueError, match="got person 5, expected one of 4, 9"):
        prepare(two, H36M17, [5])


def test_unknown_rates_are_assumed_and_noted():
    kept = prepare(motion(track(0, [1] * 20), fps=0.0), H36M17)
    assert kept.fps == 30
    assert any("30 assumed" in note for note in kept.notes)


def test_parts_of_an_image_are_pixels_or_noted_as_of_a_square_one():
    one = track(0, [1] * 12)
    parts = replace(one, points=one.points / np.float32([200, 100]))
    given = Motion((parts,), COCO17, fps=10, unit="normalised", size=(200, 100))
    found = prepare(given, H36M17)
    assert (found.unit, found.notes) == ("px", ())
    np.testing.assert_allclose(
        found.tracks[0].points, prepare(motion(one), H36M17).tracks[0].points, rtol=1e-5
    )
    assert prepare(replace(given, size=(0, 0)), H36M17).notes == (SQUARE,)


def test_nobody_is_an_error():
    with pytest.raises(ValueError, match="no frame with a person"):
        prepare(motion(track(0, [0] * 20)), H36M17)


def test_long_gaps_are_straight_lines_between_sightings_alone():
    motion = np.zeros((MASKED + 5, 3, 3), np.float32)
    motion[1, 0], motion[MASKED + 3, 0] = (10, 20, 1), (73, 50, 0.3)  # seen twice
    motion[3, 1] = (7, 8, 0.9)  # once
    filled = bridged(motion)
    between = slice(1, MASKED + 4)
    for channel, ends in enumerate(((10, 73), (20, 50), (1, 0.3))):
        expected = np.linspace(*ends, MASKED + 3)
        np.testing.assert_allclose(filled[between, 0, channel], expected, rtol=1e-5)
    filled[between, 0] = motion[between, 0]
    np.testing.assert_array_equal(filled, motion)


def test_short_gaps_stay_as_the_masks_of_training_make_them():
    motion = np.ones((MASKED + 2, 2, 3), np.float32)
    motion[1:-1] = 0
    np.testing.assert_array_equal(bridged(motion), motion)
