import json

import numpy as np
import pytest

from dstformer_jax.body.skeleton import BODY25, COCO18, H36M17
from dstformer_jax.files.openpose import read_openpose


def person(x: float, joints: int = 25, **changes) -> dict:
    """A person about x pixels from the left; joint 3 is missing."""
    points = [[x + 2 * j, 100 + 5 * j, 0.9] for j in range(joints)]
    points[3] = [0, 0, 0]
    fields = {
        "person_id": [-1],
        "pose_keypoints_2d": [value for point in points for value in point],
        "face_keypoints_2d": [],
        "hand_left_keypoints_2d": [],
        "pose_keypoints_3d": [],
    }
    return {**fields, **changes}


def write(folder, frames: dict[str, object], version: float = 1.3):
    folder.mkdir(exist_ok=True)
    for name, people in frames.items():
        content = {"version": version, "people": people} if isinstance(people, list) else people
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text)
    return folder


def test_a_folder_of_frames_with_gaps_and_two_people(tmp_path):
    names = {n: f"video_{n:012d}_keypoints.json" for n in (8, 9, 10, 12)}
    frames = {
        names[8]: [person(100)],
        names[9]: [person(500), person(103)],  # the order changes between frames
        names[10]: [],
        names[12]: [person(106), person(500)],
    }
    (tmp_path / "notes.json").write_text("{}")  # only *_keypoints.json count when there are any
    motion = read_openpose(write(tmp_path, frames), fps=25)
    assert motion.skeleton is BODY25
    assert (motion.unit, motion.axes, motion.fps) == ("px", "image", 25)
    first, second = motion.tracks
    assert (first.start, len(first)) == (8, 5)
    assert first.gaps == [(2, 4)]
    np.testing.assert_allclose(first.points[[0, 1, 4], 0, 0], [100, 103, 106])
    assert (second.start, len(second)) == (9, 4)
    assert second.gaps == [(1, 3)]
    assert first.confidence[0, 3] == 0
    assert first.confidence[0, 4] == np.float32(0.9)
    np.testing.assert_array_equal(first.points[0, 3], 0)


def test_the_18_joint_model_and_old_words(tmp_path):
    old = {"joints": person(50, 18)["pose_keypoints_2d"]}
    frames = {"000.json": {"version": 0.1, "bodies": [old]}, "001.json": [person(52, 18)]}
    motion = read_openpose(write(tmp_path, frames))
    assert motion.skeleton is COCO18
    assert len(motion.tracks) == 1
    motion = read_openpose(tmp_path / "001.json")
    assert (motion.tracks[0].start, len(motion.tracks[0])) == (0, 1)


def test_names_count_frames_in_natural_order(tmp_path):
    frames = {f"{n}.json": [person(n)] for n in (2, 10, 1)}
    track = read_openpose(write(tmp_path, frames)).tracks[0]
    assert (track.start, len(track)) == (1, 10)
    assert track.points[9, 0, 0] == 10


@pytest.mark.parametrize(("slope", "first"), [(0.5, 0.25), (-1, 0.625)])
def test_normalised_coordinates_become_0_to_1(tmp_path, slope, first):
    """OpenPose's keypoint_scale 3 writes [0, 1], 4 writes [-1, 1]."""
    values = [[0.25 + slope * j / 24, 0.5, 0.8] for j in range(25)]
    flat = [value for point in values for value in point]
    motion = read_openpose(write(tmp_path, {"0.json": [person(0, pose_keypoints_2d=flat)]}))
    assert motion.unit == "normalised"
    assert motion.tracks[0].points[0, 0, 0] == first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 1.3, "people": [', "got no valid JSON"),
        ("[" * 200000, "got no valid JSON"),
        ('{"bbox": [1, 2]}', "got no list 'people'"),
        ('{"people": {}}', "got no list 'people'"),
        ('{"people": [3]}', "person 0: got keypoints None"),
        ('{"people": [{"pose_keypoints_2d": []}]}', r"person 0: got keypoints \[\]"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "expected a list of finite"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, NaN]}]}', "expected a list of finite"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 1e999]}]}', "expected a list of finite"),
        ('{"people": [{"pose_keypoints_2d": [1, [2], 3]}]}', "expected a list of finite"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "got 1 keypoints, expected 25"),
        (json.dumps({"people": [person(1), person(1, 18)]}), "person 1: got 18 keypoints"),
    ],
)
def test_a_bad_frame_is_named(tmp_path, content, message):
    write(tmp_path, {"v_000_keypoints.json": [person(1)], "v_001_keypoints.json": content})
    with pytest.raises(ValueError, match=message) as error:
        read_openpose(tmp_path)
    assert "v_001_keypoints.json" in str(error.value)


def test_folders_of_several_videos_or_of_nobody_are_refused(tmp_path):
    write(tmp_path, {"a_0_keypoints.json": [person(1)], "b_0_keypoints.json": [person(1)]})
    with pytest.raises(ValueError, match=r"got 2 JSON files of 2 videos \(a_, b_\)"):
        read_openpose(tmp_path)
    with pytest.raises(ValueError, match="got 0 JSON files"):
        read_openpose(write(tmp_path / "empty", {}))
    with pytest.raises(ValueError, match="got no person in 1 files"):
        read_openpose(write(tmp_path / "nobody", {"0.json": []}))


REAL = {
    "openpose_body25_v1.2/clip1": (0, 81),
    "openpose_body25_v1.2/clip2": (0, 411),
    "openpose_body25_v1.2/clip4": (90, 331),
    "openpose_body25_v1.3/treadmill_27": (0, 90),
}


@pytest.mark.parametrize("name", REAL)
def test_real_videos_give_one_long_track(shared, name):
    motion = read_openpose(shared / "data" / "detections2d" / name)
    longest = max(motion.tracks, key=lambda track: float(track.confidence.sum()))
    assert (longest.start, len(longest)) == REAL[name]
    assert longest.gaps == []
    points = motion.convert(H36M17).tracks[motion.tracks.index(longest)]
    upright = points.confidence.min(-1) > 0.2
    assert (points.points[upright, 10, 1] < points.points[upright, 3, 1]).mean() > 0.9
