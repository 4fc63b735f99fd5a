import itertools
import subprocess
import sys
import threading

import numpy as np
import pytest

from dstformer_jax.body import geometry
from dstformer_jax.data import pipeline
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.people import finish_batch
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData, Views

SOURCES = (
    Source(
        "mocap", "a", frames=12, stride=4, batch=16,
        views=Views((0, 360), (0, 20)), crop=(1, 1), flip=True, noise=True, mask=True,
    ),
    Source(
        "posetrack", "b", frames=9, stride=3, batch=8, supervision="2d", input="motion",
        crop=(0.25, 1), flip=True, noise=True, mask=True, epochs=(1, -1),
    ),
    Source(
        "instavariety", "b", frames=5, stride=5, batch=8, supervision="2d", input="motion",
        flip=True, mask=True, epochs=(1, -1),
    ),
)  # fmt: skip


def write(path):
    rng = np.random.default_rng(0)
    sequences = [
        Sequence(
            id=f"s{number}", fps=30, subject=f"p{number % 2}", action="walk", rig="asf31",
            pose=rng.normal(size=(frames, 17, 3)).astype(np.float32),
            motion=rng.uniform(-1, 1, (frames, 17, 3)) * rng.choice([0, 1], (frames, 17, 1)),
        )
        for number, frames in enumerate((70, 7, 33, 60))
    ]  # fmt: skip
    return Bank.read(write_bank(sequences, path))


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return write(tmp_path_factory.mktemp("bank") / "train")


@pytest.fixture(scope="module")
def data(bank):
    return [SourceData.of(source, bank) for source in SOURCES]


@pytest.fixture(scope="module")
def plan(data):
    return pipeline.open_plan(data, epochs=3, seed=5)


def run(plan, data, start=0, **settings):
    return list(pipeline.batches(plan, data, start, **settings))


def finished(batches, data):
    """What the device makes of the batches, but for the corruption."""
    return [(draw, finish_batch(batch, data[draw.source], np)) for draw, batch in batches]


def assert_same(left, right, names=None):
    assert len(left) == len(right) > 0
    for (draw, one), (other_draw, other) in zip(left, right, strict=True):
        assert draw == other_draw
        assert one.keys() == other.keys()
        for name in names or one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=f"{draw} {name}")


@pytest.fixture(scope="module")
def whole(plan, data):
    return run(plan, data)


def test_batches_follow_the_plan(plan, data, whole):
    assert [draw for draw, _ in whole] == [plan.step(s) for s in range(plan.total_steps)]
    for draw, batch in whole:
        source = SOURCES[draw.source]
        size, frames = source.batch, source.frames
        shapes = {name: array.shape for name, array in batch.items()}
        assert shapes == {
            "motion": (size, frames, 17, 3), "target": (size, frames, 17, 3),
            "confidence": (size, frames, 17), "valid": (size, frames), "scale": (size,),
            "index": (size,), "keys": (8, 2),
        }  # fmt: skip
        np.testing.assert_array_equal(batch["index"], plan.windows(draw.source, draw.draw))
        np.testing.assert_array_equal(batch["keys"], plan.keys(draw.source, draw.draw))
    assert {draw.source for draw, _ in whole if draw.epoch == 0} == {0}
    assert {draw.source for draw, _ in whole if draw.epoch == 1} == {0, 1, 2}


def test_epochs_differ_in_views_and_noise(whole):
    seen = {}
    for draw, batch in whole:
        if draw.source == 0:
            for row, window in enumerate(batch["index"]):
                seen.setdefault(int(window), []).append(batch["target"][row])
    pairs = [clips for clips in seen.values() if len(clips) > 1]
    assert len(pairs) > 10
    assert all(np.abs(clips[0] - clips[1]).max() > 0.05 for clips in pairs)


@pytest.fixture(scope="module")
def gathered(plan, data):
    return run(plan, data, corrupt_on="device", feed="numpy")


def test_both_feeds_give_the_same_clips(plan, data, gathered):
    assert_same(run(plan, data, corrupt_on="device"), gathered)


def test_the_device_is_left_stored_frames_and_draws(data, bank, gathered):
    for draw, batch in gathered:
        source, windows = SOURCES[draw.source], data[draw.source].windows
        name = {"pose": "pose", "motion": "detected"}[source.input]
        shapes = {key: array.shape for key, array in batch.items()}
        assert shapes == {
            name: (source.batch, source.frames, 17, 3), "axes": (source.batch, 3, 3),
            "ratio": (source.batch,), "flip": (source.batch,), "index": (source.batch,),
            "valid": (source.batch, source.frames), "keys": (8, 2),
        }  # fmt: skip
        for row, window in enumerate(batch["index"]):
            if not windows.resampled[window]:
                start = windows.spans[window, 0]
                stored = getattr(bank, source.input)[start : start + source.frames]
                np.testing.assert_array_equal(batch[name][row], stored)


def test_corruption_is_on_the_motion_alone_and_where_the_source_asks(data, whole, gathered):
    clean = finished(gathered, data)
    assert_same(whole, clean, ["target", "confidence", "valid", "scale", "index", "keys"])
    gone = np.zeros(2)
    for (draw, corrupted), (_, plain) in zip(whole, clean, strict=True):
        keep = (corrupted["motion"] != 0).any(-1)
        if SOURCES[draw.source].noise:
            assert (corrupted["motion"] != plain["motion"])[keep].any()
        else:
            np.testing.assert_array_equal(corrupted["motion"][keep], plain["motion"][keep])
        gone += (~keep.any(-1)).sum(), keep[..., 0].size
        np.testing.assert_array_equal(
            plain["motion"][..., 2], plain["confidence"], err_msg="clean confidence"
        )
    assert 0.05 < gone[0] / gone[1] < 0.2


@pytest.mark.parametrize("feed", ["tf", "numpy"])
def test_parallel_is_serial(plan, data, feed):
    assert_same(run(plan, data, feed=feed, threads=1), run(plan, data, feed=feed, threads=4))


@pytest.mark.parametrize("feed", ["tf", "numpy"])
@pytest.mark.parametrize("start", [1, 11])
def test_restart_at_any_step(plan, data, whole, feed, start):
    expected = whole if feed == "tf" else run(plan, data, feed=feed)
    assert_same(run(plan, data, start, feed=feed), expected[start:])


@pytest.mark.parametrize(("feed", "place"), [("tf", "host"), ("numpy", "host"), ("tf", "device")])
@pytest.mark.parametrize(("process", "processes"), [(1, 2), (2, 4), (7, 8)])
def test_processes_share_the_same_batches(
    plan, data, whole, gathered, feed, place, process, processes
):
    expected = {"tf": whole, "numpy": None}[feed] if place == "host" else gathered
    expected = expected or run(plan, data, feed=feed)
    settings = {"feed": feed, "corrupt_on": place}
    mine = run(plan, data, **settings, process_index=process, process_count=processes)
    share = [
        (draw, {name: np.split(array, processes)[process] for name, array in batch.items()})
        for draw, batch in expected
    ]
    assert_same(mine, share)


def test_official_order_and_shared_masks(data):
    plan = pipeline.open_plan(data, epochs=2, order="sequential")
    masked = [b for d, b in run(plan, data, shared=True) if d.source == 2]
    assert masked
    for batch in masked:
        gone = (batch["motion"] == 0).all((-1, -2))
        seen = (batch["confidence"] != 0).any(-1)  # nobody is in the other frames anyway
        # A frame is masked in all clips or in none.
        np.testing.assert_array_equal(gone[seen], np.tile((gone | ~seen).all(0), (8, 1))[seen])
    frames = np.concatenate([(b["motion"] == 0).all((-1, -2)).all(0) for b in masked])
    assert 0 < frames.mean() < 0.6


def test_a_feed_that_is_left_early_ends_its_threads(plan, data):
    before = threading.active_count()
    feed = pipeline.batches(plan, data, feed="numpy", threads=3)
    next(feed)
    feed.close()
    assert threading.active_count() == before


def test_wrong_settings(plan, data):
    with pytest.raises(ValueError, match="feed 'torch'"):
        pipeline.batches(plan, data, feed="torch")
    with pytest.raises(ValueError, match="corrupt_on 'moon'"):
        pipeline.batches(plan, data, corrupt_on="moon")
    with pytest.raises(ValueError, match="process 0 of 3"):
        pipeline.batches(plan, data, process_count=3)
    with pytest.raises(ValueError, match="expected the plan's"):
        pipeline.batches(plan, data[::-1])


@pytest.fixture(scope="module")
def test_set(bank):
    source = Source(
        "test", "a", frames=12, stride=12, batch=16, short="pad", tail="pad", crop=(1, 1),
        views=Views((0, 90, 180), (10,), fixed=True), flip=True,
    )  # fmt: skip
    return SourceData.of(source, bank)


def test_evaluation_scores_every_frame_from_every_view_once(test_set, bank):
    batches, index = pipeline.evaluation(test_set)
    batches = list(batches)
    # 70, 7, 33 and 60 frames are 6 + 1 + 3 + 5 windows of 12.
    assert len(index["window"]) == 15 * 3
    assert [b["motion"].shape for b in batches] == [(16, 12, 17, 3)] * 3
    rows = np.concatenate([b["index"] for b in batches])
    np.testing.assert_array_equal(rows, [*range(45), -1, -1, -1])
    valid = np.concatenate([b["valid"] for b in batches])
    assert not valid[45:].any()
    np.testing.assert_array_equal(valid[:45], index["valid"])
    for view in ((0, 10), (90, 10), (180, 10)):
        mine = (index["view"] == view).all(1)
        frames = index["frames"][mine][index["valid"][mine]]
        np.testing.assert_array_equal(np.sort(frames), np.arange(170))
    assert index["sequence"][0] == "s0"
    assert index["sequence"][-1] == "s3"
    assert index["subject"][-1] == "p1"
    assert set(index["rig"]) == {"asf31"}
    assert "factor" not in index


def test_evaluation_sees_the_right_view_unmirrored_in_true_scale(test_set, bank):
    batches, index = pipeline.evaluation(test_set)
    target = np.concatenate([b["target"] for b in batches])[:45]
    batches, _ = pipeline.evaluation(test_set)
    scale = np.concatenate([b["scale"] for b in batches])[:45]
    yaw, pitch = np.radians(index["view"]).T
    pose = geometry.view(bank.pose[index["frames"]], yaw, pitch)
    expected = (pose - pose[:, :, :1]) * 1000
    relative = (target - target[:, :, :1]) * scale[:, None, None, None]
    np.testing.assert_allclose(relative, expected, atol=5e-3)


def test_evaluation_is_the_same_every_time_and_on_every_process(bank):
    source = Source("t", "a", frames=12, stride=12, batch=8, noise=True, mask=True, crop=(0.5, 1))
    data = SourceData.of(source, bank)

    def motion(*args, **kwargs):
        batches, _ = pipeline.evaluation(data, *args, **kwargs)
        if kwargs.get("corrupt_on") == "device":
            batches = [finish_batch(batch, data, np) for batch in batches]
        return np.stack([batch["motion"] for batch in batches])

    np.testing.assert_array_equal(motion(3), motion(3))
    assert (motion(3) != motion(4)).any()
    clean = motion(3, corrupt_on="device")
    assert (clean[..., 2] == 1).all()
    assert (motion(3)[..., 2] == 0).mean() > 0.05
    parts = [motion(3, process_index=i, process_count=4) for i in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), motion(3))


def test_evaluation_carries_what_the_protocol_needs(tmp_path):
    rng = np.random.default_rng(0)
    sequences = [
        Sequence(
            id="s", fps=50, unit="normalised", axes="camera", size=(1000, 1002),
            pose=rng.normal(size=(20, 17, 3)), motion=rng.normal(size=(20, 17, 3)),
            factor=np.arange(20), pose_mm=rng.normal(size=(20, 17, 3)),
        )
    ]  # fmt: skip
    bank = Bank.read(write_bank(sequences, tmp_path / "test"))
    source = Source("h36m", "a", frames=9, stride=9, batch=8, input="motion")
    batches, index = pipeline.evaluation(SourceData.of(source, bank))
    np.testing.assert_array_equal(index["factor"], np.arange(18).reshape(2, 9))
    np.testing.assert_array_equal(index["pose_mm"], bank.pose_mm[:18].reshape(2, 9, 17, 3))
    assert index["size"].tolist() == [[1000, 1002]] * 2
    batch = next(batches)
    np.testing.assert_array_equal(batch["motion"][0], bank.motion[:9])
    np.testing.assert_array_equal(batch["target"][1], bank.pose[9:18])


def test_the_numpy_feed_needs_no_tensorflow(tmp_path):
    write(tmp_path / "data" / "x" / "default" / "1.0.0" / "bank" / "train")
    code = f"""
import sys
for name in ("tensorflow", "tensorflow_datasets", "ml_collections", "absl"):
    sys.modules[name] = None
from dstformer_jax.data import pipeline
from dstformer_jax.data.sources import Source, SourceData
source = Source("a", "x", frames=12, stride=4, batch=8, noise=True)
data = [SourceData.open(source, {str(tmp_path / "data")!r})]
plan = pipeline.open_plan(data, epochs=1)
print(sum(1 for _ in pipeline.batches(plan, data, feed="numpy")), plan.total_steps)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made, planned = done.stdout.split()
    assert int(made) == int(planned) > 3


def test_a_step_is_planned_in_well_under_a_millisecond(plan, data):
    # Loose by a factor of 20: it must not grow with the data or the step, not be fast today.
    import time

    def seconds(step):
        start = time.process_time()
        for _ in range(20):
            draw = plan.step(step)
            plan.windows(draw.source, draw.draw)
            plan.keys(draw.source, draw.draw)
        return (time.process_time() - start) / 20

    plan.step(0)
    assert min(seconds(step) for step in itertools.islice(range(3, 9), 6)) < 2e-3
