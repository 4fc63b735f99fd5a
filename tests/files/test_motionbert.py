"""Columns of the official pickles."""

import pickle

import numpy as np
import pytest

from dstformer_jax.files.motionbert import read_columns, runs


def write(folder, **columns):
    path = folder / "a.pkl"
    path.write_bytes(pickle.dumps({"train": {"source": ["a", "a", "b"], **columns}}))
    return path


def test_columns_are_float32_and_texts(tmp_path):
    pixels = np.arange(3 * 17 * 3, dtype=np.float64).reshape(3, 17, 3)
    path = write(tmp_path, joint_2d=pixels, camera_name=[b"1", 2, "3"], unread=[None])
    columns = read_columns(path, "train", ("joint_2d", "source"), ("camera_name", "action"))
    assert set(columns) == {"joint_2d", "source", "camera_name", "confidence"}
    assert columns["joint_2d"].dtype == columns["confidence"].dtype == np.float32
    np.testing.assert_array_equal(columns["joint_2d"], pixels[..., :2])
    np.testing.assert_array_equal(columns["confidence"], np.ones((3, 17)))
    assert columns["camera_name"].tolist() == ["1", "2", "3"]


def test_what_is_missing_or_does_not_fit_is_named(tmp_path):
    path = write(tmp_path, smpl_pose=np.zeros((2, 72)))
    with pytest.raises(ValueError, match=r"train: got smpl_pose, source without joint_2d"):
        read_columns(path, "train", ("joint_2d", "source"))
    with pytest.raises(ValueError, match=r"smpl_pose of shape \(2, 72\), expected \(3, 72\)"):
        read_columns(path, "train", ("smpl_pose", "source"))
    with pytest.raises(ValueError, match=r"a\.pkl: got no 'test', expected a dict with train"):
        read_columns(path, "test", ("source",))


def test_runs_are_the_stretches_of_a_name():
    found = runs(np.array(["a", "a", "b", "a", "c", "c"]))
    assert [(name, rows.start, rows.stop) for name, rows in found] == [
        *(("a", 0, 2), ("b", 2, 3), ("a#2", 3, 4), ("c", 4, 6)),
    ]
