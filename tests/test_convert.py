"""The weight table: both directions, sizes from shapes, and errors that name keys."""

import importlib
import sys

import jax
import numpy as np
import pytest

from dstformer_jax import convert
from dstformer_jax.models.network import build_network
from dstformer_jax.torch_files import read_torch_file, write_torch_file
from dstformer_jax.training.checkpoint import restore_params
from dstformer_jax.weight_table import DESIGNS, weight_table

SIZES = {"dim_feat": 16, "dim_rep": 8, "depth": 2, "num_heads": 4, "maxlen": 9, "mlp_ratio": 3}


@pytest.fixture(scope="module")
def official(golden) -> dict[str, np.ndarray]:
    arrays = golden("a_small_dstformer")
    return {key[2:]: value for key, value in arrays.items() if key.startswith("w/")}


def random_params(design: str, seed: int = 0) -> convert.Params:
    network = build_network({**SIZES, "design": design})
    motion = jax.ShapeDtypeStruct((1, 1, 17, 3), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), motion)["params"]
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


def test_official_weights_return_bit_for_bit_in_official_order(official):
    back = convert.to_torch(convert.from_torch(official))
    assert list(back) == list(official)
    assert all(back[key].tobytes() == value.tobytes() for key, value in official.items())


@pytest.mark.parametrize("design", list(DESIGNS))
def test_every_design_round_trips(design):
    params = random_params(design)
    state_dict = convert.to_torch(params)
    inferred = convert.infer_config(state_dict, num_heads=4)
    assert inferred == {**SIZES, "num_joints": 17, "design": design}
    jax.tree.map(np.testing.assert_array_equal, params, convert.from_torch(state_dict))


@pytest.mark.parametrize("design", list(DESIGNS))
def test_each_tensor_belongs_to_exactly_one_row(design):
    rows = weight_table(design, 3)
    assert len({row.ours for row in rows}) == len({row.theirs for row in rows}) == len(rows)


def test_official_key_count():
    assert len(weight_table("adaptive", 5)) == 260


def test_prefixes_and_wrapping_keys_are_taken_off(official):
    wrapped = {"epoch": 3, "model_pos": {f"module.{key}": x for key, x in official.items()}}
    jax.tree.map(
        np.testing.assert_array_equal, convert.from_torch(wrapped), convert.from_torch(official)
    )


def test_unknown_and_missing_keys_are_named(official):
    broken = {
        ("extra.weight" if k == "blocks_ts.1.mlp_t.fc1.bias" else k): x for k, x in official.items()
    }
    with pytest.raises(ValueError, match=r"unknown keys extra\.weight; missing keys blocks_ts\.1"):
        convert.from_torch(broken)
    params = random_params("adaptive")
    del params["backbone"]["norm"]["scale"]
    with pytest.raises(ValueError, match="missing keys backbone/norm/scale"):
        convert.to_torch(params)


def test_wrong_shapes_are_named(official):
    wide = {**official, "blocks_st.1.attn_s.proj.bias": np.zeros(33, np.float32)}
    with pytest.raises(ValueError, match=r"blocks_st\.1\.attn_s\.proj\.bias .*feat = 32"):
        convert.from_torch(wide)
    flat = {**official, "pos_embed": np.zeros((17, 32), np.float32)}
    with pytest.raises(ValueError, match=r"pos_embed of shape \(17, 32\)"):
        convert.infer_config(flat)


def test_level_numbers_are_bounded(official):
    with pytest.raises(ValueError, match="level 999999999"):
        convert.from_torch({**official, "blocks_st.999999999.norm1_s.bias": np.zeros(32)})


def test_heads_default_to_eight_and_must_fit_the_shapes(official):
    assert convert.infer_config(official)["num_heads"] == 8
    with pytest.raises(ValueError, match="num_heads=5"):
        convert.infer_config(official, num_heads=5)


def test_mlp_ratio_gives_back_the_hidden_width(official):
    odd = {
        key: np.resize(x, [29 if (side == 64) else side for side in x.shape])
        if ".mlp_" in key
        else x
        for key, x in official.items()
    }
    ratio = convert.infer_config(odd)["mlp_ratio"]
    assert int(32 * ratio) == 29


class TestCommand:
    def test_file_to_workdir_and_back(self, tmp_path, official, capsys):
        start, run, end = (str(tmp_path / name) for name in ("a.bin", "run", "b.safetensors"))
        write_torch_file(start, official)
        assert convert.main([f"--input={start}", f"--output={run}", "--num_heads=4"]) == 0
        assert convert.main([f"--input={run}", f"--output={end}"]) == 0
        assert "71,367 parameters" in capsys.readouterr().out
        back, info = read_torch_file(end)
        assert {k: x.tobytes() for k, x in back.items()} == {
            k: x.tobytes() for k, x in official.items()
        }
        assert info["model"]["num_heads"] == 4
        variables, info = restore_params(run)
        assert info["weights_only"]
        jax.tree.map(
            np.testing.assert_array_equal, variables["params"], convert.from_torch(official)
        )

    def test_an_assumed_number_of_heads_is_said(self, tmp_path, official, capsys):
        write_torch_file(tmp_path / "a.bin", official)
        paths = [f"--input={tmp_path / 'a.bin'}", f"--output={tmp_path / 'b.pth'}", "--plain"]
        assert convert.main(paths) == 0
        assert "num_heads = 8 is assumed" in capsys.readouterr().out
        assert list(convert.read_torch(tmp_path / "b.pth")) == list(official)

    def test_compare_prints_the_largest_differences(self, tmp_path, official, capsys):
        pytest.importorskip("torch")
        write_torch_file(tmp_path / "a.bin", official)
        paths = [f"--input={tmp_path / 'a.bin'}", f"--output={tmp_path / 'b.bin'}"]
        assert convert.main([*paths, "--compare"]) == 0
        lines = [x for x in capsys.readouterr().out.splitlines() if "largest difference" in x]
        found = {line.split()[3].rstrip(":"): float(line.split()[4]) for line in lines}
        assert found.keys() == {"pose", "representation", "gradients"}
        assert max(found.values()) < 1e-5

    def test_the_twin_without_pytorch_says_so(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        monkeypatch.delitem(sys.modules, "dstformer_jax.torch_twin", raising=False)
        with pytest.raises(ImportError, match="install a CPU build of torch"):
            importlib.import_module("dstformer_jax.torch_twin")

    @pytest.mark.parametrize(
        ("source", "target", "message"),
        [
            ("none.bin", "run", "none.bin"),
            ("empty", "a.bin", "expected a workdir"),
            ("empty", "run", "two folders"),
        ],
    )
    def test_mistakes_are_one_line(self, tmp_path, capsys, source, target, message):
        (tmp_path / "empty").mkdir()
        paths = [f"--input={tmp_path / source}", f"--output={tmp_path / target}"]
        assert convert.main(paths) == 2
        assert message in capsys.readouterr().err

    def test_a_run_is_never_overwritten(self, tmp_path, official, capsys):
        write_torch_file(tmp_path / "a.bin", official)
        paths = [f"--input={tmp_path / 'a.bin'}", f"--output={tmp_path / 'run'}"]
        assert [convert.main(paths), convert.main(paths)] == [0, 2]
        assert "holds a run" in capsys.readouterr().err

    def test_an_output_that_cannot_be_written_is_one_line(self, tmp_path, official, capsys):
        write_torch_file(tmp_path / "a.bin", official)
        (tmp_path / "file").touch()
        paths = [f"--input={tmp_path / 'a.bin'}", f"--output={tmp_path / 'file' / 'b.bin'}"]
        assert convert.main(paths) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
