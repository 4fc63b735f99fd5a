"""The amass builder: skinning against vertices, frame rates, the variety of real files."""

import importlib
import pickle
import sys
import types
from pathlib import Path

import fixtures_amass as files
import numpy as np
import pytest

from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import load_builder, prepare


def run(source: Path, data_dir: Path, **options):
    return prepare("amass", data_dir, source=source, options=options, progress=False)


@pytest.fixture(scope="module")
def skinning():
    load_builder("amass")
    return importlib.import_module("amass.skinning")


@pytest.fixture
def source(tmp_path) -> Path:
    return files.write_bodies(tmp_path / "AMASS")


def rows(data_dir: Path, split: str = "train") -> dict[str, tuple[dict, np.ndarray]]:
    """id -> facts and pose of a split."""
    bank = Bank.open(data_dir, "amass", split)
    return {
        row["id"]: (row, bank.pose[row["start"] : row["start"] + row["frames"]])
        for row in bank.sequences
    }


def z_up(pose: np.ndarray) -> np.ndarray:
    """Undoes x'=x, y'=-z, z'=y."""
    return np.stack([pose[..., 0], pose[..., 2], -pose[..., 1]], axis=-1)


# Skinning -------------------------------------------------------------------------------------


def test_joints_equal_the_official_body_model(skinning, shared):
    folder = shared / "golden" / "synthetic_smpl"
    models = importlib.import_module("amass.models")
    model = models.read_arrays(folder / "SMPL_NEUTRAL.pkl", models._WANTED)
    matrix = np.load(folder / "J_regressor_h36m_correct.npy").astype(float)
    body = skinning.reduce(model, matrix, np.zeros((len(model["v_template"]), 3, 0)))
    with np.load(shared / "golden" / "e_mesh_head.npz") as golden:
        pose = golden["smpl/pose_aa"].reshape(5, 24, 3).astype(float)
        found = body.joints(pose, golden["smpl/betas"].astype(float), np.zeros((5, 3)))
        np.testing.assert_allclose(found, golden["smpl/h36m17"], atol=2e-7)


def test_joints_equal_the_vertices_one_by_one(source, tmp_path):
    motion = files.motion(3, 5, fps=60.0)
    files.write_motion(source / "CMU" / "01" / "01_01_poses.npz", motion)
    run(source, tmp_path / "data")
    facts, pose = rows(tmp_path / "data")["CMU/01/01_01_poses"]
    expected = np.stack([files.posed_joints(motion, "male", frame) for frame in range(5)])
    np.testing.assert_allclose(z_up(pose), expected, atol=1e-5)
    assert (facts["subject"], facts["action"]) == ("CMU/01", "01_01")
    assert (facts["unit"], facts["axes"], facts["fps"]) == ("m", "camera", 60.0)


def test_smpl_takes_the_body_and_leaves_the_hands_at_rest():
    load_builder("amass")
    motions = importlib.import_module("amass.motions")
    arrays = files.motion(0, 4)
    motion = motions.Motion(
        arrays["poses"], arrays["trans"], arrays["betas"], arrays["dmpls"], "male", 60.0
    )
    pose = motions.poses_for(motion, 24)
    np.testing.assert_array_equal(pose[:, :22], arrays["poses"].reshape(4, 52, 3)[:, :22])
    np.testing.assert_array_equal(pose[:, 22:], 0)


# The variety of real files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gender", "body"),
    [
        ("female", "female"),
        (b"female", "female"),
        ("Male", "male"),
        (np.array([b"male"]), "male"),
        ("neutral", "female"),  # as the official preprocessing, when there is no such model
        ("unknown", "female"),
    ],
)
def test_gender_as_text_or_bytes(source, tmp_path, gender, body):
    motion = files.motion(4, 2, fps=60.0, gender=gender)
    files.write_motion(source / "a_poses.npz", motion)
    run(source, tmp_path / "data")
    _, pose = rows(tmp_path / "data")["a_poses"]
    np.testing.assert_allclose(z_up(pose)[1], files.posed_joints(motion, body, 1), atol=1e-5)


def test_missing_dmpls_and_other_rate_names(source, tmp_path):
    motion = files.motion(5, 4)
    bare = {"dmpls": None, "mocap_framerate": None, "mocap_frame_rate": 120.0}
    files.write_motion(source / "GRAB" / "s1" / "lift_poses.npz", motion, **bare)
    report = run(source, tmp_path / "data")
    facts, pose = rows(tmp_path / "data")["GRAB/s1/lift_poses"]
    assert facts["fps"] == 60.0
    expected = [files.posed_joints(motion, "male", frame, dmpls=False) for frame in (0, 2)]
    np.testing.assert_allclose(z_up(pose), np.stack(expected), atol=1e-5)
    assert report.notes["files without soft tissue (dmpls)"] == 1


@pytest.mark.parametrize(
    ("rate", "official", "fps", "frames"),
    [
        (120.00004577, False, 60.0, 6),
        (120.00004577, True, 60.0, 6),
        (100.0, False, 60.0, 7),  # 11 intervals of 10 ms hold 6 of 16.7 ms
        (100.0, True, 50.0, 6),
        (150.0, True, 75.0, 6),  # round(2.5) is 2
        (30.0, False, 60.0, 23),
        (30.0, True, 30.0, 12),
        (59.94, False, 60.0, 12),
    ],
)
def test_frame_rates(source, tmp_path, rate, official, fps, frames):
    """A body that slides at 1.2 m/s is where its time says, at every rate."""
    motion = files.motion(6, 12, fps=rate)
    seconds = np.arange(12) / rate
    motion["trans"] = seconds[:, None] * [1.2, 0, 0]
    for name in ("poses", "dmpls"):
        motion[name] = np.tile(motion[name][:1], (12, 1))
    files.write_motion(source / "slide_poses.npz", motion)
    run(source, tmp_path / "data", official_rate=official)
    facts, pose = rows(tmp_path / "data")["slide_poses"]
    assert (facts["fps"], len(pose)) == (fps, frames)
    travelled = pose[:, 0, 0] - pose[0, 0, 0]
    np.testing.assert_allclose(travelled, 1.2 * np.arange(frames) / fps, rtol=2e-3, atol=1e-5)


def test_pieces_and_test_folders(source, tmp_path):
    files.write_motion(source / "CMU" / "a_poses.npz", files.motion(7, 7, fps=60.0))
    files.write_motion(source / "SSM" / "b_poses.npz", files.motion(8, 3, fps=60.0))
    run(source, tmp_path / "data", pieces=3, test=("SSM",))
    train = rows(tmp_path / "data")
    assert {key: len(pose) for key, (_, pose) in train.items()} == {
        "CMU/a_poses#0": 3,
        "CMU/a_poses#3": 3,
        "CMU/a_poses#6": 1,
    }
    assert list(rows(tmp_path / "data", "test")) == ["SSM/b_poses"]


def test_bad_files_are_named_and_shapes_passed_over(source, tmp_path):
    good = files.motion(9, 4)
    files.write_motion(source / "A" / "good_poses.npz", good)
    files.write_motion(source / "A" / "shape.npz", {"betas": good["betas"], "gender": "male"})
    files.write_motion(source / "A" / "male_stagei.npz", {"betas": good["betas"]})
    files.write_motion(source / "A" / "nan_poses.npz", good, trans=np.full((4, 3), np.nan))
    files.write_motion(source / "A" / "norate_poses.npz", good, mocap_framerate=None)
    files.write_motion(source / "A" / "smplx_poses.npz", good, poses=np.zeros((4, 165)))
    cut = files.write_motion(source / "A" / "cut_poses.npz", good)
    cut.write_bytes(cut.read_bytes()[:-500])
    report = run(source, tmp_path / "data")
    assert list(rows(tmp_path / "data")) == ["A/good_poses"]
    reasons = {Path(key).stem.split("_")[0]: text for key, text in report.skipped.items()}
    assert reasons.keys() == {"nan", "norate", "smplx", "cut"}
    assert "not finite" in reasons["nan"]
    assert "mocap_framerate" in reasons["norate"]
    assert "SMPL-X" in reasons["smplx"]
    assert "archive" in reasons["cut"]


def test_missing_models_say_what_to_get(tmp_path):
    files.write_motion(tmp_path / "AMASS" / "a_poses.npz", files.motion(1, 4))
    with pytest.raises(ValueError, match=r"smplh/\{female,male\}/model.npz"):
        run(tmp_path / "AMASS", tmp_path / "data")
    files.write_bodies(tmp_path / "models")
    with pytest.raises(ValueError, match=r"do --regressor=FILE"):
        run(tmp_path / "AMASS", tmp_path / "data", body_models=str(tmp_path / "models/body_models"))
    run(
        tmp_path / "AMASS",
        tmp_path / "data",
        body_models=str(tmp_path / "models" / "body_models"),
        regressor=str(tmp_path / "models" / "J_regressor_h36m_correct.npy"),
    )
    assert list(rows(tmp_path / "data")) == ["a_poses"]


# Pickles --------------------------------------------------------------------------------------


@pytest.fixture
def chumpy(monkeypatch):
    """Modules of the names that official pickles mention; gone again when they are read."""
    classes = {}
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    for module, name in (
        ("chumpy.ch", "Ch"),
        ("chumpy.reordering", "Select"),
        ("scipy.sparse.csc", "csc_matrix"),
    ):
        kind = type(name, (), {"__module__": module})
        found = types.ModuleType(module)
        setattr(found, name, kind)
        monkeypatch.setitem(sys.modules, module, found)
        classes[name] = kind
    return lambda name, **state: vars_of(classes[name](), state)


def vars_of(instance, state):
    vars(instance).update(state)
    return instance


@pytest.mark.parametrize("protocol", [0, 2])
def test_official_pickles_without_chumpy_or_scipy(source, tmp_path, chumpy, protocol):
    arrays = files.body(1)
    dense = arrays["J_regressor"] * (arrays["J_regressor"] > 0.05)
    dense[:, 0] += 1 - dense.sum(1)
    columns, places = np.nonzero(dense.T)
    arrays["shapedirs"] = chumpy("Ch", x=arrays["shapedirs"], _dirty_vars=set())
    order = np.arange(arrays["posedirs"].size)[::-1]
    arrays["posedirs"] = chumpy(
        "Select",
        a=chumpy("Ch", x=arrays["posedirs"].ravel()[::-1].copy()),
        idxs=order,
        preferred_shape=arrays["posedirs"].shape,
    )
    arrays["J_regressor"] = chumpy(
        "csc_matrix",
        data=dense[places, columns],
        indices=places.astype(np.int32),
        indptr=np.searchsorted(columns, np.arange(files.VERTICES + 1)).astype(np.int32),
        _shape=dense.shape,
    )
    path = source / "body_models" / "smplh" / "female" / "model.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=protocol))
    load_builder("amass")
    models = importlib.import_module("amass.models")
    found = models.read_arrays(path, models._WANTED)
    np.testing.assert_allclose(found["J_regressor"], dense)
    for name in ("shapedirs", "posedirs"):
        np.testing.assert_array_equal(found[name], files.body(1)[name])


def test_joints_pickle_with_names_and_rates(tmp_path):
    rng = np.random.default_rng(0)
    poses = [rng.normal(size=(frames, 17, 3)) for frames in (5, 9, 0)]
    files.write_joints(tmp_path / "amass_joints_h36m_60.pkl", poses)
    run(tmp_path, tmp_path / "plain")
    found = rows(tmp_path / "plain")
    assert list(found) == ["00000", "00001"]  # the empty last piece is left out
    for key, pose in zip(found, poses[:2], strict=True):
        np.testing.assert_allclose(z_up(found[key][1]), pose, atol=1e-6)
        assert found[key][0]["fps"] == 60.0
    names = ["CMU/01/a_poses.npz", "KIT/2/b_poses.npz", "KIT/2/b_poses.npz"]
    lines = [f"{i} , {name} , {len(poses[i])}" for i, name in enumerate(names)]
    (tmp_path / "clip_list.csv").write_text("clip_id, fname, clip_len\n" + "\n".join(lines))
    (tmp_path / "fps.csv").write_text(
        "fname,len,fps,newlen\nCMU/01/a_poses.npz,10,120.0,5\nKIT/2/b_poses.npz,18,100.0,9\n"
    )
    run(tmp_path / "amass_joints_h36m_60.pkl", tmp_path / "named")
    facts = [row for row, _ in rows(tmp_path / "named").values()]
    assert [row["fps"] for row in facts] == [60.0, 50.0]
    assert [row["subject"] for row in facts] == ["CMU/01", "KIT/2"]


def test_official_clips_come_back_to_metres(tmp_path):
    rng = np.random.default_rng(1)
    poses = [rng.normal(size=(243, 17, 3)) for _ in range(3)]
    root = files.write_clips(tmp_path / "MB3D_f243s81" / "AMASS", poses)
    bad = {"data_input": np.zeros((243, 17, 3)), "data_label": np.zeros((243, 17, 3))}
    (root / "train" / "00000003.pkl").write_bytes(pickle.dumps(bad))
    report = run(root, tmp_path / "data")
    found = rows(tmp_path / "data")
    assert list(found) == ["train/00000000", "train/00000001", "train/00000002"]
    for (_, pose), expected in zip(found.values(), poses, strict=True):
        np.testing.assert_allclose(z_up(pose), expected, atol=2e-6)
    assert "detections" in report.skipped["train/00000003.pkl"]


class Danger:
    """Unpickled with pickle.load it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_hostile_files_are_refused_and_nothing_runs(source, tmp_path):
    mark = tmp_path / "executed"
    (source / "amass_joints_h36m_60.pkl").write_bytes(pickle.dumps([Danger(mark)]))
    with pytest.raises(ValueError, match="was not run"):
        run(source, tmp_path / "data")
    (source / "amass_joints_h36m_60.pkl").unlink()
    hostile = np.array(Danger(mark), dtype=object)
    files.write_motion(source / "a_poses.npz", files.motion(1, 4), gender=hostile)
    with pytest.raises(ValueError, match="was not run"):
        run(source, tmp_path / "data")
    files.write_motion(source / "a_poses.npz", files.motion(1, 4))
    model = source / "body_models" / "smplh" / "male" / "model.npz"
    np.savez(model, **files.body(2) | {"weights": hostile})
    with pytest.raises(ValueError, match="was not run"):
        run(source, tmp_path / "data")
    assert not mark.exists()


def test_a_wrong_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="expected a folder of SMPL"):
        run(tmp_path, tmp_path / "data")
    with pytest.raises(ValueError, match="--fps=0"):
        run(tmp_path, tmp_path / "data", fps=0.0)
