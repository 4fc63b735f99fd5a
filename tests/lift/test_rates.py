"""Motion at another frame rate than the network's: seen at its rate, answered at its own frames."""

import numpy as np
import pytest
from fixtures_lift import Leaning
from fixtures_motion import moving

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.lift import Lifter, lift
from dstformer_jax.lift.rates import frame_times, rate_ratio, resampled, restored


def seen_at(fps: float, seconds: float = 3.0) -> Motion:
    """The same smooth motion, filmed from the front at any rate; about 170 px tall."""
    times = np.arange(int(seconds * fps) + 1) / fps
    points = 300 + 100 * moving(times, most=0.6)[..., :2] * np.array([1, -1])
    return Motion((Track(4, 7, points, np.ones(points.shape[:2])),), H36M17, fps, size=(640, 480))


@pytest.mark.parametrize("fps", [60, 120, 25, 50, 24])
def test_another_rate_gives_the_same_answer_at_its_own_frames(fps):
    model = Leaning(fps=30)
    motion = seen_at(fps)
    (track,) = Lifter(model, batch=4)(motion)
    assert (track.id, track.start, len(track)) == (4, 7, 3 * fps + 1)
    place = motion.tracks[0].points - motion.tracks[0].points[:, :1]
    expected = np.concatenate([place, place[..., 1:] / 2], axis=-1)
    # The largest error is that of lines between frames, which 25 fps have 40 ms apart.
    error = np.linalg.norm(track.points - expected, axis=-1)
    assert error.max() < (0.05 if fps % 30 == 0 else 1.0)
    assert model.shapes == {(8, 9, 17, 3)}  # no further program


def test_a_network_sees_its_own_rate():
    slow, fast = Leaning(fps=30), Leaning(fps=30)
    Lifter(slow, batch=4, flip=False)(seen_at(30))
    Lifter(fast, batch=4, flip=False)(seen_at(60))
    np.testing.assert_allclose(np.stack(fast.inputs), np.stack(slow.inputs), atol=1e-5)


@pytest.mark.parametrize(("fps", "trained"), [(30, 30), (29.97, 30), (32, 30), (60, None)])
def test_at_the_rate_of_the_network_nothing_is_done(fps, trained):
    motion = seen_at(fps)
    one, other = (Lifter(Leaning(fps=rate), batch=4)(motion) for rate in (trained, None))
    np.testing.assert_array_equal(one.tracks[0].points, other.tracks[0].points)
    np.testing.assert_array_equal(one.tracks[0].uncertainty, other.tracks[0].uncertainty)
    assert not one.notes


def test_files_say_what_was_done():
    notes = lift(seen_at(60), Lifter(Leaning(fps=30))).notes
    assert "Frame rate: resampled from 60 to the network's 30 fps and back." in notes
    slow = Motion(seen_at(2).tracks, H36M17, 2)
    assert any("2 fps is too slow" in note for note in lift(slow, Lifter(Leaning(fps=30))).notes)
    assert rate_ratio(2, 30) == 1


def test_gaps_stay_gaps():
    (track,) = seen_at(60)
    track.confidence[20:40] = 0  # a third of a second
    track.confidence[61] = 0  # one frame, between seen ones
    track.confidence[:, 3] = 0  # a joint that is never seen
    track.confidence[100, 5] = 0.5
    small = resampled(track, 0.5)
    assert len(small) == 91
    missing = np.flatnonzero(~small.seen)
    np.testing.assert_array_equal(missing, np.arange(11, 20))  # 22 to 38; 20 is beside 19
    assert not small.confidence[:, 3].any()
    assert small.confidence[50, 5] == 0.5
    assert not small.points[missing].any()
    # A detector that ran on every second frame is seen everywhere, at rates that are no multiple.
    track.confidence[:] = np.arange(len(track))[:, None] % 2 == 0
    assert resampled(track, 0.6).seen.all()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 50])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.6, 1.2, 10.0, 0.001])
def test_there_and_back(length, ratio):
    times = frame_times(length, ratio)
    assert (times[0], times[-1]) == (0, length - 1)
    assert (np.diff(times) > 0).all()
    line = np.stack([times, 5 - 2 * times], -1)[:, None]
    rows = np.arange(length)
    back = restored(line, length, ratio)
    np.testing.assert_allclose(back, np.stack([rows, 5 - 2 * rows], -1)[:, None], atol=1e-6)
    step = np.zeros((len(times), 1))
    step[len(times) // 2 :] = 1
    spread = restored(step, length, ratio, smooth=False)
    assert 0 <= spread.min() <= spread.max() <= 1
