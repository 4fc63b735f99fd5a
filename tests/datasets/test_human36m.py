"""The human36m builder: the official numbers, and three layouts of the same people."""

import importlib
import json
import pickle
from pathlib import Path

import fixtures_human36m as layouts
import numpy as np
import pytest

from dstformer_jax.data.bank import Bank
from dstformer_jax.data.pipeline import evaluation
from dstformer_jax.data.prepare import load_builder, prepare
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.tasks import metrics

FRAMES = 27  # of the golden clips


def run(source: Path, data_dir: Path, **options):
    return prepare("human36m", data_dir, source=source, options=options, progress=False)


@pytest.fixture(scope="module")
def cameras():
    load_builder("human36m")
    return importlib.import_module("human36m.cameras")


@pytest.fixture(scope="module")
def reader(golden) -> dict[str, np.ndarray]:
    """Raw arrays in the layout of the pickle, and what the official reader makes of them."""
    return golden("d_h36m_reader")


@pytest.fixture(scope="module")
def official(reader, tmp_path_factory) -> Path:
    """The data directory of the prepared pickle."""
    root = tmp_path_factory.mktemp("official")
    raw = {name: array for name, array in reader.items() if name.startswith("raw/")}
    path = layouts.write_official(root / "h36m_sh_conf_cam_source_final.pkl", raw)
    run(path, root / "data")
    return root / "data"


def clips(data_dir: Path, split: str, stride: int) -> SourceData:
    source = Source(
        name="h36m",
        dataset="human36m",
        split=split,
        frames=FRAMES,
        stride=stride,
        batch=8,
        input="motion",
    )
    return SourceData.open(source, data_dir)


@pytest.mark.parametrize("split", ["train", "test"])
def test_bank_equals_the_official_reader(official, reader, split):
    bank = Bank.open(official, "human36m", split)
    np.testing.assert_allclose(bank.motion, reader[f"read_2d/{split}"], atol=1e-6)
    np.testing.assert_allclose(bank.pose, reader[f"read_3d/{split}"], atol=1e-6)
    if split == "test":
        np.testing.assert_array_equal(bank.factor, reader["raw/test/2.5d_factor"])
        np.testing.assert_array_equal(bank.pose_mm, reader["raw/test/joints_2.5d_image"])
    else:
        assert len(bank.factor) == len(bank.pose_mm) == 0


def test_sequences_are_the_videos(official, reader):
    rows = Bank.open(official, "human36m", "test").sequences
    source = reader["raw/test/source"]
    for row in rows:
        frames = slice(row["start"], row["start"] + row["frames"])
        assert set(source[frames]) == {row["id"]}
        assert set(reader["raw/test/action"][frames]) == {row["action"]}
        assert set(reader["raw/test/camera_name"][frames]) == {row["camera"]}
    assert [row["subject"] for row in rows] == ["S9", "S9", "S11", "S11", "S11"]
    assert {row["fps"] for row in rows} == {50.0}
    train = Bank.open(official, "human36m", "train").sequences
    assert [row["subject"] for row in train] == ["S1", "S1", "S5", "S6"]
    assert [row["action"] for row in train] == ["Directions", "Directions"] + ["Discussion"] * 2


@pytest.mark.parametrize(("split", "stride"), [("train", 9), ("test", FRAMES)])
def test_windows_are_the_official_clips(official, reader, split, stride):
    data = clips(official, split, stride)
    expected = reader[f"split/{split}"]
    starts, lengths = data.windows.spans.T
    np.testing.assert_array_equal(starts, expected[:, 0])
    short = data.windows.resampled
    assert short.sum() == 1  # one short video in each, resampled
    full = np.arange(FRAMES) + starts[~short, None]
    np.testing.assert_array_equal(full, expected[~short])
    drawn = expected[short][0]
    assert (drawn >= starts[short]).all()
    assert (drawn < starts[short] + lengths[short]).all()


def test_evaluation_clips_are_the_official_ones_and_denormalise(official, reader):
    batches, index = evaluation(clips(official, "test", FRAMES))
    batch = next(iter(batches))
    rows = len(index["frames"])
    np.testing.assert_array_equal(index["size"], reader["hw"])
    read_2d, read_3d = (reader[f"{name}/test"][index["frames"]] for name in ("read_2d", "read_3d"))
    np.testing.assert_allclose(batch["motion"][:rows], read_2d, atol=1e-6)
    np.testing.assert_allclose(batch["target"][:rows], read_3d, atol=1e-6)
    full = ~clips(official, "test", FRAMES).windows.resampled
    np.testing.assert_array_equal(index["frames"][full], reader["split/test"][full])
    geometry = importlib.import_module("dstformer_jax.body.geometry")
    for clip, size in enumerate(index["size"]):
        back = geometry.Normaliser().decode(reader["pred_norm"][clip], geometry.image_box(size))
        np.testing.assert_allclose(back, reader["denormalize"][clip], rtol=1e-5, atol=1e-3)


def test_the_truth_scores_zero_by_the_protocol(official):
    """Pixels times the factor are the answer, for every clip and camera."""
    batches, index = evaluation(clips(official, "test", FRAMES))
    pose = next(iter(batches))["target"][: len(index["frames"])]
    found = metrics.h36m_protocol(
        metrics.centre(pose),
        index["frames"],
        index["size"],
        factor=index["factor"],
        pose_mm=index["pose_mm"],
        action=index["action"],
        source=index["sequence"],
    )
    assert found["mpjpe"] < 1e-3
    assert "mpjpe/Greeting" in found  # S11; the broken Greeting of S9 is skipped


def test_missing_confidence_is_one(reader, tmp_path):
    raw = {name: array for name, array in reader.items() if name.startswith("raw/")}
    layouts.write_official(tmp_path / "h36m.pkl", raw, drop=("confidence",))
    run(tmp_path, tmp_path / "data")
    bank = Bank.open(tmp_path / "data", "human36m", "train")
    np.testing.assert_array_equal(bank.motion[..., 2], 1.0)
    np.testing.assert_allclose(bank.motion[..., :2], reader["read_2d/train"][..., :2], atol=1e-6)


# Cameras --------------------------------------------------------------------------------------


def test_shipped_cameras_look_at_the_studio(cameras, tmp_path):
    table = cameras.load_cameras(tmp_path)
    assert len(table) == 28
    for (_, name), camera in table.items():
        np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(camera.rotation) == pytest.approx(1)
        feet, head = camera.to_camera(np.array([[0, 0, 0], [0, 0, 1700.0]]))
        assert 3000 < feet[2] < 6500
        assert head[1] < feet[1] - 1500  # y down
        x, y = camera.lens.project(head)
        assert 250 < x < 750
        assert 0 < y < 500
        assert camera.lens.size == cameras.SIZES[name]


def test_image_pose_comes_back_to_the_camera_space(cameras, tmp_path):
    """x, y, z in pixels and the factor give camera millimetres back exactly."""
    layouts.write_cameras_pickle(tmp_path / "cameras.pkl", ["S1"])
    camera = cameras.load_cameras(tmp_path)["S1", "60457274"]
    pose = camera.to_camera(layouts.world("S1", "WalkDog")[:, layouts.MOVING] * 1000.0)
    image, factor = cameras.image_pose(pose, camera.lens)
    fx = camera.lens.focal[0]
    root = 2000 * fx / (2000 / factor - 1)  # undoes ratio = (2000 fx / Z + 1) / 2000
    np.testing.assert_allclose(root, pose[:, 0, 2], rtol=1e-9)
    depth = root[:, None] + image[..., 2] * factor[:, None]
    back = camera.lens.back_project(image[..., :2], depth)
    np.testing.assert_allclose(back, pose, atol=1e-6)
    assert (image[:, 0, 2] == 0).all()
    assert ((factor > 3) & (factor < 6)).all()


def test_a_pose_behind_the_camera_is_refused(cameras, tmp_path):
    lens = cameras.load_cameras(tmp_path)["S1", "54138969"].lens
    with pytest.raises(ValueError, match="behind the camera"):
        cameras.image_pose(np.full((1, 17, 3), -1000.0), lens)


# The other layouts ----------------------------------------------------------------------------


def expected_2d(subject: str, take: str, camera: str) -> np.ndarray:
    """[T, 17, 2] normalised, from the fixture's own camera."""
    points = layouts.camera_points(layouts.world(subject, take)[:, layouts.MOVING], camera)
    xy = layouts.pixels(points, camera)
    return xy / 1000 * 2 - [1, layouts.HEIGHTS[camera] / 1000]


def check_people(data_dir: Path, split: str, subject: str) -> Bank:
    """Every video of a split against the fixture; returns the bank."""
    bank = Bank.open(data_dir, "human36m", split)
    assert len(bank.sequences) == 12
    takes = {"act_05_subact_01": "Greeting 1", "act_05_subact_02": "Greeting"}
    for row in bank.sequences:
        assert row["subject"] == subject
        key = row["id"].split("_", 2)[2].rsplit("_ca_", 1)[0]
        take = takes.get(key, "WalkDog")
        assert row["action"] == take.split()[0]
        assert row["camera"] == list(layouts.LENSES)[int(row["id"][-1]) - 1]
        rows = slice(row["start"], row["start"] + row["frames"])
        expected = expected_2d(subject, take, row["camera"])
        np.testing.assert_allclose(bank.motion[rows, :, :2], expected, atol=2e-6)
        np.testing.assert_allclose(bank.pose[rows, :, :2], expected, atol=2e-6)
        pixels = bank.pose[rows] * 500
        mm = metrics.centre(pixels * bank.factor[rows, None, None])
        np.testing.assert_allclose(mm, metrics.centre(bank.pose_mm[rows]), atol=0.01)
        # The 2.5D truth is not the camera-space pose, but of its size.
        points = layouts.camera_points(
            layouts.world(subject, take)[:, layouts.MOVING], row["camera"]
        )
        np.testing.assert_allclose(mm[..., 2] / 1000, metrics.centre(points)[..., 2], atol=1e-4)
    return bank


def test_mmpose_layout(tmp_path):
    layouts.write_mmpose(tmp_path / "h36m")
    report = run(tmp_path / "h36m", tmp_path / "data")
    assert not report.skipped
    for split, subject in {"train": "S1", "test": "S9"}.items():
        bank = check_people(tmp_path / "data", split, subject)
        assert {row["fps"] for row in bank.sequences} == {50.0}
        np.testing.assert_array_equal(bank.motion[..., 2], 1)


def test_mmpose_at_10_fps_says_so(tmp_path):
    layouts.write_mmpose(tmp_path / "h36m", gap=5)
    run(tmp_path / "h36m", tmp_path / "data", fps=10)
    rows = Bank.open(tmp_path / "data", "human36m", "test").sequences
    assert {row["fps"] for row in rows} == {10.0}
    assert {row["frames"] for row in rows} == {3}


def test_videopose_layout_cuts_longer_detections(tmp_path):
    layouts.write_videopose(tmp_path / "h36m", longer=0)
    run(tmp_path / "h36m", tmp_path / "data")
    for split, subject in {"train": "S1", "test": "S9"}.items():
        check_people(tmp_path / "data", split, subject)
    layouts.write_videopose(tmp_path / "longer", longer=3)
    run(tmp_path / "longer", tmp_path / "other")
    assert set(Bank.open(tmp_path / "other", "human36m", "test").lengths) == {12}


def test_videopose_without_detections_projects_with_the_shipped_cameras(tmp_path, cameras):
    layouts.write_videopose(tmp_path / "h36m", cameras=False)
    run(tmp_path / "h36m", tmp_path / "data", detections="none")
    bank = Bank.open(tmp_path / "data", "human36m", "test")
    np.testing.assert_array_equal(bank.motion[..., :2], bank.pose[..., :2])
    camera = cameras.load_cameras(tmp_path)["S9", bank.sequences[0]["camera"]]
    mm = layouts.world("S9", "Greeting")[:, layouts.MOVING] * 1000.0
    expected = cameras.normalise(
        cameras.image_pose(camera.to_camera(mm), camera.lens)[0], (1000, 1002)
    )
    assert bank.sequences[0]["id"] == "s_09_act_05_subact_02_ca_01"
    np.testing.assert_allclose(bank.pose[: bank.lengths[0]], expected, atol=1e-6)


def test_videopose_wants_known_detections_and_cameras(tmp_path):
    layouts.write_videopose(tmp_path / "h36m", cameras=False)
    with pytest.raises(ValueError, match="expected one of cpn_ft_h36m_dbb"):
        run(tmp_path / "h36m", tmp_path / "data", detections="hrnet")
    (tmp_path / "h36m" / "cameras.json").write_text(
        json.dumps({"intrinsics": {}, "extrinsics": {}})
    )
    with pytest.raises(ValueError, match="got no camera 54138969 of S1"):
        run(tmp_path / "h36m", tmp_path / "data")


# What is not Human3.6M --------------------------------------------------------------------------


class Danger:
    """Unpickled with pickle.load it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_hostile_files_are_refused_and_nothing_runs(tmp_path):
    mark = tmp_path / "executed"
    folder = tmp_path / "h36m"
    folder.mkdir()
    (folder / "h36m.pkl").write_bytes(pickle.dumps({"train": Danger(mark), "test": {}}))
    with pytest.raises(ValueError, match="was not run"):
        run(folder, tmp_path / "data")
    for name in ("positions_3d", "positions_2d"):
        layouts.write_videopose(folder, cameras=False)
        (folder / "h36m.pkl").unlink(missing_ok=True)
        file = "data_3d_h36m" if name == "positions_3d" else "data_2d_h36m_cpn_ft_h36m_dbb"
        np.savez(folder / f"{file}.npz", **{name: np.array({"S1": Danger(mark)}, dtype=object)})
        with pytest.raises(ValueError, match=r"was not run|got no metadata"):
            run(folder, tmp_path / "data")
    layouts.write_videopose(folder, cameras=False)
    (folder / "cameras.pkl").write_bytes(pickle.dumps(Danger(mark)))
    with pytest.raises(ValueError, match="was not run"):
        run(folder, tmp_path / "data")
    assert not mark.exists()


def test_truncated_files_are_named(reader, tmp_path):
    raw = {name: array for name, array in reader.items() if name.startswith("raw/")}
    path = layouts.write_official(tmp_path / "h36m.pkl", raw)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match=r"h36m.pkl.*cannot be read"):
        run(path, tmp_path / "data")
    folder = layouts.write_mmpose(tmp_path / "mmpose")
    bad = folder / "annotation_body3d" / "fps50" / "h36m_train.npz"
    bad.write_bytes(bad.read_bytes()[:-5000])
    report = run(folder, tmp_path / "data")
    assert list(report.skipped) == ["annotation_body3d/fps50/h36m_train.npz"]
    assert report.splits.keys() == {"test"}


def test_columns_that_do_not_fit_are_named(reader, tmp_path):
    raw = {name: array for name, array in reader.items() if name.startswith("raw/")}
    raw["raw/train/joint3d_image"] = raw["raw/train/joint3d_image"][:-1]
    raw["raw/test/camera_name"] = np.full(205, "12345678")
    path = layouts.write_official(tmp_path / "h36m.pkl", raw)
    builder = load_builder("human36m")(data_dir=str(tmp_path))
    reasons = {}
    for item in builder.items(path):
        with pytest.raises(ValueError, match="got") as error:
            list(builder.read(item, builder.notes))
        reasons[item.split] = str(error.value)
    assert "joint3d_image" in reasons["train"]
    assert "12345678" in reasons["test"]


def test_a_wrong_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="mmpose, or data_3d_h36m"):
        run(tmp_path, tmp_path / "data")
    with pytest.raises(ValueError, match="--layout=coco"):
        run(tmp_path, tmp_path / "data", layout="coco")
