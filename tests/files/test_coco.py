import json

import numpy as np
import pytest

from dstformer_jax.body.skeleton import COCO17, HALPE26, POSETRACK17
from dstformer_jax.files.coco import read_annotations, read_coco, read_coco_videos

POSETRACK_NAMES = [
    "nose",
    "head_bottom",
    "head_top",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
]


def points(x: float, joints: int = 17, flag: float = 1) -> list[float]:
    return [value for j in range(joints) for value in (x + j, 2 * j + 1, flag)]


def annotated(videos: dict[str, int], names: list[str] | None, **changes) -> dict:
    """An annotation file: in each video so many frames with two people, in PoseTrack18's words."""
    images, annotations = [], []
    for v, (video, frames) in enumerate(videos.items()):
        for frame in range(frames):
            image = 10_000_000_000 + 10_000 * v + frame
            images.append(
                {
                    "id": image,
                    "file_name": f"images/train/{video}/{frame:06d}.jpg",
                    "vid_id": video,
                    "nframes": 99,
                    "width": 1280,
                    "height": 720,
                }
            )
            for person in (0, 1):
                row = {"image_id": image, "track_id": person, "bbox_head": [1, 2, 3, 4]}
                row["keypoints"] = points(100 * person + frame, len(names or POSETRACK_NAMES))
                annotations.append({**row, **changes})
    category = {"name": "person", "keypoints": names} if names else {"name": "person"}
    return {"images": images, "annotations": annotations, "categories": [category]}


def save(tmp_path, content):
    path = tmp_path / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_posetrack_videos(tmp_path):
    content = annotated({"000001": 3, "000002": 2}, POSETRACK_NAMES)
    del content["annotations"][0]["keypoints"]  # boxes only
    path = save(tmp_path, content)
    videos = read_coco_videos(path, fps=25)
    assert list(videos) == ["000001", "000002"]
    motion = videos["000001"]
    assert motion.skeleton is POSETRACK17
    assert (motion.size, motion.fps) == ((1280, 720), 25)
    assert [(track.id, track.start, len(track)) for track in motion.tracks] == [
        (1, 0, 3),
        (0, 1, 2),
    ]
    np.testing.assert_allclose(motion.tracks[0].points[:, 0, 0], [100, 101, 102])
    with pytest.raises(ValueError, match=r"got annotations of 2 videos \(000001, 000002\)"):
        read_coco(path)
    annotations, skeleton = read_annotations(path)
    assert skeleton is POSETRACK17
    assert [(row.video, row.track_id) for row in annotations[:3]] == [
        ("000001", 1),
        ("000001", 0),
        ("000001", 1),
    ]


def test_flags_become_confidence(tmp_path):
    content = annotated({"v": 1}, list(COCO17.names))
    content["annotations"][0]["keypoints"][2::3] = [0, 1, 2] * 5 + [2, 2]
    motion = read_coco(save(tmp_path, content))
    assert motion.skeleton is COCO17
    assert motion.tracks[0].confidence[0].tolist() == [0, 1, 1] * 5 + [1, 1]
    assert motion.tracks[0].points[0, 0].tolist() == [0, 0]


def test_unknown_joint_names_become_a_skeleton_of_their_own(tmp_path):
    names = ["left_hand", "right_hand", "tail"]
    motion = read_coco(save(tmp_path, annotated({"v": 1}, names)))
    assert motion.skeleton.names == tuple(names)
    assert motion.skeleton.mirror.tolist() == [1, 0, 2]


def test_results_are_tracked(tmp_path):
    records = [
        {"image_id": n, "category_id": 1, "keypoints": points(x + n, flag=0.7), "score": 0.9}
        for n in range(4)
        for x in (0, 300)
    ]
    motion = read_coco(save(tmp_path, records))
    assert [len(track) for track in motion.tracks] == [4, 4]
    assert motion.tracks[0].confidence.max() == np.float32(0.7)
    records = [{"image_id": n, "keypoints": points(0, 136), "track_id": 5} for n in (3, 4)]
    motion = read_coco(save(tmp_path, records))
    assert motion.skeleton is HALPE26  # the first 26 of 136 whole-body joints
    assert [(track.id, track.start) for track in motion.tracks] == [(5, 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got no valid JSON"),
        ({"images": []}, "got no person"),
        ({"images": [], "annotations": []}, "got no person"),
        ({"images": [], "annotations": [3]}, "annotation 0: got 3, expected the image_id"),
        ({"images": [], "annotations": [{"keypoints": [1]}]}, "annotation 0: got"),
        ({"images": [{"id": [1]}], "annotations": [{"image_id": [1]}]}, "annotation 0: got"),
        (annotated({"v": 1}, POSETRACK_NAMES, keypoints=points(0, 16)), "17 keypoint names for 16"),
        (annotated({"v": 1}, POSETRACK_NAMES, track_id="a"), "annotation 0: got track_id 'a'"),
        (annotated({"v": 1}, POSETRACK_NAMES, keypoints="x"), "annotation 0: got keypoints 'x'"),
        ([], "got no person"),
        ([{"image_id": 1}], "record 0: got"),
        ([{"image_id": 1, "keypoints": points(0, 5)}], "got 5 keypoints, expected one of"),
    ],
)
def test_bad_files_name_the_record(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read_coco(save(tmp_path, content))
    assert "annotations.json" in str(error.value)


def test_real_posetrack_and_coco_files(shared):
    folder = shared / "data" / "detections2d"
    videos = read_coco_videos(folder / "mmpose_posetrack18" / "test_posetrack18_val.json")
    assert {name: len(motion.tracks) for name, motion in videos.items()} == {
        "012834": 11,
        "009473": 2,
        "003418": 1,
    }
    assert all(motion.skeleton is POSETRACK17 for motion in videos.values())
    photos = read_coco(folder / "mmpose_coco" / "test_coco.json")
    assert photos.skeleton is COCO17
