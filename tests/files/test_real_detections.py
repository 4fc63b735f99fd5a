"""The real files of shared/data: frames, people and joints of each."""

from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.coco import read_coco_videos
from dstformer_jax.files.formats import read, sniff
from dstformer_jax.files.tfpose import read_tfpose_actions

# format, skeleton, unit, first frame, frames with somebody, most people in a frame
REAL = {
    "alphapose_coco17_video/alphapose-results.json": ("alphapose", "coco17", "px", 0, 50, 1),
    "alphapose_halpe26_video/alphapose-results.json": ("alphapose", "halpe26", "px", 0, 809, 1),
    "mediapipe_wide_csv/pose_landmarks.csv": ("mediapipe", "mediapipe33", "normalised", 1, 176, 1),
    "mmpose_coco/test_coco.json": ("coco", "coco17", "px", 0, 4, 5),
    "mmpose_coco/test_coco_wholebody.json": ("coco", "coco17", "px", 0, 4, 5),
    "mmpose_crowdpose/test_crowdpose.json": ("coco", "custom", "px", 0, 2, 2),
    "mmpose_posetrack18/val/012834_mpii_test.json": ("coco", "posetrack17", "px", 0, 1, 11),
    "openpose_body25_v1.2/clip1": ("openpose", "body25", "px", 0, 81, 1),
    "openpose_body25_v1.2/clip2": ("openpose", "body25", "px", 0, 411, 2),
    "openpose_body25_v1.2/clip3": ("openpose", "body25", "px", 0, 350, 1),
    "openpose_body25_v1.2/clip4": ("openpose", "body25", "px", 90, 331, 1),
    "openpose_body25_v1.2/clip6": ("openpose", "body25", "px", 0, 700, 1),
    "openpose_body25_v1.3/treadmill_27": ("openpose", "body25", "px", 0, 90, 3),
    "openpose_body25_v1.3/treadmill_32": ("openpose", "body25", "px", 0, 90, 2),
    "openpose_single_image/im1010_openpose.json": ("openpose", "body25", "px", 0, 1, 1),
    "tfpose_coco18_csv_actions/skeleton_raw.csv": ("tfpose", "coco18", "normalised", 0, 3916, 1),
}
BOXES = (
    "mmpose_coco/test_coco_det_AP_H_56.json",
    "mmpose_crowdpose/test_crowdpose_det_AP_40.json",
    "mmpose_posetrack18/test_posetrack18_human_detections.json",
)


@pytest.fixture(scope="module")
def folder(shared) -> Path:
    return shared / "data" / "detections2d"


@pytest.mark.parametrize("name", REAL)
def test_frames_people_and_joints(folder, name):
    form, skeleton, unit, first, frames, most = REAL[name]
    assert sniff(folder / name).name == form
    motion = read(folder / name)
    assert (motion.skeleton.name, motion.unit, motion.axes) == (skeleton, unit, "image")
    assert min(track.start for track in motion) == first
    crowd = np.zeros(motion.num_frames, int)
    for track in motion:
        crowd[track.start : track.start + len(track)] += track.seen
    assert (int((crowd > 0).sum()), int(crowd.max())) == (frames, most)
    body = motion.convert(H36M17)
    track = max(body, key=lambda track: int(track.seen.sum()))
    sure = track.confidence.min(-1) > 0.5
    upright = track.points[sure, 10, 1] < track.points[sure][:, [3, 6], 1].max(-1)
    assert upright.mean() > 0.9 if sure.any() else True


@pytest.mark.parametrize("name", BOXES)
def test_boxes_without_joints_are_refused(folder, name):
    with pytest.raises(ValueError, match=r"record 0: got .*expected image_id and keypoints"):
        read(folder / name)


def test_annotations_of_several_videos(folder):
    path = folder / "mmpose_jhmdb" / "test_jhmdb_sub1.json"
    videos = read_coco_videos(path)
    assert sorted(videos) == ["00228", "00229", "00230"]
    assert {motion.skeleton.num_joints for motion in videos.values()} == {15}
    with pytest.raises(ValueError, match="annotations of 3 videos"):
        read(path)


def test_actions_of_the_table(folder):
    path = folder / "tfpose_coco18_csv_actions" / "skeleton_raw.csv"
    actions = read_tfpose_actions(path)
    counts = {name: motion.num_frames for name, motion in actions}
    assert counts == {"kick": 784, "punch": 583, "squat": 711, "stand": 907, "wave": 931}
    motion = read(path)
    assert motion.notes == ("Rows are labelled: kick, punch, squat, stand, wave.",)
    np.testing.assert_array_equal(
        actions[1][1].tracks[0].points[5], motion.tracks[0].points[784 + 5]
    )


def test_landmarks_stand_where_the_table_says(folder):
    path = folder / "mediapipe_wide_csv" / "pose_landmarks.csv"
    track = read(path).tracks[0]
    with path.open() as file:
        header = file.readline().strip().split(",")
        row = dict(zip(header, map(float, file.readline().split(",")), strict=True))
    for joint in (0, 15, 32):
        assert track.points[0, joint].tolist() == pytest.approx(
            [row[f"L{joint}_x"], row[f"L{joint}_y"]], abs=1e-6
        )
        assert track.confidence[0, joint] == pytest.approx(row[f"L{joint}_visibility"], abs=1e-6)
