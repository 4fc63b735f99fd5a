import csv
import json

import numpy as np
import pytest

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.bvh import Bvh, read_bvh
from dstformer_jax.files.rigs import Rig, choose_rig, guess_unit, load_rigs, read_motion

RIGS = load_rigs()


def toy(names: tuple[str, ...]) -> Bvh:
    """A file whose node n stands at x = n in each of 2 frames."""
    channels = tuple((("position", 0),) for _ in names)
    values = np.repeat(np.arange(len(names), dtype=float)[None], 2, axis=0)
    parents = (-1,) * len(names)
    return Bvh(names, parents, np.zeros((len(names), 3)), channels, values, 1 / 30)


def test_expressions_mix_nodes():
    names = ("a", "b", "b:EndSite")
    expressions = ("a", "b:EndSite", "mean(a,b:EndSite)", "a+1.8*(b-a)", *["b"] * 13)
    rig = Rig("toy", expressions, {"toe": "mean(a,b)", "heel": "c"})
    pose = rig.pose(toy(names), 0.1)
    assert pose.shape == (2, 17, 3)
    np.testing.assert_allclose(pose[1, :5, 0], [0, 0.2, 0.1, 0.18, 0.1], atol=1e-6)
    landmarks, found = rig.present_landmarks(toy(names), 1.0)
    assert found == ("toe",)
    np.testing.assert_allclose(landmarks[:, 0, 0], 0.5)


@pytest.mark.parametrize("name", RIGS)
def test_shipped_rigs_are_mirrored_like_the_skeleton(name):
    """Left joints of a rig are its right joints with the side's letters exchanged."""
    joints = RIGS[name].joints

    def other(text: str) -> str:
        swaps = [("right", "left"), ("Right", "Left"), ("_R", "_L"), ("rThigh", "lThigh")]
        for a, b in swaps:
            text = text.replace(a, "\0").replace(b, a).replace("\0", b)
        if name in ("asf31", "cgspeed_daz21") and text[0] in "rl" and "root" not in text:
            text = {"r": "l", "l": "r"}[text[0]] + text[1:]
        return text

    for joint, mirrored in enumerate(H36M17.mirror):
        if joint != mirrored and "Thigh" not in joints[joint]:
            assert other(joints[joint]) == joints[mirrored]


def test_the_rig_is_chosen_by_names():
    names = tuple(text for text in RIGS["asf31"].joints)
    assert choose_rig(toy(names)).name == "asf31"
    with pytest.raises(ValueError, match=r"the nearest, asf31, also needs ltibia"):
        choose_rig(toy(tuple(name for name in names if name != "ltibia")))
    with pytest.raises(ValueError, match="got rig 'nobody', expected one of asf31"):
        choose_rig(toy(names), name="nobody")


def test_a_users_table(tmp_path):
    path = tmp_path / "rigs.json"
    path.write_text(json.dumps({"note": "ours", "mine": ["a"] * 17, "h36m17": ["root"] * 17}))
    rigs = load_rigs(path)
    assert list(rigs) == ["mine"]
    assert choose_rig(toy(("a", "b")), rigs).name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "got no valid JSON"),
        ("[" * 100000, "got no valid JSON"),
        ("[]", "got list, expected an object"),
        ('{"note": "x"}', "got no rig"),
        ('{"mine": ["a", "b"]}', r"got rig 'mine' of \['a', 'b'\], expected 17"),
        ('{"mine": {"joints": 3}}', "got rig 'mine'"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "rigs.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_rigs(path)


def test_units_are_guessed_from_the_legs():
    pose = np.zeros((3, 17, 3), np.float32)
    pose[:, [2, 5], 1], pose[:, [3, 6], 1] = -0.42, -0.84
    for unit in (0.001, 0.01, 0.056444, 1.0):
        assert guess_unit(pose / unit) == unit
    with pytest.raises(ValueError, match="expected a body"):
        guess_unit(np.zeros((3, 17, 3)))


@pytest.mark.parametrize("folder", ["cmu_mocap", "cmu_mocap_more", "deepmimic_clips"])
def test_real_files_find_their_rig_and_unit(shared, folder):
    with (shared / "data" / folder / "index.csv").open() as table:
        rows = {row["skeleton"]: row for row in csv.DictReader(table)}  # one of each rig
    for row in rows.values():
        bvh = read_bvh(shared / "data" / folder / row["file"])
        rig = choose_rig(bvh)
        assert rig.name == row["skeleton"]
        assert guess_unit(rig.pose(bvh, 1.0)) == float(row["unit_to_m"])
        assert "head_end" in rig.present_landmarks(bvh, 1.0)[1]


def test_two_conversions_of_one_take_agree(shared):
    """The cgspeed original (120 fps, 5.6444 cm, T-pose first) and our 60 fps file of 02_01."""
    folder = shared / "data" / "cmu_mocap"
    ours = read_motion(folder / "bvh" / "02_01.bvh")
    other = read_motion(folder / "original_files" / "02_01.bvh")
    assert (ours.fps, other.fps, ours.unit, ours.axes) == (60, 120, "m", "world")
    legs = [1, 2, 3, 4, 5, 6]
    first = other.tracks[0].points[1::2][:150] - other.tracks[0].points[1::2][:150, :1]
    second = ours.tracks[0].points[:150] - ours.tracks[0].points[:150, :1]
    assert np.linalg.norm(first - second, axis=-1)[:, legs].mean() < 0.03


def test_shipped_rigs_agree_with_the_tables_of_the_data(shared):
    for name in ("skeleton_to_h36m17.json", "skeleton_to_h36m17_more.json"):
        theirs = load_rigs(shared / "data" / name)
        for rig in theirs.keys() & RIGS.keys():
            assert RIGS[rig].joints == theirs[rig].joints
