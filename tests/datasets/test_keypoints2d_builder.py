"""The keypoints2d builder: folders of frames, result files, gaps, short tracks, splits, units."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.body.skeleton import BODY25, COCO17, H36M17
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import prepare


def person(x: float, joints: int) -> np.ndarray:
    """A column of joints at `x`, 20 px apart, confidence 0.5."""
    points = np.full((joints, 3), 0.5)
    points[:, 0] = x + np.arange(joints)
    points[:, 1] = 100 + 20 * np.arange(joints)
    return points


def write_openpose(folder: Path, frames: dict[int, list[np.ndarray]]) -> None:
    folder.mkdir(parents=True)
    for frame, people in frames.items():
        rows = [{"pose_keypoints_2d": points.ravel().tolist()} for points in people]
        content = {"version": 1.3, "people": rows}
        (folder / f"v_{frame:012d}_keypoints.json").write_text(json.dumps(content))


def write_alphapose(path: Path, frames: dict[int, list[np.ndarray]]) -> None:
    rows = [
        {"image_id": f"{frame}.jpg", "keypoints": points.ravel().tolist(), "score": 2.0, "idx": n}
        for frame, people in frames.items()
        for n, points in enumerate(people)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


def bank(source: Path, split: str = "train", **options) -> tuple[Bank, dict]:
    data = source.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    prepare("keypoints2d", data, source=source, options=options, progress=False)
    report = json.loads((data / "keypoints2d/default/1.0.0/report.json").read_text())
    return Bank.open(data, "keypoints2d/default", split), report


def test_frames_and_results_become_h36m_sequences(tmp_path):
    source = tmp_path / "in"
    write_openpose(source / "cam" / "one", {f: [person(50 + f, 25)] for f in range(40)})
    write_alphapose(source / "two.json", {f: [person(9, 17), person(500, 17)] for f in range(35)})
    found, _ = bank(source)
    rows = {row["id"]: row for row in found.sequences}
    assert {name: row["frames"] for name, row in rows.items()} == {
        "cam/one#0@0": 40,
        "two.json#0@0": 35,
        "two.json#1@0": 35,
    }
    first = rows["cam/one#0@0"]
    assert (first["unit"], first["axes"], first["fps"], first["rig"]) == (
        "px",
        "camera",
        30.0,
        "body25",
    )
    wrist, source_wrist = H36M17.index("right_wrist"), BODY25.index("right_wrist")
    motion = found.motion[first["start"] : first["start"] + 40]
    np.testing.assert_allclose(motion[:, wrist, 0], 50 + np.arange(40) + source_wrist)
    np.testing.assert_allclose(motion[:, wrist, 1], 100 + 20 * source_wrist)
    np.testing.assert_allclose(motion[..., 2], 0.5)
    belly = found.motion[rows["two.json#1@0"]["start"], H36M17.index("belly")]
    hips, shoulders = (
        [COCO17.index(f"{side}_{joint}") for side in ("left", "right")]
        for joint in ("hip", "shoulder")
    )
    np.testing.assert_allclose(belly[0], 500 + np.mean([*hips, *shoulders]))
    assert len(found.pose) == 0


def test_gaps_short_tracks_and_late_starts(tmp_path):
    seen = [*range(10, 50), *range(90, 130), *range(200, 240), *range(400, 420)]
    write_alphapose(tmp_path / "in" / "a.json", {f: [person(50, 17)] for f in seen})
    found, report = bank(tmp_path / "in")
    facts = [(row["id"], row["frames"]) for row in found.sequences]
    # 40 frames without a person are kept with confidence 0, 70 frames are more than 2 s.
    assert facts == [("a.json#0@10", 120), ("a.json#0@200", 40)]
    lost = found.motion[:120, :, 2].max(1) == 0
    assert np.flatnonzero(lost).tolist() == list(range(40, 80))
    assert report["notes"] == {
        "frames without a detection": 40,
        "tracks split at gaps": 1,
        "tracks under 1 s dropped": 1,
    }
    found, _ = bank(tmp_path / "in", fps=60.0, min_seconds=0.25)
    facts = [(row["id"], row["frames"], row["fps"]) for row in found.sequences]
    assert facts == [("a.json#0@10", 230, 60.0), ("a.json#0@400", 20, 60.0)]


def test_test_split_and_choice_of_videos(tmp_path):
    for name in ("x/a", "x/b", "y/a"):
        write_openpose(tmp_path / "in" / name, {f: [person(50, 25)] for f in range(30)})
    test, report = bank(tmp_path / "in", "test", only=("x",), test=("b",))
    assert [row["id"] for row in test.sequences] == ["x/b#0@0"]
    assert report["splits"]["train"]["sequences"] == 1
    with pytest.raises(ValueError, match=r"got video 'c', expected one of x/a, x/b, y/a"):
        bank(tmp_path / "in", test=("c",))


def test_source_may_be_one_video(tmp_path):
    write_openpose(tmp_path / "in", {f: [person(50, 25)] for f in range(30)})
    assert len(bank(tmp_path / "in")[0].sequences) == 1
    write_alphapose(tmp_path / "a.json", {f: [person(50, 17)] for f in range(30)})
    assert bank(tmp_path / "a.json")[0].sequences[0]["id"] == "a.json#0@0"


def test_relative_points_need_the_size(tmp_path):
    relative = person(0, 25) / [1000, 1000, 1]
    write_openpose(tmp_path / "in" / "a", {f: [relative] for f in range(30)})
    with pytest.raises(ValueError, match="--size=WIDTHxHEIGHT"):
        bank(tmp_path / "in")
    found, _ = bank(tmp_path / "in", size="1000x500")
    nose, source_nose = H36M17.index("nose"), BODY25.index("nose")
    expected = [source_nose, (100 + 20 * source_nose) / 2, 0.5]
    np.testing.assert_allclose(found.motion[0, nose], expected, atol=1e-3)
    assert found.sequences[0]["size"] == [1000, 500]


def test_feet_are_landmarks(tmp_path):
    import tensorflow_datasets as tfds

    write_openpose(tmp_path / "in" / "a", {f: [person(50, 25)] for f in range(30)})
    found, _ = bank(tmp_path / "in")
    prepared = tfds.builder_from_directory(found.path.parents[1])
    record = next(iter(prepared.as_data_source("train")))
    names = [name.decode() for name in record["landmark_names"]]
    assert sorted(names) == sorted(
        f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")
    )
    heel = record["landmarks"][0, names.index("right_heel")]
    assert heel[0] == 50 + BODY25.index("right_heel")


def test_annotations_of_several_videos(tmp_path):
    images = [
        {"id": 100 * v + f, "file_name": f"{v}/{f:03d}.jpg", "vid_id": str(v)}
        for v in (1, 2)
        for f in range(30)
    ]
    annotations = [
        {"image_id": image["id"], "track_id": 5, "keypoints": person(20, 17).ravel().tolist()}
        for image in images
    ]
    (tmp_path / "in").mkdir()
    content = {"images": images, "annotations": annotations, "categories": []}
    (tmp_path / "in" / "val.json").write_text(json.dumps(content))
    found, _ = bank(tmp_path / "in")
    assert [(row["id"], row["frames"]) for row in found.sequences] == [
        ("val.json/1#5@0", 30),
        ("val.json/2#5@0", 30),
    ]


def test_bad_files_are_skipped(tmp_path):
    source = tmp_path / "in"
    frames = {f: [person(50, 25)] for f in range(30)}
    write_openpose(source / "good", frames)
    write_openpose(source / "broken", frames)
    path = source / "broken" / "v_000000000012_keypoints.json"
    path.write_text(path.read_text()[:40])
    (source / "other.json").write_text('{"settings": 1}')
    (source / "notes.txt").write_text("not a keypoint file")
    found, report = bank(source)
    assert [row["id"] for row in found.sequences] == ["good#0@0"]
    assert sorted(report["skipped"]) == ["broken", "other.json"]
    assert "v_000000000012" in report["skipped"]["broken"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"fps": 0.0}, "fps 0.0"), ({"size": "big"}, "--size=big"), ({"max_gap": -1.0}, "max_gap -1")],
)
def test_wrong_settings_are_refused(tmp_path, options, message):
    write_openpose(tmp_path / "in" / "a", {f: [person(50, 25)] for f in range(30)})
    with pytest.raises(ValueError, match=message):
        bank(tmp_path / "in", **options)


def test_folder_without_keypoints_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match="expected a folder of keypoint files"):
        bank(tmp_path / "in")


def test_real_openpose(shared, tmp_path):
    source = shared / "data" / "detections2d"
    folders = ("openpose_body25_v1.2", "openpose_body25_v1.3")
    options = {"only": folders, "test": ("clip6", "treadmill_32")}
    report = prepare("keypoints2d", tmp_path, source, options=options, progress=False)
    assert (report.files, dict(report.skipped)) == (7, {})
    train = Bank.open(tmp_path, "keypoints2d", "train")
    test = Bank.open(tmp_path, "keypoints2d", "test")
    videos = {row["id"].split("#")[0].split("/")[1] for row in test.sequences}
    assert videos == {"clip6", "treadmill_32"}
    assert not videos & {row["id"].split("#")[0].split("/")[1] for row in train.sequences}
    for found in (train, test):
        assert found.motion[..., 2].max() <= 1.0
        seen = found.motion[..., 2] > 0
        assert found.motion[seen][:, :2].min() >= 0
        assert np.abs(found.motion[~seen][:, :2]).max() == 0
        # People stand: heads above roots above ankles, y down, in nearly every frame.
        head, root, ankle = (H36M17.index(name) for name in ("head", "root", "left_ankle"))
        whole = seen[:, [head, root, ankle]].all(1)
        y = found.motion[whole][..., 1]
        assert np.mean((y[:, head] < y[:, root]) & (y[:, root] < y[:, ankle])) > 0.95
