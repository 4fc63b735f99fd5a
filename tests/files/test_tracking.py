from itertools import pairwise

import numpy as np
import pytest

from dstformer_jax.files.detections import Detection, frame_numbers
from dstformer_jax.files.openpose import read_openpose
from dstformer_jax.files.tracking import MAX_GAP, assign_ids, similarity

BODY = np.random.default_rng(0).uniform(0, 100, (17, 2)).astype(np.float32)


def at(frame: int, x: float, confidence: float = 1.0) -> Detection:
    shift = np.array([x, 0], np.float32)
    return Detection(frame, BODY + shift, np.full(17, confidence, np.float32))


def identities(detections) -> list[tuple[int, int]]:
    return [(found.frame, found.id) for found in assign_ids(detections)]


def test_people_who_pass_at_a_distance_keep_their_ids_in_any_order():
    rng = np.random.default_rng(1)
    frames = []
    for frame in range(30):
        pair = [at(frame, 5 * frame), at(frame, 600 - 5 * frame)]
        frames += pair if rng.random() < 0.5 else pair[::-1]
    frames = frames[::-1]
    tracked = assign_ids(frames)
    assert [found.frame for found in tracked] == sorted(found.frame for found in frames)
    left = {found.id for found in tracked if found.points[0, 0] - BODY[0, 0] <= 5 * 29}
    right = {found.id for found in tracked if found.points[0, 0] - BODY[0, 0] > 5 * 60}
    assert len(left) == len(right) == 1
    assert left != right


def test_a_jump_or_a_long_gap_starts_a_new_person():
    assert identities([at(0, 0), at(1, 500)]) == [(0, 0), (1, 1)]
    assert identities([at(0, 0), at(MAX_GAP, 0)]) == [(0, 0), (MAX_GAP, 0)]
    assert identities([at(0, 0), at(MAX_GAP + 1, 0)]) == [(0, 0), (MAX_GAP + 1, 1)]


def test_detections_without_a_joint_are_dropped():
    assert identities([at(0, 0), at(1, 0, confidence=0), at(2, 1)]) == [(0, 0), (2, 0)]


def test_similarity_is_one_where_expected_and_falls_with_distance_and_rises_with_time():
    sigmas = np.full(17, 0.08, np.float32)

    def of(x: float, last: Detection, confidence: float = 1.0) -> float:
        return float(similarity(BODY, last, [at(last.frame + 1, x, confidence)], sigmas)[0])

    last = at(4, 0)
    assert of(0, last) == 1
    assert 1 > of(5, last) > of(20, last) > of(60, last) > 0
    assert of(0, last, confidence=0) == 0
    # The formula, by hand, for one shift of all joints.
    size = 0.58 * np.linalg.norm(np.ptp(BODY, axis=0))
    expected = np.exp(-(20**2) / (2 * size**2 * (4 * 0.08**2 + 0.06**2)))
    assert np.isclose(of(20, last), expected, rtol=1e-5)
    later = similarity(BODY, last, [at(last.frame + 9, 20)], sigmas)[0]
    assert later > of(20, last)


def test_few_common_joints_are_no_proof():
    half, other = np.zeros(17, np.float32), np.zeros(17, np.float32)
    half[:9], other[8:] = 1, 1  # one joint in common, and that one fits exactly
    last = Detection(0, BODY, half)
    found = Detection(1, BODY, other)
    assert similarity(BODY, last, [found], np.full(17, 0.08, np.float32))[0] == np.float32(1 / 4.5)


def walkers(speeds, starts, frames, rng, hide=60.0):
    """People of 100 x 250 px with swinging limbs; the later of two closer than `hide` is lost."""
    body = rng.uniform((-50, -125), (50, 125), (17, 2)).astype(np.float32)
    phase = rng.uniform(0, 6, 17)
    found, truth = [], []
    for frame in range(frames):
        places = [start + speed * frame for start, speed in zip(starts, speeds, strict=True)]
        for person, x in enumerate(places):
            if any(abs(x - other) < hide for other in places[:person]):
                continue
            swing = 15 * np.sin(0.3 * frame + phase + person)[:, None] * (1, 0.2)
            points = body + np.array([x, 0]) + swing + rng.normal(0, 2, (17, 2))
            confidence = (rng.random(17) > 0.1).astype(np.float32)
            found.append(Detection(frame, points.astype(np.float32), confidence))
            truth.append(person)
    return found, truth


@pytest.mark.parametrize("seed", range(5))
def test_people_who_cross_and_hide_each_other_keep_their_ids(seed):
    rng = np.random.default_rng(seed)
    found, truth = walkers((6, -5, 8), (0, 500, -500), 110, rng)
    missed = np.flatnonzero(np.bincount([one.frame for one in found], minlength=110) < 3)
    assert len(missed) > 10  # somebody is hidden in these frames
    order = rng.permutation(len(found))
    tracked = assign_ids([found[i] for i in order])
    people = {id(found[i].points): truth[i] for i in range(len(found))}
    pairs = {(one.id, people[id(one.points)]) for one in tracked}
    assert len(pairs) == 3
    assert len({identity for identity, _ in pairs}) == 3


def test_a_fast_person_is_followed_by_their_speed():
    frames = [f for f in range(40) if f not in (20, 21, 22, 23)]
    found = [at(frame, 25 * frame) for frame in frames] + [at(frame, 500.0) for frame in range(40)]
    ids = {(one.id, bool(one.points[0, 0] == BODY[0, 0] + 500)) for one in assign_ids(found)}
    assert {identity for identity, _ in ids} == {0, 1}


@pytest.mark.parametrize(
    ("name", "people"),
    [("openpose_body25_v1.2/clip2", 2), ("openpose_body25_v1.3/treadmill_32", 3)],
)
def test_real_people_do_not_jump(shared, name, people):
    motion = read_openpose(shared / "data" / "detections2d" / name)
    longest = sorted(motion, key=lambda track: -int(track.seen.sum()))
    assert int(longest[0].seen.sum()) == motion.num_frames
    for track in longest[:people]:
        seen = np.flatnonzero(track.seen)
        for before, after in pairwise(seen):
            both = (track.confidence[before] > 0) & (track.confidence[after] > 0)
            size = np.linalg.norm(np.ptp(track.points[after][track.confidence[after] > 0], axis=0))
            step = np.median(track.points[after][both] - track.points[before][both], axis=0)
            assert np.linalg.norm(step) < 0.3 * size * (after - before) ** 0.5


def test_frame_numbers():
    assert frame_numbers(["a_10.jpg", "a_9.jpg"]) == {"a_9.jpg": 9, "a_10.jpg": 10}
    assert frame_numbers(["cam2_x.jpg", "cam2_y.jpg"]) == {"cam2_x.jpg": 0, "cam2_y.jpg": 1}
    assert frame_numbers(["1", "99999999"]) == {"1": 0, "99999999": 1}
    assert frame_numbers([]) == {}
