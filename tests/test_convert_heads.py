"""Every head in the weight table, the command on whole files, and their use."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest
from random_networks import BACKBONES, CASES, SIZES, random_variables, same, to_torch

from dstformer_jax import convert, load, main
from dstformer_jax.files.bodies import smpl_buffers
from dstformer_jax.models.network import build_network
from dstformer_jax.torch_files import read_torch_file, write_torch_file
from dstformer_jax.training.checkpoint import restore_params
from dstformer_jax.training.state import transplant
from dstformer_jax.weight_table import DESIGNS_AND_OTHERS, HEADS, weight_table

# The table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", list(CASES))
def test_every_head_returns_bit_for_bit_and_is_recognised(case):
    variables = random_variables(SIZES, CASES[case])
    state_dict = to_torch(variables)
    same(convert.variables_from_torch(state_dict), variables)
    assert convert.infer_head(state_dict) == CASES[case]
    assert convert.infer_config(state_dict, 2) == {**SIZES, "num_joints": 17, "design": "adaptive"}
    assert set(variables["params"]) == {"backbone", "head", "pose"}
    assert state_dict["backbone.head.weight"].shape == (3, 6)
    wrapped = {"model": {f"module.{key}": x for key, x in state_dict.items()}, "epoch": 3}
    same(convert.variables_from_torch(wrapped), variables)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_other_backbones_return_bit_for_bit_and_are_recognised(name):
    for head in ({"name": "pose"}, CASES["action"]):
        variables = random_variables(BACKBONES[name], head)
        state_dict = to_torch(variables)
        same(convert.variables_from_torch(state_dict), variables)
        assert convert.infer_config(state_dict, 2) == BACKBONES[name]
        assert convert.infer_head(state_dict) == head


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("design", DESIGNS_AND_OTHERS)
def test_each_tensor_belongs_to_exactly_one_row(design, head):
    rows = weight_table(design, 3, head)
    assert len({row.ours for row in rows}) == len({row.theirs for row in rows}) == len(rows)


def test_action_keys_are_the_official_ones():
    keys = list(to_torch(random_variables(SIZES, CASES["action"])))
    assert keys[-9:] == [
        *(f"head.bn.{x}" for x in ("weight", "bias", "running_mean", "running_var")),
        "head.bn.num_batches_tracked",
        *(f"head.{x}" for x in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")),
    ]
    pose = to_torch(random_variables(SIZES, {"name": "pose"}))
    assert keys[:-9] == [f"backbone.{key}" for key in pose]


def test_counters_are_written_as_integers_and_ignored_on_reading():
    variables = random_variables(SIZES, CASES["action"])
    state_dict = convert.to_torch(variables["params"], variables["batch_stats"], batches=12)
    counter = state_dict["head.bn.num_batches_tracked"]
    assert (counter.dtype, counter.shape, int(counter)) == (np.int64, (), 12)
    del state_dict["head.bn.num_batches_tracked"]
    same(convert.variables_from_torch(state_dict), variables)
    with pytest.raises(ValueError, match=r"unknown keys head\.fc1\.num_batches_tracked"):
        convert.from_torch({**state_dict, "head.fc1.num_batches_tracked": counter})


def test_what_is_missing_unknown_or_of_another_width_is_named():
    variables = random_variables(SIZES, CASES["mesh"])
    state_dict = to_torch(variables)
    with pytest.raises(ValueError, match=r"missing keys head/bn1/mean, .*mesh network"):
        convert.to_torch(variables["params"])
    narrow = {**state_dict, "head.fc1.weight": np.zeros((7, 17 * 5), np.float32)}
    with pytest.raises(
        ValueError, match=r"head\.fc1\.weight of shape \(7, 85\), .*joints = 17, rep = 6"
    ):
        convert.from_torch(narrow)
    uneven = {**state_dict, "head.bn2.running_var": np.ones(9, np.float32)}
    with pytest.raises(ValueError, match=r"bn2\.running_var of shape \(9,\).*units = 7"):
        convert.from_torch(uneven)
    with pytest.raises(ValueError, match=r"unknown keys head\.smpl\.spare"):
        convert.from_torch({**state_dict, "head.smpl.spare": np.zeros(1), "head.smpl.betas": 0})
    missing = {k: x for k, x in state_dict.items() if k != "backbone.head.bias"}
    with pytest.raises(ValueError, match=r"missing keys backbone\.head\.bias"):
        convert.from_torch(missing)


def test_a_refiner_whose_body_cannot_be_told_says_so(tmp_path):
    odd = {**CASES["refiner_mlp"], "bones": 4, "shapes": 3}
    variables = random_variables(SIZES, odd)
    with pytest.raises(ValueError, match=r"head\.residual with 27 outputs"):
        convert.infer_head(to_torch(variables))
    convert.write_any(tmp_path / "a.bin", variables, {"model": SIZES, "head": odd})
    found, info = convert.read_any(tmp_path / "a.bin")  # files of ours say it themselves
    same(found, variables)
    assert info["head"] == odd


# Whole files --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data_mesh(smpl_folder, tmp_path_factory):
    """The official data/mesh with every file."""
    folder = shutil.copytree(smpl_folder, tmp_path_factory.mktemp("mesh") / "data")
    extra = np.random.default_rng(0).uniform(size=(9, 150)).astype(np.float32)
    np.save(folder / "J_regressor_extra.npy", extra)
    return folder


def write_run(folder, case: str, model: dict | None = None) -> convert.Variables:
    """A workdir of ours with random weights."""
    model = model or SIZES
    variables = random_variables(model, CASES[case])
    info = {"model": model, "head": CASES[case], "fps": 25, "classes": list("abcde"), "step": 9}
    convert.write_any(folder, variables, info)
    return variables


def run(*arguments: str) -> int:
    return convert.main(list(arguments))


def content(path) -> dict:
    torch = pytest.importorskip("torch")
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("case", list(CASES))
def test_workdir_to_official_file_and_back(case, tmp_path, capsys):
    variables = write_run(tmp_path / "run", case)
    for name, options in (("a.bin", ()), ("b.pth", ("--plain",)), ("c.safetensors", ())):
        path = tmp_path / name
        assert run(f"--input={tmp_path / 'run'}", f"--output={path}", *options) == 0
        found, info = convert.read_any(path, 2)
        same(found, variables)
        assert info["head"] == CASES[case]
        assert info.get("fps") == (None if options else 25)
    assert ("strict=False" in capsys.readouterr().out) == (
        case in ("mesh", "refiner", "refiner_mlp")
    )
    assert run(f"--input={tmp_path / 'a.bin'}", f"--output={tmp_path / 'again'}") == 0
    found, info = restore_params(tmp_path / "again")
    same(found, {"batch_stats": {}, **variables})
    assert (info["head"], info["weights_only"]) == (CASES[case], True)


def test_official_scripts_load_action_files_strictly(tmp_path):
    torch = pytest.importorskip("torch")
    from dstformer_jax.torch_twin_heads import build_finetuned

    variables = write_run(tmp_path / "run", "action")
    assert run(f"--input={tmp_path / 'run'}", f"--output={tmp_path / 'a.bin'}") == 0
    twin = build_finetuned(SIZES, CASES["action"], to_torch(variables))
    saved = content(tmp_path / "a.bin")["model"]
    assert all(key.startswith(("module.backbone.", "module.head.")) for key in saved)
    wanted = torch.nn.DataParallel(twin).state_dict()
    assert list(saved) == list(wanted)
    assert all(saved[key].dtype == wanted[key].dtype for key in saved)
    torch.nn.DataParallel(twin).load_state_dict(saved, strict=True)
    plain = tmp_path / "b.bin"
    assert run(f"--input={tmp_path / 'run'}", f"--output={plain}", "--plain") == 0
    assert list(content(plain)) == [key.removeprefix("module.") for key in saved]


def test_mesh_files_hold_the_body_under_the_official_keys(golden, tmp_path, data_mesh, capsys):
    variables = write_run(tmp_path / "run", "mesh")
    path = tmp_path / "mesh.bin"
    assert run(f"--input={tmp_path / 'run'}", f"--output={path}", f"--smpl={data_mesh}") == 0
    assert "strict=False" not in capsys.readouterr().out
    saved = content(path)["model"]
    head = {k.removeprefix("module.head."): x for k, x in saved.items() if ".backbone." not in k}
    official = [line.split(" ", 1) for line in golden("e_mesh_head")["head/state_keys"].tolist()]
    assert list(head) == [name for name, _ in official]
    for name, about in official:
        assert str(head[name].dtype) == about.rpartition(" ")[2], name
        if name.startswith("smpl."):
            assert str(tuple(head[name].shape)) == about.rpartition(" ")[0], name
    found, _ = convert.read_any(path)
    same(found, variables)  # the body is left to its own file


def test_the_body_is_that_of_smplx(data_mesh):
    smplx = pytest.importorskip("smplx")
    body = smplx.SMPL(str(data_mesh / "SMPL_NEUTRAL.pkl"), batch_size=64, create_transl=False)
    expected = {key: x.detach().numpy() for key, x in body.state_dict().items()}
    found = smpl_buffers(data_mesh)
    own = ["J_regressor_extra", "J_regressor_h36m"]  # the official code adds them to smplx's
    assert [key for key in found if key not in own] == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
        assert found[key].dtype == value.dtype, key
    for key, name in zip(own, ("J_regressor_extra", "J_regressor_h36m_correct"), strict=True):
        np.testing.assert_array_equal(found[key], np.load(data_mesh / f"{name}.npy"))


def test_mistakes_are_one_line(tmp_path, data_mesh, smpl_folder, capsys):
    write_run(tmp_path / "action", "action")
    write_run(tmp_path / "mesh", "mesh")
    write_run(tmp_path / "tcn", "action", BACKBONES["tcn"])
    whole = tmp_path / "a.bin"
    assert run(f"--input={tmp_path / 'action'}", f"--output={whole}") == 0
    (tmp_path / "cut.bin").write_bytes(whole.read_bytes()[:-4000])
    state_dict, _ = read_torch_file(whole)
    wide = {**state_dict, "head.fc2.weight": np.zeros((5, 9), np.float32)}
    write_torch_file(tmp_path / "wide.bin", wide)
    write_torch_file(tmp_path / "odd.bin", {**state_dict, "head.fc3.bias": np.zeros(3, np.float32)})
    capsys.readouterr()
    for source, target, option, message in (
        ("cut.bin", "run", None, "cut.bin"),
        ("wide.bin", "run", None, "got head.fc2.weight of shape (5, 9)"),
        ("odd.bin", "run", None, "got unknown keys head.fc3.bias"),
        ("action", "x.bin", f"--smpl={data_mesh}", "mesh network alone"),
        ("mesh", "x.bin", f"--smpl={smpl_folder}", "J_regressor_extra.npy"),
        ("mesh", "x.bin", f"--smpl={tmp_path}", "J_regressor_extra.npy"),
        ("tcn", "x.bin", "--compare", "the backbone 'tcn'" if find_spec("torch") else "PyTorch"),
    ):
        options = [f"--input={tmp_path / source}", f"--output={tmp_path / target}"]
        assert convert.main([*options, *([option] if option else [])]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error
    assert not (tmp_path / "x.bin").exists()


def test_compare_of_a_file(tmp_path, capsys):
    pytest.importorskip("torch")
    write_run(tmp_path / "run", "mesh", {**SIZES, "design": "st"})
    paths = [f"--input={tmp_path / 'run'}", f"--output={tmp_path / 'a.bin'}"]
    assert run(*paths, "--compare") == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if "largest difference" in x]
    found = {line.split()[3].rstrip(":"): float(line.split()[4]) for line in lines}
    assert found.keys() == {"representation", "gradients", "turns", "beta"}
    assert max(found.values()) < 1e-4


# Use ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [SIZES, BACKBONES["tcn"]], ids=["dstformer", "tcn"])
def test_load_takes_the_backbone_with_its_passenger(model, tmp_path):
    motion = np.random.default_rng(0).uniform(-1, 1, (1, 5, 17, 3)).astype(np.float32)
    variables = write_run(tmp_path / "run", "action", model)
    convert.write_any(tmp_path / "a.bin", variables, {"model": model, "head": CASES["action"]})
    params = {"backbone": variables["params"]["backbone"], "head": variables["params"]["pose"]}
    pose_variables = {"params": params, "batch_stats": variables["batch_stats"]}
    expected = build_network(model).apply(pose_variables, motion)
    for path in ("run", "a.bin"):
        loaded = load(tmp_path / path)
        np.testing.assert_allclose(loaded.lift(motion), expected["pose"], atol=1e-6)
        np.testing.assert_allclose(loaded.represent(motion), expected["representation"], atol=1e-6)
        assert loaded.info["head"] == CASES["action"]


def test_init_from_takes_files_of_any_head(tmp_path):
    pose = random_variables(SIZES, {"name": "pose"})
    convert.write_any(tmp_path / "pose.bin", pose, {"model": SIZES})
    action = write_run(tmp_path / "run", "action")
    convert.write_any(tmp_path / "action.bin", action, {"model": SIZES, "head": CASES["action"]})
    fresh = random_variables(SIZES, CASES["action"], seed=1)

    found, sentence = transplant(fresh, main.load_variables(str(tmp_path / "pose.bin")))
    same(found["params"]["backbone"], pose["params"]["backbone"])
    same(found["params"]["pose"], pose["params"]["head"])
    same(found["params"]["head"], fresh["params"]["head"])
    same(found["batch_stats"], fresh["batch_stats"])
    assert sentence.endswith("; new: head")
    for path in ("action.bin", "run"):
        found, sentence = transplant(fresh, main.load_variables(str(tmp_path / path)))
        same(found, action)
        assert "new" not in sentence
    other = random_variables(SIZES, {**CASES["action"], "classes": 3}, seed=1)
    found, sentence = transplant(other, main.load_variables(str(tmp_path / "action.bin")))
    same(found["params"]["pose"], action["params"]["pose"])
    same(found["params"]["head"], other["params"]["head"])
    same(found["batch_stats"]["head"], other["batch_stats"]["head"])
    fresh = random_variables(SIZES, {"name": "pose"}, seed=1)
    found, _ = transplant(fresh, main.load_variables(str(tmp_path / "action.bin")))
    same(found["params"]["head"], action["params"]["pose"])
