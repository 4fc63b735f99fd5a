"""Every detector's file gives the same two people: frames, gaps, missing joints, confidence."""

import re

import numpy as np
import pytest
from fixtures_detectors import FRAMES, HEIGHT, LAST, MISSING, SAMPLES, WIDTH, person

from dstformer_jax.files.formats import FORMATS, read, sniff


def test_every_format_has_a_sample(tmp_path):
    made = set()
    for name, make in SAMPLES.items():
        (tmp_path / name).mkdir()
        made.add(make(tmp_path / name).format)
    assert made | {"bvh", "json"} == set(FORMATS)  # those two have tests of their own


@pytest.mark.parametrize("name", SAMPLES)
def test_reads_people_frames_gaps_and_missing_joints(tmp_path, name):
    sample = SAMPLES[name](tmp_path)
    assert sniff(sample.path).name == sample.format
    motion = read(sample.path)
    assert motion.skeleton == sample.skeleton
    assert motion.unit == sample.unit
    assert motion.axes == "image"
    assert len(motion.tracks) == sample.people
    for who, track in enumerate(motion.tracks):
        seen = np.flatnonzero(track.seen) + track.start
        assert seen.tolist() == list(FRAMES[who])
        for frame in FRAMES[who]:
            expected = person(who, frame, sample.skeleton)
            row = frame - track.start
            scores = expected[:, 2] if sample.scored else expected[:, 2] > 0
            np.testing.assert_allclose(track.confidence[row], scores, atol=2e-6)
            np.testing.assert_allclose(
                track.points[row] * sample.scale, expected[:, :2], atol=2e-2, rtol=1e-5
            )
    if MISSING[1] in sample.skeleton.names:
        first = motion.tracks[0]
        row, joint = MISSING[0] - first.start, sample.skeleton.index(MISSING[1])
        assert first.confidence[row, joint] == 0
        assert first.points[row, joint].tolist() == [0, 0]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_format_may_be_given(tmp_path, name):
    sample = SAMPLES[name](tmp_path)
    assert len(read(sample.path, sample.format).tracks) == sample.people


@pytest.mark.parametrize("name", ["mmpose_demo", "sleap", "openpose_archive", "plain_npz"])
@pytest.mark.parametrize("other", FORMATS)
def test_a_wrong_format_is_one_clear_line(tmp_path, name, other):
    sample = SAMPLES[name](tmp_path)
    if other in (sample.format, "csv"):  # wide tables of others are plain tables too
        return
    with pytest.raises(ValueError, match=re.escape(str(sample.path))) as error:
        read(sample.path, other)
    assert "\n" not in str(error.value)


def test_the_picture_is_of_the_constants():
    assert FRAMES[0][-1] == LAST
    assert person(0, 3)[:, 0].max() < WIDTH
    assert person(1, LAST)[:, 1].max() < HEIGHT
