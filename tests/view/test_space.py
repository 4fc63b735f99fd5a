"""Motion as it is shown: metres, y up, on the floor."""

from dataclasses import replace

import numpy as np
import people_moving
import pytest

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.view import space


def test_world_metres_stay():
    pose = people_moving.pair()
    for track, placed in zip(pose, space.placed(pose), strict=True):
        np.testing.assert_array_equal(placed, track.points)


def test_a_camera_is_turned_upright_and_the_floor_put_under_the_feet():
    pose = people_moving.pair()
    for true, placed in zip(pose, space.placed(people_moving.to_camera(pose)), strict=True):
        moved = placed - true.points
        # The floor cannot be known: the lowest joints, 5 cm above it, are put on it.
        np.testing.assert_allclose(moved[..., 1], -0.05, atol=0.01)
        np.testing.assert_allclose(moved[..., 0], 0, atol=1e-5)
        np.testing.assert_allclose(moved[..., 2], -5, atol=1e-5)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1000.0), ("normalised", 0.37)])
def test_units_become_metres_or_adults(unit, factor):
    pose = people_moving.pair()
    scaled = [replace(track, points=track.points * factor) for track in pose]
    placed = space.placed(replace(pose, tracks=tuple(scaled), unit=unit))
    expected = 1.0 if unit == "mm" else space.ADULT / space.extent(pose)
    np.testing.assert_allclose(placed[0], pose.tracks[0].points * expected, rtol=1e-4, atol=1e-6)


def test_extent_is_that_of_a_person_and_of_what_is_seen():
    points = np.repeat(people_moving.STANDING[None], 3, axis=0)
    points[1, 5] = 40
    confidence = np.ones((3, 17), np.float32)
    confidence[1, 5] = 0
    confidence[2] = 0
    pose = Motion((Track(0, 0, points, confidence),), H36M17, unit="m", axes="world")
    assert space.extent(pose) == pytest.approx(1.65, abs=1e-5)
    assert space.extent(replace(pose, tracks=())) == 1.0


def test_what_cannot_be_shown_is_named():
    pose = people_moving.pair()
    image = people_moving.seen_from(pose)
    space.check(pose, image)
    with pytest.raises(ValueError, match=r"2D points of tracks \[3, 7\].*lift them first"):
        space.check(image)
    with pytest.raises(ValueError, match="input with world axes, expected image axes"):
        space.check(pose, pose)
