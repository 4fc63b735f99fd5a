"""The bvh builder: rates, units, T-poses, glitches, splits and labels, bad files."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.body.landmarks import LAYOUTS
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import load_builder, prepare

ROOT, WRIST, KNEE = (H36M17.index(name) for name in ("root", "right_wrist", "left_knee"))


def walk(frames: int, fps: float, speed: float = 120.0) -> np.ndarray:
    """A root that moves along x at `speed` cm/s, 95 cm above the floor."""
    root = np.zeros((frames, 3))
    root[:, 0] = speed * np.arange(frames) / fps
    root[:, 1] = 95.0
    return root


def bank(source: Path, split: str = "train", **options) -> Bank:
    data = source.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    prepare("bvh", data, source=source, options=options, progress=False)
    return Bank.open(data, "bvh/default", split)


@pytest.mark.parametrize(("fps", "count"), [(30, 60), (60, 120), (120, 240), (29.97, 60)])
def test_whole_ratios_keep_every_nth_frame(write_bvh, tmp_path, fps, count):
    write_bvh(tmp_path / "in" / "a.bvh", walk(count, fps), fps)
    found = bank(tmp_path / "in")
    step = round(fps / 30)
    np.testing.assert_allclose(
        found.pose[:, ROOT, 0], 1.2 * np.arange(0, count, step) / fps, atol=1e-5
    )
    assert found.sequences[0]["fps"] == 30.0


@pytest.mark.parametrize("fps", [25.0, 50.0, 100.0])
def test_other_ratios_are_linear_between_frames(write_bvh, tmp_path, fps):
    write_bvh(tmp_path / "in" / "a.bvh", walk(int(2 * fps) + 1, fps), fps)
    x = bank(tmp_path / "in").pose[:, ROOT, 0]
    assert len(x) == 61  # 2 s, both ends included
    np.testing.assert_allclose(x, 1.2 * np.arange(61) / 30, atol=1e-5)


def test_pose_is_metres_and_follows_rotations(write_bvh, tmp_path):
    turns = {"rhumerus": np.full(30, 90.0)}  # about z: the right arm, along -x, hangs down
    write_bvh(tmp_path / "in" / "a.bvh", walk(30, 30), turns=turns)
    pose = bank(tmp_path / "in").pose
    np.testing.assert_allclose(pose[0, WRIST], [-0.17, 0.95 + 0.48 - 0.54, 0], atol=1e-5)
    np.testing.assert_allclose(pose[0, KNEE], [0.10, 0.53, 0], atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.01, 10.0, 1 / 2.54, 0.45 / 2.54])
def test_unit_is_guessed_from_the_legs(write_bvh, tmp_path, scale):
    write_bvh(tmp_path / "in" / "a.bvh", walk(30, 30), scale=scale)
    assert bank(tmp_path / "in").pose[0, ROOT, 1] == pytest.approx(0.95, rel=1e-4)


@pytest.mark.parametrize(("unit", "height"), [("cm", 0.95), ("0.02", 1.9), ("inch", 95 * 0.0254)])
def test_unit_given(write_bvh, tmp_path, unit, height):
    write_bvh(tmp_path / "in" / "a.bvh", walk(30, 30))
    assert bank(tmp_path / "in", unit=unit).pose[0, ROOT, 1] == pytest.approx(height, rel=1e-5)


def test_upward_z(write_bvh, tmp_path):
    write_bvh(tmp_path / "in" / "a.bvh", walk(30, 30) + np.array([0, 0, 20]))
    pose = bank(tmp_path / "in", up="z").pose
    np.testing.assert_allclose(pose[0, ROOT], [0, 0.20, -0.95], atol=1e-5)


@pytest.mark.parametrize("leading", [1, 2])
def test_t_pose_first_frames_are_dropped(write_bvh, tmp_path, leading):
    arms = np.full(40, 80.0)
    arms[:leading] = 0.0
    turns = {"rhumerus": arms, "lhumerus": -arms}
    write_bvh(tmp_path / "in" / "a.bvh", walk(40, 120), 120, turns=turns)
    found = bank(tmp_path / "in", fps=120.0)
    assert len(found.pose) == 40 - leading
    assert found.pose[0, WRIST, 1] < 1.0
    report = json.loads((found.path.parents[1] / "report.json").read_text())
    assert report["notes"] == {"T-pose first frames dropped": leading}


def test_a_motion_that_begins_in_a_t_pose_is_kept(write_bvh, tmp_path):
    arms = np.linspace(0, 80, 40)  # arms sink slowly
    turns = {"rhumerus": arms, "lhumerus": -arms}
    write_bvh(tmp_path / "in" / "a.bvh", walk(40, 30), turns=turns)
    assert len(bank(tmp_path / "in").pose) == 40


def test_glitches_cut_and_small_pieces_go(write_bvh, tmp_path):
    root = walk(100, 30)
    root[50:] += 100.0  # 1.7 m in a thirtieth of a second
    root[80] += 100.0  # a single bad frame
    write_bvh(tmp_path / "in" / "sub" / "a.bvh", root)
    write_bvh(tmp_path / "in" / "b.bvh", walk(40, 30))
    found = bank(tmp_path / "in")
    facts = [(row["id"], row["frames"], row["subject"]) for row in found.sequences]
    assert facts == [
        ("b", 40, ""),
        ("sub/a@0", 50, "sub"),
        ("sub/a@50", 30, "sub"),
        ("sub/a@81", 19, "sub"),
    ]
    report = json.loads((found.path.parents[1] / "report.json").read_text())
    assert report["notes"] == {
        "cuts at glitches": 3,
        "files cut at glitches": 1,
        "pieces under 8 frames dropped": 1,
    }
    assert len(bank(tmp_path / "in", max_speed=100.0).sequences) == 2


def write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_csv_gives_splits_labels_units_and_rates(write_bvh, tmp_path):
    for name in "abcd":
        write_bvh(tmp_path / "in" / "bvh" / f"{name}.bvh", walk(60, 60), 60)
    rows = [
        {"file": "bvh/a.bvh", "subject": "7", "action": "run", "split": "train", "fps": "60"},
        {"file": "bvh/b.bvh", "subject": "7", "action": "bow", "split": "test", "fps": "30"},
        {"file": "bvh/gone.bvh", "subject": "7", "action": "bow", "split": "test", "fps": ""},
        {"file": "bvh/c.bvh", "subject": "8", "action": "run", "split": "", "fps": ""},
    ]
    rows = [row | {"unit_to_m": "0.02"} for row in rows]
    write_csv(tmp_path / "in" / "index.csv", rows)
    train = bank(tmp_path / "in")
    facts = [(r["id"], r["subject"], r["action"], r["label"], r["frames"]) for r in train.sequences]
    assert facts == [("bvh/a", "7", "run", 1, 30), ("bvh/c", "8", "run", 1, 30)]
    assert train.pose[0, ROOT, 1] == pytest.approx(1.9, rel=1e-5)
    # b is labelled 30 fps, which goes before the 60 fps of the file.
    test = Bank.open(tmp_path / "data", "bvh", "test")
    assert [(r["id"], r["label"], r["frames"]) for r in test.sequences] == [("bvh/b", 0, 60)]
    report = json.loads((train.path.parents[1] / "report.json").read_text())
    assert list(report["skipped"]) == ["bvh/gone.bvh"]
    assert report["notes"] == {"files not in the CSV, left out": 1}


def test_csv_numbers_and_names_of_labels(write_bvh, tmp_path):
    """HDM05's layout: labels.csv with a number and a name; and everything to training."""
    for name in "ab":
        write_bvh(tmp_path / "in" / f"{name}.bvh", walk(30, 30))
    rows = [
        {"file": "a.bvh", "label": "4", "label_name": "sit", "style": "old", "split": "test"},
        {"file": "b.bvh", "label": "2", "label_name": "walk", "style": "", "split": "train"},
    ]
    write_csv(tmp_path / "in" / "labels.csv", rows)
    found = bank(tmp_path / "in", split_from="none")
    assert [(r["action"], r["label"]) for r in found.sequences] == [("sit", 4), ("walk", 2)]
    styles = bank(tmp_path / "in", split_from="none", action_from="style")
    assert [(r["action"], r["label"]) for r in styles.sequences] == [("old", 0), ("", -1)]


def test_test_subjects_and_files(write_bvh, tmp_path):
    for name in ("s1/a", "s1/b", "s2/a", "s3/c"):
        write_bvh(tmp_path / "in" / f"{name}.bvh", walk(30, 30))
    test = bank(tmp_path / "in", split="test", test=("s2", "b"))
    assert [row["id"] for row in test.sequences] == ["s1/b", "s2/a"]


def test_bad_files_are_named_and_skipped(write_bvh, tmp_path):
    good = write_bvh(tmp_path / "in" / "good.bvh", walk(40, 30))
    text = good.read_text()
    (tmp_path / "in" / "cut.bvh").write_text(text[: len(text) // 2])
    (tmp_path / "in" / "empty.bvh").write_text("")
    (tmp_path / "in" / "noise.bvh").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "in" / "nan.bvh").write_text(text.replace("95.000000", "nan", 1))
    write_bvh(tmp_path / "in" / "horse.bvh", walk(40, 30), rename=lambda name: f"horse_{name}")
    found = bank(tmp_path / "in")
    assert [row["id"] for row in found.sequences] == ["good"]
    report = json.loads((found.path.parents[1] / "report.json").read_text())
    assert sorted(report["skipped"]) == [
        "cut.bvh",
        "empty.bvh",
        "horse.bvh",
        "nan.bvh",
        "noise.bvh",
    ]
    assert "line" in report["skipped"]["cut.bvh"]
    assert "horse_root" in report["skipped"]["horse.bvh"]


def test_rigs_of_your_own(write_bvh, tmp_path):
    write_bvh(tmp_path / "in" / "a.bvh", walk(40, 30), rename=lambda name: f"my {name}")
    shipped = Path(load_builder.__code__.co_filename).parents[1] / "files" / "rigs.json"
    joints = [f"my {name}" for name in json.loads(shipped.read_text())["asf31"]["joints"]]
    rigs = tmp_path / "rigs.json"
    rigs.write_text(json.dumps({"mine": {"joints": joints, "landmarks": {"toe": "my ltoes"}}}))
    found = bank(tmp_path / "in", rigs=str(rigs))
    assert found.sequences[0]["rig"] == "mine"
    import tensorflow_datasets as tfds

    record = next(iter(tfds.builder_from_directory(found.path.parents[1]).as_data_source("train")))
    assert [name.decode() for name in record["landmark_names"]] == ["toe"]
    np.testing.assert_allclose(record["landmarks"][0, 0], [0.10, 0.06, 0.14], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.0}, "--fps=0.0"),
        ({"unit": "yard"}, "--unit=yard"),
        ({"unit": "-1"}, "--unit=-1"),
        ({"up": "w"}, "--up=w"),
        ({"index": "missing.csv"}, "missing.csv"),
        ({"index": "wrong.csv"}, "expected file among them"),
        ({"index": "units.csv"}, "line 3: got unit_to_m 'wide'"),
        ({"action_from": "mood", "index": "units.csv"}, "mood"),
    ],
)
def test_wrong_settings_are_refused(write_bvh, tmp_path, options, message):
    write_bvh(tmp_path / "in" / "a.bvh", walk(30, 30))
    (tmp_path / "in" / "wrong.csv").write_text("name,split\na.bvh,train\n")
    (tmp_path / "in" / "units.csv").write_text("file,unit_to_m\na.bvh,1\nb.bvh,wide\n")
    with pytest.raises(ValueError, match=message):
        bank(tmp_path / "in", **options)


def test_folder_without_bvh_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"without any \.bvh file, expected a folder of \.bvh"):
        bank(tmp_path / "in")


def test_resample_and_pieces(part):
    cleaning = part("bvh.cleaning")
    points = np.arange(10.0)[:, None, None] * np.ones((1, 2, 3))
    assert cleaning.resample(points, 30.0, 10.0)[:, 0, 0].tolist() == [0, 3, 6, 9]
    doubled = cleaning.resample(points, 15.0, 30.0)[:, 0, 0]
    np.testing.assert_allclose(doubled, np.arange(19) / 2)
    assert cleaning.smooth_pieces(points, 30.0, 60.0) == [(0, 10)]
    assert cleaning.smooth_pieces(points[:2], 30.0, 10.0) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("name", "files", "splits"),
    [
        ("cmu_mocap", 80, {"train", "test"}),
        pytest.param("cmu_mocap_more", 224, {"train", "test"}, marks=pytest.mark.long),
        pytest.param("hdm05_actions", 232, {"train", "test"}, marks=pytest.mark.long),
        pytest.param("bandai_namco", 480, {"public"}, marks=pytest.mark.long),
        pytest.param("deepmimic_clips", 20, {"train"}, marks=pytest.mark.long),
    ],
)
def test_real_motion(shared, tmp_path, name, files, splits):
    report = prepare("bvh", tmp_path, shared / "data" / name, name=name, progress=False)
    assert (report.files, dict(report.skipped)) == (files, {})
    assert set(report.splits) == splits
    subjects = {}
    for split in splits:
        found = Bank.open(tmp_path, f"bvh/{name}", split)
        subjects[split] = {row["subject"] for row in found.sequences}
        for row in found.sequences:
            pose = found.pose[row["start"] : row["start"] + row["frames"]]
            shins = np.linalg.norm(pose[:, 3] - pose[:, 2], axis=-1)
            assert shins.min() > 0.3
            assert np.ptp(shins) < 1e-3  # rigid
            assert shins.max() < 0.55
            speed = np.linalg.norm(np.diff(pose, axis=0), axis=-1).max() * row["fps"]
            assert speed < 15.01
            assert pose[..., 1].min() > -0.35  # y is up and the floor near 0
            assert -0.1 < np.median(pose[:, [3, 6], 1].min(1)) < 3.0
    if len(splits) == 2:
        assert not subjects["train"] & subjects["test"]


def test_one_take_in_two_rigs(shared, tmp_path):
    """CMU 01_01 at 120 fps in cgspeed units after a T-pose, and at 60 fps in cm: the same motion.

    The cgspeed skeleton lacks the thorax segment, so all above the belly is 11.7 cm lower.
    """
    original = tmp_path / "original"
    original.mkdir()
    shutil.copy(shared / "data/cmu_mocap/original_files/01_01.bvh", original)
    converted = tmp_path / "converted"
    converted.mkdir()
    shutil.copy(shared / "data/cmu_mocap/bvh/01_01.bvh", converted)
    cgspeed, asf = bank(original), bank(converted)
    assert (cgspeed.sequences[0]["rig"], asf.sequences[0]["rig"]) == ("cgspeed31", "asf31")
    below = [H36M17.index(name) for name in ("root", "left_ankle", "right_ankle", "belly")]
    np.testing.assert_allclose(cgspeed.pose[:, below], asf.pose[:, below], atol=1e-3)
    above = [H36M17.index(name) for name in ("neck", "head", "left_wrist", "right_wrist")]
    gap = np.linalg.norm(cgspeed.pose[:, above] - asf.pose[:, above], axis=-1)
    np.testing.assert_allclose(gap, 0.117, atol=2e-3)


def test_layouts_are_written_on_request(write_bvh, tmp_path):
    turns = {"head": np.linspace(0, 30, 60)}
    write_bvh(tmp_path / "in" / "a.bvh", walk(60, 60), 60, turns=turns)
    assert not len(bank(tmp_path / "in").seen)
    found = bank(tmp_path / "in", layouts=True)
    assert found.seen.shape == (30, len(LAYOUTS), 17, 3)
    np.testing.assert_allclose(found.seen[:, 0], found.pose, atol=1e-6)
    nose = H36M17.index("nose")
    shown = found.seen[:, list(LAYOUTS).index("coco17"), nose] - found.pose[:, nose]
    # A real nose is in front of the base of the skull, and turns with the head about z.
    assert (shown[:, 2] > 0.05).all()
    angle = np.arctan2(shown[:, 0], shown[:, 1])
    assert abs(np.degrees(angle[-1] - angle[0])) > 5
