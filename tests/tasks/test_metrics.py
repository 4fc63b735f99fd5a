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


def test_equal_the_official_numbers(golden):
    official = golden("c_losses")
    pred, target = official["metric_pred"], official["metric_gt"]
    np.testing.assert_allclose(metrics.mpjpe(pred, target), official["mpjpe"], rtol=1e-12)
    np.testing.assert_allclose(metrics.p_mpjpe(pred, target), official["p_mpjpe"], rtol=1e-9)
    mirrored = metrics.p_mpjpe(target * [-1, 1, 1], target)
    np.testing.assert_allclose(mirrored, official["p_mpjpe_mirrored"], rtol=1e-9)
    scaled = metrics.n_mpjpe(official["pred"], official["target"])
    np.testing.assert_allclose(scaled.mean(), official["val/n_mpjpe"], rtol=1e-6)


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


def clips(videos: list[tuple[str, str, list[list[int]]]]) -> dict:
    """What the protocol takes of (video, action, frame ids of its clips); ids of one T."""
    rng = np.random.default_rng(2)
    frames = np.array([ids for _, _, each in videos for ids in each])
    factor, pose_mm = rng.uniform(3, 5, 100), rng.normal(size=(100, 17, 3)) * 300
    return {
        "frames": frames,
        "size": np.full((len(frames), 2), 1000),
        "factor": factor[frames],
        "pose_mm": pose_mm[frames],
        "action": [action for _, action, each in videos for _ in each],
        "source": [video for video, _, each in videos for _ in each],
    }


def answer_of(index: dict) -> np.ndarray:
    """The exact answer, root-relative, in normalised units."""
    return metrics.centre(index["pose_mm"]) / index["factor"][..., None, None] / 500


def shift(pose: np.ndarray, index: dict, mm: np.ndarray | float) -> np.ndarray:
    """Moves one of 17 joints by `mm` of each frame's own scale."""
    pose = pose.copy()
    pose[:, :, 3, 2] += mm / (index["factor"] * 500)
    return pose


ONE = "s_09_act_02_subact_01_ca_01"


def test_protocol_scores_the_truth_zero_and_a_shift_by_its_length():
    index = clips([(ONE, "Directions", [[0, 1, 2, 3], [4, 5, 6, 7]])])
    pose = answer_of(index)
    assert metrics.h36m_protocol(pose, **index)["mpjpe"] == pytest.approx(0, abs=1e-9)
    pose = shift(pose, index, 170)
    found = metrics.h36m_protocol(pose, **index)
    assert found["mpjpe"] == pytest.approx(10)
    assert found["mpjpe/Directions"] == pytest.approx(10)
    answer = pose * (index["factor"] * 500)[..., None, None]
    aligned = metrics.p_mpjpe(answer, index["pose_mm"]).mean()
    assert found["p_mpjpe"] == pytest.approx(aligned)


def test_protocol_on_the_official_denormalised_predictions(golden):
    official = golden("d_h36m_reader")
    raw = {key.split("/")[-1]: array for key, array in official.items() if "raw/test/" in key}
    frames, size = official["split/test"], official["hw"]
    pose, pixels = official["pred_norm"], official["denormalize"]
    found = metrics.h36m_protocol(
        pose,
        frames,
        size,
        factor=raw["2.5d_factor"][frames],
        pose_mm=raw["joints_2.5d_image"][frames],
        action=raw["action"][frames[:, 0]],
        source=raw["source"][frames[:, 0]],
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
    actions = [np.nanmean(error[raw["action"] == name]) for name in np.unique(raw["action"])]
    assert found["mpjpe"] == pytest.approx(np.mean(actions), rel=1e-5)


def test_protocol_zeroes_the_root_only_when_asked():
    index = clips([(ONE, "Directions", [[0, 1]])])
    pose = answer_of(index)
    pose[:, :, 0] += [3, 4, 0]
    length = 5 * 500 * index["factor"].mean()
    assert metrics.h36m_protocol(pose, **index)["mpjpe"] == pytest.approx(0, abs=1e-9)
    found = metrics.h36m_protocol(pose, **index, root_relative=False)
    assert found["mpjpe"] == pytest.approx(16 / 17 * length)


def test_protocol_skips_the_broken_videos_and_no_others():
    videos = [
        ("s_09_act_05_subact_02_ca_03", "Greeting", [[0, 1]]),
        ("s_09_act_10_subact_02_ca_01", "SittingDown", [[2, 3]]),
        ("s_09_act_13_subact_01_ca_04", "Waiting", [[4, 5]]),
        ("s_11_act_13_subact_01_ca_04", "Waiting", [[6, 7]]),
    ]
    index = clips(videos)
    pose = answer_of(index)
    pose[:3] += np.random.default_rng(0).normal(size=(3, 2, 17, 3))
    found = metrics.h36m_protocol(pose, **index)
    assert found["mpjpe"] == pytest.approx(0, abs=1e-9)
    assert {key for key in found if "/" in key} == {
        f"{name}/Waiting" for name in ("mpjpe", "p_mpjpe", "n_mpjpe")
    }
    assert metrics.h36m_protocol(pose, **index, skip=())["mpjpe"] > 100


def test_protocol_keeps_the_last_of_repeats_and_averages_overlaps():
    index = clips([(ONE, "Directions", [[0, 1, 1], [1, 2, 99]])])
    index["frames"][1, 2] = -1
    mm = np.array([[17.0, 999.0, 34.0], [68.0, 0.0, 999.0]])
    found = metrics.h36m_protocol(shift(answer_of(index), index, mm), **index)
    # frame 0: 1 mm; frame 1: (2 + 4) / 2 mm; frame 2: 0 mm
    assert found["mpjpe_frames"] == pytest.approx(4 / 3)


def test_protocol_gives_both_averages():
    index = clips([(ONE, "A", [[0, 1], [2, 3], [4, 5]]), (ONE, "B", [[6, 7]])])
    mm = np.array([[0], [0], [0], [17 * 8]])
    found = metrics.h36m_protocol(shift(answer_of(index), index, mm), **index)
    assert found["mpjpe"] == pytest.approx(4)
    assert found["mpjpe_frames"] == pytest.approx(2)


@pytest.mark.parametrize("name", ["frames", "size", "factor", "pose_mm", "action", "source"])
def test_protocol_refuses_tables_that_do_not_fit(name):
    index = clips([(ONE, "A", [[0, 1, 2, 3], [4, 5, 6, 7]])])
    with pytest.raises(ValueError, match=f"got {name} of shape"):
        metrics.h36m_protocol(answer_of(index), **index | {name: index[name][:1]})
