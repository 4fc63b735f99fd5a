"""Converted heads and backbones against official arrays and PyTorch."""

import jax
import numpy as np
import pytest
from random_networks import BACKBONES, BODY, CASES, SIZES, random_variables, to_torch

from dstformer_jax import convert
from dstformer_jax.body import rotations
from dstformer_jax.models.network import build_network

pytest.importorskip("torch")

import torch

from dstformer_jax.compare import OUTPUTS, compare
from dstformer_jax.torch_twin import Block, with_weights
from dstformer_jax.torch_twin_heads import build_head

# Official numbers ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def official(golden) -> dict[str, np.ndarray]:
    """The small official backbone under the keys of an official action or mesh file."""
    arrays = golden("a_small_dstformer")
    return {f"backbone.{key[2:]}": x for key, x in arrays.items() if key.startswith("w/")}


def head_weights(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        f"head.{key.removeprefix(prefix)}": x for key, x in arrays.items() if key.startswith(prefix)
    }


def same_rotations(turns: np.ndarray, theta: np.ndarray) -> None:
    expected = rotations.to_matrix(np.asarray(theta, np.float64).reshape(-1, 3))
    np.testing.assert_allclose(np.reshape(turns, (-1, 3, 3)), expected, atol=2e-5)


OFFICIAL = {"dim_feat": 32, "dim_rep": 32, "depth": 2, "num_heads": 4, "maxlen": 27}


def test_official_mesh_weights_give_the_official_numbers(golden, official):
    arrays = golden("e_mesh_head")
    state_dict = {**official, **head_weights(arrays, "head/w/")}
    head = convert.infer_head(state_dict)
    assert head == {"name": "mesh", "bones": 24, "shapes": 10, "hidden": 48}
    network = build_network(OFFICIAL, head.pop("name"), head)
    variables = convert.variables_from_torch(state_dict)
    own = {name: tree["head"] for name, tree in variables.items()}
    found = jax.jit(network.head.apply)(own, arrays["head/feat"])
    same_rotations(found["turns"], arrays["head/eval/theta"][:, :72])
    np.testing.assert_allclose(
        found["beta"].reshape(-1, 10), arrays["head/eval/theta"][:, 72:], atol=2e-6
    )
    outputs = jax.jit(network.apply)(variables, golden("a_small_dstformer")["x_T13"])
    np.testing.assert_allclose(
        outputs["representation"], golden("a_small_dstformer")["out/fuse/rep_T13"], atol=6e-6
    )


def test_official_refiner_weights_give_the_official_numbers(golden, official):
    arrays = golden("h_refine_head")
    state_dict = {**official, **head_weights(arrays, "w/")}
    head = convert.infer_head(state_dict)
    assert head == {"name": "refiner", "bones": 24, "shapes": 10, "hidden": 24, "form": "conv"}
    network = build_network(OFFICIAL, head.pop("name"), head)
    variables = convert.variables_from_torch(state_dict)
    found = network.head.apply(
        {name: tree["head"] for name, tree in variables.items()},
        arrays["feat"],
        initial=arrays["init_pose_6d"].reshape(2, 6, 144),
        initial_beta=arrays["init_shape"],
    )
    same_rotations(found["turns"], arrays["eval/theta"][:, :72])


# PyTorch ------------------------------------------------------------------------------------------


LONG = ("probe", "refiner_mlp")  # smaller brothers of action and refiner


@pytest.mark.parametrize(
    "case", [pytest.param(x, marks=[pytest.mark.long] * (x in LONG)) for x in CASES]
)
def test_outputs_and_gradients_of_every_head_agree(case):
    head, model = CASES[case], {**SIZES, "design": "st"}
    found = compare(random_variables(model, head), model, head)
    assert found.keys() == {"representation", "gradients", *OUTPUTS[head["name"]]}
    for name, (largest, scale) in found.items():
        assert scale > 1e-3, name
        # Rotations of nearly parallel columns double the rounding a few times.
        tolerance = 1e-4 if name == "turns" else 1e-5
        assert largest < tolerance * max(1, scale), name


def test_official_action_head_by_its_formula():
    """Mean over frames, joints side by side, mean over people, linear, norm, ReLU, linear."""
    variables = random_variables(SIZES, CASES["action"])
    w = {k: torch.from_numpy(x) for k, x in to_torch(variables).items() if "head." in k}
    rng = np.random.default_rng(0)
    representation = rng.normal(size=(3, 2, 4, 17, 6)).astype(np.float32)
    x = torch.from_numpy(representation).permute(0, 1, 3, 4, 2).mean(-1)
    x = x.reshape(3, 2, -1).mean(1) @ w["head.fc1.weight"].T + w["head.fc1.bias"]
    spread = (w["head.bn.running_var"] + 1e-5).sqrt()
    x = (x - w["head.bn.running_mean"]) / spread * w["head.bn.weight"] + w["head.bn.bias"]
    x = x.relu() @ w["head.fc2.weight"].T + w["head.fc2.bias"]
    network = build_network(SIZES, "action", {"classes": 5, "hidden": 7})
    own = {name: tree["head"] for name, tree in variables.items() if "head" in tree}
    np.testing.assert_allclose(network.head.apply(own, representation), x, atol=2e-5)


def test_twins_of_body_heads_give_the_official_numbers(golden):
    for name, prefix, about, given in (
        ("e_mesh_head", "head/", {"name": "mesh", "hidden": 48}, {}),
        ("h_refine_head", "", {"name": "refiner", "form": "conv", "hidden": 24}, {}),
    ):
        arrays = golden(name)
        weights = head_weights(arrays, f"{prefix}w/")
        weights = {key.removeprefix("head."): x for key, x in weights.items()}
        twin = with_weights(build_head({**BODY, **about}, 17 * 32), weights)
        if not prefix:
            initial = arrays["init_pose_6d"].reshape(2, 6, 144)
            given = {"initial": initial, "initial_beta": arrays["init_shape"]}
        inputs = {key: torch.from_numpy(x) for key, x in given.items()}
        with torch.no_grad():
            found = twin(torch.from_numpy(arrays[f"{prefix}feat"]), **inputs)
        theta = arrays[f"{prefix}eval/theta"]
        same_rotations(found["turns"].numpy(), theta[:, :72])
        np.testing.assert_allclose(found["beta"].reshape(-1, 10), theta[:, 72:], atol=2e-6)


def test_tcn_as_pytorch_convolutions():
    from torch.nn.functional import batch_norm, conv1d, pad

    model = BACKBONES["tcn"]
    variables = random_variables(model, {"name": "pose"})
    w = {key: torch.from_numpy(x) for key, x in to_torch(variables).items()}
    motion = np.random.default_rng(0).normal(size=(2, 7, 17, 3)).astype(np.float32)

    def level(x, name, dilation):
        kernel = w[f"{name}.conv.weight"]
        reach = dilation * (kernel.shape[-1] // 2)
        ends = pad(x, (min(reach, 7),) * 2, "replicate")  # further away is the same frame
        y = conv1d(ends, kernel, dilation=min(dilation, 7))
        bn = [f"{name}.bn.{x}" for x in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(y, *(w[key] for key in bn)).relu()

    x = level(torch.from_numpy(motion).flatten(2).mT, "expand", 1)
    for i in (1, 2):
        wide = level(x, f"levels.{i}.dilated", 3**i)
        x = x + level(wide, f"levels.{i}.single", 1)
    x = x.mT @ w["pre_logits.fc.weight"].T + w["pre_logits.fc.bias"]
    pose = x.tanh().unflatten(-1, (17, 6)) @ w["head.weight"].T + w["head.bias"]
    found = jax.jit(build_network(model).apply)(variables, motion)["pose"]
    np.testing.assert_allclose(found, pose, atol=1e-5)


def test_poseformer_as_pytorch_blocks():
    model = BACKBONES["poseformer"]
    variables = random_variables(model, {"name": "pose"})
    w = {key: torch.from_numpy(x) for key, x in to_torch(variables).items()}
    motion = np.random.default_rng(0).normal(size=(2, 4, 17, 3)).astype(np.float32)

    def blocks(x, letter):
        width = x.shape[-1]
        for i in (0, 1):
            block = Block(letter, width, 2, 2 * width, False, "pre")
            prefix = f"blocks_{letter}.{i}."
            named = {k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)}
            block.load_state_dict(named)
            x = block(x)
        gain, shift = w[f"norm_{letter}.weight"], w[f"norm_{letter}.bias"]
        return torch.nn.functional.layer_norm(x, (width,), gain, shift, 1e-6)

    with torch.no_grad():
        x = torch.from_numpy(motion) @ w["joints_embed.weight"].T + w["joints_embed.bias"]
        x = blocks(x + w["pos_embed"][:, None], "s").flatten(2)
        x = blocks((x + w["temp_embed"][:, :4])[:, :, None], "t")
        x = (x @ w["pre_logits.fc.weight"].T + w["pre_logits.fc.bias"]).tanh()
        pose = x.reshape(2, 4, 17, 6) @ w["head.weight"].T + w["head.bias"]
    found = jax.jit(build_network(model).apply)(variables, motion)["pose"]
    np.testing.assert_allclose(found, pose, atol=1e-5)
