"""People whose places in a file are exchanged."""

import numpy as np
import pytest

from dstformer_jax.body.people import exchanged, follow


def two_people(frames: int = 20) -> np.ndarray:
    """Two bodies that walk past each other, 1 m apart in y: [2, T, 17, 2]."""
    rng = np.random.default_rng(0)
    body = rng.uniform(-0.3, 0.3, (2, 1, 17, 2))
    walk = np.linspace(-1, 1, frames)
    centres = np.stack([np.stack([walk, 0 * walk], -1), np.stack([-walk, 0 * walk + 1], -1)])
    return body + centres[:, :, None]


def test_official_tracking(golden):
    data = golden("d_data")
    given = data["human_tracking/in"]
    wrong = exchanged(given)
    assert wrong.any()
    assert not wrong.all()
    np.testing.assert_array_equal(follow(given, wrong), data["human_tracking/out"])


def test_any_pattern_of_exchanges_is_undone():
    people = two_people()
    mixed = follow(people, np.arange(20) % 5 > 2)
    np.testing.assert_array_equal(exchanged(mixed), np.arange(20) % 5 > 2)
    np.testing.assert_array_equal(follow(mixed, exchanged(mixed)), people)


def test_confidence_moves_with_the_person():
    people = two_people()
    confidence = np.broadcast_to(np.array([0.2, 0.9])[:, None, None], (2, 20, 17))
    wrong = np.arange(20) >= 7
    mixed, scores = follow(people, wrong), follow(confidence, wrong)
    assert scores[0, 10, 0] == 0.9
    np.testing.assert_array_equal(follow(scores, exchanged(mixed)), confidence)


def test_people_after_the_second_are_left_alone():
    people = np.concatenate([two_people(), np.full((1, 20, 17, 2), 7.0)])
    mixed = follow(people, np.arange(20) > 9)
    assert (mixed[2] == 7).all()
    np.testing.assert_array_equal(follow(mixed, exchanged(mixed)), people)


@pytest.mark.parametrize("people", [0, 1])
def test_fewer_than_two_people(people):
    alone = two_people()[:people]
    assert not exchanged(alone).any()
    np.testing.assert_array_equal(follow(alone, exchanged(alone)), alone)
