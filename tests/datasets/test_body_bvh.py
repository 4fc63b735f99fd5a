"""The body_bvh dataset: records, clips, initial answers, bad settings."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fixtures_body import write_body

from dstformer_jax.body import rotations
from dstformer_jax.body.model import BodyModel
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.pipeline import evaluation
from dstformer_jax.data.prepare import load_builder, prepare
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.files.bodies import read_body


@pytest.fixture(scope="module")
def body_file(tmp_path_factory) -> Path:
    return write_body(tmp_path_factory.mktemp("body") / "toy.npz")


@pytest.fixture(scope="module")
def body(body_file) -> BodyModel:
    return read_body(body_file)


def joints_of(body: BodyModel, theta, beta, camera=1.0) -> np.ndarray:
    """Joints [..., 17, 3] of theta [..., 3 B] and beta, seen by cameras [..., 3, 3]."""
    camera = camera * np.eye(3) if np.isscalar(camera) else camera
    turns = rotations.to_matrix(theta.reshape(*theta.shape[:-1], body.num_bones, 3))
    turns[..., 0, :, :] = camera @ turns[..., 0, :, :]
    return body.joint_body.joints(turns, beta)


# Records ------------------------------------------------------------------------------------------


@pytest.fixture
def folders(write_bvh, tmp_path) -> Path:
    """Two folders with a CSV each: people ann, bob and eve (test), who swing their arms."""
    for folder, people in {"a": {"ann": "train", "eve": "test"}, "b": {"bob": "train"}}.items():
        lines = ["file,subject,split,skeleton,unit_to_m,fps"]
        for number, (name, split) in enumerate(people.items()):
            turns = {"rhumerus": np.linspace(0, 90, 120), "ltibia": np.linspace(0, 40, 120)}
            root = np.linspace([0, 95, 0], [150, 95, 10 * number], 120)
            write_bvh(tmp_path / "in" / folder / f"{name}.bvh", root, 60, turns)
            lines.append(f"{name}.bvh,{name},{split},asf31,0.01,60")
        lines.append("other.bvh,tom,train,unknown9,0.01,60")
        (tmp_path / "in" / folder / "index.csv").write_text("\n".join(lines))
    return tmp_path / "in"


def build(source: Path, body_file: Path, **options) -> Path:
    data = source.parent / "data"
    options = {"body": str(body_file), "folders": ("a", "b"), "skeletons": ("asf31",), **options}
    report = prepare("body_bvh", data, source, options=options, progress=False, overwrite=True)
    assert report.notes["files of other skeletons, left out"] == 2
    return data


def test_records_are_the_posed_body(folders, body_file, body):
    data = build(folders, body_file)
    bank, test = (Bank.open(data, "body_bvh", split) for split in ("train", "test"))
    assert [row["id"] for row in bank.sequences] == ["a/ann", "b/bob"]
    assert [(row["subject"], row["frames"]) for row in test.sequences] == [("eve", 60)]
    facts = {(row["fps"], row["unit"], row["axes"]) for row in bank.sequences}
    assert facts == {(30.0, "m", "world")}
    assert bank.theta.shape == (120, 54)
    joints = joints_of(body, bank.theta, bank.beta)
    apart = bank.pose - joints
    np.testing.assert_allclose(apart, np.broadcast_to(apart[:, :1], apart.shape), atol=2e-6)
    # One shape a sequence; every sequence another; within two deviations.
    for row in bank.sequences:
        frames = slice(row["start"], row["start"] + row["frames"])
        assert np.ptp(bank.beta[frames], axis=0).max() == 0
    assert np.abs(bank.beta[0] - bank.beta[-1]).max() > 0.1
    assert np.abs(bank.beta).max() <= 2
    assert len(bank.initial_theta) == 0
    # The root walks: 1.5 m by legs of 83 cm, as much farther as the body's are longer.
    thigh, shank = ((2, 1), (3, 2))
    legs = sum(np.linalg.norm(bank.pose[0, a] - bank.pose[0, b]) for a, b in (thigh, shank))
    step = np.linalg.norm(bank.pose[59, 0] - bank.pose[0, 0])
    assert step == pytest.approx(1.5 * 118 / 119 * legs / 0.83, rel=1e-3)


def test_choices_follow_from_the_seed_and_the_id(folders, body_file):
    options = {"initial": True, "still": True}
    banks = []
    for seed in (0, 0, 1):
        data = build(folders, body_file, **options, seed=seed)
        bank = Bank.open(data, "body_bvh")
        banks.append({k: np.array(getattr(bank, k)) for k in ("beta", "initial_theta", "pose")})
    for name in banks[0]:
        np.testing.assert_array_equal(banks[0][name], banks[1][name])
        assert np.abs(banks[0][name] - banks[2][name]).max() > 1e-3
    root = banks[0]["pose"][:, 0]
    assert np.ptp(root[:60], axis=0).max() < 1e-6  # --still


def test_clips_show_the_body_that_their_parameters_pose(folders, body_file, body):
    data = build(folders, body_file, initial=True)
    views = {"yaw": (0.0, 90.0), "pitch": (10.0,), "fixed": True}
    settings = {"frames": 16, "stride": 8, "batch": 8, "supervision": "body", "views": views}
    batches, index = evaluation(SourceData.open(Source("body", "body_bvh", **settings), data))
    batch = next(batches)
    assert len(index["window"]) == 2 * 2 * 6  # two people, six windows of 60 frames, two views
    assert batch["initial_theta"].shape == batch["theta"].shape == (8, 16, 54)
    joints = joints_of(body, batch["theta"], batch["beta"], batch["camera"][:, None])
    seen, posed = (p[..., :2] - p[..., :1, :2] for p in (batch["motion"], joints))
    np.testing.assert_allclose(seen, posed, atol=1e-5)


def test_a_refiner_starts_from_files_of_another_method(folders, body_file, tmp_path):
    """Whose names are the ids, a/ann and b/bob, with _ for what a file cannot be called."""
    rng, answers = np.random.default_rng(0), tmp_path / "answers"
    answers.mkdir()
    theta = {name: rng.normal(0, 0.5, (60, 18, 3)) for name in ("a_ann", "a_eve", "b_bob")}
    for name, each in theta.items():
        np.savez(answers / f"{name}.npz", theta=each, beta=[0.5, -0.5])
    bank = Bank.open(build(folders, body_file, initial_from=str(answers)), "body_bvh")
    wanted = np.concatenate([theta["a_ann"], theta["b_bob"]]).reshape(120, 54)
    np.testing.assert_allclose(bank.initial_theta, wanted, atol=1e-6)
    np.testing.assert_array_equal(bank.initial_beta, np.tile([0.5, -0.5], (120, 1)))
    (answers / "b_bob.npz").unlink()
    with pytest.raises(ValueError, match=r"got no .*b_bob\.npz, .* here of 'b/bob'"):
        build(folders, body_file, initial_from=str(answers))
    assert not list((folders.parent / "data").rglob("*.np[yz]"))


# What another method might have answered ----------------------------------------------------------


def degrees_apart(truth: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """[T, B] between rotations [T, B, 3, 3] and axis-angles [T, 3 B]."""
    guessed = rotations.to_matrix(theta.reshape(*truth.shape[:2], 3))
    step = rotations.to_vector(truth.swapaxes(-1, -2) @ guessed)
    return np.degrees(np.linalg.norm(step, axis=-1))


@pytest.fixture(scope="module")
def initial(part):
    return part("body_bvh.initial")


@pytest.fixture
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Rotations [3000, 8, 3, 3] and shapes [3000, 10] that change."""
    rng = np.random.default_rng(0)
    vectors = rng.uniform(-1.5, 1.5, (3000, 8, 3))
    return rotations.to_matrix(vectors), np.repeat(rng.normal(size=(1, 10)), 3000, axis=0)


def guess(initial, truth, **faults) -> tuple[np.ndarray, np.ndarray]:
    still = {"noise": 0.0, "shape": 0.0, "outliers": 0.0, "freezes": 0.0}
    return initial.Guesser(**{**still, **faults}).guess(*truth, 30.0, np.random.default_rng(1))


def test_a_faultless_method_answers_the_truth(initial, truth):
    theta, shape = guess(initial, truth)
    assert degrees_apart(truth[0], theta).max() < 1e-5
    np.testing.assert_array_equal(shape, truth[1])


def test_noise_has_size_and_memory(initial, truth):
    theta, shape = guess(initial, truth, noise=6.0, memory=0.9, shape=0.5)
    guessed = rotations.to_matrix(theta.reshape(3000, 8, 3))
    error = np.degrees(rotations.to_vector(truth[0].swapaxes(-1, -2) @ guessed))
    assert error.std() == pytest.approx(6.0, rel=0.1)
    x = error[:, 3, 1]
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.9, abs=0.03)
    off = shape - truth[1]
    assert off.std() == pytest.approx(0.5, rel=0.1)
    assert np.corrcoef(off[1:, 2], off[:-1, 2])[0, 1] == pytest.approx(0.9, abs=0.03)


def test_outliers_turn_one_bone_of_some_frames(initial, truth):
    theta, _ = guess(initial, truth, outliers=0.05, turned=40.0)
    apart = degrees_apart(truth[0], theta)
    wrong = apart > 1e-4
    np.testing.assert_allclose(apart[wrong], 40, atol=1e-4)
    assert set(wrong.sum(axis=1)) == {0, 1}
    assert wrong.any(axis=1).mean() == pytest.approx(0.05, abs=0.012)
    assert wrong.any(axis=0).all()


def test_answers_hang_for_a_second(initial, truth):
    theta, _ = guess(initial, truth, freezes=0.2, hang=1.0)
    same = (np.diff(theta, axis=0) == 0).all(axis=1)
    assert 0.1 < same.mean() < 0.3
    ends = np.flatnonzero(np.diff(np.pad(same.astype(int), 1)))
    lengths = np.diff(ends)[::2]
    assert (lengths == 29).sum() > len(lengths) / 2  # others overlap
    apart = degrees_apart(truth[0], theta)[1:]
    assert apart[~same].max() < 1e-5  # otherwise the truth
    assert np.median(apart[same]) > 10


# What cannot be done ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"body": ""}, "got no --body"),
        ({"body": "absent.npz"}, "got no body at absent.npz"),
        ({"folders": ("a", "c")}, "got no folder .*c, expected it for --folders"),
        ({"skeletons": ("asf32",)}, "none of skeleton asf32"),
        ({"initial": True, "initial_from": "x"}, "got --initial and --initial_from, expected one"),
        ({"memory": 1.5}, r"--memory=1.5, expected 0 to 1"),
        ({"noise": -1.0}, r"--noise=-1.0, expected 0 or more"),
        ({"names": "absent.json"}, "absent.json: got no table of names"),
    ],
)
def test_settings_that_cannot_work_are_told(folders, body_file, options, message):
    with pytest.raises(ValueError, match=message):
        build(folders, body_file, **options)


def test_other_files_are_named_and_skipped(folders, body_file, write_bvh):
    root = np.zeros((40, 3))
    write_bvh(folders / "a" / "eve.bvh", root, rename=lambda name: f"my_{name}")
    (folders / "b" / "bob.bvh").write_text("HIERARCHY\nROOT")
    data = build(folders, body_file)
    report = json.loads((data / "body_bvh/default/1.0.0/report.json").read_text())
    assert set(report["skipped"]) == {"a/eve.bvh", "b/bob.bvh"}
    assert "expected those of a known rig" in report["skipped"]["a/eve.bvh"]
    assert list(report["splits"]) == ["train"]


def test_own_names_pose_a_body(folders, body_file, tmp_path):
    """The table replaces ours: without aliases the files' names say nothing."""
    table = tmp_path / "names.json"
    table.write_text(json.dumps({"aliases": {}, "upright": ["Hips"]}))
    with pytest.raises(ValueError, match=r"none of 3 files gave.* do give --names"):
        build(folders, body_file, names=str(table))


# Real motion --------------------------------------------------------------------------------------


def test_the_builder_reads_real_motion(shared):
    kind = load_builder("body_bvh")
    options = kind.OPTIONS(body=str(shared / "data/cc0_body_model/body_cmu31.npz"), initial=True)
    builder = kind(options=options, data_dir="unused")
    items = {item.key: item for item in builder.items(shared / "data/cmu_mocap")}
    (sequence,) = builder.read(items["bvh/02_01.bvh"], Counter())
    assert items["bvh/08_01.bvh"].split == "test"
    assert sequence.theta.shape == sequence.initial_theta.shape == (sequence.num_frames, 93)
    assert 1.3 < np.ptp(sequence.pose[0, :, 1]) < 1.8  # a person who stands
