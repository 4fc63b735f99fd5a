"""The body_bvh dataset: rest poses brought together, records, initial answers, bad settings."""

import dataclasses
import importlib
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dstformer_jax.body import geometry, rotations
from dstformer_jax.body.model import BodyModel
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.pipeline import evaluation
from dstformer_jax.data.prepare import load_builder, prepare
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.files.bodies import read_body
from dstformer_jax.files.bvh import Bvh, read_bvh
from dstformer_jax.files.rigs import choose_rig

# name, parent, place at rest in metres: CMU's names, arms half down and a little bent, as a body's.
BONES = [
    ("Hips", "", (0, 0.9, 0)),
    ("LeftUpLeg", "Hips", (0.1, 0.88, 0)),
    ("LeftLeg", "LeftUpLeg", (0.12, 0.48, 0.03)),
    ("LeftFoot", "LeftLeg", (0.13, 0.08, 0)),
    ("LeftToeBase", "LeftFoot", (0.14, 0.02, 0.12)),
    ("RightUpLeg", "Hips", (-0.1, 0.88, 0)),
    ("RightLeg", "RightUpLeg", (-0.12, 0.48, 0.03)),
    ("RightFoot", "RightLeg", (-0.13, 0.08, 0)),
    ("RightToeBase", "RightFoot", (-0.14, 0.02, 0.12)),
    ("Spine", "Hips", (0, 1.1, -0.02)),
    ("Neck", "Spine", (0, 1.4, 0.01)),
    ("Head", "Neck", (0, 1.52, 0.04)),
    ("LeftArm", "Neck", (0.17, 1.35, 0)),
    ("LeftForeArm", "LeftArm", (0.35, 1.17, 0)),
    ("LeftHand", "LeftForeArm", (0.5, 1.05, 0.1)),
    ("RightArm", "Neck", (-0.17, 1.35, 0)),
    ("RightForeArm", "RightArm", (-0.35, 1.17, 0)),
    ("RightHand", "RightForeArm", (-0.5, 1.05, 0.1)),
]
NAMES = [name for name, _, _ in BONES]
JOINTS = ["Hips", "RightUpLeg", "RightLeg", "RightFoot", "LeftUpLeg", "LeftLeg", "LeftFoot"]
JOINTS += ["Spine", "Neck", "Head", "Head", "LeftArm", "LeftForeArm", "LeftHand"]
JOINTS += ["RightArm", "RightForeArm", "RightHand"]
ALIGNED = {"LeftUpLeg", "LeftLeg", "LeftFoot", "RightUpLeg", "RightLeg", "Spine"}
ALIGNED |= {"Neck", "LeftArm", "LeftForeArm", "RightArm", "RightForeArm"}


@pytest.fixture(scope="module")
def parts():
    builder = load_builder("body_bvh")
    modules = {
        name: importlib.import_module(f"body_bvh.{name}") for name in ("retarget", "initial")
    }
    return SimpleNamespace(builder=builder, **modules)


@pytest.fixture(scope="module")
def body_file(tmp_path_factory) -> Path:
    """A body of 36 vertices whose shapes make bones longer; joints are its bones."""
    rng = np.random.default_rng(0)
    rest = np.array([place for _, _, place in BONES])
    template = np.concatenate([rest, rest + rng.normal(0, 0.03, rest.shape)])
    shapes = np.stack([0.05 * template, template * [0.1, 0, 0]], axis=-1)
    regressor = np.zeros((17, 3 * len(BONES)))
    regressor[np.arange(17), 2 * len(BONES) + np.array([NAMES.index(name) for name in JOINTS])] = 1
    path = tmp_path_factory.mktemp("body") / "toy.npz"
    np.savez(
        path,
        v_template=template,
        shapedirs=shapes,
        weights=np.tile(np.eye(len(BONES)), (2, 1)),
        parents=[NAMES.index(parent) if parent else -1 for _, parent, _ in BONES],
        joint_names=NAMES,
        J_template=rest,
        J_shapedirs=shapes[: len(BONES)],
        regressor=regressor,
    )
    return path


@pytest.fixture(scope="module")
def body(body_file) -> BodyModel:
    return read_body(body_file)


def moving(bvh: Bvh, frames: int = 12, seed: int = 0) -> Bvh:
    """The skeleton of a file, all of its joints turned at random."""
    values = np.random.default_rng(seed).uniform(-80, 80, (frames, bvh.values.shape[1]))
    return dataclasses.replace(bvh, values=values)


@pytest.fixture
def file(write_bvh, tmp_path) -> Bvh:
    return moving(read_bvh(write_bvh(tmp_path / "one.bvh", np.zeros((1, 3)))))


def bone_places(body: BodyModel, turns: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Where the bones of a posed body are, [T, B, 3], by a chain written out."""
    rest = body.bone_template + body.bone_shapes @ shape
    spaces, places = [turns[:, 0]], [np.repeat(rest[None, 0], len(turns), axis=0)]
    for bone in range(1, body.num_bones):
        parent = body.parents[bone]
        places.append(places[parent] + spaces[parent] @ (rest[bone] - rest[parent]))
        spaces.append(spaces[parent] @ turns[:, bone])
    return np.stack(places, axis=1)


def angles_apart(body: BodyModel, places: np.ndarray, fitted, positions: np.ndarray) -> np.ndarray:
    """Degrees between bones of the body and of the file, [T, aligned bones]."""
    ours = np.flatnonzero(fitted.toward >= 0)
    ends = fitted.toward[ours]
    theirs = positions.astype(np.float64)
    mine = places[:, ends] - places[:, ours]
    wanted = theirs[:, fitted.nodes[ends]] - theirs[:, fitted.nodes[ours]]
    mine, wanted = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (mine, wanted))
    return np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(mine - wanted, axis=-1) / 2, 0, 1)))


@pytest.mark.parametrize("shape", [(0.0, 0.0), (1.5, -1.0)])
def test_posed_bones_point_where_the_files_do(parts, body, file, shape):
    rest = body.bone_template + body.bone_shapes @ np.array(shape)
    fitted = parts.retarget.fit(body, rest, file, parts.retarget.load_names())
    assert {NAMES[bone] for bone in np.flatnonzero(fitted.toward >= 0)} == ALIGNED
    posed = parts.retarget.bone_turns(fitted, body, file)
    places = bone_places(body, parts.retarget.to_local(posed, body.parents), np.array(shape))
    assert angles_apart(body, places, fitted, file.positions).max() < 0.01


def test_the_way_into_the_files_rest_pose_is_the_shortest(parts, body, file):
    """The arms, 45 degrees down, come up by so much about the axis to the front."""
    fitted = parts.retarget.fit(body, body.bone_template, file, parts.retarget.load_names())
    up = rotations.to_vector(fitted.rest[NAMES.index("LeftArm")])
    np.testing.assert_allclose(up, [0, 0, np.pi / 4], atol=1e-9)
    np.testing.assert_allclose(fitted.rest[NAMES.index("Head")], np.eye(3), atol=1e-12)
    elbow = fitted.rest[NAMES.index("LeftForeArm")] @ fitted.rest[NAMES.index("LeftArm")].T
    own = body.bone_template[NAMES.index("LeftHand")] - body.bone_template[13]
    bent = fitted.rest[NAMES.index("LeftArm")] @ own
    across = rotations.to_vector(elbow)
    assert abs(across @ bent) < 1e-9  # no twist about the forearm
    assert np.linalg.norm(across) == pytest.approx(np.arccos(bent[0] / np.linalg.norm(bent)))


def test_a_body_that_rests_as_the_file_takes_its_rotations(parts, body, file):
    names = parts.retarget.load_names()
    nodes = parts.retarget.fit(body, body.bone_template, file, names).nodes
    still = dataclasses.replace(file, values=np.zeros((1, file.values.shape[1])))
    alike = still.positions[0, nodes].astype(float) / 100  # that of the missing toes is not used
    fitted = parts.retarget.fit(body, alike, file, names)
    np.testing.assert_allclose(fitted.rest, np.broadcast_to(np.eye(3), (18, 3, 3)), atol=1e-6)
    posed = parts.retarget.bone_turns(fitted, body, file)[:, nodes >= 0]
    np.testing.assert_allclose(posed, file.turns[:, nodes[nodes >= 0]], atol=1e-6)


def z_up(bvh: Bvh) -> Bvh:
    """The same motion with z up: x stays, y becomes z, z becomes -y."""
    axes, signs = {0: 0, 1: 2, 2: 1}, {0: 1, 1: 1, 2: -1}
    flat = [axis for channels in bvh.channels for _, axis in channels]
    return dataclasses.replace(
        bvh,
        offsets=bvh.offsets[:, [0, 2, 1]] * [1, -1, 1],
        channels=tuple(tuple((kind, axes[a]) for kind, a in one) for one in bvh.channels),
        values=bvh.values * [signs[axis] for axis in flat],
    )


def test_files_with_z_up_pose_the_body_alike(parts, body, file):
    names = parts.retarget.load_names()
    posed = []
    for bvh, up in ((file, "y"), (z_up(file), "z")):
        fitted = parts.retarget.fit(body, body.bone_template, bvh, names, up)
        posed.append(parts.retarget.bone_turns(fitted, body, bvh, up))
    np.testing.assert_allclose(posed[1], posed[0], atol=1e-9)


def test_a_bone_without_a_joint_keeps_still(parts, body, file):
    names = tuple("other" if name == "lradius" else name for name in file.names)
    renamed = dataclasses.replace(file, names=names)
    fitted = parts.retarget.fit(body, body.bone_template, renamed, parts.retarget.load_names())
    posed = parts.retarget.bone_turns(fitted, body, renamed)
    local = parts.retarget.to_local(posed, body.parents)[:, NAMES.index("LeftForeArm")]
    np.testing.assert_allclose(local, np.broadcast_to(np.eye(3), local.shape), atol=1e-9)


@pytest.mark.parametrize("end", [(0, 0, 2), (0, 0, -1), (3, 0, 0), (1, -2, 0.5)])
def test_a_swing_is_a_rotation_onto_the_direction(parts, end):
    turn = parts.retarget.swing(np.array([0, 0, 0.7]), np.array(end, float))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn @ [0, 0, 1], end / np.linalg.norm(end), atol=1e-12)


def test_rotations_between_frames_are_on_the_way(parts):
    turns = rotations.to_matrix(np.radians([[[0, 0, 20]], [[0, 0, 80]]]))
    found = parts.retarget.between(turns[:1], turns[1:], np.array([0.25]))
    np.testing.assert_allclose(np.degrees(rotations.to_vector(found)), [[[0, 0, 35]]], atol=1e-9)


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


# What another method might have answered ----------------------------------------------------------


def degrees_apart(parts, truth: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """[T, B] between rotations [T, B, 3, 3] and axis-angles [T, 3 B]."""
    guessed = rotations.to_matrix(theta.reshape(*truth.shape[:2], 3))
    step = rotations.to_vector(truth.swapaxes(-1, -2) @ guessed)
    return np.degrees(np.linalg.norm(step, axis=-1))


@pytest.fixture
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Rotations [3000, 8, 3, 3] and shapes [3000, 10] that change."""
    rng = np.random.default_rng(0)
    vectors = rng.uniform(-1.5, 1.5, (3000, 8, 3))
    return rotations.to_matrix(vectors), np.repeat(rng.normal(size=(1, 10)), 3000, axis=0)


def guess(parts, truth, **faults) -> tuple[np.ndarray, np.ndarray]:
    still = {"noise": 0.0, "shape": 0.0, "outliers": 0.0, "freezes": 0.0}
    return parts.initial.Guesser(**{**still, **faults}).guess(
        *truth, 30.0, np.random.default_rng(1)
    )


def test_a_faultless_method_answers_the_truth(parts, truth):
    theta, shape = guess(parts, truth)
    assert degrees_apart(parts, truth[0], theta).max() < 1e-5
    np.testing.assert_array_equal(shape, truth[1])


def test_noise_has_size_and_memory(parts, truth):
    theta, shape = guess(parts, truth, noise=6.0, memory=0.9, shape=0.5)
    guessed = rotations.to_matrix(theta.reshape(3000, 8, 3))
    error = np.degrees(rotations.to_vector(truth[0].swapaxes(-1, -2) @ guessed))
    assert error.std() == pytest.approx(6.0, rel=0.1)
    x = error[:, 3, 1]
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.9, abs=0.03)
    off = shape - truth[1]
    assert off.std() == pytest.approx(0.5, rel=0.1)
    assert np.corrcoef(off[1:, 2], off[:-1, 2])[0, 1] == pytest.approx(0.9, abs=0.03)


def test_outliers_turn_one_bone_of_some_frames(parts, truth):
    theta, _ = guess(parts, truth, outliers=0.05, turned=40.0)
    apart = degrees_apart(parts, truth[0], theta)
    wrong = apart > 1e-4
    np.testing.assert_allclose(apart[wrong], 40, atol=1e-4)
    assert set(wrong.sum(axis=1)) == {0, 1}
    assert wrong.any(axis=1).mean() == pytest.approx(0.05, abs=0.012)
    assert wrong.any(axis=0).all()


def test_answers_hang_for_a_second(parts, truth):
    theta, _ = guess(parts, truth, freezes=0.2, hang=1.0)
    same = (np.diff(theta, axis=0) == 0).all(axis=1)
    assert 0.1 < same.mean() < 0.3
    ends = np.flatnonzero(np.diff(np.pad(same.astype(int), 1)))
    lengths = np.diff(ends)[::2]
    assert (lengths == 29).sum() > len(lengths) / 2  # others overlap
    apart = degrees_apart(parts, truth[0], theta)[1:]
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


def test_a_file_that_faces_another_way_is_refused(parts, body, file):
    turned = dataclasses.replace(file, offsets=file.offsets[:, [2, 1, 0]])
    with pytest.raises(ValueError, match="got a rest pose whose left is towards"):
        parts.retarget.fit(body, body.bone_template, turned, parts.retarget.load_names())
    others = dataclasses.replace(file, names=tuple(f"my_{name}" for name in file.names))
    with pytest.raises(ValueError, match=r"body toy is posed by, such as root, lfemur"):
        parts.retarget.fit(body, body.bone_template, others, parts.retarget.load_names())


def test_own_names_pose_a_body(folders, body_file, tmp_path):
    """The table replaces ours: without aliases the files' names say nothing."""
    table = tmp_path / "names.json"
    table.write_text(json.dumps({"aliases": {}, "upright": ["Hips"]}))
    with pytest.raises(ValueError, match=r"none of 3 files gave.* do give --names"):
        build(folders, body_file, names=str(table))


# Real motion --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cmu_mocap/bvh/08_01", "cmu_mocap_more/bvh/06_08"])
def test_a_real_body_follows_real_motion(parts, shared, name):
    """The CC0 body by asf31 and cgspeed31; its hips and neck lie at other places."""
    body = read_body(shared / "data/cc0_body_model/body_cmu31.npz")
    bvh = read_bvh(shared / "data" / f"{name}.bvh")
    pose = choose_rig(bvh).pose(bvh, 0.01).astype(np.float64)
    fitted = parts.retarget.fit(body, body.bone_template, bvh, parts.retarget.load_names())
    assert (fitted.nodes >= 0).all()
    aligned = [body.bone_names[bone] for bone in np.flatnonzero(fitted.toward >= 0)]
    assert {"LeftArm", "LeftForeArm", "LeftUpLeg", "LeftLeg", "Spine", "Neck1"} <= set(aligned)
    unaligned = dataclasses.replace(fitted, rest=np.broadcast_to(np.eye(3), (31, 3, 3)))
    apart, astray = [], []
    for each in (fitted, unaligned):
        posed = parts.retarget.bone_turns(each, body, bvh)
        turns = parts.retarget.to_local(posed, body.parents)
        joints = body.joint_body.joints(turns, np.zeros((len(turns), 10)))
        apart.append(1000 * np.linalg.norm(geometry.align(joints, pose) - pose, axis=-1).mean())
        places = bone_places(body, turns, np.zeros(10))
        astray.append(angles_apart(body, places, fitted, bvh.positions).max())
    assert astray[0] < 0.02
    assert astray[1] > 40
    assert apart[0] < 70
    assert apart[0] < apart[1] / 2


def test_the_builder_reads_real_motion(parts, shared):
    options = parts.builder.OPTIONS(
        body=str(shared / "data/cc0_body_model/body_cmu31.npz"), initial=True
    )
    builder = parts.builder(options=options, data_dir="unused")
    items = {item.key: item for item in builder.items(shared / "data/cmu_mocap")}
    (sequence,) = builder.read(items["bvh/02_01.bvh"], Counter())
    assert items["bvh/08_01.bvh"].split == "test"
    assert sequence.theta.shape == sequence.initial_theta.shape == (sequence.num_frames, 93)
    assert 1.3 < np.ptp(sequence.pose[0, :, 1]) < 1.8  # a person who stands
