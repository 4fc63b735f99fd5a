"""The labelled builders: rows of a CSV become clips; classes, people, cuts, splits, mistakes."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import prepare

ROOT = H36M17.index("root")
RIGHT_WRIST = H36M17.index("right_wrist")


def write_csv(folder: Path, rows: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def build(name: str, source: Path, **options) -> tuple[Path, dict]:
    data = source.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    prepare(name, data, source=source, options=options, progress=False)
    return data, json.loads((data / name / "default/1.0.0/report.json").read_text())


def rows_of(data: Path, name: str, split: str = "train") -> dict[str, dict]:
    return {row["id"]: row for row in Bank.open(data, name, split).sequences}


def shown(rows: dict[str, dict], *facts: str) -> dict[str, tuple]:
    return {key: tuple(row[fact] for fact in facts) for key, row in rows.items()}


# BVH ----------------------------------------------------------------------------------------------


@pytest.fixture
def takes(write_bvh, tmp_path) -> Path:
    """Three files at 30 fps of 60 frames, whose root moves along x by a centimetre a frame."""
    folder = tmp_path / "in"
    for name in ("walk/a.bvh", "walk/b.bvh", "kick.bvh", "unlisted.bvh"):
        root = np.zeros((60, 3))
        root[:, 0], root[:, 1] = np.arange(60), 95.0
        write_bvh(folder / name, root, 30)
    return folder


LISTED = [
    {"file": "walk/a.bvh", "label": "walk", "subject": "ann"},
    {"file": "walk/b.bvh", "label": "walk", "subject": "bo"},
    {"file": "kick.bvh", "label": "kick", "subject": "ann"},
]


def test_bvh_rows_become_clips_with_classes_and_people(takes):
    write_csv(takes, LISTED)
    data, report = build("labelled_bvh", takes, test=("bo",))
    train, test = (rows_of(data, "labelled_bvh", split) for split in ("train", "test"))
    facts = ("action", "label", "subject", "frames")
    assert shown(train, *facts) == {
        "walk/a": ("walk", 1, "ann", 60),
        "kick": ("kick", 0, "ann", 60),
    }
    assert shown(test, *facts) == {"walk/b": ("walk", 1, "bo", 60)}
    assert "unlisted.bvh" in json.dumps(report) or "not in the CSV" in json.dumps(report)


def test_bvh_rows_can_be_parts_of_a_file(takes):
    parts = [
        {"file": "kick.bvh", "label": "first", "start": 0, "end": 20, "split": "train"},
        {"file": "kick.bvh", "label": "second", "start": 20, "end": 50, "split": "train"},
        {"file": "walk/a.bvh", "label": "first", "start": "", "end": "", "split": "test"},
    ]
    write_csv(takes, parts)
    data, _ = build("labelled_bvh", takes)
    bank = Bank.open(data, "labelled_bvh")
    frames = {row["action"]: (row["start"], row["frames"]) for row in bank.sequences}
    assert {name: length for name, (_, length) in frames.items()} == {"first": 20, "second": 30}
    start, _ = frames["second"]
    np.testing.assert_allclose(bank.pose[start, ROOT, 0], 0.20, atol=1e-5)


def test_each_person_can_be_left_out(takes):
    write_csv(takes, LISTED)
    data, _ = build("labelled_bvh", takes, leave_out=True)
    splits = {
        split: set(rows_of(data, "labelled_bvh", split))
        for split in ("without_ann", "only_ann", "without_bo", "only_bo")
    }
    assert splits["without_ann"] == splits["only_bo"] == {"walk/b"}
    assert splits["without_bo"] == splits["only_ann"] == {"walk/a", "kick"}


def test_classes_follow_the_list_and_novel_ones_are_held_out(takes):
    write_csv(takes, LISTED)
    (takes / "classes.txt").write_text("walk\nkick\n")
    data, _ = build("labelled_bvh", takes, test=("bo",))
    assert shown(rows_of(data, "labelled_bvh"), "label") == {"walk/a": (0,), "kick": (1,)}
    data, _ = build("labelled_bvh", takes, novel=("kick",))
    assert shown(rows_of(data, "labelled_bvh", "test"), "label") == {"kick": (0,)}
    assert set(rows_of(data, "labelled_bvh")) == {"walk/a", "walk/b"}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"label": ""}, {}, "line 2"),
        ({}, {"test": ("cy",)}, "got --test=cy"),
        ({}, {"where": ("subject=cy",)}, "no row with subject=cy"),
        ({}, {"novel": ("jump",)}, "jump"),
        ({"start": "9", "end": "4"}, {}, "line 2"),
    ],
)
def test_mistakes_in_the_csv_are_told_and_nothing_is_left(takes, change, options, message):
    listed = [{**row, "start": "", "end": ""} for row in LISTED]
    write_csv(takes, [{**listed[0], **change}, *listed[1:]])
    with pytest.raises(ValueError, match=message):
        build("labelled_bvh", takes, **options)
    assert not list((takes.parent / "data").rglob("*.npy"))


def test_a_file_that_is_missing_is_named_and_the_others_are_kept(takes, capsys):
    write_csv(takes, [{**LISTED[0], "file": "no.bvh"}, *LISTED[1:]])
    data, report = build("labelled_bvh", takes, test=("bo",))
    assert set(rows_of(data, "labelled_bvh")) == {"kick"}
    assert "no.bvh" in json.dumps(report)
    assert "skipped no.bvh" in capsys.readouterr().err


def test_a_class_list_that_does_not_match_is_told(takes):
    write_csv(takes, LISTED)
    (takes / "classes.txt").write_text("walk\njump\n")
    with pytest.raises(ValueError, match="line 4: got class 'kick'"):
        build("labelled_bvh", takes)


def test_a_folder_without_labels_is_told(takes):
    with pytest.raises(ValueError, match="expected a CSV with the columns file and label"):
        build("labelled_bvh", takes)


# Keypoints ----------------------------------------------------------------------------------------


def person(x: float, frames: int) -> np.ndarray:
    """COCO17 that moves right by a pixel a frame: [frames, 17, 3]."""
    points = np.full((frames, 17, 3), 0.5)
    points[..., 0] = x + np.arange(17) + np.arange(frames)[:, None]
    points[..., 1] = 100 + 10 * np.arange(17)
    return points


def write_alphapose(path: Path, people: dict[int, np.ndarray], start: int = 0) -> None:
    rows = [
        {
            "image_id": f"{start + frame}.jpg",
            "keypoints": points[frame].ravel().tolist(),
            "score": 2.0,
            "idx": number,
        }
        for number, points in people.items()
        for frame in range(len(points))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


def test_keypoint_rows_become_the_best_seen_person_on_the_longer_side(tmp_path):
    source = tmp_path / "in"
    write_alphapose(source / "one.json", {0: person(10, 12), 1: person(300, 30)})
    write_alphapose(source / "two.json", {0: person(50, 20)})
    shared = {"width": 640, "height": 480, "fps": 25}
    write_csv(
        source,
        [
            {"file": "one.json", "label": "wave", "subject": "ann", "person": "", **shared},
            {"file": "one.json", "label": "sit", "subject": "ann", "person": 0, **shared},
            {"file": "two.json", "label": "sit", "subject": "bo", "person": "", **shared},
        ],
    )
    data, _ = build("labelled_keypoints", source, test=("bo",))
    bank = Bank.open(data, "labelled_keypoints")
    found = {row["action"]: row for row in bank.sequences}
    assert {name: row["frames"] for name, row in found.items()} == {"wave": 30, "sit": 12}
    assert {row["fps"] for row in found.values()} == {25.0}
    first = bank.motion[found["wave"]["start"]]
    np.testing.assert_allclose(
        first[RIGHT_WRIST, :2], np.array([310, 200]) / 640 * 2 - 1, atol=1e-5
    )  # joint 10 of COCO17; the official make_cam centres neither side
    np.testing.assert_allclose(first[RIGHT_WRIST, 2], 0.5)


def test_a_second_person_is_kept_on_request(tmp_path):
    source = tmp_path / "in"
    write_alphapose(source / "one.json", {0: person(10, 12), 1: person(300, 30)})
    write_csv(
        source,
        [{"file": "one.json", "label": "hug", "width": 640, "height": 480, "split": "train"}],
    )
    data, _ = build("labelled_keypoints", source, persons=2, holdout=0.0)
    bank = Bank.open(data, "labelled_keypoints")
    assert bank.partner.shape == (30, 17, 3)
    assert bank.partner[:12].any()
    assert not bank.partner[12:].any()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"person": "7"}, "7"),
        ({"person": "x"}, "line 2"),
        ({"start": "0", "end": "4"}, "seen in 4 frames"),
    ],
)
def test_keypoint_rows_that_cannot_be_read_are_told(tmp_path, row, message):
    source = tmp_path / "in"
    write_alphapose(source / "one.json", {0: person(10, 12)})
    plain = {"person": "", "width": "640", "height": "480", "start": "", "end": ""}
    write_csv(source, [{"file": "one.json", "label": "wave", "split": "train", **plain, **row}])
    with pytest.raises(ValueError, match=message):
        build("labelled_keypoints", source, holdout=0.0)
