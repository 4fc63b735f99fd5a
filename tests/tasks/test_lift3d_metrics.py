"""What the lifting task reports of hand-made rows, against the metrics and closed forms."""

import numpy as np
from fixtures_lift3d import make_batch, make_index, make_pose, make_rows, with_padding

from dstformer_jax.tasks import metrics
from dstformer_jax.tasks.lift3d import Lift3D


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
