"""Each subject of `lift.measure` on motion and a network small enough to know the answers."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from fixtures_lift import Leaning, wander

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.bank import write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.lift import Lifter
from dstformer_jax.lift.measure import __main__ as command
from dstformer_jax.lift.measure import gaps, people, seams, streaming
from dstformer_jax.lift.measure.people import PIXELS, Clip, film


class Shaky(Leaning):
    """Every window is off by a constant of its own, as networks are."""

    maxlen = 27

    def lift(self, motion: np.ndarray, flip: bool = False) -> np.ndarray:
        return super().lift(motion) + 0.03 * np.sin(1000 * motion.mean(1, keepdims=True))


class Plain(Leaning):
    """Takes `flip`, which changes nothing of what it says."""

    def lift(self, motion: np.ndarray, flip: bool = False) -> np.ndarray:
        return super().lift(motion)


def someone(frames: int) -> Motion:
    motion = wander(frames)
    return Motion((Track(0, 0, motion[..., :2], motion[..., 2]),), H36M17, fps=30)


def filmed_clip(frames: int = 20) -> Clip:
    """Someone whose z is half of y, as `Leaning` answers."""
    motion = wander(frames)
    truth = np.concatenate([motion[..., :2], motion[..., 1:2] / 2], -1) / PIXELS
    return Clip("ann", "walk", motion.astype(np.float32), truth - truth[:, :1])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared dataset with three test people."""
    folder = tmp_path_factory.mktemp("data")
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    rng = np.random.default_rng(0)
    rows = []
    for number, frames in enumerate((40, 30, 45)):
        pose = rng.normal(0, 0.3, (1, 17, 3)) + np.cumsum(rng.normal(0, 0.01, (frames, 17, 3)), 0)
        seen = np.repeat(pose[:, None], 5, axis=1)
        rows.append(Sequence(id=f"s{number}", fps=30.0, subject=f"p{number}", pose=pose, seen=seen))
    write_bank(rows, bank / "test")
    return folder


def run(monkeypatch, tmp_path, model: Leaning, *arguments: str) -> tuple[list[dict], str]:
    """The lines of the CSV and the page of a subject."""
    monkeypatch.setattr(command, "load", lambda path: model)
    output = tmp_path / "pages"
    assert command.main([*arguments, f"--output={output}"]) == 0
    with (output / f"{arguments[0]}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return rows, (output / f"{arguments[0]}.md").read_text()


@pytest.fixture
def keypoints(tmp_path):
    path = tmp_path / "results.json"
    records = [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "score": 2.0,
            "idx": 1,
            "keypoints": person.ravel().tolist(),
        }
        for frame, person in enumerate(wander(400))
    ]
    path.write_text(json.dumps(records))
    return path


def test_seams_show_without_overlap(monkeypatch, tmp_path, keypoints):
    rows, page = run(monkeypatch, tmp_path, Shaky(), "seams", "--files", str(keypoints))
    blended, cut = rows
    assert (blended["overlap"], cut["overlap"]) == ("0.5", "0.0")
    assert float(cut["seam ratio"]) > 1.5
    assert cut["within 5 %"] == "no"
    assert abs(float(blended["seam ratio"]) - 1) < 0.15  # of 400 frames
    low, high = map(float, blended["elsewhere"].split(" to "))
    assert low < 1 < high
    assert "python -m dstformer_jax.lift.measure seams" in page


def test_long_tracks_are_made_of_a_file(monkeypatch, tmp_path, keypoints):
    arguments = ("seams", "--files", str(keypoints), "--minutes=0.5,1", "--cut")
    rows, _ = run(monkeypatch, tmp_path, Shaky(), *arguments)
    assert [row["frames"] for row in rows] == ["900", "900", "1800", "1800"]
    assert float(rows[2]["seam ratio"]) == pytest.approx(1, abs=0.05)
    assert float(rows[3]["seam ratio"]) > 1.5
    long = seams.looped(someone(10), 25).tracks[0].points
    assert np.linalg.norm(np.diff(long, axis=0), axis=-1).max() < 20  # it never jumps
    np.testing.assert_array_equal(long[18:25], someone(10).tracks[0].points[:7])


def test_ways_to_fill_gaps():
    clip = filmed_clip(11)
    missing = np.zeros((11, 17), bool)
    missing[3:6] = True
    motion = clip.motion
    assert not gaps.blank(motion, missing)[3:6].any()
    np.testing.assert_allclose(
        gaps.interpolated(motion, missing)[4], (motion[2] + motion[6]) / 2, atol=1e-4
    )
    np.testing.assert_allclose(gaps.unsure(motion, missing)[4, :, 2], 0)
    np.testing.assert_array_equal(
        gaps.held(motion, missing)[3:6], np.repeat(motion[2:3], 3, axis=0)
    )
    for name, fill in gaps.WAYS.items():
        np.testing.assert_array_equal(fill(motion, missing)[~missing], motion[~missing], name)


def test_errors_are_those_at_the_gap():
    """`Leaning` answers what it gets: interpolation of a straight motion is without error."""
    clip = filmed_clip(9)
    line = clip.motion[:1] + np.linspace(0, 1, 9)[:, None, None] * (60, 0, 0)
    line[..., 2] = 1
    truth = np.repeat(clip.truth[:1], 9, axis=0)
    straight = replace(clip, motion=line.astype(np.float32), truth=truth)
    missing = np.zeros((9, 17), bool)
    missing[3:5, 4] = True
    errors = gaps._errors(Lifter(Plain()), straight, missing)
    assert errors[gaps.SHIPPED].shape == (2,)
    assert errors[gaps.SHIPPED].max() < 1e-3
    assert errors[gaps.IN_3D].max() < 1e-3
    assert errors["last 2D held"].min() > 7 / PIXELS  # it moves 7.5 pixels a frame
    assert errors["zeros, as the masks of training (lift, up to 5)"].min() > 0.05


def test_gaps(monkeypatch, tmp_path, data):
    rows, page = run(
        monkeypatch, tmp_path, Plain(), "gaps", f"--data={data}", "--datasets=walks", "--clips=2"
    )
    assert [row["in the place of missing joints"] for row in rows] == list(gaps.WAYS)
    values = np.array([[float(v) for v in list(row.values())[1:]] for row in rows])
    assert values.shape == (5, 5)
    assert (values > 0).all()
    assert "2 clips of 9 frames" in page


def test_filming_is_the_truth_seen_from_four_sides():
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.4, (30, 17, 3))
    for number in range(4):
        clip = film("ann", "walk", pose, pose, number)
        seen = (clip.motion[..., :2] - clip.motion[:, :1, :2]) / PIXELS
        assert 0 < np.abs(seen - clip.truth[..., :2]).mean() < 0.03  # the noise
        lengths = np.linalg.norm(clip.truth, axis=-1)
        np.testing.assert_allclose(lengths, np.linalg.norm(pose - pose[:, :1], axis=-1), atol=1e-6)
        assert clip.errors(PIXELS * clip.truth).max() < 1e-6


def test_uncertainty(monkeypatch, tmp_path, data):
    constants = tmp_path / "shaky.calibration.json"
    rows, page = run(
        *(monkeypatch, tmp_path, Shaky(), "uncertainty", f"--data={data}", "--datasets=walks"),
        f"--constants={constants}",
    )
    assert [row["joints"] for row in rows] == ["seen"] * 10 + ["missing"] * 10
    predicted = [float(row["predicted mm"]) for row in rows[:10]]
    assert predicted == sorted(predicted)
    assert set(json.loads(constants.read_text())) >= {"seen", "missing", "flip", "overlap"}
    assert (tmp_path / "pages" / "uncertainty.png").stat().st_size > 1000
    assert "people p0, p2" in page


def test_one_window_answers_as_the_stream_does():
    clip = filmed_clip(20)
    lifter = Lifter(Shaky(), frames=9, flip=False)
    answers = streaming.streamed(lifter, clip, [0, 3])
    for look, poses in answers.items():
        stream = lifter.stream(H36M17, look)
        pushed = [stream.push(frame, keypoints) for frame, keypoints in enumerate(clip.motion)]
        for answer in pushed[lifter.window :]:
            ours = poses[answer.frame]
            scale = np.linalg.norm(answer.joints) / np.linalg.norm(ours)
            np.testing.assert_allclose(answer.joints, scale * ours, atol=1e-4)


def test_streaming(monkeypatch, tmp_path, data):
    rows, page = run(
        *(monkeypatch, tmp_path, Plain(), "streaming", f"--data={data}", "--datasets=walks"),
        *("--pushes=3", "--clips=2", "--no-start"),
    )
    assert [row["look-ahead"] for row in rows] == ["0", "2", "4", "8", "blended"]
    assert all(float(row["MPJPE"]) > 0 for row in rows)
    assert "network alone" in page
    assert (tmp_path / "pages" / "streaming.png").stat().st_size > 1000


@pytest.mark.long
def test_the_first_answer_of_the_command_is_timed():
    cold, warm = streaming.starts(command.STARTER, 3)
    assert float(cold["seconds"]) > 0
    assert float(warm["seconds"]) > 0


def test_mistakes_are_told(monkeypatch, tmp_path, capsys, keypoints, data):
    short = tmp_path / "few.json"
    short.write_text(json.dumps(json.loads(keypoints.read_text())[:5]))
    monkeypatch.setattr(command, "load", lambda path: Plain())
    for arguments, word in (
        (["seams", "--files", str(keypoints), "--minutes=2,1"], "ascending"),
        (["seams", "--files", str(keypoints), str(short)], "few.json: got nobody in"),
        (["gaps", f"--data={tmp_path}"], "prepared"),
        (["uncertainty", f"--data={data}", "--datasets=walks", "--overlap=1"], "overlap"),
    ):
        assert command.main([*arguments, f"--output={tmp_path}"]) == 2
        assert word in capsys.readouterr().err


def test_nobody_long_enough_is_told(data):
    import argparse

    values = argparse.Namespace(data=data, datasets="walks")
    with pytest.raises(ValueError, match="no sequence of 99 frames"):
        list(people.filmed(values, least=99))
