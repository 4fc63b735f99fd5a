"""Clips of a declared skeleton: mirrored by its pairs, with noise for all joints, hidden groups."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body.declared import skeleton_of
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data import pipeline, schema
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.corrupt import SHIPPED, NoiseTable, corrupt
from dstformer_jax.data.people import finish_batch
from dstformer_jax.data.schema import Sequence, from_record, to_record
from dstformer_jax.data.sources import Source, SourceData

FEET_HANDS = skeleton_of(Path(__file__).resolve().parents[2] / "configs/h36m_feet_hands.json")
J = FEET_HANDS.num_joints


def sequence(name: str, frames: int = 40) -> Sequence:
    rng = np.random.default_rng(frames)
    pose = rng.normal(0, 0.3, (frames, J, 3))
    return Sequence(
        id=name, fps=30.0, axes="camera", pose=pose, motion=pose, joints=FEET_HANDS.names
    )


@pytest.fixture
def bank(tmp_path) -> Bank:
    return Bank.read(write_bank([sequence("a"), sequence("b", 31)], tmp_path / "train"))


def source(**settings) -> Source:
    return Source("a", "b", **{"frames": 5, "stride": 5, "batch": 8, "crop": (1, 1), **settings})


def test_a_sequence_knows_its_joints_in_records_and_banks(bank):
    assert bank.joints == FEET_HANDS.names
    assert bank.pose.shape == (71, J, 3)
    whole = sequence("c", 4)
    assert whole.pose_mm.shape == (0, J, 3)  # what it has not got is of its joints too
    features = schema.features(J)
    stored = features.serialize_example(to_record(whole))
    back = from_record(features.deserialize_example_np(stored))
    assert back.joints == FEET_HANDS.names
    np.testing.assert_array_equal(back.pose, whole.pose)
    with pytest.raises(ValueError, match=r"got pose of shape \(4, 17, 3\) .* expected \[T, 21, 3"):
        Sequence(id="d", fps=30.0, pose=np.zeros((4, 17, 3)), joints=FEET_HANDS.names)


def test_records_without_joints_are_of_the_17(tmp_path):
    plain = Sequence(id="a", fps=30.0, pose=np.zeros((4, 17, 3)))
    record = to_record(plain)
    assert record.pop("joints") == list(H36M17.names)
    assert from_record(record).joints == H36M17.names
    found = Bank.read(write_bank([plain], tmp_path / "train"))
    assert found.joints == H36M17.names
    assert "joints" not in found.sequences[0]


def test_mirrored_clips_swap_the_pairs_and_both_places_agree(bank):
    data = SourceData.of(source(flip=True), bank, FEET_HANDS)
    plan = pipeline.open_plan([data], epochs=1)
    host = [batch for _, batch in pipeline.batches(plan, [data], feed="numpy")]
    gathered = [
        batch for _, batch in pipeline.batches(plan, [data], feed="numpy", corrupt_on="device")
    ]
    flips = 0
    for clean, raw in zip(host, gathered, strict=True):
        assert clean["motion"].shape == (8, 5, J, 3)
        finished = finish_batch(raw, data, jnp)
        np.testing.assert_allclose(finished["target"], clean["target"], atol=1e-6)
        for row, flip in enumerate(raw["flip"]):
            pose = raw["pose"][row]
            if flip:
                pose = pose[:, FEET_HANDS.mirror] * [-1, 1, 1]
                flips += 1
            bones = (pose - pose[:, :1]) * 1000 / clean["scale"][row]
            target = clean["target"][row]
            np.testing.assert_allclose(target - target[:, :1], bones, atol=1e-5)
    assert flips


def test_both_feeds_give_the_same_clips(bank):
    data = SourceData.of(source(flip=True), bank, FEET_HANDS)
    plan = pipeline.open_plan([data], epochs=1)
    ours, theirs = (
        [batch for _, batch in pipeline.batches(plan, [data], feed=feed)]
        for feed in ("tf", "numpy")
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a["motion"], b["motion"])


def test_joints_have_the_noise_of_their_name_or_of_the_joint_above():
    table = SHIPPED.of(FEET_HANDS)
    np.testing.assert_array_equal(table.mean[:17], SHIPPED.mean)
    for name, above in (("left_big_toe", "left_ankle"), ("right_hand_tip", "right_wrist")):
        row, joint = H36M17.index(above), FEET_HANDS.index(name)
        np.testing.assert_array_equal(table.std[joint], SHIPPED.std[row])
        assert table.weight[joint] == SHIPPED.weight[row]
    again = table.of(FEET_HANDS)
    np.testing.assert_array_equal(again.std, table.std)
    assert SHIPPED.of(H36M17).groups == ()


@pytest.mark.parametrize("feed", ["numpy", "jax", "tf"])
def test_optional_joints_are_hidden_together_in_whole_clips(feed):
    from dstformer_jax.data._tf import tnp

    xp = {"numpy": np, "jax": jnp, "tf": tnp}[feed]
    table = NoiseTable(
        SHIPPED.mean, SHIPPED.std, SHIPPED.weight, joint_mask=0, frame_mask=0, group_mask=0.5
    ).of(FEET_HANDS)
    motion = xp.asarray(np.ones((400, 3, J, 3), np.float32))
    keys = xp.asarray(np.arange(16, dtype=np.uint32).reshape(8, 2))
    out = np.asarray(corrupt(motion, keys, noise=False, mask=True, table=table, xp=xp))
    hidden = (out == 0).all((1, 3))  # [B, J]
    assert np.isin(out, (0, 1)).all()
    np.testing.assert_array_equal(hidden, (out == 0).any((1, 3)))  # never some frames alone
    assert not hidden[:, :17].any()
    feet, hands = hidden[:, 17:19], hidden[:, 19:]
    for group in (feet, hands):
        np.testing.assert_array_equal(group[:, 0], group[:, 1])
        assert 0.4 < group[:, 0].mean() < 0.6
    both = (feet[:, 0] & hands[:, 0]).mean()
    assert 0.15 < both < 0.35  # drawn apart


def test_no_groups_change_no_draws():
    """What 17 joints get does not depend on there being groups of others."""
    motion = np.random.default_rng(0).normal(size=(16, 5, 17, 3)).astype(np.float32)
    keys = np.arange(16, dtype=np.uint32).reshape(8, 2)
    plain = corrupt(motion, keys, noise=True, mask=True, xp=np)
    ours = corrupt(motion, keys, noise=True, mask=True, table=SHIPPED.of(H36M17), xp=np)
    np.testing.assert_array_equal(plain, ours)


def test_other_joints_than_the_dataset_has_are_refused(bank, tmp_path):
    with pytest.raises(ValueError, match=r"of 21 joints, expected the 17 of h36m17 .* --skeleton"):
        SourceData.of(source(), bank)
    plain = Sequence(id="a", fps=30.0, axes="camera", pose=np.zeros((9, 17, 3)))
    other = Bank.read(write_bank([plain], tmp_path / "plain"))
    message = r"of 17 joints, expected the 21 of h36m_feet_hands \(lacking: left_big_toe\)"
    with pytest.raises(ValueError, match=message):
        SourceData.of(source(), other, FEET_HANDS)
    with pytest.raises(ValueError, match="got input 'coco17' with h36m_feet_hands"):
        SourceData.of(source(input="coco17"), bank, FEET_HANDS)
