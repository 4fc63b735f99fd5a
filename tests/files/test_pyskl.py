"""Reading PYSKL pickles: the layout, bad records, wrong and hostile files."""

import pickle

import numpy as np
import pytest
from fixtures_pyskl import record, write

from dstformer_jax.body.skeleton import COCO17
from dstformer_jax.files.pyskl import read_pyskl


def test_records_and_splits(tmp_path):
    records = [record("a", 3, people=2, seed=1), record("b", 0)]
    found = read_pyskl(write(tmp_path / "x.pkl", records, {"s_train": ["a"], "s_val": ["b", "a"]}))
    assert found.splits == {"s_train": ("a",), "s_val": ("b", "a")}
    assert not found.bad
    one = found.annotations["a"]
    assert (one.label, one.size, one.skeleton) == (3, (1920, 1080), COCO17)
    assert one.points.dtype == np.float16
    np.testing.assert_array_equal(one.points, records[0]["keypoint"])
    np.testing.assert_array_equal(one.confidence, records[0]["keypoint_score"])


def test_a_list_alone_is_one_split(tmp_path):
    path = tmp_path / "list.pkl"
    path.write_bytes(pickle.dumps([record("a", 0), record("b", 1)]))
    assert read_pyskl(path).splits == {"train": ("a", "b")}


def test_missing_and_too_large_scores(tmp_path):
    bare, loud = record("bare", 0), record("loud", 0)
    del bare["keypoint_score"]
    bare["keypoint"][0, 3, 5] = 0
    loud["keypoint_score"][0, 0] = 1.5
    found = read_pyskl(write(tmp_path / "x.pkl", [bare, loud])).annotations
    assert found["bare"].confidence[0, 3, 5] == 0
    assert found["bare"].confidence.sum() == 12 * 17 - 1
    assert found["loud"].confidence.max() == 1


BAD = {
    "no array keypoint": {"keypoint": None},
    "expected numbers": {"keypoint": "text"},
    "got keypoint (12, 17, 2)": {"keypoint": np.zeros((12, 17, 2))},
    "0 people": {"keypoint": np.zeros((0, 12, 17, 2))},
    "got keypoint with 3 coordinates": {"keypoint": np.zeros((1, 12, 25, 3))},
    "got 19 keypoints": {"keypoint": np.zeros((1, 12, 19, 2))},
    "not finite": {"keypoint": np.full((1, 12, 17, 2), np.inf)},
    "keypoint_score (1, 9, 17)": {"keypoint_score": np.ones((1, 9, 17))},
    "keypoint_score with numbers": {"keypoint_score": np.full((1, 12, 17), np.nan)},
    "no joint with confidence": {"keypoint_score": np.zeros((1, 12, 17))},
    "got label -1": {"label": -1},
    "got label 'run'": {"label": "run"},
    "got label True": {"label": True},
    "got img_shape (1080,)": {"img_shape": (1080,)},
    "got img_shape (0, 5)": {"img_shape": (0, 5)},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_record_does_not_lose_the_others(tmp_path, reason):
    records = [record("good", 0), record("bad", 1) | BAD[reason]]
    found = read_pyskl(write(tmp_path / "x.pkl", records))
    assert list(found.annotations) == ["good"]
    assert list(found.bad) == ["bad"]
    assert reason in found.bad["bad"]


def test_records_without_or_with_the_same_name(tmp_path):
    records = [record("a", 0), record("a", 1), {"label": 2}, 7]
    found = read_pyskl(write(tmp_path / "x.pkl", records, {"train": ["a"]}))
    assert found.annotations["a"].label == 0
    assert list(found.bad) == ["a (record 1)", "record 2", "record 3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "got a dict of nothing, expected the PYSKL layout"),
        ({"train": [1]}, "got a dict of train"),
        ([], "got an empty list"),
        ("text", "got str"),
        ({"annotations": [5], "split": {}}, "got 1 records, none usable; record 0"),
        ({"annotations": [record("a", 0)], "split": ["a"]}, "expected a dict of lists"),
        ({"annotations": [record("a", 0)], "split": {"t": "a"}}, "got split 't' of str"),
        ({"annotations": [record("a", 0)], "split": {"t": [1]}}, "expected a list of frame_dir"),
    ],
)
def test_other_layouts_are_refused(tmp_path, content, message):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"x\.pkl: got") as caught:
        read_pyskl(path)
    assert message in str(caught.value)


def test_truncated_and_hostile_files(tmp_path):
    path = write(tmp_path / "x.pkl", [record("a", 0)])
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"x\.pkl: got a pickle that cannot be read"):
            read_pyskl(path)
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="it was not run"):
        read_pyskl(path)


def test_real_sample_without_keypoints(shared):
    with pytest.raises(ValueError, match=r"100 records, none usable.*no array keypoint.*Kinetics"):
        read_pyskl(shared / "data" / "pyskl_pickle_sample" / "sample.pkl")
