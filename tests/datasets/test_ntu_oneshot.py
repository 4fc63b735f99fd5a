"""The ntu_oneshot builder: the protocol from one file or two, labels, and other protocols."""

import json
import shutil
from pathlib import Path

import fixtures_pyskl as layout
import pytest

from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import prepare

NOVEL = list(range(0, 120, 6))
# The exemplars of the protocol (reference 3.10), written out.
EXEMPLARS = [f"S001C003P008R001A{n:03d}" for n in (1, 7, 13, 19, 25, 31, 37, 43, 49, 55)]
EXEMPLARS += [f"S018C003P008R001A{n:03d}" for n in (61, 67, 73, 79, 85, 91, 97, 103, 109, 115)]


def clips() -> dict[str, dict]:
    """One clip of each of the 120 classes beside the exemplars."""
    names = [f"S003C001P001R001A{n:03d}" for n in range(1, 121)] + EXEMPLARS
    return {
        name: layout.record(name, int(name[-3:]) - 1, frames=3, seed=seed)
        for seed, name in enumerate(names)
    }


def banks(source: Path, **options) -> tuple[dict[str, dict[str, dict]], dict]:
    data = source.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    prepare("ntu_oneshot", data, source=source, options=options, progress=False)
    report = json.loads((data / "ntu_oneshot/default/1.0.0/report.json").read_text())
    return {
        split: {row["id"]: row for row in Bank.open(data, "ntu_oneshot", split).sequences}
        for split in report["splits"]
    }, report


def check(found: dict[str, dict[str, dict]]) -> None:
    """Exemplars and test clips of 20 classes, each numbered by its place among them."""
    assert set(found["exemplars"]) == set(EXEMPLARS)
    assert {row["label"] for row in found["test"].values()} == set(range(20))
    others = {f"S003C001P001R001A{label + 1:03d}" for label in NOVEL}
    assert set(found["test"]) == others | set(EXEMPLARS)
    for split in ("exemplars", "test"):
        for name, row in found[split].items():
            assert row["label"] == NOVEL.index(int(name[-3:]) - 1)


def test_from_the_large_file_alone(tmp_path):
    path = layout.write(tmp_path / "ntu120_hrnet.pkl", list(clips().values()))
    found, report = banks(path)
    check(found)
    train = found["train"]
    assert len(train) == 100
    assert not {int(name[-3:]) - 1 for name in train} & set(NOVEL)
    labels = {int(name[-3:]): row["label"] for name, row in train.items()}
    assert (labels[2], labels[6], labels[8], labels[120]) == (0, 4, 5, 99)
    assert [labels[n] for n in sorted(labels)] == list(range(100))
    assert train["S003C001P001R001A120"]["action"] == "rock-paper-scissors"
    assert not report["skipped"]


def test_from_both_files_and_from_the_small_one(tmp_path):
    table = clips()
    new = [one for one in table.values() if one["label"] in NOVEL]
    rest = [one for one in table.values() if one["frame_dir"] not in EXEMPLARS]
    split = {
        "oneshot_train": EXEMPLARS,
        "oneshot_val": [one["frame_dir"] for one in new if one["frame_dir"] not in EXEMPLARS],
    }
    folder = tmp_path / "in"
    small = layout.write(folder / "ntu120_hrnet_oneshot.pkl", new, split)
    found, report = banks(small)
    check(found)
    assert "train" not in found
    assert any("none in this file" in note for note in report["notes"])
    layout.write(folder / "ntu120_hrnet.pkl", rest)
    found, _ = banks(folder)
    check(found)
    assert len(found["train"]) == 100


def test_another_protocol(tmp_path):
    records = [layout.record(f"v{n}", n % 4, frames=3, seed=n) for n in range(12)]
    path = layout.write(tmp_path / "own.pkl", records)
    chosen = tmp_path / "exemplars.txt"
    chosen.write_text("v5\nv3\n")
    found, _ = banks(path, novel=("1", "3"), exemplars=str(chosen))
    assert {name: row["label"] for name, row in found["exemplars"].items()} == {"v5": 0, "v3": 1}
    assert {name: row["label"] for name, row in found["test"].items()} == {
        **{"v1": 0, "v5": 0, "v9": 0, "v3": 1, "v7": 1, "v11": 1},
    }
    assert {row["label"] for row in found["train"].values()} == {0, 1}
    chosen.write_text("v5\nv1\n")
    with pytest.raises(ValueError, match="got 2 exemplars, expected one of each of 2 new classes"):
        banks(path, novel=("1", "3"), exemplars=str(chosen))
    chosen.write_text("v5\nv77\n")
    with pytest.raises(ValueError, match="got no clip v77"):
        banks(path, novel=("1", "3"), exemplars=str(chosen))


@pytest.mark.parametrize(
    ("novel", "message"),
    [
        (("a",), "got --novel=a"),
        (("0", "300"), "got new classes 0, 300 of 120"),
        (("0", "1"), "without one: 1; too many: 6, 12"),
    ],
)
def test_wrong_new_classes_are_refused(tmp_path, novel, message):
    path = layout.write(tmp_path / "ntu120_hrnet.pkl", list(clips().values()))
    with pytest.raises(ValueError, match=message):
        banks(path, novel=novel)


def test_an_exemplar_that_is_not_there(tmp_path):
    table = clips()
    del table[EXEMPLARS[4]]
    path = layout.write(tmp_path / "ntu120_hrnet.pkl", list(table.values()))
    with pytest.raises(ValueError, match=r"got 19 exemplars.*without one: 24;"):
        banks(path)


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(ValueError, match=r"expected ntu120_hrnet\.pkl"):
        banks(tmp_path)
