"""Model and load: the same numbers from every kind of file, batch size and clip length."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import dstformer_jax
from dstformer_jax import convert
from dstformer_jax.body.geometry import flip
from dstformer_jax.inference import Model, load
from dstformer_jax.models.network import build_network
from dstformer_jax.torch_files import write_torch_file

OPTIONS = {"dim_feat": 32, "dim_rep": 32, "depth": 2, "num_heads": 4, "maxlen": 27}


@pytest.fixture(scope="module")
def official(golden) -> dict[str, np.ndarray]:
    return golden("a_small_dstformer")


@pytest.fixture(scope="module")
def state_dict(official) -> dict[str, np.ndarray]:
    return {key[2:]: value for key, value in official.items() if key.startswith("w/")}


@pytest.fixture(scope="module")
def model(state_dict) -> Model:
    return Model(build_network(OPTIONS), convert.from_torch(state_dict), {"fps": 30}, batch_size=4)


def test_lift_and_represent_give_the_official_numbers(model, official):
    x = official["x_T13"]
    np.testing.assert_allclose(model.lift(x), official["out/fuse/y_T13"], rtol=0, atol=6e-6)
    np.testing.assert_allclose(model.represent(x), official["out/fuse/rep_T13"], rtol=0, atol=6e-6)


def test_results_do_not_depend_on_batches_or_leading_axes(model, official):
    x = official["x_T13"]
    once = model.lift(x)
    many = model.lift(np.stack([x] * 3))  # 6 clips: one batch of 4 and one of 2
    assert many.shape == (3, 2, 13, 17, 3)
    for i in range(3):
        np.testing.assert_allclose(many[i], once, rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.lift(x[0]), once[0], rtol=0, atol=1e-6)
    assert model.lift(x[:0]).shape == (0, 13, 17, 3)


def test_few_batch_shapes_are_compiled(model):
    seen = []
    model_batches = [model._padded(np.ones((n, 1, 17, 3), np.float32)) for n in (1, 2, 3, 4)]
    seen = [len(batch) for batch in model_batches]
    assert seen == [1, 2, 4, 4]
    assert not model_batches[2][3:].any()


def test_flip_averages_with_the_mirrored_motion(model, official):
    x = official["x_T13"]
    expected = (model.lift(x) + flip(model.lift(flip(x)))) / 2
    flipped = model.lift(x, flip=True)
    np.testing.assert_allclose(flipped, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.lift(flip(x), flip=True), flip(flipped), rtol=0, atol=1e-6)


def test_fusion_weights(model, official):
    alpha = model.fusion_weights(official["x_T27"])
    for i in range(2):
        np.testing.assert_allclose(alpha[i], official[f"mid/{i}/alpha"], rtol=0, atol=2e-6)
    nested = model.fusion_weights(official["x_T27"][None])
    np.testing.assert_array_equal(nested[:, 0], alpha)


def test_what_the_checkpoint_says_is_kept(model):
    assert (model.fps, model.maxlen, model.skeleton.num_joints) == (30.0, 27, 17)


def test_wrong_input_is_named(model):
    with pytest.raises(ValueError, match="28 frames, expected 1 to 27"):
        model.lift(np.zeros((1, 28, 17, 3)))
    with pytest.raises(ValueError, match=r"expected \[..., T, 17, 3\]"):
        model.lift(np.zeros((1, 5, 17, 2)))
    with pytest.raises(ValueError, match=r"shape \(17, 3\)"):
        model.lift(np.zeros((17, 3)))
    with pytest.raises(ValueError, match="NaN"):
        model.lift(np.full((1, 5, 17, 3), np.nan))


def test_designs_without_fusion_say_so(state_dict):
    average = {key: x for key, x in state_dict.items() if not key.startswith("ts_attn")}
    network = build_network({**OPTIONS, "design": "average"})
    with pytest.raises(ValueError, match="'average'"):
        Model(network, convert.from_torch(average)).fusion_weights(np.zeros((1, 5, 17, 3)))


def test_every_file_loads_the_same_model(tmp_path, model, state_dict, official):
    info = {"model": OPTIONS, "fps": 60, "normaliser": {"mode": "pixel"}}
    write_torch_file(tmp_path / "ours.bin", state_dict, info)
    write_torch_file(tmp_path / "bare.pth", state_dict, plain=True)
    convert.write_any(str(tmp_path / "run"), convert.variables_from_torch(state_dict), info)
    for path, options in (("ours.bin", {}), ("run", {}), ("bare.pth", {"num_heads": 4})):
        loaded = load(tmp_path / path, **options)
        jax.tree.map(np.testing.assert_array_equal, loaded.params, model.params)
        assert loaded.network == model.network
        known = path != "bare.pth"
        assert loaded.fps == (60.0 if known else None)
        assert loaded.normaliser.mode == ("pixel" if known else "crop")


def test_overrides(tmp_path, state_dict, official):
    write_torch_file(tmp_path / "a.bin", state_dict, {"model": OPTIONS})
    half = load(tmp_path / "a.bin", dtype="bfloat16", batch_size=2)
    pose = half.lift(official["x_T13"])
    assert pose.dtype == np.float32
    error = np.linalg.norm(pose - official["out/fuse/y_T13"]) / np.linalg.norm(pose)
    assert 1e-4 < error < 0.05
    with pytest.raises(ValueError, match="layer_2"):
        load(tmp_path / "a.bin", depth=3)
    with pytest.raises(ValueError, match="batch_size=0"):
        load(tmp_path / "a.bin", batch_size=0)


def test_nothing_to_load_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.bin"):
        load(tmp_path / "none.bin")
    with pytest.raises(ValueError, match="workdir"):
        load(tmp_path)
    with pytest.raises(ValueError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_lazy_names():
    assert dstformer_jax.load is load
    assert dstformer_jax.H36M17.num_joints == 17
    assert dstformer_jax.DSTformer.__name__ == "DSTformer"
    assert {"load", "read", "DSTformer", "H36M17"} <= set(dir(dstformer_jax))
    with pytest.raises(AttributeError, match="nothing"):
        dstformer_jax.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    heavy = "('jax', 'flax', 'tensorflow', 'torch', 'orbax', 'ml_collections')"
    code = f"import sys, dstformer_jax; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_inference_needs_no_tensorflow_torch_or_config_library():
    heavy = "('tensorflow', 'tensorflow_datasets', 'torch', 'ml_collections')"
    code = f"import sys, dstformer_jax.inference; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
