"""Skeletons of your own: what a declaration says, what is wrong with it, and what is made of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.body import geometry
from dstformer_jax.body.declared import declaration, skeleton_of
from dstformer_jax.body.kinematics import articulate
from dstformer_jax.body.skeleton import (
    BODY25,
    COCO17,
    H36M17,
    HALPE26,
    MEDIAPIPE33,
    NTU25,
    Skeleton,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "configs" / "h36m_feet_hands.json"
ADDED = ("left_big_toe", "right_big_toe", "left_hand_tip", "right_hand_tip")


def example() -> Skeleton:
    return skeleton_of(EXAMPLE)


def test_the_example_is_the_17_joints_with_feet_and_hands():
    skeleton = example()
    assert skeleton.names == (*H36M17.names, *ADDED)
    assert skeleton.parents[:17] == H36M17.parents
    above = [skeleton.names[parent] for parent in skeleton.parents[17:]]
    assert above == ["left_ankle", "right_ankle", "left_wrist", "right_wrist"]
    assert skeleton.optional == (ADDED[:2], ADDED[2:])
    assert skeleton.num_joints == 21


def test_a_declaration_comes_back_as_it_was_written():
    skeleton = example()
    content = json.loads(json.dumps(declaration(skeleton)))
    assert skeleton_of(content) == skeleton
    assert hash(skeleton_of(content)) == hash(skeleton)
    assert skeleton_of(declaration(H36M17)) is H36M17
    assert declaration(H36M17) == "h36m17"


def test_mirroring_swaps_feet_and_hands_and_twice_is_nothing():
    skeleton = example()
    for name in ADDED:
        side, _, place = name.partition("_")
        other = f"{'right' if side == 'left' else 'left'}_{place}"
        assert skeleton.mirror[skeleton.index(name)] == skeleton.index(other)
    assert skeleton.mirror[:17].tolist() == H36M17.mirror.tolist()
    motion = np.random.default_rng(0).normal(size=(2, 5, 21, 3)).astype(np.float32)
    flipped = geometry.flip(motion, skeleton)
    np.testing.assert_array_equal(geometry.flip(flipped, skeleton), motion)
    np.testing.assert_array_equal(flipped[..., 17, 0], -motion[..., 18, 0])
    np.testing.assert_array_equal(flipped[..., 20, 1:], motion[..., 19, 1:])


@pytest.mark.parametrize(
    ("layout", "made"),
    [
        (HALPE26, {"left_big_toe": {"left_big_toe": 1}, "right_hand_tip": None}),
        (BODY25, {"right_big_toe": {"right_big_toe": 1}, "left_hand_tip": None}),
        (NTU25, {"left_big_toe": None, "left_hand_tip": {"left_hand_tip": 1}}),
        (
            MEDIAPIPE33,
            {
                "left_big_toe": {"left_foot_index": 1},
                "right_hand_tip": {"right_index": 1.9, "right_wrist": -0.9},
            },
        ),
        (COCO17, dict.fromkeys(ADDED)),
    ],
    ids=lambda value: value.name if isinstance(value, Skeleton) else "",
)
def test_layouts_give_what_they_have(layout, made):
    skeleton = example()
    points = np.random.default_rng(1).normal(size=(3, layout.num_joints, 2))
    out, score = layout.convert(points, None, skeleton)
    plain, _ = layout.convert(points, None, H36M17)
    np.testing.assert_array_equal(out[:, :17], plain)
    for name, parts in made.items():
        joint = skeleton.index(name)
        assert (score[:, joint] == (parts is not None)).all()
        wanted = sum(
            (w * points[:, layout.index(part)] for part, w in (parts or {}).items()),
            np.zeros((3, 2)),
        )
        np.testing.assert_allclose(out[:, joint], wanted, atol=1e-12)


def test_the_first_rule_that_can_be_told_is_taken():
    content = declaration(example())
    assert isinstance(content, dict)
    content["rules"]["left_big_toe"] = ["tail", "mean(left_heel,left_small_toe)", "left_ankle"]
    del content["rules"]["right_big_toe"]
    points = np.arange(26.0)[:, None]
    no_toe = Skeleton(
        "own", tuple(n.replace("big_toe", "claw") for n in HALPE26.names), HALPE26.parents
    )
    out, score = no_toe.convert(points, None, skeleton_of(content))
    assert out[17, 0] == (HALPE26.index("left_heel") + HALPE26.index("left_small_toe")) / 2
    assert score[17:19].tolist() == [1, 0]


def test_rotations_of_feet_and_hands():
    """Bones of a rigid body come back from its rotations, those of feet and hands too."""
    skeleton = example()
    rest = np.random.default_rng(2).normal(size=(1, 21, 3))
    body = articulate(rest.repeat(4, axis=0), skeleton)
    np.testing.assert_allclose(body.positions, rest.repeat(4, axis=0), atol=1e-9)
    assert set(ADDED) <= set(body.names)


def changed(**joints: object) -> dict:
    """The example with joints added or with other parents."""
    content = declaration(example())
    assert isinstance(content, dict)
    return {**content, "joints": {**content["joints"], **joints}}


def without(*names: str) -> dict:
    """The example without some joints."""
    content = changed()
    content["joints"] = {k: v for k, v in content["joints"].items() if k not in names}
    content["rules"] = {k: v for k, v in content["rules"].items() if k not in names}
    content["optional"] = []
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(left_heel="left_foot"), "got parent 'left_foot' of left_heel, expected one of"),
        (changed(left_heel="left_ankle"), "got left_heel without right_heel"),
        (
            changed(left_heel="left_ankle", right_heel="right_knee"),
            "got left_heel below left_ankle and right_heel below right_knee",
        ),
        (changed(belly="head"), "got a cycle belly < head < nose < neck < belly"),
        (changed(tail="tail"), "got a cycle tail < tail"),
        (changed(tail=None), "got joints without parent root, tail, expected root alone"),
        (changed(tail=["root"]), "got parent ['root'] of tail"),
        (changed(**{"my toe": "root"}), "got joint 'my toe', expected letters"),
        (changed(left_hip="neck", right_hip="neck"), "got right_hip before its parent neck"),
        (changed(left_knee="root", right_knee="root"), "got left_knee below root, expected"),
        (without("left_wrist", "right_wrist", *ADDED), "got no joint left_wrist"),
        (without("left_hand_tip"), "got right_hand_tip without left_hand_tip"),
        ({**changed(), "rules": {"tail": []}}, "got a rule for 'tail', expected one of"),
        ({**changed(), "rules": {"belly": "neck"}}, "got rule 'neck' of belly"),
        ({**changed(), "rules": {"belly": ["mean(a,)"]}}, "got joint expression 'mean(a,)'"),
        ({**changed(), "rules": []}, "got rules []"),
        ({**changed(), "optional": [["tail"]]}, "got optional joint 'tail'"),
        ({**changed(), "optional": ["tail"]}, "got optional ['tail'], expected lists"),
        ({**changed(), "name": "coco17"}, "got name 'coco17'"),
        ({**changed(), "name": "a b"}, "got name 'a b'"),
        ({**changed(), "mirror": {}}, "got ['joints', 'mirror', 'name', 'optional', 'rules']"),
        ({**changed(), "joints": ["root"]}, "got joints ['root'], expected an object"),
        ([], "got list, expected an object of name, joints"),
    ],
)
def test_wrong_declarations_are_one_line(tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as error:
        skeleton_of(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    if "expression" not in message:
        assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "joints": {"root": null, "root": null}}', "got 'root' twice"),
        ("{", "expected a JSON object"),
        ("[" * 10_000, "expected a JSON object"),
        ("x" * 2**18 + "x", "expected a small declaration"),
    ],
)
def test_files_that_are_no_declaration(tmp_path, text, message):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        skeleton_of(path)
    assert message in str(error.value)


def test_names_that_no_network_can_have():
    with pytest.raises(ValueError, match="got skeleton 'h36m18', expected one of h36m17"):
        skeleton_of("h36m18")
    with pytest.raises(ValueError, match="halpe26: got joints without parent root, expected root"):
        skeleton_of("halpe26")
