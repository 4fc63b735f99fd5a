"""The mesh datasets: the official numbers, two people, missing confidence, bad files."""

import pickle
import re
from pathlib import Path

import fixtures_mesh as layout
import numpy as np
import pytest

from dstformer_jax.data.bank import Bank
from dstformer_jax.data.pipeline import batches, evaluation, open_plan
from dstformer_jax.data.prepare import main, prepare
from dstformer_jax.data.sources import Source, SourceData

FILES = {
    "mesh_h36m": "mesh_det_h36m.pkl",
    "mesh_3dpw": "mesh_det_pw3d.pkl",
    "mesh_coco": "mesh_det_coco.pkl",
}
CAMERAS = {"_ca_01": "54138969", "_ca_03": "58860488"}
HEIGHTS = {"54138969": 1002, "58860488": 1000}


def run(dataset: str, source: Path, **options):
    return prepare(dataset, source.parent / "data", source, options=options, progress=False)


def open_bank(dataset: str, source: Path, split: str = "train") -> Bank:
    run(dataset, source)
    return Bank.open(source.parent / "data", dataset, split)


def two_people(dataset: str, frames: int = 20) -> layout.Rows:
    """Two people in the names that the dataset gives its videos."""
    names = {
        "mesh_h36m": ("s_05_act_03_subact_02_ca_01", "s_06_act_16_subact_01_ca_03"),
        "mesh_3dpw": ("courtyard_arguing_000", "courtyard_arguing_001"),
        "mesh_coco": ("COCO_train2014_000000000036.jpg",) * 2,
    }[dataset]
    people = [layout.person(name, frames - 7 * i, seed=i) for i, name in enumerate(names)]
    if dataset == "mesh_h36m":
        for name, rows in zip(names, people, strict=True):
            rows["camera_name"] = np.array([CAMERAS[name[-6:]]] * len(rows["source"]))
    return layout.join(people)


def normalised(dataset: str, rows: layout.Rows) -> np.ndarray:
    """What the official reader makes of the pixels, written out."""
    xy = rows["joint_2d"][..., :2]
    if dataset == "mesh_h36m":
        height = np.array([HEIGHTS[name] for name in rows["camera_name"]]) / 1000
        return xy / 1000 * 2 - np.stack([np.ones(len(xy)), height], -1)[:, None]
    return xy / {"mesh_3dpw": 1920, "mesh_coco": 640}[dataset] * 2 - 1


def clips(dataset: str, source: Path, split: str = "train", **settings) -> SourceData:
    settings = {"frames": 16, "stride": 8, "batch": 8, "input": "motion", **settings}
    wanted = Source(dataset, dataset, split, supervision="body", **settings)
    return SourceData.open(wanted, source.parent / "data")


@pytest.fixture(scope="module")
def official(golden, tmp_path_factory) -> Path:
    """The arrays that the official reader read, as a file."""
    arrays = golden("d_mesh_reader")
    splits = []
    for split in ("train", "test"):
        pixels, confidence = arrays[f"raw_{split}_2d"], arrays[f"raw_{split}_conf"]
        rows = layout.person("downtown_bar_000", len(pixels), seed=len(splits))
        splits.append(rows | {"joint_2d": pixels, "confidence": confidence})
    path = tmp_path_factory.mktemp("official") / FILES["mesh_3dpw"]
    layout.write(path, *splits)
    run("mesh_3dpw", path)
    return path


@pytest.mark.parametrize("split", ["train", "test"])
def test_bank_equals_the_official_reader(official, golden, split):
    bank = Bank.open(official.parent / "data", "mesh_3dpw", split)
    np.testing.assert_allclose(bank.motion, golden("d_mesh_reader")[f"out_{split}"], atol=1e-6)
    rows = pickle.loads(official.read_bytes())[split]
    np.testing.assert_array_equal(bank.theta, rows["smpl_pose"].astype(np.float32))
    np.testing.assert_array_equal(bank.beta, rows["smpl_shape"].astype(np.float32))


def test_clips_equal_the_official_reader(official, golden):
    """d_mesh_reader through builder, bank and pipeline: 16 frames, stride 8."""
    arrays = golden("d_mesh_reader")
    frames, expected = arrays["split_train"], arrays["out_train"]
    stream, index = evaluation(clips("mesh_3dpw", official))
    np.testing.assert_array_equal(index["frames"], frames)
    batch = next(stream)
    count = len(frames)
    np.testing.assert_allclose(batch["motion"][:count], expected[frames], atol=1e-6)
    theta = pickle.loads(official.read_bytes())["train"]["smpl_pose"]
    np.testing.assert_allclose(batch["theta"][:count], theta[frames], atol=1e-6)
    assert not batch["mirrored"].any()


@pytest.mark.parametrize("dataset", FILES)
@pytest.mark.parametrize("confidence", ["given", "missing", "above 1"])
def test_two_people_with_and_without_confidence(dataset, confidence, tmp_path):
    rows = two_people(dataset)
    expected = rows["confidence"][..., 0]
    if confidence == "missing":
        expected = np.ones_like(expected)
    elif confidence == "above 1":  # heat maps may say so
        rows["confidence"] = rows["confidence"][..., 0] * 1.5
        expected = np.minimum(rows["confidence"], 1)
    drop = ("confidence",) if confidence == "missing" else ()
    path = layout.write(tmp_path / FILES[dataset], rows, rows, drop)
    for split in ("train", "test"):
        bank = open_bank(dataset, path, split)
        lengths = [1] * 33 if dataset == "mesh_coco" else [20, 13]
        assert bank.lengths.tolist() == lengths
        np.testing.assert_allclose(bank.motion[..., :2], normalised(dataset, rows), atol=2e-6)
        np.testing.assert_array_equal(bank.motion[..., 2], expected)
        np.testing.assert_array_equal(bank.theta, rows["smpl_pose"].astype(np.float32))
        np.testing.assert_array_equal(bank.beta, rows["smpl_shape"].astype(np.float32))
        assert len(bank.initial_theta) == len(bank.pose) == 0
        assert len({row["id"] for row in bank.sequences}) == len(lengths)


def test_facts_of_human36m(tmp_path):
    path = layout.write(tmp_path / FILES["mesh_h36m"], *[two_people("mesh_h36m")] * 2)
    first, second = open_bank("mesh_h36m", path).sequences
    names = ("subject", "action", "camera", "size", "fps", "unit", "axes", "rig")
    assert [first[name] for name in names] == [
        *("S5", "Discussion", "54138969", [1000, 1002], 10.0, "normalised", "camera", "smpl"),
    ]
    assert [second[name] for name in names[:4]] == ["S6", "WalkTogether", "58860488", [1000, 1000]]


@pytest.mark.parametrize("turns", [False, True])
def test_people_of_one_name_stay_apart(turns, tmp_path):
    """3DPW without the number of the person: rows one after another, or frame by frame."""
    people = [layout.person("downtown_bus_00", 20, seed) for seed in (1, 2)]
    rows = layout.alternate(*people) if turns else layout.join(people)
    bank = open_bank("mesh_3dpw", layout.write(tmp_path / FILES["mesh_3dpw"], rows, rows))
    assert [row["id"] for row in bank.sequences] == ["downtown_bus_00:0", "downtown_bus_00:1"]
    for row, one in zip(bank.sequences, people, strict=True):
        frames = slice(row["start"], row["start"] + row["frames"])
        np.testing.assert_array_equal(bank.theta[frames], one["smpl_pose"].astype(np.float32))


def test_shapes_that_change_every_frame_are_one_person(tmp_path):
    rows = layout.person("downtown_bus_000", 20)
    rows["smpl_shape"] = np.random.default_rng(0).normal(size=(20, 10))
    bank = open_bank("mesh_3dpw", layout.write(tmp_path / FILES["mesh_3dpw"], rows, rows))
    assert [(row["id"], row["frames"]) for row in bank.sequences] == [("downtown_bus_000", 20)]


def test_a_short_video_is_stretched_and_a_name_may_come_again(tmp_path):
    """Reference 3.2: a video that gives no clip is resampled; tails are dropped."""
    people = [layout.person(n, t, t) for n, t in (("a_000", 25), ("b_000", 5), ("a_000", 16))]
    path = layout.write(tmp_path / FILES["mesh_3dpw"], *[layout.join(people)] * 2)
    run("mesh_3dpw", path)
    data = clips("mesh_3dpw", path)
    assert [row["id"] for row in data.bank.sequences] == ["a_000", "b_000", "a_000#2"]
    assert data.windows.spans.tolist() == [[0, 16], [8, 16], [25, 5], [30, 16]]
    assert data.windows.resampled.tolist() == [False, False, True, False]


def test_images_are_clips_of_one_frame(tmp_path):
    rows = two_people("mesh_coco")
    path = layout.write(tmp_path / FILES["mesh_coco"], rows, rows)
    run("mesh_coco", path)
    data = clips("mesh_coco", path, frames=1, stride=1, flip=True)
    assert len(data.windows) == 33
    plan = open_plan([data], epochs=1)
    made = [batch for _, batch in batches(plan, [data], feed="numpy")]
    assert [batch["theta"].shape for batch in made] == [(8, 1, 72)] * 4
    expected = normalised("mesh_coco", rows).astype(np.float32)
    for batch in made:
        plain = ~batch["mirrored"]
        np.testing.assert_allclose(
            batch["motion"][plain, 0, :, :2], expected[batch["index"][plain]], atol=2e-6
        )
        assert plain.any()


def test_what_a_refiner_starts_from_is_kept(tmp_path):
    rows = layout.guessed(two_people("mesh_3dpw"))
    path = layout.write(tmp_path / FILES["mesh_3dpw"], rows, rows)
    run("mesh_3dpw", path)
    batch = next(evaluation(clips("mesh_3dpw", path, stride=16))[0])
    for ours, theirs in (("initial_theta", "pred_smpl_pose"), ("initial_beta", "pred_smpl_shape")):
        np.testing.assert_allclose(batch[ours][0], rows[theirs][:16], atol=1e-6)


def write_answers(folder: Path, rows: layout.Rows, names: dict[str, slice]) -> Path:
    """Another method's answers to some rows, a file a person."""
    folder.mkdir(parents=True)
    for name, some in names.items():
        theta, beta = rows["pred_smpl_pose"][some], rows["pred_smpl_shape"][some]
        np.savez(folder / f"{name}.npz", theta=theta.reshape(-1, 24, 3), beta=beta)
    return folder


@pytest.mark.parametrize("dataset", ["mesh_h36m", "mesh_3dpw"])
def test_a_refiner_starts_from_files_of_another_method(dataset, tmp_path):
    """They take the place of the pickle's own, which may even be damaged."""
    rows = two_people(dataset)
    answers = layout.guessed(rows)
    first, second = dict.fromkeys(rows["source"].tolist())
    people = {first: slice(0, 20), second: slice(20, 33)}
    folder = write_answers(tmp_path / "answers", answers, people)
    damaged = rows | {"pred_smpl_pose": np.full((33, 72), np.nan)}
    path = layout.write(tmp_path / FILES[dataset], damaged, rows)
    report = run(dataset, path, initial_from=str(folder))
    assert not report.skipped
    assert report.splits["train"]["sequences"] == report.splits["test"]["sequences"] == 2
    for split in ("train", "test"):
        bank = Bank.open(path.parent / "data", dataset, split)
        np.testing.assert_allclose(bank.initial_theta, answers["pred_smpl_pose"], atol=1e-6)
        np.testing.assert_allclose(bank.initial_beta, answers["pred_smpl_shape"], atol=1e-6)
        np.testing.assert_array_equal(bank.theta, rows["smpl_pose"].astype(np.float32))


def test_images_and_people_of_one_name_have_files_of_their_own(tmp_path):
    """The second person of an image is name#2, in a file's name name_2."""
    rows = two_people("mesh_coco", frames=8)
    answers = layout.guessed(rows)
    name = rows["source"][0]
    people = {f"{name}_{n + 1}" if n else name: slice(n, n + 1) for n in range(9)}
    folder = write_answers(tmp_path / "answers", answers, people)
    path = layout.write(tmp_path / FILES["mesh_coco"], rows, rows)
    run("mesh_coco", path, initial_from=str(folder))
    bank = Bank.open(path.parent / "data", "mesh_coco")
    np.testing.assert_allclose(bank.initial_theta, answers["pred_smpl_pose"], atol=1e-6)


@pytest.mark.parametrize("mistake", ["missing", "short", "no folder"])
def test_answers_that_do_not_fit_leave_no_dataset(mistake, tmp_path, capsys):
    """One line, and nothing is half-written; with the file it goes on."""
    rows = layout.guessed(two_people("mesh_3dpw"))
    people = {"courtyard_arguing_000": slice(0, 20), "courtyard_arguing_001": slice(20, 33)}
    folder = write_answers(tmp_path / "answers", rows, people)
    bad = folder / "courtyard_arguing_001.npz"
    whole = bad.read_bytes()
    bad.unlink()
    if mistake == "short":
        np.savez(bad, theta=np.zeros((12, 72)), beta=np.zeros(10))
    path = layout.write(tmp_path / FILES["mesh_3dpw"], rows, rows)
    given = folder if mistake != "no folder" else tmp_path / "nowhere"
    flags = ["--dataset=mesh_3dpw", f"--source={path}", f"--data_dir={tmp_path / 'data'}"]
    flags += ["--quiet", f"--initial_from={given}"]
    assert main(flags) == 2
    said = capsys.readouterr().err.strip()
    expected = {
        "missing": f"prepare: got no {bad}, expected theta and beta of every sequence, here of",
        "short": f"prepare: {bad}: got theta of shape (12, 72), expected (13, 72), (13, 24, 3) or",
        "no folder": f"prepare: got no folder {given}, expected it for --initial_from",
    }
    assert said.startswith(expected[mistake])
    assert "\n" not in said
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    bad.write_bytes(whole)
    if mistake != "no folder":
        assert main(flags) == 0
        assert Bank.open(tmp_path / "data", "mesh_3dpw").initial_theta.shape == (33, 72)


# What is not such a file --------------------------------------------------------------------------


class Danger:
    """Unpickled with pickle.load it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_hostile_and_truncated_files_are_refused_and_nothing_runs(tmp_path):
    path = tmp_path / FILES["mesh_3dpw"]
    rows = two_people("mesh_3dpw")
    path.write_bytes(pickle.dumps({"train": rows, "test": Danger(tmp_path / "executed")}))
    with pytest.raises(ValueError, match=r"mesh_det_pw3d\.pkl: got a pickle .*was not run"):
        run("mesh_3dpw", path)
    assert not (tmp_path / "executed").exists()
    layout.write(path, rows, rows)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ValueError, match=r"mesh_det_pw3d\.pkl: got a pickle that cannot be read"):
        run("mesh_3dpw", path)
    assert not list((tmp_path / "data").rglob("*.npy"))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("smpl_shape", None, "expected them"),
        ("smpl_pose", np.zeros((19, 72)), r"smpl_pose of shape \(19, 72\), expected \(33, 72\)"),
        ("smpl_pose", np.zeros((33, 24, 3)), r"expected \(33, 72\)"),
        ("joint_2d", np.zeros((33, 24, 2)), r"joint_2d of shape \(33, 24, 2\)"),
        ("confidence", np.zeros((33, 17, 3)), r"confidence of shape \(33, 17, 3\)"),
        ("confidence", np.zeros(33), r"expected \(33, 17\)"),
        ("smpl_pose", ["a"] * 33, "smpl_pose that is no array of numbers"),
        ("smpl_pose", 5.0, r"smpl_pose of shape \(1,\)"),
        ("source", [None] * 33, "source that is no array of texts"),
    ],
)
def test_columns_that_do_not_fit_are_named_and_the_other_split_is_kept(
    column, value, message, tmp_path
):
    rows = two_people("mesh_3dpw")
    path = layout.write(tmp_path / FILES["mesh_3dpw"], rows, rows)
    table = pickle.loads(path.read_bytes())
    table["train"][column] = value
    if value is None:
        del table["train"][column]
    path.write_bytes(pickle.dumps(table))
    report = run("mesh_3dpw", path)
    assert list(report.splits) == ["test"]
    (reason,) = report.skipped.values()
    assert re.search(message, reason)


def test_a_bad_video_is_named_and_the_others_kept(tmp_path):
    rows = two_people("mesh_h36m")
    rows["camera_name"][3] = "60457274"
    path = layout.write(tmp_path / FILES["mesh_h36m"], rows, two_people("mesh_h36m"))
    report = run("mesh_h36m", path)
    assert report.splits["train"]["sequences"] == 1
    ((key, reason),) = report.skipped.items()
    assert "s_05_act_03_subact_02_ca_01" in key
    assert "got camera 54138969, 60457274 in video" in reason
    holes = two_people("mesh_3dpw")
    holes["smpl_pose"][25, 4] = np.nan
    path = layout.write(tmp_path / FILES["mesh_3dpw"], holes, two_people("mesh_3dpw"))
    report = run("mesh_3dpw", path)
    assert report.splits["train"]["sequences"] == 1
    assert report.notes == {"tracks with values that are not finite, left out": 1}


@pytest.mark.parametrize("dataset", FILES)
def test_a_wrong_folder_is_refused(dataset, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing here")
    expected = rf"with no {FILES[dataset]}, expected {FILES[dataset]} of MotionBERT"
    with pytest.raises(ValueError, match=expected):
        run(dataset, tmp_path / "in")
    with pytest.raises(ValueError, match="got --fps=-1"):
        run(dataset, tmp_path / "in", fps=-1)


def test_a_file_of_a_longer_name_is_found(tmp_path):
    rows = two_people("mesh_3dpw")
    layout.write(tmp_path / "in" / "mesh_det_pw3d_spin.pkl", rows, rows)
    assert run("mesh_3dpw", tmp_path / "in").splits["train"]["sequences"] == 2
