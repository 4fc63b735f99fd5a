"""The lifting task: targets, losses of each supervision, alarms, metrics of hand-made rows."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body.geometry import flip
from dstformer_jax.tasks import losses, metrics
from dstformer_jax.tasks.lift3d import Lift3D
from dstformer_jax.training.evaluate import average

REDUCE = SimpleNamespace(mean=losses.plain_mean, gather=lambda x: x, axis_name=None)
EVERY_3D = ("mpjpe", "velocity", "n_mpjpe", "limb_variance", "limb_length", "angle",
            "angle_velocity")  # fmt: skip


def make_batch(clips: int = 4, frames: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (clips, frames, 17)
    return {
        "motion": rng.uniform(-1, 1, (*shape, 3)).astype(np.float32),
        "target": rng.normal(0, 0.5, (*shape, 3)).astype(np.float32),
        "confidence": rng.uniform(0.1, 1, shape).astype(np.float32),
        "valid": np.ones(shape[:2], bool),
        "scale": rng.uniform(800, 1200, clips).astype(np.float32),
    }


def make_pose(batch: dict[str, np.ndarray], error: float = 0.1) -> np.ndarray:
    noise = np.random.default_rng(9).normal(0, error, batch["target"].shape)
    return (batch["target"] + noise).astype(np.float32)


def terms_of(task: Lift3D, pose, batch, supervision: str = "3d") -> dict[str, jax.Array]:
    return jax.jit(lambda p: task.loss({"pose": p}, batch, supervision, REDUCE))(pose)


def with_padding(batch, pose):
    """The last two frames of half of the clips become repetitions that do not count."""
    batch = {**batch, "valid": batch["valid"].copy(), "target": batch["target"].copy()}
    batch["valid"][::2, -2:] = False
    batch["target"][::2, -2:] = batch["target"][::2, -3:-2]
    return batch, pose


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
    assert "model.init=fan_in" in message
    assert task.alarm(99, {"depth_ratio": 0.97}) is None
    assert task.alarm(100, {"depth_ratio": 0.5}) is None
    assert task.alarm(100, {"loss": 1.0}) is None  # a window of 2D batches alone


# Metrics ------------------------------------------------------------------------------------------


def make_rows(task: Lift3D, batch, pose) -> dict[str, np.ndarray]:
    rows = task.measure({"pose": jnp.asarray(pose)}, {k: jnp.asarray(v) for k, v in batch.items()})
    return {name: np.asarray(row) for name, row in rows.items()}


def make_index(clips: int = 4, frames: int = 6, supervision: str = "3d", **facts):
    index = {
        "supervision": np.array(supervision),
        "frames": np.arange(clips * frames).reshape(clips, frames),
        "fps": np.full(clips, 30.0),
        "action": np.full(clips, ""),
        "rig": np.full(clips, ""),
        "valid": np.ones((clips, frames), bool),
    }
    return {**index, **{name: np.asarray(fact) for name, fact in facts.items()}}


def in_mm(batch, pose):
    """Root-relative prediction and truth in mm, in float64 and by other means than the task."""
    scale = batch["scale"].astype(np.float64)[:, None, None, None]
    pred, true = pose.astype(np.float64), batch["target"].astype(np.float64)
    pred = np.concatenate([np.zeros_like(pred[:, :, :1]), pred[:, :, 1:]], axis=2)
    return pred * scale, (true - true[:, :, :1]) * scale


def test_rows_count_the_root_of_the_answer_as_zero():
    batch = make_batch()
    rows = make_rows(Lift3D(), batch, make_pose(batch))
    assert (rows["pose"][:, :, 0] == 0).all()
    assert (rows["target"][:, :, 0] == 0).all()
    np.testing.assert_array_equal(rows["pose"][:, :, 1:], make_pose(batch)[:, :, 1:])
    with_root = make_rows(Lift3D(root_relative=False), batch, make_pose(batch))
    np.testing.assert_array_equal(with_root["pose"], make_pose(batch))


def test_mocap_errors_are_those_of_every_valid_frame():
    batch, pose = with_padding(make_batch(), make_pose(make_batch()))
    index = make_index()
    index["frames"][::2, -2:] = index["frames"][::2, -3:-2]  # as the pipeline pads
    got = Lift3D().summarise(make_rows(Lift3D(), batch, pose), index)
    pred, true = in_mm(batch, pose)
    kept = batch["valid"]
    for name in ("mpjpe", "p_mpjpe", "n_mpjpe"):
        expected = getattr(metrics, name)(pred, true)[kept].mean()
        np.testing.assert_allclose(got[name], expected, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(
        got["mpjve"], metrics.mpjve(pred, true)[kept[:, 1:]].mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        got["acceleration_error"],
        metrics.acceleration_error(pred, true)[kept[:, 2:]].mean(),
        rtol=1e-5,
    )
    depth = np.abs(pred - true)[..., 2].mean(-1)[kept].mean()
    zero = np.abs(true)[..., 2].mean(-1)[kept].mean()
    np.testing.assert_allclose([got["depth_error"], got["zero_depth"]], [depth, zero], rtol=1e-5)
    assert got["frames"] == kept.sum() == 20
    assert got["fps"] == 30
    assert np.isfinite(list(got.values())).all()


def test_closed_forms_in_mm():
    """Every joint but the root 3, 4, 12 % of the scale away, growing frame by frame."""
    batch = make_batch()
    target = batch["target"] - batch["target"][:, :, :1]
    offset = np.array([0.03, 0.04, 0.12], np.float32) * np.arange(6)[:, None, None]
    pose = target + np.where(np.arange(17)[:, None] > 0, offset, 0).astype(np.float32)
    batch["scale"][:] = 1000
    got = Lift3D().summarise(make_rows(Lift3D(), batch, pose), make_index())
    share = 16 / 17
    np.testing.assert_allclose(got["mpjpe"], 130 * 2.5 * share, rtol=1e-4)
    np.testing.assert_allclose(got["depth_error"], 120 * 2.5 * share, rtol=1e-4)
    np.testing.assert_allclose(got["mpjve"], 130 * share, rtol=1e-4)
    np.testing.assert_allclose(got["acceleration_error"], 0, atol=1e-3)


def test_the_root_of_a_global_answer_is_taken_off():
    task, batch = Lift3D(root_relative=False), make_batch()
    pose = batch["target"] + np.array([3, 4, 5], np.float32)
    got = task.summarise(make_rows(task, batch, pose), make_index())
    np.testing.assert_allclose([got["mpjpe"], got["depth_error"]], 0, atol=1e-2)


def test_means_per_rig_and_action():
    batch = make_batch()
    pose = make_pose(batch)
    index = make_index(rig=["a", "a", "b", "b"], action=["walk", "run", "run", "run"])
    batch["valid"][3, 2:] = False
    got = Lift3D().summarise(make_rows(Lift3D(), batch, pose), index)
    error = metrics.mpjpe(*in_mm(batch, pose))
    b = np.concatenate([error[2], error[3, :2]]).mean()
    np.testing.assert_allclose(got["mpjpe_rig/a"], error[:2].mean(), rtol=1e-5)
    np.testing.assert_allclose(got["mpjpe_rig/b"], b, rtol=1e-5)
    np.testing.assert_allclose(got["mpjpe_rig_mean"], (error[:2].mean() + b) / 2, rtol=1e-5)
    run = np.concatenate([error[1], error[2], error[3, :2]]).mean()
    np.testing.assert_allclose(got["mpjpe_action/run"], run, rtol=1e-5)
    np.testing.assert_allclose(got["mpjpe_action/walk"], error[0].mean(), rtol=1e-5)
    one = Lift3D().summarise(make_rows(Lift3D(), batch, pose), make_index(rig=["a"] * 4))
    assert not [name for name in one if "rig" in name or "action" in name]


def test_differences_are_taken_between_consecutive_frames_only():
    """Clips stretched in time repeat frames: their differences mean nothing per frame."""
    batch = make_batch(clips=2)
    pose, index = make_pose(batch), make_index(clips=2)
    index["frames"][1] = [6, 6, 7, 7, 8, 8]
    got = Lift3D().summarise(make_rows(Lift3D(), batch, pose), index)
    pred, true = in_mm(batch, pose)
    expected = metrics.mpjve(pred, true)
    consecutive = np.concatenate([expected[0], expected[1, [1, 3]]])
    np.testing.assert_allclose(got["mpjve"], consecutive.mean(), rtol=1e-5)
    acceleration = metrics.acceleration_error(pred, true)[0].mean()
    np.testing.assert_allclose(got["acceleration_error"], acceleration, rtol=1e-5)


def test_single_frames_have_no_errors_over_time():
    batch = make_batch(frames=1)
    index = make_index(frames=1, fps=[30, 30, 50, 50])
    got = Lift3D().summarise(make_rows(Lift3D(), batch, make_pose(batch)), index)
    assert {"mpjpe", "p_mpjpe", "frames"} <= set(got)
    assert not {"mpjve", "acceleration_error", "fps"} & set(got)  # of two rates, none is printed


def test_a_source_without_scale_is_measured_in_its_own_unit():
    batch = make_batch()
    batch["scale"][:] = 0
    got = Lift3D().summarise(make_rows(Lift3D(), batch, make_pose(batch)), make_index())
    batch["scale"][:] = 1
    np.testing.assert_allclose(
        got["mpjpe"], metrics.mpjpe(*in_mm(batch, make_pose(batch))).mean(), rtol=1e-5
    )


def test_reprojection_error_in_body_sizes_and_pixels():
    batch = make_batch()
    batch["confidence"][:, :, 3] = 0
    batch["valid"][0, 4:] = False
    pose, index = make_pose(batch), make_index(supervision="2d")
    got = Lift3D().summarise(make_rows(Lift3D(), batch, pose), index)
    answer = np.concatenate([np.zeros_like(pose[:, :, :1]), pose[:, :, 1:]], axis=2)
    target = batch["target"] - batch["target"][:, :, :1]
    error = np.linalg.norm((answer - target)[..., :2], axis=-1)
    weight = batch["confidence"] * batch["valid"][..., None]
    np.testing.assert_allclose(got["reprojection"], np.average(error, weights=weight), rtol=1e-5)
    pixels = error * batch["scale"][:, None, None]
    np.testing.assert_allclose(
        got["reprojection_px"], np.average(pixels, weights=weight), rtol=1e-5
    )
    assert got["frames"] == 22
    assert got["fps"] == 30
    batch["scale"][:] = 0  # stored normalised: pixels are unknown, not zero
    unknown = Lift3D().summarise(make_rows(Lift3D(), batch, pose), index)
    assert "reprojection_px" not in unknown
    assert unknown["reprojection"] == got["reprojection"]


def test_human36m_sources_follow_the_official_protocol():
    rng = np.random.default_rng(3)
    batch = make_batch(clips=3)
    pose = make_pose(batch)
    index = make_index(
        clips=3,
        sequence=["s_09_act_02_subact_01_ca_01", "s_11_act_03_subact_01_ca_02",
                  "s_09_act_05_subact_02_ca_01"],
        action=["Directions", "Discussion", "Eating"],
        size=[[1000, 1002], [1000, 1000], [1000, 1002]],
        factor=rng.uniform(3, 5, (3, 6)),
        pose_mm=rng.normal(0, 300, (3, 6, 17, 3)),
        fps=np.full(3, 50.0),
    )  # fmt: skip
    rows = make_rows(Lift3D(), batch, pose)
    got = Lift3D().summarise(rows, index)
    expected = metrics.h36m_protocol(
        rows["pose"], index["frames"], index["size"], factor=index["factor"],
        pose_mm=index["pose_mm"], action=index["action"], source=index["sequence"],
    )  # fmt: skip
    assert expected.items() <= got.items()
    assert "mpjpe/Eating" not in got  # one of the three videos that are left out
    pred = rows["pose"] * (500 * index["factor"])[..., None, None]
    true = index["pose_mm"] - index["pose_mm"][:, :, :1]
    np.testing.assert_allclose(got["mpjve"], metrics.mpjve(pred, true)[:2].mean(), rtol=1e-9)
    assert got["frames"] == 12
    assert got["fps"] == 50


# Flip averaging -----------------------------------------------------------------------------------


def test_mirroring_twice_changes_nothing():
    task, batch = Lift3D(), make_batch()
    motion, pose = jnp.asarray(batch["motion"]), jnp.asarray(make_pose(batch))
    twice = task.mirror_input(task.mirror_input(motion))
    np.testing.assert_array_equal(twice, motion)
    np.testing.assert_array_equal(task.mirror(task.mirror({"pose": pose}))["pose"], pose)
    mirrored = np.asarray(task.mirror_input(motion))
    np.testing.assert_array_equal(mirrored, flip(batch["motion"]))
    np.testing.assert_array_equal(mirrored[:, :, 1, 0], -batch["motion"][:, :, 4, 0])
    np.testing.assert_array_equal(mirrored[:, :, 1, 2], batch["motion"][:, :, 4, 2])


def averaged(task: Lift3D, predict, motion: jax.Array) -> jax.Array:
    """What the evaluation does with a predictor."""
    mirrored = predict(task.mirror_input(motion))
    return average({"pose": predict(motion)}, task.mirror({"pose": mirrored}))["pose"]


def test_flip_averaging_leaves_an_equivariant_predictor_and_mends_another():
    task, motion = Lift3D(), jnp.asarray(make_batch()["motion"])

    def equivariant(motion):
        return jnp.concatenate([motion[..., :2], motion[..., 1:2] ** 2], axis=-1)

    def lopsided(motion):
        return equivariant(motion) + jnp.array([0.3, 0, 0])[None, None, None]

    np.testing.assert_allclose(averaged(task, equivariant, motion), equivariant(motion), atol=1e-7)
    np.testing.assert_allclose(averaged(task, lopsided, motion), equivariant(motion), atol=1e-6)
