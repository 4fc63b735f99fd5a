"""Exported files: the numbers, read as the docs say, where this package is not; and refusals."""

import json
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest
from random_networks import BACKBONES, CASES, SIZES, random_variables

from dstformer_jax import convert, load
from dstformer_jax.export import export, stablehlo
from dstformer_jax.export.__main__ import main
from dstformer_jax.export.parts import read_part, weights_digest
from dstformer_jax.models.network import build_network

ROOT = Path(__file__).resolve().parents[1]
HAS_ONNX = bool(find_spec("onnx") and find_spec("onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnx and onnxruntime are not installed")
ENDINGS = ["stablehlo", pytest.param("onnx", marks=needs_onnx)]
# One spatial and one temporal half, and their fusion: the smallest network with every piece.
MODEL = {**SIZES, "design": "parallel"}
INFO = {"model": MODEL, "fps": 25, "normaliser": {"mode": "pixel"}, "root": "relative"}
CLASSES = list("abcde")
PARTS = ("pose", "backbone", "action")


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Each export compiles several shapes of tiny networks, which run once."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def write_file(path: Path, head: dict, model: dict = MODEL, **info) -> convert.Variables:
    """A PyTorch file of ours with random weights."""
    variables = random_variables(model, head)
    convert.write_any(path, variables, {**INFO, "model": model, "head": head, **info})
    return variables


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """pose.bin and action.bin."""
    folder = tmp_path_factory.mktemp("files")
    write_file(folder / "pose.bin", {"name": "pose"})
    write_file(folder / "action.bin", CASES["action"], classes=CLASSES)
    return folder


@pytest.fixture(scope="module")
def motions(folder) -> dict[int, np.ndarray]:
    """By B: [B, 2, 4, 17, 3] in the folder as people.npy's, of whom motion.npy has the first."""
    return {
        b: np.random.default_rng(b).uniform(-1, 1, (b, 2, 4, 17, 3)).astype("f4") for b in (1, 3)
    }


@pytest.fixture(scope="module")
def expected(folder, motions):
    """Answers [by part and B] of the network itself."""
    pose = load(folder / "pose.bin")
    network = build_network(MODEL, "action", {"classes": 5, "hidden": 7})
    variables, _ = convert.read_any(folder / "action.bin")
    action = jax.jit(lambda motion: network.apply(variables, motion)["action"])
    return {
        "pose": {b: pose.lift(motion[:, 0]) for b, motion in motions.items()},
        "backbone": {b: pose.represent(motion[:, 0]) for b, motion in motions.items()},
        "action": {b: np.asarray(action(motion)) for b, motion in motions.items()},
    }


CHILD = """
import sys

for name in ("dstformer_jax", "flax", "orbax", *sys.argv[1].split(",")):
    sys.modules[name] = None  # importing it raises ImportError

import json

import numpy as np

for name, code in json.load(open("examples.json")).items():
    for b in (1, 3):
        people = np.load(f"people_{b}.npy")
        np.save("people.npy", people)
        np.save("motion.npy", people[:, 0])
        space = {}
        exec(code, space)
        np.save(f"{name}_{b}.npy", space["answer"])
        if "names" in space:
            assert len(space["names"]) == b and set(space["names"]) <= set("abcde")
"""


def examples(ending: str) -> dict[str, str]:
    """The docs' Python examples for one format, by part."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/export.md").read_text(), re.M | re.S
    )
    return {part: code for part in PARTS for code in blocks if f'"{part}.{ending}"' in code}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_examples_run_without_this_package(ending, folder, motions, expected, tmp_path, capsys):
    for part in PARTS:
        source = folder / ("action.bin" if part == "action" else "pose.bin")
        options = ["--part=backbone"] if part == "backbone" else []
        target = tmp_path / f"{part}.{ending}"
        assert main([f"--input={source}", f"--output={target}", *options]) == 0
        assert f"{part}, motion ['B'" in capsys.readouterr().out
    codes = examples(ending)
    assert list(codes) == list(PARTS)
    assert all(len([x for x in code.splitlines() if x]) <= 10 for code in codes.values())
    (tmp_path / "examples.json").write_text(json.dumps(codes))
    for b, motion in motions.items():
        np.save(tmp_path / f"people_{b}.npy", motion)
    blocked = "torch" if ending == "stablehlo" else "torch,jax"
    done = subprocess.run(
        [sys.executable, "-I", "-c", CHILD, blocked],
        cwd=tmp_path,
        env={"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    for part in PARTS:
        for b in motions:
            answer = np.load(tmp_path / f"{part}_{b}.npy")
            np.testing.assert_allclose(answer, expected[part][b], rtol=0, atol=2e-6, err_msg=part)
    metadata = metadata_of(tmp_path / f"action.{ending}")
    assert (metadata["part"], metadata["maxlen"], metadata["fps"]) == ("action", 5, 25)
    assert (metadata["root"], metadata["classes"]) == ("relative", CLASSES)
    assert metadata["normaliser"] == {"mode": "pixel", "ratio": 1.0}
    assert metadata["joints"][:2] == ["root", "right_hip"]
    assert metadata["input"] == {"name": "motion", "shape": ["B", "M", "T", 17, 3]}
    assert metadata["checked"]["shapes"][0] == [1, 2, 5, 17, 3]
    variables, _ = convert.read_any(folder / "action.bin")
    assert metadata["weights_sha256"] == weights_digest(variables)
    assert not list(tmp_path.glob("*.partial"))


def metadata_of(path: Path) -> dict:
    if path.suffix == ".stablehlo":
        with zipfile.ZipFile(path) as file:
            return json.loads(file.read("metadata.json"))
    import onnx

    return {prop.key: json.loads(prop.value) for prop in onnx.load(path).metadata_props}


# The ONNX graph -----------------------------------------------------------------------------------


def largest_difference(path: Path) -> float:
    """Between the ONNX file of a PyTorch file and the network, both in this process."""
    return export(path, path.with_suffix(".onnx"))["checked"]["largest_difference"]


@needs_onnx
@pytest.mark.long
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("design", ["st", "ts", "parallel", "one_mlp", "average", "adaptive"])
def test_every_design_as_onnx(design, norm, tmp_path):
    model = {**SIZES, "depth": 2, "design": design, "norm": norm}
    write_file(tmp_path / "a.bin", {"name": "pose"}, model)
    assert largest_difference(tmp_path / "a.bin") < 5e-6


@needs_onnx
@pytest.mark.long
@pytest.mark.parametrize("case", ["probe", "embedding"])
def test_other_heads_as_onnx(case, tmp_path):
    write_file(tmp_path / "a.bin", CASES[case])
    assert largest_difference(tmp_path / "a.bin") < 5e-6


@needs_onnx
def test_absent_people_do_not_count_where_they_were_masked(tmp_path, motions):
    from dstformer_jax.export import onnx_file

    write_file(tmp_path / "a.bin", {**CASES["action"], "absent": "masked"})
    part = read_part(tmp_path / "a.bin")
    onnx_file.write(tmp_path / "a.onnx", onnx_file.build(part), part.metadata)
    run = onnx_file.read(tmp_path / "a.onnx")
    alone = motions[3][:, :1]
    with_nobody = np.concatenate([alone, np.zeros_like(alone)], axis=1)
    np.testing.assert_allclose(run(with_nobody), run(alone), rtol=0, atol=1e-6)
    expected = jax.jit(part.function)(with_nobody)
    np.testing.assert_allclose(run(with_nobody), expected, rtol=0, atol=2e-6)
    assert np.abs(run(motions[3]) - run(alone)).max() > 1e-3


@needs_onnx
def test_a_longer_clip_than_maxlen_is_an_error_of_the_runtime(tmp_path, folder):
    from dstformer_jax.export import onnx_file

    part = read_part(folder / "pose.bin")
    onnx_file.write(tmp_path / "a.onnx", onnx_file.build(part), part.metadata)
    with pytest.raises(Exception, match=r"(?s)Add.*(5|6).*(5|6)"):
        onnx_file.read(tmp_path / "a.onnx")(np.zeros((1, 6, 17, 3), np.float32))


@pytest.mark.long
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_trained_size_at_full_length(ending, tmp_path):
    model = {**SIZES, "dim_feat": 128, "dim_rep": 128, "depth": 4, "num_heads": 8, "maxlen": 243}
    variables = random_variables(model, {"name": "pose"})
    variables = jax.tree.map(lambda x: x / max(x.shape) ** 0.5, variables)  # no saturated layers
    convert.write_any(tmp_path / "a.bin", variables, {**INFO, "model": model})
    found = export(tmp_path / "a.bin", tmp_path / f"a.{ending}")["checked"]
    assert found["shapes"][0] == [1, 243, 17, 3]
    assert found["largest_difference"] < 2e-5


@pytest.mark.long
def test_poseformer_as_stablehlo_alone(tmp_path):
    write_file(tmp_path / "a.bin", {"name": "pose"}, BACKBONES["poseformer"])
    found = export(tmp_path / "a.bin", tmp_path / "a.stablehlo")["checked"]
    assert found["largest_difference"] < 5e-6
    if HAS_ONNX:
        with pytest.raises(ValueError, match="PoseFormer, expected DSTformer for ONNX"):
            export(tmp_path / "a.bin", tmp_path / "a.onnx")


# What is read -------------------------------------------------------------------------------------


def test_the_same_weights_have_the_same_digest_wherever_they_are(folder, tmp_path):
    variables, info = convert.read_any(folder / "action.bin")
    convert.write_any(tmp_path / "run", variables, info)
    ours, theirs = read_part(tmp_path / "run"), read_part(folder / "action.bin")
    assert ours.metadata == {**theirs.metadata, "source": "run"}
    changed = jax.tree.map(lambda x: x + 1, variables)
    assert weights_digest(changed) != theirs.metadata["weights_sha256"]
    assert read_part(folder / "action.bin", "pose").metadata["output"]["shape"] == ["B", "T", 17, 3]


def test_half_precision_training_is_exported_in_float32(tmp_path):
    model = {**MODEL, "dtype": "bfloat16", "scan_layers": True, "attention": "cudnn"}
    variables = random_variables(MODEL, {"name": "pose"})
    convert.write_any(tmp_path / "a.bin", variables, {**INFO, "model": model})
    backbone = read_part(tmp_path / "a.bin").network.backbone
    assert np.dtype(backbone.dtype) == np.float32
    assert (backbone.attention, backbone.scan_layers) == ("xla", False)


def test_mistakes_are_one_line(folder, tmp_path, capsys):
    write_file(tmp_path / "mesh.bin", CASES["mesh"])
    write_file(tmp_path / "tcn.bin", {"name": "pose"}, BACKBONES["tcn"])
    for source, target, option, message in (
        (folder / "pose.bin", "a.pb", None, "expected .stablehlo or .onnx"),
        (folder / "pose.bin", "a.stablehlo", "--part=action", "expected pose or backbone"),
        (
            tmp_path / "mesh.bin",
            "a.stablehlo",
            None,
            "part 'mesh' of a network with the head 'mesh'",
        ),
        (tmp_path / "tcn.bin", "a.stablehlo", None, "the backbone 'tcn'"),
        (tmp_path / "absent", "a.stablehlo", None, "expected a workdir or a PyTorch file"),
        (tmp_path / "absent.bin", "a.stablehlo", None, "absent.bin"),
    ):
        options = [f"--input={source}", f"--output={tmp_path / target}"]
        assert main([*options, *([option] if option else [])]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
        assert not (tmp_path / target).exists()


def test_without_onnx_the_requirements_are_named(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "dstformer_jax.export.onnx_file", raising=False)
    assert main([f"--input={folder / 'pose.bin'}", f"--output={tmp_path / 'a.onnx'}"]) == 2
    assert "pip install 'dstformer_jax[export]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda pose: pose + 1e-3, "from the model's for motion"),
        (lambda pose: pose * np.nan, "from the model's for motion"),
        (lambda pose: pose[..., :2], "expected the model's"),
    ],
)
def test_other_numbers_than_the_models_are_not_written(
    wrong, message, folder, tmp_path, monkeypatch
):
    truth = jax.jit(read_part(folder / "pose.bin").function)
    monkeypatch.setattr(stablehlo, "build", lambda part: b"")
    monkeypatch.setattr(stablehlo, "read", lambda path: lambda x: wrong(np.asarray(truth(x))))
    target = tmp_path / "a.stablehlo"
    target.write_text("an earlier file")
    with pytest.raises(ValueError, match=f"{message}.*nothing is written"):
        export(folder / "pose.bin", target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.stablehlo"]
    assert target.read_text() == "an earlier file"
