"""The lifting task: targets, losses of each supervision, alarms, flip averaging."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixtures_lift3d import make_batch, make_index, make_pose, make_rows, with_padding

from dstformer_jax.body.geometry import flip
from dstformer_jax.tasks import losses
from dstformer_jax.tasks.lift3d import Lift3D
from dstformer_jax.training.evaluate import average

REDUCE = SimpleNamespace(mean=losses.plain_mean, gather=lambda x: x, axis_name=None)
EVERY_3D = ("mpjpe", "velocity", "n_mpjpe", "limb_variance", "limb_length", "angle",
            "angle_velocity")  # fmt: skip


def terms_of(task: Lift3D, pose, batch, supervision: str = "3d") -> dict[str, jax.Array]:
    return jax.jit(lambda p: task.loss({"pose": p}, batch, supervision, REDUCE))(pose)


# Targets ------------------------------------------------------------------------------------------


def test_targets_are_relative_to_the_root_of_each_frame():
    batch = make_batch()
    relative = batch["target"] - batch["target"][:, :, :1]
    terms = terms_of(Lift3D(terms=("mpjpe", "velocity")), relative, batch)
    np.testing.assert_allclose([terms["mpjpe"], terms["velocity"]], 0, atol=1e-6)


def test_without_root_relative_only_the_first_depth_is_taken_off():
    batch = make_batch()
    expected = batch["target"].copy()
    expected[..., 2] -= batch["target"][:, :1, :1, 2]
    task = Lift3D(terms=("mpjpe",), root_relative=False)
    np.testing.assert_allclose(terms_of(task, expected, batch)["mpjpe"], 0, atol=1e-6)
    flat = Lift3D(terms=("reprojection",), root_relative=False)
    pose = batch["target"] + np.array([0, 0, 9], np.float32)  # depth is not compared
    np.testing.assert_allclose(terms_of(flat, pose, batch, "2d")["reprojection"], 0, atol=1e-6)


# Losses -------------------------------------------------------------------------------------------


def test_terms_are_the_losses_of_the_relative_target():
    batch, task = make_batch(), Lift3D(terms=EVERY_3D)
    pose = make_pose(batch)
    target = batch["target"] - batch["target"][:, :, :1]
    got = terms_of(task, pose, batch)
    assert set(got) == set(EVERY_3D)
    for name in EVERY_3D:
        function = jax.jit(getattr(losses, name))
        expected = function(pose) if name == "limb_variance" else function(pose, target)
        np.testing.assert_allclose(got[name], expected, rtol=1e-5, err_msg=name)


def test_a_term_without_a_weight_is_not_computed():
    batch = make_batch()
    assert set(terms_of(Lift3D(terms=("velocity",)), make_pose(batch), batch)) == {"velocity"}


@pytest.mark.parametrize(
    ("reduction", "terms"), [("mean", EVERY_3D), ("sum", ("mpjpe", "velocity"))]
)
def test_padded_frames_change_nothing(reduction, terms):
    task = Lift3D(terms=terms, reduction=reduction)
    batch, pose = with_padding(make_batch(), make_pose(make_batch()))
    spoilt = pose.copy()
    spoilt[::2, -2:] += 100
    worse = {**batch, "target": batch["target"].copy()}
    worse["target"][::2, -2:] -= 7

    def total(pose, batch):
        return sum(task.loss({"pose": pose}, batch, "3d", REDUCE).values())

    gradient = jax.jit(jax.grad(total))(spoilt, batch)
    assert np.isfinite(gradient).all()
    assert (np.asarray(gradient)[::2, -2:] == 0).all()
    clean, padded = terms_of(task, pose, batch), terms_of(task, spoilt, worse)
    for name in terms:
        np.testing.assert_allclose(padded[name], clean[name], rtol=1e-5, err_msg=name)


def test_padded_frames_of_2d_batches_change_nothing():
    batch, pose = with_padding(make_batch(), make_pose(make_batch()))
    spoilt = pose.copy()
    spoilt[::2, -2:] += 100
    task = Lift3D()
    one, other = (terms_of(task, each, batch, "2d")["reprojection"] for each in (pose, spoilt))
    np.testing.assert_allclose(other, one, rtol=1e-6)
    kept = batch["valid"]
    target = batch["target"] - batch["target"][:, :, :1]
    error = np.linalg.norm((pose - target)[..., :2], axis=-1) * batch["confidence"]
    np.testing.assert_allclose(one, error[kept].mean(), rtol=1e-5)


def test_2d_frames_without_a_seen_root_weigh_nothing():
    """Their root stands at (0, 0), so their target is not root-relative; they stay in the mean."""
    batch = make_batch()
    batch["confidence"][1, 2:4, 0] = 0
    batch["target"][1, 2:4, 0] = 0
    pose = make_pose(batch)
    target = batch["target"] - batch["target"][:, :, :1]
    error = np.linalg.norm((pose - target)[..., :2], axis=-1) * batch["confidence"]
    whole = terms_of(Lift3D(root_relative=False), pose, batch, "2d")["reprojection"]
    absolute = np.linalg.norm((pose - batch["target"])[..., :2], axis=-1) * batch["confidence"]
    np.testing.assert_allclose(whole, absolute.mean(), rtol=1e-5)
    error[1, 2:4] = 0
    got = terms_of(Lift3D(), pose, batch, "2d")["reprojection"]
    np.testing.assert_allclose(got, error.mean(), rtol=1e-5)
    index = make_index(supervision="2d")
    measured = Lift3D().summarise(make_rows(Lift3D(), batch, pose), index)
    spoilt = pose.copy()
    spoilt[1, 2:4] += 5
    again = Lift3D().summarise(make_rows(Lift3D(), batch, spoilt), index)
    assert again["reprojection"] == measured["reprojection"]


def test_sums_are_the_equations_of_the_paper():
    """Eq. 6 and 7: sums over frames and joints of a clip, here averaged over the clips; eq. 8."""
    batch = make_batch()
    pose = make_pose(batch)
    target = batch["target"] - batch["target"][:, :, :1]
    task = Lift3D(terms=("mpjpe", "velocity", "reprojection"), reduction="sum")
    got = terms_of(task, pose, batch)
    error = np.linalg.norm(pose - target, axis=-1)
    np.testing.assert_allclose(got["mpjpe"], error.sum((1, 2)).mean(), rtol=1e-5)
    motion = np.linalg.norm(np.diff(pose - target, axis=1), axis=-1)
    np.testing.assert_allclose(got["velocity"], motion.sum((1, 2)).mean(), rtol=1e-5)
    flat = np.linalg.norm((pose - target)[..., :2], axis=-1) * batch["confidence"]
    reprojection = terms_of(task, pose, batch, "2d")["reprojection"]
    np.testing.assert_allclose(reprojection, flat.sum((1, 2)).mean(), rtol=1e-5)
    means = terms_of(Lift3D(terms=("mpjpe", "velocity")), pose, batch)
    np.testing.assert_allclose(got["mpjpe"], means["mpjpe"] * 6 * 17, rtol=1e-6)
    np.testing.assert_allclose(got["velocity"], means["velocity"] * 5 * 17, rtol=1e-6)


def test_2d_batches_give_the_reprojection_alone():
    batch = make_batch()
    assert set(terms_of(Lift3D(), make_pose(batch), batch, "2d")) == {"reprojection"}
    assert set(terms_of(Lift3D(), make_pose(batch), batch)) == {"mpjpe", "velocity", "n_mpjpe"}
    assert terms_of(Lift3D(terms=("mpjpe",)), make_pose(batch), batch, "2d") == {}


def test_unseen_joints_have_zero_and_finite_gradients():
    """A frame in which nobody is seen: target and confidence are zero, as the pipeline gives it."""
    batch = make_batch()
    batch["confidence"][0, 2] = batch["confidence"][:, :, 5] = 0
    batch["target"][batch["confidence"] == 0] = 0
    batch["target"][..., 2] = 0

    def loss(pose):
        return Lift3D().loss({"pose": pose}, batch, "2d", REDUCE)["reprojection"]

    for pose in (make_pose(batch), np.zeros_like(batch["target"])):
        gradient = np.asarray(jax.jit(jax.grad(loss))(pose))
        assert np.isfinite(gradient).all()
        assert (gradient[batch["confidence"] == 0] == 0).all()
    assert (np.abs(gradient[batch["confidence"] > 0]).sum(-1) > 0).any()


def test_refuses_unknown_terms_and_reductions():
    with pytest.raises(ValueError, match=r"weights\.mpjep, expected one of .*'mpjpe'"):
        Lift3D(terms=("mpjep",))
    with pytest.raises(ValueError, match=r"reduction='median', expected mean .* or sum"):
        Lift3D(reduction="median")


# Alarms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "ratio"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.5)])
def test_depth_ratio_is_the_share_of_depth_not_answered(depth, ratio):
    batch = make_batch()
    batch["valid"][1] = False
    pose = batch["target"] - batch["target"][:, :, :1]
    pose[1] += 50  # not scored
    watched = Lift3D().diagnose({"pose": pose * [1, 1, depth]}, batch, "3d", REDUCE)
    np.testing.assert_allclose(watched["depth_ratio"], ratio, atol=1e-6)


def test_nothing_is_watched_on_2d_batches():
    batch = make_batch()
    assert Lift3D().diagnose({"pose": make_pose(batch)}, batch, "2d", REDUCE) == {}


def test_the_alarm_names_the_plateau_once_there_was_time_to_leave_it():
    task = Lift3D(plateau_after=100)
    message = task.alarm(100, {"depth_ratio": 0.97})
    assert message
    assert "zero-depth plateau" in message
    assert "0.97" in message
    assert "optim.name=muon" in message
    assert task.alarm(99, {"depth_ratio": 0.97}) is None
    assert task.alarm(100, {"depth_ratio": 0.5}) is None
    assert task.alarm(100, {"loss": 1.0}) is None  # a window of 2D batches alone


# Flip averaging -----------------------------------------------------------------------------------


def test_mirroring_twice_changes_nothing():
    task, batch = Lift3D(), make_batch()
    motion, pose = jnp.asarray(batch["motion"]), jnp.asarray(make_pose(batch))
    twice = task.mirror_input(task.mirror_input({"motion": motion}))
    np.testing.assert_array_equal(twice["motion"], motion)
    np.testing.assert_array_equal(task.mirror(task.mirror({"pose": pose}))["pose"], pose)
    mirrored = np.asarray(task.mirror_input({"motion": motion})["motion"])
    np.testing.assert_array_equal(mirrored, flip(batch["motion"]))
    np.testing.assert_array_equal(mirrored[:, :, 1, 0], -batch["motion"][:, :, 4, 0])
    np.testing.assert_array_equal(mirrored[:, :, 1, 2], batch["motion"][:, :, 4, 2])


def averaged(task: Lift3D, predict, motion: jax.Array) -> jax.Array:
    """What the evaluation does with a predictor."""
    mirrored = predict(task.mirror_input({"motion": motion})["motion"])
    return average({"pose": predict(motion)}, task.mirror({"pose": mirrored}))["pose"]


def test_flip_averaging_leaves_an_equivariant_predictor_and_mends_another():
    task, motion = Lift3D(), jnp.asarray(make_batch()["motion"])

    def equivariant(motion):
        return jnp.concatenate([motion[..., :2], motion[..., 1:2] ** 2], axis=-1)

    def lopsided(motion):
        return equivariant(motion) + jnp.array([0.3, 0, 0])[None, None, None]

    np.testing.assert_allclose(averaged(task, equivariant, motion), equivariant(motion), atol=1e-7)
    np.testing.assert_allclose(averaged(task, lopsided, motion), equivariant(motion), atol=1e-6)
