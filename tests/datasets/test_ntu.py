"""The ntu builder: the official numbers, two people, splits, class lists, bad records."""

import json
import pickle
import shutil
from pathlib import Path

import fixtures_pyskl as layout
import numpy as np
import pytest

from dstformer_jax.body.geometry import crop_scale, resample_indices
from dstformer_jax.body.skeleton import COCO17, H36M17
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.pipeline import evaluation
from dstformer_jax.data.prepare import main, prepare
from dstformer_jax.data.sources import Source, SourceData

NAMES = ("S001C002P003R001A005", "S001C001P004R002A050", "S002C003P001R001A001")


def build(path: Path, split: str = "train", **options) -> tuple[Bank, dict]:
    data = path.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    prepare("ntu", data, source=path, options=options, progress=False)
    report = json.loads((data / "ntu/default/1.0.0/report.json").read_text())
    return Bank.open(data, "ntu", split), report


@pytest.fixture
def source(tmp_path) -> Path:
    records = [
        layout.record(NAMES[0], 4, people=1, frames=9, seed=1),
        layout.record(NAMES[1], 49, people=2, frames=14, seed=2),
        layout.record(NAMES[2], 0, people=3, frames=11, seed=3),
    ]
    split = {
        "xsub_train": [NAMES[0], NAMES[1]],
        "xsub_val": [NAMES[2]],
        "xview_train": [NAMES[1], NAMES[2]],
        "xview_val": [NAMES[0]],
    }
    return layout.write(tmp_path / "ntu60_hrnet.pkl", records, split)


def rows(bank: Bank) -> dict[str, dict]:
    return {row["id"]: row for row in bank.sequences}


def official_sample(data: dict[str, np.ndarray], folder: Path) -> Path:
    """The sample that the official loader read, as a file."""
    sample = {
        "frame_dir": "one",
        "label": 3,
        "img_shape": tuple(int(side) for side in data["img_shape"]),
        "keypoint": data["keypoint"],
        "keypoint_score": data["keypoint_score"],
    }
    return layout.write(folder / "in.pkl", [sample])


def test_official_validation_sample(golden, tmp_path):
    """d_action_val: float16 pixels of one person to the network's input [2, 27, 17, 3]."""
    data = golden("d_action_val")
    path = official_sample(data, tmp_path)
    bank, _ = build(path, official_confidence=True, official_rounding=True)
    clip = np.stack([bank.motion, bank.partner])[:, resample_indices(20, 27)]
    cropped = crop_scale(clip, 2.0, axes=(-4, -3, -2))
    expected = data["out_val_sample"]
    np.testing.assert_allclose(cropped, expected, atol=2e-6)
    # In full precision the places differ by the rounding of float16 alone.
    bank, _ = build(path)
    clip = np.stack([bank.motion, bank.partner])[:, resample_indices(20, 27)]
    cropped = crop_scale(clip, 2.0, axes=(-4, -3, -2))
    assert 1e-4 < np.abs(cropped - expected)[..., :2].max() < 1e-3
    assert np.abs(cropped - expected)[0, ..., 2].max() > 0.1


def test_official_validation_sample_through_the_pipeline(golden, tmp_path):
    """d_action_val by builder, bank and evaluation batches, as the network is given it."""
    data = golden("d_action_val")
    path = official_sample(data, tmp_path)
    build(path, official_confidence=True, official_rounding=True)
    settings = {"supervision": "label", "input": "motion", "persons": 2, "window": "whole"}
    source = Source("ntu", "ntu", frames=27, batch=8, crop=(2.0, 2.0), **settings)
    batches, index = evaluation(SourceData.open(source, path.parent / "data"))
    batch = next(batches)
    np.testing.assert_allclose(batch["motion"][0], data["out_val_sample"], atol=2e-6)
    assert (batch["label"][0], batch["present"][0].tolist()) == (3, [True, False])
    assert index["frames"].shape == (1, 27)


def test_people_joints_scores_and_facts(source):
    bank, _ = build(source, "xsub_train")
    records = {one["frame_dir"]: one for one in pickle.loads(source.read_bytes())["annotations"]}
    found = rows(bank)
    assert list(found) == [NAMES[1], NAMES[0]] or list(found) == [NAMES[0], NAMES[1]]
    for name, row in found.items():
        expected = layout.to_h36m(records[name])
        frames = slice(row["start"], row["start"] + row["frames"])
        np.testing.assert_allclose(bank.motion[frames], expected[0], atol=1e-6)
        partner = expected[1] if len(expected) > 1 else np.zeros_like(expected[0])
        np.testing.assert_allclose(bank.partner[frames], partner, atol=1e-6)
    facts = ("subject", "camera", "label", "action", "unit", "axes", "fps", "size")
    assert [found[NAMES[1]][fact] for fact in facts] == [
        *("P004", "C001", 49, "punch somebody", "normalised", "camera", 30.0, [1920, 1080]),
    ]


def test_every_split_of_the_file_is_written(source):
    bank, report = build(source, "xview_train")
    assert set(rows(bank)) == {NAMES[1], NAMES[2]}
    sizes = {name: split["sequences"] for name, split in report["splits"].items()}
    assert sizes == {"xsub_train": 2, "xsub_val": 1, "xview_train": 2, "xview_val": 1}
    assert report["notes"] == {
        "clips of more than two people, of which two are kept": 1,
        "clips of two or more people": 2,
    }
    _, report = build(source, "xsub_val", splits=("xsub_val",))
    assert list(report["splits"]) == ["xsub_val"]
    assert report["notes"]["clips in no split, left out"] == 2
    with pytest.raises(ValueError, match="got split 'xset_val', expected one of xsub_train"):
        build(source, splits=("xset_val",))


def test_people_who_change_places_keep_their_scores(tmp_path):
    one = layout.record("walk", 0, people=2, frames=20, seed=5)
    still = np.array([[300.0, 400.0], [1500.0, 400.0]])[:, None, None]
    one["keypoint"] = (still + np.arange(17)[:, None] + np.zeros((2, 20, 17, 2))).astype("f2")
    one["keypoint_score"] = np.broadcast_to(
        np.array([0.25, 0.75], "f2")[:, None, None], (2, 20, 17)
    ).copy()
    for key in ("keypoint", "keypoint_score"):
        one[key][:, 8:13] = one[key][::-1, 8:13]
    path = layout.write(tmp_path / "in.pkl", [one])
    bank, _ = build(path)
    assert (bank.motion[..., 0] < 0).all()
    assert (bank.partner[..., 0] > 0).all()
    assert (bank.motion[..., 2] == 0.25).all()
    assert (bank.partner[..., 2] == 0.75).all()
    bank, _ = build(path, official_confidence=True)  # there the scores stay behind
    assert (bank.motion[..., 0] < 0).all()
    assert (bank.motion[8:13, :, 2] == 0.75).all()


def test_confidence_order_bug_is_a_switch(tmp_path):
    one = layout.record("a", 0, frames=3)
    one["keypoint_score"][:] = np.linspace(0.1, 0.9, 17)
    path = layout.write(tmp_path / "in.pkl", [one])
    right, _ = build(path)
    wrong, _ = build(path, official_confidence=True)
    np.testing.assert_array_equal(right.motion[..., :2], wrong.motion[..., :2])
    np.testing.assert_allclose(wrong.motion[0, :, 2], np.linspace(0.1, 0.9, 17), atol=1e-3)
    wrist = (H36M17.index("left_wrist"), COCO17.index("left_wrist"))
    assert right.motion[0, wrist[0], 2] == one["keypoint_score"][0, 0, wrist[1]]


def test_missing_joints_scores_and_people_are_zero(tmp_path):
    one = layout.record("a", 0, people=2, frames=6)
    del one["keypoint_score"]
    one["keypoint"][0, 2, COCO17.index("left_knee")] = 0
    one["keypoint"][1, 3:] = 0
    bank, _ = build(layout.write(tmp_path / "in.pkl", [one]))
    knee = H36M17.index("left_knee")
    assert (bank.motion[2, knee] == 0).all()
    assert (np.delete(bank.motion[..., 2].ravel(), 2 * 17 + knee) == 1).all()
    assert (bank.partner[:3, :, 2] == 1).all()
    assert (bank.partner[3:] == 0).all()


def test_class_lists(source, tmp_path):
    listed = tmp_path / "classes.txt"
    listed.write_text("".join(f"verb {n}\n" for n in range(50)))
    bank, _ = build(source, "xsub_val", classes=str(listed))
    assert rows(bank)[NAMES[2]]["action"] == "verb 0"
    listed.write_text("".join(f"verb {n}\n" for n in range(49)))
    message = rf"got label 49 \({NAMES[1]}\), expected 0 to 48 for the 49 classes verb 0"
    with pytest.raises(ValueError, match=message):
        build(source, classes=str(listed))
    listed.write_text("verb\nverb\n")
    with pytest.raises(ValueError, match=r"classes\.txt, line 2: got 'verb', as in line 1"):
        build(source, classes=str(listed))
    assert not list((tmp_path / "data").rglob("*.npy"))  # nothing half-written
    own = layout.write(tmp_path / "own.pkl", [layout.record("video7", 3)])
    assert build(own)[0].sequences[0]["action"] == "class 3"


def test_bad_and_lost_records_are_named(tmp_path):
    records = [layout.record(name, 1) for name in ("a", "b", "c")]
    records[1]["keypoint"] = records[1]["keypoint"][0]
    split = {"train": ["a", "b", "gone"], "val": ["c", "a"]}
    bank, report = build(layout.write(tmp_path / "in.pkl", records, split))
    assert [row["id"] for row in bank.sequences] == ["a"]
    assert list(report["skipped"]) == ["b", "gone"]
    assert "keypoint (12, 17, 2)" in report["skipped"]["b"]
    assert "no annotation" in report["skipped"]["gone"]


def test_mistakes_are_one_line(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    command = ["--dataset=ntu", f"--data_dir={tmp_path / 'data'}", "--quiet"]
    assert main([*command, f"--source={tmp_path / 'in'}"]) == 2
    (tmp_path / "in" / "a.pkl").write_bytes(b"not a pickle")
    assert main([*command, f"--source={tmp_path / 'in'}"]) == 2
    assert main([*command, f"--source={tmp_path / 'in' / 'a.pkl'}", "--fps=0"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert "with no .pkl file, expected a PYSKL pickle" in told[0]
    assert "a.pkl: got a pickle that cannot be read" in told[1]
    assert "--fps=0.0" in told[2]
    assert not list((tmp_path / "data").rglob("*.*"))
