"""BVH files and keypoints prepared in the joints of a declared skeleton."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.body.declared import skeleton_of
from dstformer_jax.body.skeleton import BODY25
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import prepare
from dstformer_jax.files.rigs import SHIPPED

EXAMPLE = Path(__file__).resolve().parents[2] / "configs" / "h36m_feet_hands.json"
SKELETON = skeleton_of(EXAMPLE)
ENDS = {
    "left_toe_end": "ltoes:EndSite",
    "right_toe_end": "rtibia+1.1*(rfoot-rtibia)",
    "left_hand_end": "lradius+1.8*(lwrist-lradius)",
    "right_hand_end": "rradius+1.8*(rwrist-rradius)",
}


def rigs(path: Path, landmarks: dict[str, str]) -> Path:
    """A table of one rig, with the joints of asf31."""
    joints = json.loads(SHIPPED.read_text())["asf31"]["joints"]
    path.write_text(json.dumps({"mine": {"joints": joints, "landmarks": landmarks}}))
    return path


def standing(frames: int) -> np.ndarray:
    return np.tile([0.0, 95.0, 0.0], (frames, 1))


def bank(source: Path, dataset: str = "bvh", **options) -> Bank:
    data = source.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    options = {"skeleton": str(EXAMPLE), **options}
    prepare(dataset, data, source=source, options=options, progress=False)
    return Bank.open(data, f"{dataset}/default")


def test_joints_come_from_the_rig_and_its_landmarks(write_bvh, tmp_path):
    write_bvh(tmp_path / "in" / "a.bvh", standing(30))
    table = rigs(tmp_path / "rigs.json", ENDS)
    found = bank(tmp_path / "in", rigs=str(table))
    plain = bank(tmp_path / "in", rigs=str(table), skeleton="h36m17")
    assert found.joints == SKELETON.names
    np.testing.assert_array_equal(found.pose[:, :17], plain.pose)
    places = {
        "left_big_toe": (0.10, 0.95 - 0.83 - 0.06, 0.19),
        "right_big_toe": (-0.10, 0.95 - 0.42 - 1.1 * 0.41, 0),
        "left_hand_tip": (0.17 + 0.29 + 1.8 * 0.25, 0.95 + 0.48, 0),
        "right_hand_tip": (-0.17 - 0.29 - 1.8 * 0.25, 0.95 + 0.48, 0),
    }
    for name, place in places.items():
        np.testing.assert_allclose(found.pose[5, SKELETON.index(name)], place, atol=1e-5)


def test_a_hand_that_jumps_is_cut_away(write_bvh, tmp_path):
    table = rigs(tmp_path / "rigs.json", {**ENDS, "left_hand_end": "lwrist+9*(lwrist-lradius)"})
    turns = {"lhumerus": np.where(np.arange(60) < 30, 0.0, 20.0)}
    write_bvh(tmp_path / "in" / "a.bvh", standing(60), turns=turns)
    found = bank(tmp_path / "in", rigs=str(table))
    plain = bank(tmp_path / "in", rigs=str(table), skeleton="h36m17")
    assert [row["frames"] for row in found.sequences] == [30, 30]
    assert [row["frames"] for row in plain.sequences] == [60]


def test_a_rig_that_cannot_tell_a_joint_is_named(write_bvh, tmp_path):
    write_bvh(tmp_path / "in" / "a.bvh", standing(30))
    few = {name: text for name, text in ENDS.items() if "hand" not in name}
    table = rigs(tmp_path / "rigs.json", few)
    message = r"got rig mine with landmarks left_toe_end, right_toe_end, expected what "
    message += r"h36m_feet_hands makes left_hand_tip, right_hand_tip of; do give them in --rigs"
    with pytest.raises(ValueError, match=message):
        bank(tmp_path / "in", rigs=str(table))


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("bvh", {"layouts": True}, "got --layouts with --skeleton="),
        ("bvh", {"skeleton": "nobody"}, "got skeleton 'nobody', expected one of"),
        ("detected_bvh", {}, "expected h36m17 for this dataset"),
        ("body_bvh", {}, "expected h36m17 for this dataset"),
    ],
)
def test_what_has_no_other_joints_is_refused(write_bvh, tmp_path, dataset, options, message):
    write_bvh(tmp_path / "in" / "a.bvh", standing(30))
    body = {"body": "body.npz"} if dataset == "body_bvh" else {}
    with pytest.raises(ValueError, match=message):
        bank(tmp_path / "in", dataset, **body, **options)


def test_keypoints_keep_the_feet_that_a_detector_sees(tmp_path):
    places = np.random.default_rng(0).uniform(100, 400, (25, 2))
    (tmp_path / "in" / "clip").mkdir(parents=True)
    for frame in range(40):
        points = np.concatenate([places + frame, np.full((25, 1), 0.8)], axis=1)
        content = {"version": 1.3, "people": [{"pose_keypoints_2d": points.ravel().tolist()}]}
        path = tmp_path / "in" / "clip" / f"clip_{frame:012d}_keypoints.json"
        path.write_text(json.dumps(content))
    found = bank(tmp_path / "in", "keypoints2d")
    assert found.joints == SKELETON.names
    toe, hand = SKELETON.index("left_big_toe"), SKELETON.index("left_hand_tip")
    wanted = places[BODY25.index("left_big_toe")] + 3
    np.testing.assert_allclose(found.motion[3, toe], [*wanted, 0.8], rtol=1e-5)
    assert not found.motion[:, hand].any()


def test_options_that_came_later_count_as_their_defaults(write_bvh, tmp_path):
    """A dataset that was prepared before there was --skeleton is still there."""
    write_bvh(tmp_path / "in" / "a.bvh", standing(30))
    report = prepare("bvh", tmp_path / "data", tmp_path / "in", progress=False)
    path = Path(report.path) / "report.json"
    content = json.loads(path.read_text())
    del content["options"]["skeleton"]
    path.write_text(json.dumps(content))
    assert prepare("bvh", tmp_path / "data", tmp_path / "in", progress=False).files == 1
    options = {"skeleton": str(EXAMPLE)}
    with pytest.raises(ValueError, match="skeleton h36m17 -> "):
        prepare("bvh", tmp_path / "data", tmp_path / "in", options=options, progress=False)
