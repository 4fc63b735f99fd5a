"""A declared skeleton from preparation to lifted files: 17 joints with feet and hands."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_run

from dstformer_jax import convert, load, main, read
from dstformer_jax.body.declared import declaration, skeleton_of
from dstformer_jax.body.skeleton import BODY25, COCO17, HALPE26, Skeleton
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.export.parts import read_part
from dstformer_jax.files.bvh import read_bvh
from dstformer_jax.lift import __main__ as command
from dstformer_jax.training import checkpoint
from dstformer_jax.training.experiment import build
from dstformer_jax.training.loop import fit

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "configs" / "h36m_feet_hands.json"
SKELETON = skeleton_of(EXAMPLE)
ADDED = SKELETON.names[17:]


def walk(name: str, frames: int) -> Sequence:
    rng = np.random.default_rng(frames)
    pose = rng.normal(0, 0.3, (1, 21, 3)) + np.cumsum(rng.normal(0, 0.01, (frames, 21, 3)), axis=0)
    return Sequence(id=name, fps=30.0, axes="camera", pose=pose, joints=SKELETON.names)


def settings(folder: Path, **changes) -> dict:
    """A tiny run over walks of 21 joints, with noise and masks, and all terms of limbs."""
    config = tiny_run.settings(folder)
    for source in (config["sources"]["walks"], config["eval"]["sources"]["unseen"]):
        source |= {"crop": (1.0, 1.0)}
    config["sources"]["walks"] |= {"noise": True, "mask": True, "flip": True}
    config["weights"] |= dict.fromkeys(("limb_length", "angle", "angle_velocity"), 0.1)
    config["weights"]["limb_variance"] = 0.1
    config["eval"]["flip"] = True
    return {**config, "skeleton": str(EXAMPLE), "epochs": 2, **changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A prepared dataset of 21 joints, and `run`, a network that was trained on it."""
    folder = tmp_path_factory.mktemp("project")
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    write_bank([walk(f"train{i}", 40 + i) for i in range(3)], bank / "train")
    write_bank([walk("test", 20)], bank / "test")
    jax.config.update("jax_disable_most_optimizations", True)  # compiles several times as fast
    fit(build(settings(folder)), folder / "run")
    yield folder
    jax.config.update("jax_disable_most_optimizations", False)


def test_the_checkpoint_says_its_joints_and_goes_on(folder, capsys):
    params, info = checkpoint.restore_params(folder / "run")
    assert params["params"]["backbone"]["pos_embed"].shape[-2] == 21
    assert info["model"]["num_joints"] == 21
    assert skeleton_of(info["skeleton"]) == SKELETON
    results = info["results"]
    assert results["eval/unseen/mpjpe_added"] > 0
    assert results["eval/unseen/mpjpe_joint/left_big_toe"] > 0
    again = build(settings(folder, epochs=3))
    fit(again, folder / "run")
    assert "resuming at step" in capsys.readouterr().out
    assert checkpoint.saved_steps(folder / "run")[-1] == again.plan.total_steps


def person(layout: Skeleton, frame: int) -> np.ndarray:
    """Someone seen by a detector, [K, 3]."""
    places = np.random.default_rng(4).uniform(0, 240, (layout.num_joints, 2))
    points = places + np.array([100 + 2 * frame, 90])
    return np.concatenate([points, np.full((len(points), 1), 0.9)], axis=1)


def alphapose(path: Path, layout: Skeleton, frames: int = 14) -> Path:
    """A results file of AlphaPose."""
    rows = [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "keypoints": person(layout, frame).ravel().tolist(),
            "score": 2.0,
            "idx": 1,
        }
        for frame in range(frames)
    ]
    path.write_text(json.dumps(rows))
    return path


def openpose(path: Path, frames: int = 14) -> Path:
    """A folder of OpenPose's BODY_25."""
    path.mkdir()
    for frame in range(frames):
        people = [{"pose_keypoints_2d": person(BODY25, frame).ravel().tolist()}]
        content = {"version": 1.3, "people": people}
        (path / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps(content))
    return path


def check_lifted(out: Path, name: str, seen: tuple[str, ...]) -> None:
    """Every writer names all joints; those that the detector has not got are marked."""
    motion = read(out / f"{name}.npz")
    with np.load(out / f"{name}.npz") as arrays:
        joints = [str(joint) for joint in arrays["joint_names"]] if "joint_names" in arrays else []
    assert not joints or joints == list(SKELETON.names)
    assert motion.skeleton.names == SKELETON.names
    for track in motion:
        assert np.isfinite(track.points).all()
        for joint in ADDED:
            confidence = track.confidence[:, SKELETON.index(joint)]
            np.testing.assert_allclose(confidence, 0.9 if joint in seen else 0.05, atol=1e-6)
    bvh = read_bvh(out / f"{name}.bvh")
    assert set(SKELETON.names) <= set(bvh.names)
    page = (out / f"{name}.html").read_text(encoding="utf-8")
    table = (out / f"{name}.csv").read_text(encoding="utf-8")
    for joint in SKELETON.names:
        assert f'"{joint}"' in page
        assert joint in table


@pytest.mark.parametrize(
    ("layout", "seen"),
    [("halpe26", ADDED[:2]), ("body25", ADDED[:2]), ("coco17", ())],
)
def test_detectors_of_any_layout_are_lifted_to_all_joints(folder, tmp_path, layout, seen):
    if layout == "body25":
        source = openpose(tmp_path / "clip")
    else:
        source = alphapose(tmp_path / "clip.json", {"halpe26": HALPE26, "coco17": COCO17}[layout])
    arguments = [f"--output={tmp_path / 'out'}", f"--weights={folder / 'run'}", "--quiet"]
    assert command.main([str(source), *arguments, "--formats=npz,bvh,html,csv"]) == 0
    check_lifted(tmp_path / "out", "clip", seen)


def test_files_of_pytorch_and_exports_keep_the_joints(folder, tmp_path):
    path = tmp_path / "run.safetensors"
    assert convert.main([f"--input={folder / 'run'}", f"--output={path}"]) == 0
    ours, theirs = load(folder / "run"), load(path)
    assert ours.skeleton == theirs.skeleton == SKELETON
    motion = np.random.default_rng(0).normal(size=(1, 5, 21, 3)).astype(np.float32)
    np.testing.assert_array_equal(ours.lift(motion), theirs.lift(motion))
    flipped = ours.lift(motion[:, :, SKELETON.mirror] * [-1, 1, 1], flip=True)
    back = flipped[:, :, SKELETON.mirror] * [-1, 1, 1]
    np.testing.assert_allclose(back, ours.lift(motion, flip=True), atol=1e-5)
    assert read_part(folder / "run").metadata["joints"] == list(SKELETON.names)


def write_config(folder: Path, path: Path, **changes) -> Path:
    content = json.dumps(settings(folder, **changes))
    text = f"import json\nfrom ml_collections import ConfigDict\n\nTEXT = {content!r}\n\n"
    path.write_text(f"{text}def get_config():\n    return ConfigDict(json.loads(TEXT))\n")
    return path


def other_names() -> dict:
    """The example with its feet called otherwise: as many joints, of other names."""
    content = json.loads(json.dumps(declaration(SKELETON)).replace("big_toe", "heel"))
    return {**content, "name": "other"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton": "h36m17"}, "of 21 joints, expected the 17 of h36m17"),
        ({"skeleton": "h36m18"}, "got skeleton 'h36m18', expected one of"),
        ({"skeleton": "other.json"}, "of 21 joints, expected the 21 of other (lacking: left_heel)"),
        ({"model": {"num_joints": 20}}, "got model.num_joints=20 with the 21 joints"),
        ({"data": {"noise": "table.json"}}, "of 5 joints, expected 21"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(folder, tmp_path, capsys, changes, message):
    (tmp_path / "other.json").write_text(json.dumps(other_names()))
    row = {"mean": [[0, 0]] * 5, "std": [[1, 1]] * 5, "weight": [1] * 5, "span": 0.1}
    table = {**row, "jitter": 0.1, "keyframes": 2, "confidence": dict.fromkeys("abms", 0)}
    (tmp_path / "table.json").write_text(json.dumps(table))
    config = settings(folder)
    for key, value in changes.items():
        if isinstance(value, dict):
            value = {k: str(tmp_path / v) if k == "noise" else v for k, v in value.items()}
            config[key] = {**config[key], **value}
        else:
            config[key] = str(tmp_path / value) if value.endswith(".json") else value
    path = write_config(folder, tmp_path / "config.py", **config)
    assert main.main(["main", f"--config={path}", f"--workdir={tmp_path / 'run'}"]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_checkpoint_of_other_joints_is_told_in_one_line(folder, tmp_path, capsys):
    (tmp_path / "other.json").write_text(json.dumps(other_names()))
    other = skeleton_of(tmp_path / "other.json")
    data = tmp_path / "data" / "walks" / "default" / "1.0.0" / "bank"
    for split in ("train", "test"):
        pose = np.zeros((60, 21, 3))
        sequence = Sequence(id="a", fps=30.0, axes="camera", pose=pose, joints=other.names)
        write_bank([sequence], data / split)
    changes: dict = {"skeleton": str(tmp_path / "other.json")}
    changes["data"] = {**settings(folder)["data"], "path": str(tmp_path / "data")}
    path = write_config(folder, tmp_path / "config.py", **changes)
    message = "the 21 joints of h36m_feet_hands, expected the 21 of other"
    for arguments in (
        [f"--workdir={folder / 'run'}"],  # to go on
        [f"--workdir={folder / 'run'}", "--mode=eval"],
        [f"--workdir={tmp_path / 'new'}", f"--config.init_from={folder / 'run'}"],
    ):
        text = path.read_text().replace('"epochs": 2', '"epochs": 2, "init_from": ""')
        path.write_text(text)
        assert main.main(["main", f"--config={path}", *arguments]) == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1


def some_files(source: Path, target: Path, counts: dict[str, int]) -> None:
    """Links the first files of each split that a folder's CSV lists, and writes its CSV."""
    (target / "bvh").mkdir(parents=True)
    with (source / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [
        row
        for split, count in counts.items()
        for row in [r for r in rows if r["split"] == split][:count]
    ]
    for row in chosen:
        (target / row["file"]).symlink_to(source / row["file"])
    with (target / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(chosen[0]))
        writer.writeheader()
        writer.writerows(chosen)


def run(*arguments: object) -> str:
    """A command of the package, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(900)
def test_real_motion_by_the_commands_of_the_manual(shared, tmp_path):
    some_files(shared / "data/cmu_mocap", tmp_path / "cmu", {"train": 14, "test": 4})
    data, workdir = tmp_path / "data", tmp_path / "run"
    prepare = ["dstformer_jax.data.prepare", f"--data_dir={data}", "--fps=30", "--quiet"]
    prepare += ["--dataset=bvh", f"--source={tmp_path / 'cmu'}"]
    for name in ("cmu_mocap", "cmu_mocap_more", "hdm05_actions"):
        run(*prepare, f"--name={name}", "--skeleton=configs/h36m_feet_hands.json")
    bank = Bank.open(data, "bvh/cmu_mocap")
    assert bank.joints == SKELETON.names
    for side, foot, hand in (("left", 17, 19), ("right", 18, 20)):
        ankle, wrist = SKELETON.index(f"{side}_ankle"), SKELETON.index(f"{side}_wrist")
        feet = np.linalg.norm(bank.pose[:, foot] - bank.pose[:, ankle], axis=-1)
        hands = np.linalg.norm(bank.pose[:, hand] - bank.pose[:, wrist], axis=-1)
        assert 0.12 < np.median(feet) < 0.28  # metres of grown-ups
        assert 0.08 < np.median(hands) < 0.25
    train = ["dstformer_jax.main", "--config=configs/pretrain.py:mocap,short"]
    train += [f"--workdir={workdir}", f"--config.data.path={data}", "--config.model.depth=1"]
    train += ["--config.skeleton=configs/h36m_feet_hands.json", "--config.data.feed=numpy"]
    told = run(*train)
    assert "mpjpe_added" in (workdir / "metrics.jsonl").read_text()
    assert "MPJPE" in told or "mpjpe" in told
    assert "nothing left to train" in run(*train)
    run(*train, "--mode=eval")
    results = json.loads((workdir / "eval.json").read_text())
    assert 0 < results["eval/cmu/mpjpe_h36m17"] < 500
    assert 0 < results["eval/cmu_mocap/mpjpe_joint/left_hand_tip"] < 900
    source = alphapose(tmp_path / "clip.json", HALPE26)
    out = [f"--output={tmp_path / 'out'}", "--formats=npz,bvh,html,csv", "--quiet"]
    run("dstformer_jax.lift", source, f"--weights={workdir}", *out)
    check_lifted(tmp_path / "out", "clip", ADDED[:2])
