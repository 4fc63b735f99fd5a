"""The weights that come with the package, and half precision files."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from scipy.spatial.transform import Rotation

from datasets.synthetic.body import random_body
from datasets.synthetic.people import simulate
from dstformer_jax import convert
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.inference import STARTER, STREAMING, load
from dstformer_jax.lift import lift
from dstformer_jax.torch_files import INFO, read_torch_file

# Motion whose owners let anybody give away what is learned from it: CMU's mocap, DeepMimic (MIT),
# and our own synthetic people.
FREE = {"bvh/cmu_mocap", "bvh/cmu_mocap_more", "bvh/deepmimic_clips", "synthetic/demo"}


@pytest.mark.parametrize(
    ("path", "size", "most"), [(STARTER, "starter", 16 << 20), (STREAMING, "demo", 1 << 20)]
)
def test_the_shipped_weights_are_small_half_precision_and_say_what_they_are(path, size, most):
    assert path.stat().st_size < most
    with safe_open(path, framework="numpy") as file:
        dtypes = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
        info = json.loads(file.metadata()[INFO])
    assert dtypes == {"F16"}
    assert info["model"]["size"] == size
    assert (info["fps"], info["normaliser"], info["skeleton"]) == (30.0, {"mode": "crop"}, "h36m17")


@pytest.mark.parametrize(("path", "frames"), [(STARTER, 81), (STREAMING, 27)])
def test_the_shipped_weights_learned_from_free_motion_and_compute_in_float32(path, frames):
    model = load(path)
    assert model.info["trained_on"]
    assert set(model.info["trained_on"]) <= FREE
    assert model.params["backbone"]["layer_0"]["fusion"]["weights"]["kernel"].dtype == np.float32
    assert model.info["model"]["dtype"] == "float32"
    assert model.maxlen == frames


def test_lift_needs_no_weights_of_one_s_own():
    """A synthetic walk, which was not trained on, from three sides: better than flat answers."""
    body = random_body(np.random.default_rng(5))
    places = simulate(body, "walk", np.random.default_rng(6), 60, 30.0, spread=0.0)
    pose = np.stack([places[joint] for joint in H36M17.names], axis=1)
    turns = [Rotation.from_euler("y", a, degrees=True).as_matrix() for a in (0, 60, 120)]
    true = np.stack([(pose - pose[:, :1]) @ turn.T for turn in turns])
    pixels = 500 + 200 * true[..., :2] * (1, -1)
    seen = [Track(number, 0, each, np.ones(each.shape[:2])) for number, each in enumerate(pixels)]
    lifted = lift(Motion(tuple(seen), H36M17, fps=30.0, unit="px"))
    answer = np.stack([track.points - track.points[:, :1] for track in lifted])
    error, flat = (fitted_error(each, true) for each in (answer, answer * (1, 1, 0)))
    assert error < 0.75 * flat


def fitted_error(answer: np.ndarray, true: np.ndarray) -> float:
    """Mean distance in metres at the best scale: sizes are assumed."""
    scale = (answer * true).sum() / (answer**2).sum()
    return float(np.linalg.norm(scale * answer - true, axis=-1).mean())


def test_half_precision_there_and_back(tmp_path):
    """A file of half the bytes, whose values are the float16 of ours, loaded as float32."""
    rng = np.random.default_rng(0)
    variables, info = convert.read_any(STARTER)
    kernel = variables["params"]["head"]["dense"]["kernel"]
    kernel[...] = rng.normal(size=kernel.shape)
    for name in ("half.safetensors", "half.bin"):
        convert.write_any(tmp_path / name, variables, {**info, "config": None}, half=True)
        state_dict, kept = read_torch_file(tmp_path / name)
        assert kept["trained_on"] == info["trained_on"]
        expected = kernel.T.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(state_dict["head.weight"], expected)
        assert state_dict["head.weight"].dtype == np.float32
        assert (tmp_path / name).stat().st_size < 1.02 * STARTER.stat().st_size


def test_half_precision_refuses_what_it_cannot_hold(tmp_path):
    variables, info = convert.read_any(STARTER)
    with pytest.raises(ValueError, match="expected it for a PyTorch file"):
        convert.write_any(tmp_path / "run", variables, info, half=True)
    variables["params"]["head"]["dense"]["kernel"][0, 0] = 1e6
    with pytest.raises(ValueError, match=r"head.weight with values beyond float16"):
        convert.write_any(tmp_path / "half.bin", variables, info, half=True)
    assert not list(tmp_path.iterdir())


def test_what_a_run_was_trained_on_comes_from_its_sources():
    sources = {"a": {"dataset": "bvh/b"}, "b": {"dataset": "bvh/a"}, "c": {"dataset": "bvh/b"}}
    assert convert.trained_on({"sources": {**sources, "off": None}}) == ["bvh/a", "bvh/b"]
