"""Where a run begins: converted weights, resumption, another model's parameters."""

import jax
import numpy as np
import pytest

from dstformer_jax import convert
from dstformer_jax.training import experiment, parallel, state
from dstformer_jax.training.checkpoint import Checkpoints


def test_a_workdir_of_converted_weights_trains_from_them(make_config, tmp_path):
    built = experiment.build(make_config())
    given = jax.tree.map(lambda x: x + 1, experiment.initial_variables(built))
    workdir = tmp_path / "run"
    convert.write_any(str(workdir), given, built.info)
    with Checkpoints(workdir) as checkpoints:
        begun, sentence = state.begin(built, parallel.backend("jit"), checkpoints)
    assert int(begun.step) == 0
    assert "given backbone, head" in sentence
    jax.tree.map(np.testing.assert_array_equal, begun.params, given["params"])


def test_info_says_how_inference_must_treat_its_input(make_config):
    info = experiment.build(make_config()).info
    assert info["normaliser"] == {"mode": "image"}
    assert (info["skeleton"], info["fps"], info["root"]) == ("h36m17", 30.0, "relative")


def test_the_normaliser_is_that_of_the_3d_sources(make_config):
    """2D sources are cropped in the official recipe, whatever the 3D ones are."""
    sources = make_config()["sources"]
    sources["short"] |= {"supervision": "2d", "crop": (1.0, 1.0)}
    assert experiment.build(make_config(sources=sources)).info["normaliser"] == {"mode": "image"}
    sources["long"] |= {"crop": (1.0, 1.0)}
    assert experiment.build(make_config(sources=sources)).info["normaliser"] == {"mode": "crop"}
    sources["short"] = {**sources["long"], "crop": None}
    assert experiment.build(make_config(sources=sources)).info["normaliser"] == {"mode": "image"}


def test_another_backbone_is_refused_by_name(make_config):
    built = experiment.build(make_config())
    given = experiment.initial_variables(built)
    del given["params"]["backbone"]["norm"]
    with pytest.raises(ValueError, match=r"norm.*nothing"):
        state.transplant(built.shapes, given)
