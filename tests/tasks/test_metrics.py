"""The metrics against the official numbers, closed forms and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body.geometry import align
from dstformer_jax.tasks import metrics

PER_FRAME = ["mpjpe", "n_mpjpe", "p_mpjpe", "mpjve", "acceleration_error"]


@pytest.fixture
def poses() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 6, 17, 3)), rng.normal(size=(2, 6, 17, 3))


def rotation(angle: float, axis: int) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.roll(np.roll([[c, -s, 0], [s, c, 0], [0, 0, 1.0]], axis, 0), axis, 1)


def test_equal_the_official_numbers(shared):
    with np.load(shared / "golden" / "c_losses.npz") as golden:
        pred, target = golden["metric_pred"], golden["metric_gt"]
        np.testing.assert_allclose(metrics.mpjpe(pred, target), golden["mpjpe"], rtol=1e-12)
        np.testing.assert_allclose(metrics.p_mpjpe(pred, target), golden["p_mpjpe"], rtol=1e-9)
        mirrored = metrics.p_mpjpe(target * [-1, 1, 1], target)
        np.testing.assert_allclose(mirrored, golden["p_mpjpe_mirrored"], rtol=1e-9)
        scaled = metrics.n_mpjpe(golden["pred"], golden["target"])
        np.testing.assert_allclose(scaled.mean(), golden["val/n_mpjpe"], rtol=1e-6)


def test_mpjpe_of_a_shifted_pose_is_the_shift(poses):
    _, target = poses
    np.testing.assert_allclose(metrics.mpjpe(target + np.array([3, 0, 4]), target), 5.0)


def test_one_wrong_joint_counts_a_seventeenth(poses):
    _, target = poses
    pred = target.copy()
    pred[:, :, 5, 1] += 34
    np.testing.assert_allclose(metrics.mpjpe(pred, target), np.full((2, 6), 2.0))


def test_n_mpjpe_ignores_scale_and_nothing_else(poses):
    pred, target = poses
    np.testing.assert_allclose(metrics.n_mpjpe(0.2 * target, target), 0, atol=1e-12)
    np.testing.assert_allclose(metrics.n_mpjpe(7 * pred, target), metrics.n_mpjpe(pred, target))
    assert (metrics.n_mpjpe(target + 1, target) > 0.1).all()


def test_n_mpjpe_of_a_zero_prediction_is_the_size_of_the_target(poses):
    _, target = poses
    expected = np.linalg.norm(target, axis=-1).mean(-1)
    np.testing.assert_allclose(metrics.n_mpjpe(np.zeros_like(target), target), expected)


def test_p_mpjpe_ignores_similarity_but_not_reflection(poses):
    pred, target = poses
    turn = rotation(0.7, 0) @ rotation(-2.0, 1)
    moved = 3.0 * pred @ turn + [10.0, -5.0, 2.0]
    np.testing.assert_allclose(metrics.p_mpjpe(moved, target), metrics.p_mpjpe(pred, target))
    np.testing.assert_allclose(align(2 * target @ turn + 1, target), target, atol=1e-12)
    assert (metrics.p_mpjpe(target * [-1, 1, 1], target) > 0.1).all()


def test_p_mpjpe_is_the_best_of_many_similarities(poses):
    pred, target = poses[0][0, :1], poses[1][0, :1]
    best = np.square(align(pred, target) - target).sum()
    rng = np.random.default_rng(1)
    aligned = align(pred, target)
    for angle in rng.normal(scale=0.2, size=20):
        turned = metrics.centre(aligned) @ rotation(angle, 2) + aligned[:, :1]
        assert np.square(turned - target).sum() >= best - 1e-9


def test_a_collapsed_prediction_stays_finite(poses):
    _, target = poses
    error = metrics.p_mpjpe(np.ones_like(target), target)
    spread = np.linalg.norm(target - target.mean(-2, keepdims=True), axis=-1).mean(-1)
    np.testing.assert_allclose(error, spread)


def test_velocity_and_acceleration_of_closed_forms(poses):
    _, target = poses
    time = np.arange(6.0)[:, None, None]
    drift = target + time * [0, 3, 4]
    np.testing.assert_allclose(metrics.mpjve(drift, target), np.full((2, 5), 5.0))
    np.testing.assert_allclose(metrics.acceleration_error(drift, target), 0, atol=1e-12)
    fall = target + time**2 * [0, 0, 2]
    np.testing.assert_allclose(metrics.acceleration_error(fall, target), np.full((2, 4), 4.0))
    assert metrics.mpjve(target[:, :1], target[:, :1]).shape == (2, 0)


@pytest.mark.parametrize("name", PER_FRAME)
def test_jax_agrees_with_numpy_under_jit(name, poses):
    pred, target = (pose.astype(np.float32) for pose in poses)
    measure = getattr(metrics, name)
    found = jax.jit(measure)(jnp.asarray(pred), jnp.asarray(target))
    assert isinstance(found, jax.Array)
    np.testing.assert_allclose(found, measure(pred, target), rtol=2e-5)
    assert measure(*poses).dtype == np.float64


def test_both_averages_of_unequal_groups():
    errors = np.array([1.0, 1.0, 1.0, 5.0])
    found = metrics.by_group(errors, ["walk", "walk", "walk", "sit"], "mpjpe")
    assert found == {"mpjpe": 3.0, "mpjpe_frames": 2.0, "mpjpe/sit": 5.0, "mpjpe/walk": 1.0}


def test_no_scored_frame_is_an_error():
    with pytest.raises(ValueError, match="mpjpe"):
        metrics.by_group(np.zeros(0), [], "mpjpe")


# The Human3.6M protocol ------------------------------------------------------------------------


def table(videos: list[tuple[str, str, int]]) -> dict:
    """Test frames in the layout of the source pickle: (video, action, frames) each."""
    rng = np.random.default_rng(2)
    source = [video for video, _, frames in videos for _ in range(frames)]
    return {
        "factor": rng.uniform(3, 5, len(source)),
        "pose_mm": rng.normal(size=(len(source), 17, 3)) * 300,
        "action": [action for _, action, frames in videos for _ in range(frames)],
        "source": source,
    }


def normalised(index: dict, frames: np.ndarray, width: float) -> np.ndarray:
    """The exact answer of `frames`, root-relative, in normalised units."""
    pose = metrics.centre(index["pose_mm"][frames])
    return pose / index["factor"][frames][..., None, None] / (width / 2)


def test_protocol_scores_the_truth_zero_and_a_shift_by_its_length():
    index = table([("s_09_act_02_subact_01_ca_01", "Directions", 8)])
    frames, size = np.arange(8).reshape(2, 4), np.array([[1000, 1002]] * 2)
    pose = normalised(index, frames, 1000)
    assert metrics.h36m_protocol(pose, frames, size, **index)["mpjpe"] == pytest.approx(0, abs=1e-9)
    pose[:, :, 3, 2] += 170 / (index["factor"][frames] * 500)
    found = metrics.h36m_protocol(pose, frames, size, **index)
    assert found["mpjpe"] == pytest.approx(10)
    assert found["mpjpe/Directions"] == pytest.approx(10)
    answer = pose * (index["factor"][frames] * 500)[..., None, None]
    aligned = metrics.p_mpjpe(answer, index["pose_mm"][frames]).mean()
    assert found["p_mpjpe"] == pytest.approx(aligned)


def test_protocol_on_the_official_denormalised_predictions(shared):
    with np.load(shared / "golden" / "d_h36m_reader.npz") as golden:
        raw = {key.split("/")[-1]: golden[key] for key in golden.files if "raw/test/" in key}
        frames, size = golden["split/test"], golden["hw"]
        pose, pixels = golden["pred_norm"], golden["denormalize"]
    found = metrics.h36m_protocol(
        pose,
        frames,
        size,
        factor=raw["2.5d_factor"],
        pose_mm=raw["joints_2.5d_image"],
        action=raw["action"],
        source=raw["source"],
        skip=(),
        root_relative=False,
    )
    answer = pixels * raw["2.5d_factor"][frames][..., None, None]
    truth = raw["joints_2.5d_image"][frames]
    error = np.full(len(raw["source"]), np.nan)
    for clip in range(len(frames)):
        distance = metrics.centre(answer[clip]) - metrics.centre(truth[clip])
        error[frames[clip]] = np.linalg.norm(distance, axis=-1).mean(-1)
    assert len(np.unique(frames)) < frames.size  # the golden clips hold a resampled short video
    assert found["mpjpe_frames"] == pytest.approx(np.nanmean(error), rel=1e-5)


def test_protocol_zeroes_the_root_only_when_asked():
    index = table([("s_09_act_02_subact_01_ca_01", "Directions", 2)])
    frames, size = np.arange(2)[None], np.array([[1000, 1000]])
    pose = normalised(index, frames, 1000)
    pose[:, :, 0] += [3, 4, 0]
    length = 5 * 500 * index["factor"].mean()
    assert metrics.h36m_protocol(pose, frames, size, **index)["mpjpe"] == pytest.approx(0, abs=1e-9)
    found = metrics.h36m_protocol(pose, frames, size, **index, root_relative=False)
    assert found["mpjpe"] == pytest.approx(16 / 17 * length)


def test_protocol_skips_the_broken_videos_and_no_others():
    videos = [
        ("s_09_act_05_subact_02_ca_03", "Greeting", 3),
        ("s_09_act_10_subact_02_ca_01", "SittingDown", 3),
        ("s_09_act_13_subact_01_ca_04", "Waiting", 3),
        ("s_11_act_13_subact_01_ca_04", "Waiting", 3),
    ]
    index = table(videos)
    frames, size = np.arange(12).reshape(4, 3), np.array([[1000, 1000]] * 4)
    pose = normalised(index, frames, 1000)
    pose[:3] += np.random.default_rng(0).normal(size=(3, 3, 17, 3))
    found = metrics.h36m_protocol(pose, frames, size, **index)
    assert found["mpjpe"] == pytest.approx(0, abs=1e-9)
    assert {key for key in found if "/" in key} == {
        f"{name}/Waiting" for name in ("mpjpe", "p_mpjpe", "n_mpjpe")
    }


def test_protocol_keeps_the_last_of_repeats_and_averages_overlaps():
    index = table([("s_09_act_02_subact_01_ca_01", "Directions", 3)])
    frames = np.array([[0, 1, 1], [1, 2, -1]])
    pose = normalised(index, frames, 1000)
    shift = np.array([[17.0, 999.0, 34.0], [68.0, 0.0, 999.0]])  # mm on one joint of 17
    pose[:, :, 3, 2] += shift / (index["factor"][frames] * 500)
    found = metrics.h36m_protocol(pose, frames, np.array([[1000, 1002]] * 2), **index)
    # frame 0: 1 mm; frame 1: (2 + 4) / 2 mm; frame 2: 0 mm
    assert found["mpjpe_frames"] == pytest.approx(4 / 3)


def test_protocol_gives_both_averages():
    index = table(
        [("s_09_act_02_subact_01_ca_01", "A", 6), ("s_11_act_03_subact_01_ca_02", "B", 2)]
    )
    frames = np.arange(8).reshape(4, 2)
    pose = normalised(index, frames, 1000)
    pose[3, :, 3, 2] += 17 * 8 / (index["factor"][frames[3]] * 500)
    found = metrics.h36m_protocol(pose, frames, np.array([[1000, 1000]] * 4), **index)
    assert found["mpjpe"] == pytest.approx(4)
    assert found["mpjpe_frames"] == pytest.approx(2)


def test_protocol_refuses_tables_that_do_not_fit():
    index = table([("s_09_act_02_subact_01_ca_01", "A", 4)])
    pose, size = np.zeros((1, 4, 17, 3)), np.array([[1000, 1000]])
    with pytest.raises(ValueError, match="below 4"):
        metrics.h36m_protocol(pose, np.array([[0, 1, 2, 4]]), size, **index)
    with pytest.raises(ValueError, match=r"\[N, T\]"):
        metrics.h36m_protocol(pose, np.arange(3)[None], size, **index)
    with pytest.raises(ValueError, match="one each"):
        metrics.h36m_protocol(pose, np.arange(4)[None], size, **index | {"action": ["A"]})
