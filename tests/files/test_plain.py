"""Plain arrays and tables: what the writers write comes back; names of joints."""

import numpy as np
import pytest
from fixtures_detectors import table

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import COCO17, H36M17, Skeleton
from dstformer_jax.files.formats import read, sniff, write
from dstformer_jax.files.joint_names import canonical

PAIR = Skeleton("pair", ("tip", "base"), (1, -1))


def moving(skeleton: Skeleton, width: int, **facts) -> Motion:
    rng = np.random.default_rng(2)
    tracks = []
    for identity, start, frames in ((7, 3, 9), (2, 5, 4)):
        confidence = (rng.random((frames, skeleton.num_joints)) > 0.3).astype(np.float32)
        confidence[[0, -1], 0] = 1
        confidence[1] = 0  # a gap
        points = rng.normal(0, 2, (frames, skeleton.num_joints, width)) * confidence[..., None]
        unsure = (0.1 * confidence).astype(np.float32)
        points = points.astype(np.float32)
        tracks.append(Track(identity, start, points, confidence, unsure))
    return Motion(tuple(tracks), skeleton, **facts)


@pytest.mark.parametrize("form", ["npz", "csv", "json"])
@pytest.mark.parametrize(
    "motion",
    [
        moving(H36M17, 3, fps=29.97, unit="m", axes="world", notes=("One.", "Two: assumed.")),
        moving(COCO17, 2, unit="px", size=(1920, 1080)),
        moving(PAIR, 3, fps=50.0, unit="mm", axes="camera"),
    ],
    ids=["3d", "2d", "custom"],
)
def test_what_is_written_comes_back(tmp_path, form, motion):
    path = write(motion, tmp_path / "motion", [form])[0]
    assert sniff(path).name == form
    back = read(path)
    assert (back.skeleton, back.unit, back.axes) == (motion.skeleton, motion.unit, motion.axes)
    assert (back.fps, back.size, back.notes) == (motion.fps, motion.size, motion.notes)
    assert len(back.tracks) == len(motion.tracks)
    for one, other in zip(motion, back, strict=True):
        assert (one.id, one.start) == (other.id, other.start)
        np.testing.assert_array_equal(one.confidence, other.confidence)
        np.testing.assert_allclose(other.points, one.points, atol=6e-4)
        np.testing.assert_allclose(other.uncertainty, one.uncertainty, atol=6e-4)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("LShoulder", "left_shoulder"),
        ("Rshoulder", "right_shoulder"),
        ("RIGHT_FOOT_INDEX", "right_foot_index"),
        ("MOUTH_LEFT", "left_mouth"),
        ("lbigtoe", "left_big_toe"),
        ("knee_r", "right_knee"),
        ("leftHip", "left_hip"),
        ("right ear", "right_ear"),
        ("kneeleft", "left_knee"),
        ("MidHip", "root"),
        ("hip", "root"),
        ("HeadTop", "head"),
        ("left", None),
        ("ankle1", None),
        ("tail", None),
        ("", None),
    ],
)
def test_names_of_joints(name, word):
    assert canonical(name) == word


def test_parts_of_no_person_are_named(tmp_path):
    names = ["snout", "tailbase", "leftpaw", *COCO17.names[:8]]
    head = [f"{name}.{what}" for name in names for what in ("x", "y", "score")]
    rows = [["track", "frame_idx", "instance.score", *head], ["a", 0, 1, *[1.0] * 33]]
    with pytest.raises(ValueError, match=r"s\.csv: got 11 joints \(snout, tailbase, leftpaw not"):
        read(table(tmp_path / "s.csv", rows))


def test_an_archive_needs_a_skeleton(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, points=np.ones((4, 17, 2)))
    with pytest.raises(ValueError, match=r"a\.npz: got skeleton None and no joints"):
        read(path)
    np.savez(path, points=np.ones((4, 16, 2)), skeleton="coco17")
    with pytest.raises(ValueError, match=r"got 16 joints, expected 17 of coco17"):
        read(path)
    np.savez(path, points=np.ones((4, 17, 2)), skeleton="coco17", unit="feet")
    with pytest.raises(ValueError, match="got unit 'feet'"):
        read(path)
