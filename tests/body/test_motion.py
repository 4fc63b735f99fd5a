from dataclasses import replace

import numpy as np
import pytest

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import COCO17, H36M17


def track(scores: list[float], **changes) -> Track:
    frames = len(scores)
    score = np.repeat(np.array(scores)[:, None], 17, axis=1)
    fields = {"id": 0, "start": 3, "points": np.ones((frames, 17, 2)), "confidence": score}
    return Track(**{**fields, **changes})


def test_gaps_are_runs_without_any_joint():
    walker = track([0, 1, 0, 0, 0.5, 1, 0])
    assert walker.gaps == [(0, 1), (2, 4), (6, 7)]
    assert walker.seen.tolist() == [False, True, False, False, True, True, False]
    assert track([1, 1]).gaps == []
    assert len(walker) == 7


def test_motion_array_is_xy_and_confidence():
    motion = track([0.25, 1]).motion
    assert motion.shape == (2, 17, 3)
    assert motion.dtype == np.float32
    assert motion[0, 5].tolist() == [1, 1, 0.25]


def test_convert_keeps_everything_but_the_joints():
    motion = Motion((track([1, 1]),), COCO17, 25.0, "px", "image", (640, 480), "clip")
    converted = motion.convert(H36M17)
    assert converted.skeleton is H36M17
    assert (converted.fps, converted.size, converted.source) == (25.0, (640, 480), "clip")
    assert converted.tracks[0].start == 3
    assert motion.num_frames == converted.num_frames == 5
    assert motion.convert(COCO17) is motion


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": np.ones((2, 17, 4))}, r"expected \[T, J, 2 or 3\]"),
        ({"confidence": np.ones((2, 16))}, "got confidence of shape"),
        ({"points": np.full((2, 17, 2), np.nan)}, "not finite"),
        ({"confidence": np.full((2, 17), -1.0)}, "confidence below 0"),
    ],
)
def test_a_track_is_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        track([1, 1], **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "feet"}, "got unit 'feet'"),
        ({"axes": "up"}, "axes 'up'"),
        ({"fps": -1.0}, "expected fps >= 0"),
        ({"size": (3,)}, "expected fps >= 0 and"),
        ({"tracks": (track([1]), track([1]))}, "expected different ones"),
        (
            {
                "skeleton": COCO17,
                "tracks": (Track(0, 0, np.ones((1, 5, 2)), np.ones((1, 5))),),
            },
            "got 5 joints in track 0, expected 17",
        ),
    ],
)
def test_a_motion_is_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        Motion(**{"tracks": (track([1]),), "skeleton": H36M17, **changes})


def test_uncertainty_belongs_to_every_joint():
    points = np.ones((3, 17, 3))
    track = Track(0, 0, points, points[..., 0], uncertainty=np.full((3, 17), 2.0))
    assert track.uncertainty is not None
    assert track.uncertainty.dtype == np.float32
    for wrong in (np.ones((3, 16)), np.full((3, 17), np.nan), np.full((3, 17), -1.0)):
        with pytest.raises(ValueError, match="uncertainty"):
            Track(0, 0, points, points[..., 0], uncertainty=wrong)


def test_notes_stay_with_a_conversion():
    points = np.ones((3, 17, 2))
    motion = Motion((Track(0, 0, points, points[..., 0]),), COCO17, notes=("a note",))
    assert motion.convert(H36M17).notes == ("a note",)


def test_parts_of_an_image_become_pixels_where_its_size_is_known():
    points = np.random.default_rng(0).uniform(size=(3, 17, 2)).astype(np.float32)
    parts = Motion((Track(0, 4, points, points[..., 0]),), COCO17, unit="normalised")
    assert parts.in_pixels() is parts
    wide = replace(parts, size=(1920, 1080)).in_pixels()
    assert (wide.unit, wide.size, wide.tracks[0].start) == ("px", (1920, 1080), 4)
    np.testing.assert_allclose(wide.tracks[0].points, points * [1920, 1080], rtol=1e-6)
    assert wide.in_pixels() is wide
