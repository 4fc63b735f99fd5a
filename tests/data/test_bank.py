import json

import numpy as np
import pytest

from dstformer_jax.data import schema
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.schema import Sequence, from_record, to_record


def make(number: int, frames: int, **fields) -> Sequence:
    rng = np.random.default_rng(number)
    pose = rng.normal(size=(frames, 17, 3))
    return Sequence(id=f"s{number}", fps=29.97, subject=f"p{number}", pose=pose, **fields)


def test_bank_returns_what_was_written(tmp_path):
    sequences = [make(n, frames, label=n, size=(4, 3)) for n, frames in enumerate([5, 1, 12])]
    bank = Bank.read(write_bank(iter(sequences), tmp_path / "train"))
    assert isinstance(bank.pose, np.memmap)
    np.testing.assert_array_equal(bank.pose, np.concatenate([s.pose for s in sequences]))
    assert bank.motion.shape == (0, 17, 3)
    assert bank.factor.shape == (0,)
    np.testing.assert_array_equal(bank.starts, [0, 5, 6])
    np.testing.assert_array_equal(bank.lengths, [5, 1, 12])
    row = bank.sequences[2]
    assert (row["id"], row["label"], row["fps"], row["size"]) == ("s2", 2, 29.97, [4, 3])
    assert [p.name for p in tmp_path.iterdir()] == ["train"]


def test_bank_with_every_array(tmp_path):
    fields = {"motion": np.ones((3, 17, 3)), "factor": np.arange(3), "pose_mm": np.ones((3, 17, 3))}
    bank = Bank.read(write_bank([make(0, 3, **fields), make(1, 3, **fields)], tmp_path / "b"))
    assert bank.motion.shape == bank.pose_mm.shape == (6, 17, 3)
    np.testing.assert_array_equal(bank.factor, [0, 1, 2, 0, 1, 2])


def test_failed_write_leaves_the_old_bank(tmp_path):
    write_bank([make(0, 4)], tmp_path / "train")
    mixed = [make(1, 4), make(2, 4, motion=np.ones((4, 17, 3)))]
    with pytest.raises(ValueError, match=r"'s2'.*motion"):
        write_bank(mixed, tmp_path / "train")
    assert Bank.read(tmp_path / "train").sequences[0]["id"] == "s0"
    write_bank([make(3, 2)], tmp_path / "train")
    assert Bank.read(tmp_path / "train").sequences[0]["id"] == "s3"
    assert [p.name for p in tmp_path.iterdir()] == ["train"]


def test_open_finds_the_newest_version_and_names_the_command(tmp_path):
    for version, number in (("1.9.0", 0), ("1.10.0", 1)):
        write_bank([make(number, 2)], tmp_path / "bvh" / "cmu" / version / "bank" / "test")
    assert Bank.open(tmp_path, "bvh/cmu", "test").sequences[0]["id"] == "s1"
    with pytest.raises(ValueError, match=r"prepare --dataset=amass --name=default --source"):
        Bank.open(tmp_path, "amass")


def test_sequence_checks_its_fields():
    with pytest.raises(ValueError, match=r"pose of shape \(4, 16, 3\).*\[T, 17, 3\]"):
        Sequence(id="a", fps=30, pose=np.zeros((4, 16, 3)))
    with pytest.raises(ValueError, match="without frames"):
        Sequence(id="a", fps=30)
    with pytest.raises(ValueError, match="unit 'cm'"):
        make(0, 2, unit="cm")
    with pytest.raises(ValueError, match="factor of shape"):
        make(0, 2, factor=np.zeros(3))
    with pytest.raises(ValueError, match="fps nan"):
        Sequence(id="a", fps=float("nan"), pose=np.zeros((4, 17, 3)))
    with pytest.raises(ValueError, match=r"landmarks of shape .* expected \(2, 1, 3\)"):
        make(0, 2, landmark_names=("toe",))


def assert_same(a: Sequence, b: Sequence) -> None:
    first, second = to_record(a), to_record(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_record_round_trip_through_tfds_features():
    whole = make(
        3, 4, label=7, size=(640, 480), action="walk", rig="asf31", camera="c1", axes="camera",
        landmarks=np.ones((4, 2, 3)), landmark_names=("left_toe", "right_toe"),
    )  # fmt: skip
    features = schema.features()
    for sequence in (whole, make(4, 2)):
        stored = features.serialize_example(to_record(sequence))
        assert_same(from_record(features.deserialize_example_np(stored)), sequence)


def test_index_is_plain_json(tmp_path):
    write_bank([make(0, 4)], tmp_path / "train")
    row = json.loads((tmp_path / "train" / "sequences.json").read_text())[0]
    assert row["start"] == 0
    assert row["frames"] == 4
    assert row["unit"] == "m"
