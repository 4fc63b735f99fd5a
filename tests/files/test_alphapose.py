import json

import numpy as np
import pytest

from dstformer_jax.body.skeleton import COCO17, COCO18, HALPE26
from dstformer_jax.files.alphapose import read_alphapose


def record(image, x: float, joints: int = 26, top: float = 1.0, **changes) -> dict:
    points = [[x + j, 50 + 3 * j, top * (j + 1) / joints] for j in range(joints)]
    flat = [value for point in points for value in point]
    fields = {"image_id": image, "category_id": 1, "keypoints": flat, "score": 2.5}
    return {**fields, **changes}


def read(tmp_path, content):
    path = tmp_path / "alphapose-results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_alphapose(path)


@pytest.mark.parametrize("wrap", [lambda i: i, lambda i: [float(i)], lambda i: [[i, 9]]])
def test_image_names_are_frames_and_idx_is_the_person(tmp_path, wrap):
    records = [
        record("10.jpg", 110, idx=wrap(1)),  # sorted as text, as AlphaPose writes
        record("2.jpg", 102, idx=wrap(1)),
        record("2.jpg", 400, idx=wrap(4)),
    ]
    motion = read(tmp_path, records)
    assert motion.skeleton is HALPE26
    assert [(track.id, track.start, len(track)) for track in motion.tracks] == [
        (1, 2, 9),
        (4, 2, 1),
    ]
    assert motion.tracks[0].gaps == [(1, 8)]
    np.testing.assert_allclose(motion.tracks[0].points[[0, 8], 0, 0], [102, 110])
    np.testing.assert_allclose(motion.tracks[0].confidence[0], (np.arange(26) + 1) / 26, rtol=1e-6)


def test_people_without_idx_are_tracked(tmp_path):
    records = [record(f"{n}.jpg", 100 + n, 17) for n in range(5)]
    records += [record(f"{n}.jpg", 500 - n, 17) for n in range(2, 5)]
    motion = read(tmp_path, records)
    assert motion.skeleton is COCO17
    assert [(track.start, len(track)) for track in motion.tracks] == [(0, 5), (2, 3)]
    np.testing.assert_allclose(motion.tracks[1].points[:, 0, 0], [498, 497, 496])


def test_a_person_twice_in_a_frame_keeps_the_better_score(tmp_path):
    records = [record("0.jpg", 10, idx=0, score=1.0), record("0.jpg", 20, idx=0, score=2.0)]
    assert read(tmp_path, records).tracks[0].points[0, 0, 0] == 20


def test_scores_up_to_6_are_scaled(tmp_path):
    confidence = read(tmp_path, [record("0.jpg", 10, 17, top=6.0)]).tracks[0].confidence
    np.testing.assert_allclose(confidence[0], (np.arange(17) + 1) / 17, rtol=1e-6)


@pytest.mark.parametrize(("list_", "word"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_open_and_cmu_layouts(tmp_path, list_, word):
    frames = {
        f"{n}.jpg": {"version": 0.1, list_: [{word: record(n, n, 18)["keypoints"]}]}
        for n in (1, 2, 11)
    }
    motion = read(tmp_path, frames)
    assert motion.skeleton is COCO18
    assert (motion.tracks[0].start, len(motion.tracks[0])) == (1, 11)


def test_names_that_do_not_count_become_ranks(tmp_path):
    records = [record(name, 5, idx=0) for name in ("b.png", "a.png", "c.png")]
    assert len(read(tmp_path, records).tracks[0]) == 3
    records = [record(name, 5, idx=0) for name in ("1.jpg", "900000000.jpg")]
    assert len(read(tmp_path, records).tracks[0]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "got no valid JSON"),
        ("3", "got int, expected a list or an object"),
        ([], "got no person"),
        ([3], "record 0: got 3, expected image_id"),
        ([record("0.jpg", 1), {"image_id": "1.jpg"}], "record 1: got keypoints None"),
        ([record("0.jpg", 1), record("1.jpg", 1, 17)], "record 1: got 17 keypoints, expected 26"),
        ([record("0.jpg", 1, 4)], "got 4 keypoints, expected one of"),
        ([record("0.jpg", 1, idx="x")], "record 0: got idx 'x'"),
        ([record("0.jpg", 1, idx=1e300)], "record 0: got idx"),
        ({"0.jpg": {"people": 3}}, "image '0.jpg': got no list 'people'"),
    ],
)
def test_bad_files_name_the_record(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, content)
    assert "alphapose-results.json" in str(error.value)


@pytest.mark.parametrize(
    ("folder", "frames", "skeleton"),
    [("alphapose_halpe26_video", 809, HALPE26), ("alphapose_coco17_video", 50, COCO17)],
)
def test_real_results(shared, folder, frames, skeleton):
    path = shared / "data" / "detections2d" / folder / "alphapose-results.json"
    motion = read_alphapose(path)
    assert motion.skeleton is skeleton
    assert [len(track) for track in motion.tracks] == [frames]
    records = {entry["image_id"]: entry for entry in json.loads(path.read_text())}
    expected = np.array(records["10.jpg"]["keypoints"], np.float32).reshape(-1, 3)[:, :2]
    np.testing.assert_allclose(motion.tracks[0].points[10], expected)
