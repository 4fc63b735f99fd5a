"""The instavariety builder: tracks of per-frame JSON and the official pair of .npy files."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import prepare

# Place among the 17 joints -> InstaVariety's name (reference: convert_insta.py).
KEYS = {
    0: "Hip", 1: "R Hip", 2: "R Knee", 3: "R Ankle", 4: "L Hip", 5: "L Knee", 6: "L Ankle",
    8: "Neck", 9: "Nose", 11: "L Shoulder", 12: "L Elbow", 13: "L Wrist", 14: "R Shoulder",
    15: "R Elbow", 16: "R Wrist",
}  # fmt: skip
BELLY, HEAD = 7, 10


def track(seed: int, frames: int) -> np.ndarray:
    """[T, 17, 3] with belly and head as the official conversion leaves them: zero."""
    rng = np.random.default_rng(seed)
    motion = np.empty((frames, 17, 3))
    motion[..., :2] = rng.uniform(100, 600, size=(17, 2)) + rng.normal(size=(frames, 17, 2))
    motion[..., 2] = rng.uniform(0.3, 1, size=(frames, 17))
    motion[:, [BELLY, HEAD]] = 0
    return motion


def write_track(folder: Path, motion: np.ndarray) -> Path:
    """tag/video/track/<frame>.json with all that the release has in it."""
    folder.mkdir(parents=True)
    for frame, joints in enumerate(motion):
        table = {
            KEYS[i]: {"x": x, "y": y, "logits": c, "probability": None}
            for i, (x, y, c) in enumerate(joints.tolist())
            if i in KEYS
        }
        table |= {"R Big Toe": {"x": 1.0, "y": 2.0, "logits": 0.5, "probability": None}}
        table |= {"frame": frame, "imloc": f"frame{frame + 1:05d}.png", "track_id": 3}
        table |= {"bbox": {"xmin": 0.0, "ymin": 0.0, "xmax": 9.0, "ymax": 9.0}}
        (folder / f"{frame}.json").write_text(json.dumps(table))
    return folder


def write_pair(folder: Path, motions: list[np.ndarray]) -> Path:
    """motion_all.npy and id_all.npy as docs/pretrain.md says: ids are floats."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "motion_all.npy", np.concatenate(motions))
    ids = [np.ones(len(motion)) * number for number, motion in enumerate(motions)]
    np.save(folder / "id_all.npy", np.concatenate(ids))
    return folder


def run(source: Path, data_dir: Path, **options):
    return prepare("instavariety", data_dir, source=source, options=options, progress=False)


def check(found: np.ndarray, motion: np.ndarray, official_zeros: bool) -> None:
    there = list(KEYS)
    np.testing.assert_allclose(found[:, there], motion[:, there], rtol=1e-6)
    if official_zeros:
        np.testing.assert_array_equal(found[:, [BELLY, HEAD]], 0)
        return
    belly = (motion[:, 0] + motion[:, 8]) / 2
    head = 2 * motion[:, 9] - motion[:, 8]
    np.testing.assert_allclose(found[:, BELLY, :2], belly[:, :2], rtol=1e-5)
    np.testing.assert_allclose(found[:, HEAD, :2], head[:, :2], rtol=1e-5, atol=1e-3)
    lowest = np.minimum(motion[:, [0, 9], 2], motion[:, 8:9, 2])
    np.testing.assert_allclose(found[:, [BELLY, HEAD], 2], lowest, rtol=1e-6)


@pytest.mark.parametrize("official_zeros", [False, True])
def test_tracks_of_json(tmp_path, official_zeros):
    source = tmp_path / "InstaVariety_tracks"
    motions = {"dance/1_a/0": track(0, 12), "dance/1_a/1": track(1, 5), "ski/2_b/0": track(2, 4)}
    for name, motion in motions.items():
        write_track(source / name, motion)
    (tmp_path / "insta_variety_test.txt").write_text("ski/2_b\n")
    run(source, tmp_path / "data", official_zeros=official_zeros)
    train = Bank.open(tmp_path / "data", "instavariety")
    test = Bank.open(tmp_path / "data", "instavariety", "test")
    assert [row["id"] for row in train.sequences] == ["dance/1_a/0", "dance/1_a/1"]
    assert [row["action"] for row in test.sequences] == ["ski"]
    assert train.sequences[0]["unit"] == "px"
    # 12 frames: 10.json comes after 9.json
    check(np.array(train.motion[:12]), motions["dance/1_a/0"], official_zeros)
    check(np.array(train.motion[12:]), motions["dance/1_a/1"], official_zeros)


@pytest.mark.parametrize("official_zeros", [False, True])
def test_the_pair_of_arrays(tmp_path, official_zeros):
    motions = [track(0, 9), track(1, 3), track(2, 1)]
    run(write_pair(tmp_path / "pair", motions), tmp_path / "data", official_zeros=official_zeros)
    bank = Bank.open(tmp_path / "data", "instavariety")
    assert bank.lengths.tolist() == [9, 3, 1]
    assert [row["id"] for row in bank.sequences] == ["000000", "000001", "000002"]
    assert bank.sequences[0]["unit"] == "normalised"
    check(np.array(bank.motion), np.concatenate(motions), official_zeros)


def test_hidden_joints_take_their_interpolation_along(tmp_path):
    motion = track(0, 6)
    motion[2, 8] = 0  # no neck: no belly and no head either
    run(write_pair(tmp_path / "pair", [motion]), tmp_path / "data")
    found = Bank.open(tmp_path / "data", "instavariety").motion
    np.testing.assert_array_equal(found[2, [BELLY, 8, HEAD]], 0)
    assert (found[1, [BELLY, 8, HEAD], 2] > 0).all()


def test_belly_and_head_that_somebody_filled_are_kept(tmp_path):
    motion = track(0, 6)
    motion[:, BELLY] = [1, 2, 0.5]
    run(write_pair(tmp_path / "pair", [motion, track(1, 4)]), tmp_path / "data")
    found = Bank.open(tmp_path / "data", "instavariety").motion
    np.testing.assert_allclose(found[:6], motion, rtol=1e-6)
    assert (found[6:, BELLY, 2] > 0).all()


def test_bad_tracks_are_named_and_the_others_kept(tmp_path):
    source = tmp_path / "tracks"
    write_track(source / "a" / "v" / "good", track(0, 4))
    cut = write_track(source / "a" / "v" / "cut", track(1, 4)) / "2.json"
    cut.write_text(cut.read_text()[:40])
    write_track(source / "a" / "v" / "nan", track(2, 4) * np.nan)
    other = write_track(source / "a" / "v" / "other", track(3, 2)) / "0.json"
    other.write_text(json.dumps({"people": []}))
    wrong = write_track(source / "a" / "v" / "wrong", track(3, 2)) / "1.json"
    wrong.write_text(json.dumps({"Hip": [1, 2, 3]}))
    report = run(source, tmp_path / "data")
    reasons = {key.rsplit("/", 1)[-1]: text for key, text in report.skipped.items()}
    assert reasons.keys() == {"cut", "nan", "other", "wrong"}
    assert "2.json" in reasons["cut"]
    assert Bank.open(tmp_path / "data", "instavariety").lengths.tolist() == [4]


def test_a_joint_that_a_frame_lacks_is_zero(tmp_path):
    folder = write_track(tmp_path / "tracks" / "a" / "v" / "0", track(0, 3))
    table = json.loads((folder / "1.json").read_text())
    del table["L Knee"]
    (folder / "1.json").write_text(json.dumps(table))
    run(tmp_path / "tracks", tmp_path / "data")
    motion = Bank.open(tmp_path / "data", "instavariety").motion
    np.testing.assert_array_equal(motion[1, 5], 0)
    assert (motion[[0, 2], 5] > 0).all()


class Danger:
    """Unpickled with pickle.load it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_hostile_truncated_and_wrong_arrays_are_refused(tmp_path):
    mark = tmp_path / "executed"
    folder = write_pair(tmp_path / "pair", [track(0, 9)])
    np.save(folder / "id_all.npy", np.array([Danger(mark)], dtype=object))
    with pytest.raises(ValueError, match=r"id_all.npy: got no whole \.npy"):
        run(folder, tmp_path / "data")
    (folder / "id_all.npy").write_bytes(pickle.dumps(Danger(mark)))
    with pytest.raises(ValueError, match="got no whole"):
        run(folder, tmp_path / "data")
    assert not mark.exists()
    write_pair(folder, [track(0, 9)])
    whole = (folder / "motion_all.npy").read_bytes()
    (folder / "motion_all.npy").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="got no whole"):
        run(folder, tmp_path / "data")
    np.save(folder / "motion_all.npy", np.zeros((9, 15, 3)))
    with pytest.raises(ValueError, match=r"expected \(F, 17, 3\)"):
        run(folder, tmp_path / "data")


def test_a_wrong_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="InstaVariety_tracks"):
        run(tmp_path, tmp_path / "data")
    with pytest.raises(ValueError, match="--fps=0"):
        run(tmp_path, tmp_path / "data", fps=0.0)
