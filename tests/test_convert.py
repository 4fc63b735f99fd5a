"""The weight table: both directions, sizes from shapes, and errors that name keys."""

import jax
import numpy as np
import pytest

from dstformer_jax import convert
from dstformer_jax.models.network import build_network
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
