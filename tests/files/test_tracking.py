import numpy as np

from dstformer_jax.files.detections import Detection, frame_numbers
from dstformer_jax.files.tracking import MAX_GAP, assign_ids, distance

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


def test_distance_is_in_sizes_of_the_person():
    size = np.linalg.norm(np.ptp(BODY, axis=0))
    assert np.isclose(distance(at(0, 0), at(1, 10)), 10 / size)
    assert distance(at(0, 0), at(1, 0, confidence=0)) == float("inf")


def test_frame_numbers():
    assert frame_numbers(["a_10.jpg", "a_9.jpg"]) == {"a_9.jpg": 9, "a_10.jpg": 10}
    assert frame_numbers(["cam2_x.jpg", "cam2_y.jpg"]) == {"cam2_x.jpg": 0, "cam2_y.jpg": 1}
    assert frame_numbers(["1", "99999999"]) == {"1": 0, "99999999": 1}
    assert frame_numbers([]) == {}
