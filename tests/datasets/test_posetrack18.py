"""The posetrack18 builder: the official selection of people, on made and real files."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import load_builder, prepare
from dstformer_jax.data.sources import Source, SourceData

NAMES = ["nose", "head_bottom", "head_top", "left_ear", "right_ear"] + [
    f"{side}_{joint}"
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
]
LEFT_HIP = NAMES.index("left_hip")


def person(seed: int, frames: int) -> np.ndarray:
    """[T, 17, 3] x, y in pixels, visibility; the ears are never annotated."""
    rng = np.random.default_rng(seed)
    points = np.ones((frames, 17, 3))
    points[..., :2] = rng.uniform(100, 900, size=(17, 2)) + rng.normal(size=(frames, 17, 2))
    points[:, 3:5] = 0
    return points


def write(path: Path, people: dict[int, np.ndarray], names: list[str] = NAMES) -> Path:
    """A video in the style of PoseTrack18: annotations frame by frame, people together."""
    images, annotations = [], []
    for frame in range(max(map(len, people.values()), default=0)):
        images.append({"id": 10**10 + frame, "width": 1280, "height": 720, "is_labeled": True})
        for track, points in people.items():
            if frame < len(points):
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": 10**10 + frame,
                        "category_id": 1,
                        "track_id": track,
                        "keypoints": points[frame].ravel().tolist(),
                        "bbox": [0, 0, 1, 1],
                        "scores": [],
                    }
                )
    category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": names}
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {"images": images, "annotations": annotations, "categories": [category]}
    path.write_text(json.dumps(table))
    return path


def run(source: Path, data_dir: Path, **options):
    return prepare("posetrack18", data_dir, source=source, options=options, progress=False)


def test_the_official_selection(tmp_path):
    few = person(1, 30)
    few[:, 5:12, 2] = 0  # 8 of 17 joints stay
    barely, enough = person(2, 30), person(3, 30)
    for points, hidden in ((barely, 144), (enough, 143)):  # of 450 marks: 306 or 307 stay
        seen = points[:, :LEFT_HIP].reshape(-1, 3)
        seen[np.flatnonzero(seen[:, 2])[:hidden], 2] = 0
        points[:, :LEFT_HIP] = seen.reshape(30, LEFT_HIP, 3)
    hip = person(4, 30)
    hip[17, LEFT_HIP, 2] = 0
    people = {
        7: person(0, 40),
        1: few,
        2: barely,
        3: enough,
        4: hip,
        5: person(5, 29),
        6: person(6, 30),
    }
    write(tmp_path / "train" / "video.json", people)
    write(tmp_path / "val" / "other.json", {0: person(8, 30)})
    report = run(tmp_path, tmp_path / "data")
    bank = Bank.open(tmp_path / "data", "posetrack18")
    assert [row["id"] for row in bank.sequences] == [f"train/video/{i}" for i in (7, 3, 6)]
    assert set(bank.lengths) == {30}
    assert report.notes["people with fewer than 30 annotations, left out"] == 1
    assert report.notes["people with too few visible joints, or hips once hidden, left out"] == 3
    row = bank.sequences[0]
    assert (row["unit"], row["axes"], row["size"]) == ("px", "camera", [1280, 720])
    assert [row["id"] for row in Bank.open(tmp_path / "data", "posetrack18", "test").sequences] == [
        "val/other/0"
    ]


def test_joints_are_the_official_ones(tmp_path, golden):
    load_builder("posetrack18")
    tracks = importlib.import_module("posetrack18.tracks")
    official = golden("d_data")
    found = tracks.to_motion(official["posetrack"])
    seen = official["posetrack2h36m"][..., 2:] > 0
    expected = np.where(seen, official["posetrack2h36m"], 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not seen.all()


def test_hidden_joints_are_zero_and_the_belly_is_between(tmp_path):
    points = person(0, 30)
    points[4, NAMES.index("left_knee")] = [50, 60, 0]
    write(tmp_path / "train" / "video.json", {0: points})
    run(tmp_path, tmp_path / "data")
    motion = Bank.open(tmp_path / "data", "posetrack18").motion
    np.testing.assert_array_equal(motion[4, 5], 0)
    assert (motion[3, 5] > 0).all()
    hips = points[:, LEFT_HIP : LEFT_HIP + 2, :2].mean(1)
    np.testing.assert_allclose(motion[:, 0, :2], hips, rtol=1e-6)
    np.testing.assert_allclose(motion[:, 7, :2], (hips + points[:, 1, :2]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(motion[:, 10, :2], points[:, 2, :2].astype(np.float32))


def test_clips_of_30_frames_fill_the_crop(tmp_path):
    write(tmp_path / "train" / "video.json", {0: person(0, 30), 1: person(1, 35)})
    run(tmp_path, tmp_path / "data")
    source = Source(
        name="posetrack", dataset="posetrack18", frames=30, stride=30, batch=8,
        supervision="2d", input="motion", crop=(0.25, 1.0),
    )  # fmt: skip
    assert len(SourceData.open(source, tmp_path / "data").windows) == 2


def test_bad_files_are_named(tmp_path):
    good = write(tmp_path / "train" / "a.json", {0: person(0, 30)})
    (tmp_path / "train" / "cut.json").write_text(good.read_text()[:-3000])
    coco = ["nose", "left_eye", "right_eye", *NAMES[3:]]
    write(tmp_path / "train" / "coco.json", {0: person(0, 30)}, coco)
    table = json.loads(good.read_text())
    table["annotations"][3]["keypoints"].pop()
    (tmp_path / "train" / "short.json").write_text(json.dumps(table))
    (tmp_path / "train" / "list.json").write_text("[1, 2]")
    report = run(tmp_path, tmp_path / "data")
    assert report.splits["train"]["sequences"] == 1
    reasons = {Path(key).stem: text for key, text in report.skipped.items()}
    assert reasons.keys() == {"cut", "coco", "short", "list"}
    assert "JSON" in reasons["cut"]
    assert "left_eye" in reasons["coco"]
    assert "annotation 3" in reasons["short"]


def test_annotations_without_track_or_joints_are_passed_over(tmp_path):
    path = write(tmp_path / "train" / "a.json", {0: person(0, 30)})
    table = json.loads(path.read_text())
    table["annotations"].insert(0, {"image_id": 1, "track_id": 0, "keypoints": []})
    table["annotations"].insert(0, {"image_id": 1, "keypoints": [1, 2, 1] * 17})
    path.write_text(json.dumps(table))
    run(tmp_path, tmp_path / "data")
    assert Bank.open(tmp_path / "data", "posetrack18").lengths.tolist() == [30]


def test_real_annotations(shared, tmp_path):
    source = shared / "data" / "detections2d" / "mmpose_posetrack18"
    if not source.is_dir():
        pytest.skip("no PoseTrack files")
    load_builder("posetrack18")
    tracks = importlib.import_module("posetrack18.tracks")
    people, size = tracks.read_tracks(source / "test_posetrack18_val.json")
    assert size == (1920, 1080)
    lengths = {person.id: len(person.points) for person in people}
    assert lengths[0] == 3
    assert sum(lengths.values()) == 14
    # The tests' excerpt has one to three frames a person: nothing is left of it by the selection,
    # and with one frame a person those with both hips in view are.
    with pytest.raises(ValueError, match="none of 2 files"):
        run(source, tmp_path / "data")
    run(source, tmp_path / "short", frames=1, visible=0.3)
    bank = Bank.open(tmp_path / "short", "posetrack18", "test")
    assert (bank.motion[:, 0, 2] == 1).all()
    assert ((bank.motion[..., 0] >= 0) & (bank.motion[..., 0] <= 1920)).all()


def test_a_wrong_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="posetrack18_annotations"):
        run(tmp_path, tmp_path / "data")
    with pytest.raises(ValueError, match="--frames=0"):
        run(tmp_path, tmp_path / "data", frames=0)
