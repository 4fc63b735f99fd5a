"""Losses and measures of a declared skeleton."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body.declared import declaration, skeleton_of
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.tasks import losses
from dstformer_jax.tasks.lift3d import Lift3D

FEET_HANDS = skeleton_of(Path(__file__).resolve().parents[2] / "configs/h36m_feet_hands.json")


def test_pairs_of_limbs_follow_the_joints():
    plain = losses.angle_pairs(H36M17)
    np.testing.assert_array_equal(plain, losses.ANGLE_PAIRS)
    pairs = losses.angle_pairs(FEET_HANDS)
    np.testing.assert_array_equal(pairs[:18], plain)
    ends = [tuple(FEET_HANDS.names[FEET_HANDS.limbs[i][1]] for i in pair) for pair in pairs[18:]]
    assert ends == [
        ("left_ankle", "left_big_toe"),
        ("right_ankle", "right_big_toe"),
        ("left_wrist", "left_hand_tip"),
        ("right_wrist", "right_hand_tip"),
    ]


def test_the_order_of_joints_changes_no_loss_of_limbs():
    content = declaration(FEET_HANDS)
    assert isinstance(content, dict)
    names = list(FEET_HANDS.names)
    order = [
        *names[:7],
        "belly",
        "neck",
        "left_big_toe",
        *(n for n in names[9:] if "left_b" not in n),
    ]
    content["joints"] = {name: content["joints"][name] for name in order}
    other = skeleton_of(content)
    pose = np.random.default_rng(0).normal(size=(2, 4, 21, 3)).astype(np.float32)
    moved = pose[:, :, [FEET_HANDS.index(name) for name in order]]
    target = pose[::-1]
    moved_target = moved[::-1]
    for term in (losses.limb_length, losses.angle, losses.angle_velocity):
        here = term(jnp.asarray(pose), jnp.asarray(target), losses.plain_mean, FEET_HANDS)
        there = term(jnp.asarray(moved), jnp.asarray(moved_target), losses.plain_mean, other)
        np.testing.assert_allclose(here, there, rtol=1e-5)


def test_errors_of_the_17_and_of_feet_and_hands():
    rng = np.random.default_rng(1)
    true = rng.normal(size=(3, 4, 21, 3))
    pred = true + rng.normal(size=true.shape) * 0.1
    valid = np.ones((3, 4), bool)
    valid[2, 2:] = False
    rows = {"pose": pred, "target": true, "valid": valid, "scale": np.full(3, 500.0)}
    index = {
        "supervision": np.array("3d"),
        "frames": np.arange(12).reshape(3, 4),
        "fps": np.full(3, 30.0),
        "rig": np.array(["x"] * 3),
        "action": np.array([""] * 3),
    }
    out = Lift3D(skeleton=FEET_HANDS).summarise(rows, index)
    apart = (pred - pred[..., :1, :]) - (true - true[..., :1, :])
    errors = 500 * np.linalg.norm(apart, axis=-1)[valid].mean(0)  # [21]
    assert out["mpjpe"] == pytest.approx(errors.mean())
    assert out["mpjpe_h36m17"] == pytest.approx(errors[:17].mean())
    assert out["mpjpe_added"] == pytest.approx(errors[17:].mean())
    assert out["mpjpe_joint/right_hand_tip"] == pytest.approx(errors[20])
    plain = {**rows, "pose": pred[:, :, :17], "target": true[:, :, :17]}
    assert not any("joint" in name or "added" in name for name in Lift3D().summarise(plain, index))


def test_what_is_mirrored_is_of_the_skeleton():
    motion = np.random.default_rng(2).normal(size=(2, 3, 21, 3)).astype(np.float32)
    task = Lift3D(skeleton=FEET_HANDS)
    seen = task.mirror_input({"motion": jnp.asarray(motion)})["motion"]
    np.testing.assert_array_equal(seen[..., 17, 1], motion[..., 18, 1])
    np.testing.assert_array_equal(task.mirror({"pose": seen})["pose"], motion)
