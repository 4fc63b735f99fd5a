import json
import os

import numpy as np
import pytest

import dstformer_jax.files
from dstformer_jax.files.formats import FORMATS, sniff

ROW = [1.0, 2.0, 0.5] * 17
BODY = [5.0, 6.0, 0.5] * 25
TEXTS = {
    "openpose": {"version": 1.3, "people": [{"pose_keypoints_2d": BODY}]},
    "alphapose": [{"image_id": "0.jpg", "keypoints": ROW, "idx": 0}],
    "coco": [{"image_id": 3, "category_id": 1, "keypoints": ROW, "score": 1.0}],
}


@pytest.mark.parametrize("name", TEXTS)
def test_json_formats_are_found_by_content_whatever_the_name(tmp_path, name):
    path = tmp_path / "anything.txt"
    path.write_text("\ufeff " + json.dumps(TEXTS[name]), encoding="utf-8")
    assert sniff(path).name == name
    motion = dstformer_jax.files.read(path)
    assert len(motion.tracks) == 1
    assert motion.tracks[0].confidence.max() == 0.5


def test_alphapose_by_image_and_coco_annotations(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"1.jpg": {"people": [{"pose_keypoints_2d": BODY}]}}))
    assert sniff(path).name == "alphapose"
    path.write_text(json.dumps({"images": [], "annotations": []}))
    assert sniff(path).name == "coco"


def test_a_folder_of_frames_is_openpose(tmp_path):
    for frame in range(3):
        (tmp_path / f"v_{frame:012d}_keypoints.json").write_text(json.dumps(TEXTS["openpose"]))
    assert sniff(tmp_path).name == "openpose"
    assert dstformer_jax.files.read(tmp_path).num_frames == 3


def test_unknown_files_say_what_is_known(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"\x00\x01")
    with pytest.raises(ValueError, match=r"x\.bin: got a file of no known format.*AlphaPose"):
        sniff(path)
    with pytest.raises(ValueError, match="does not exist"):
        sniff(tmp_path / "nothing")
    with pytest.raises(ValueError, match="got format 'fbx', expected one of json, openpose"):
        dstformer_jax.files.read(path, "fbx")
    assert set(TEXTS) <= set(FORMATS)


def test_nothing_is_called_nothing_and_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "nobody").mkdir()
    (tmp_path / "zero.json").touch()
    for name in ("nobody", "zero.json"):
        with pytest.raises(ValueError, match=rf"{name}: got nothing inside, expected one of"):
            dstformer_jax.files.read(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    for form in (None, "coco"):
        with pytest.raises(ValueError, match="pipe, which is a device or pipe"):
            dstformer_jax.files.read(tmp_path / "pipe", form)


def test_bvh_is_read_as_metres_in_the_world(shared):
    motion = dstformer_jax.files.read(shared / "data" / "cmu_mocap" / "bvh" / "02_01.bvh")
    assert (motion.unit, motion.axes, motion.fps) == ("m", "world", 60)
    heights = np.ptp(motion.tracks[0].points[..., 1], axis=1)
    assert 1.4 < np.median(heights) < 2
