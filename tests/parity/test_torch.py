"""Our network against its PyTorch twin, and the twin against the official numbers."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from dstformer_jax import convert
from dstformer_jax.compare import compare
from dstformer_jax.torch_twin import DSTformer, build_twin
from dstformer_jax.weight_table import DESIGNS

OPTIONS = {"dim_feat": 32, "dim_rep": 24, "depth": 2, "num_heads": 6, "maxlen": 7, "mlp_ratio": 3}


def random_state_dict(seed: int = 0, **options) -> dict[str, np.ndarray]:
    """Weights of a twin without zeros, in its own order of keys."""
    rng = np.random.default_rng(seed)
    twin = DSTformer(**{**OPTIONS, **options})
    return {
        key: rng.normal(0, 0.2, value.shape).astype(np.float32)
        for key, value in twin.state_dict().items()
    }


@pytest.mark.parametrize(("name", "design"), [("fuse", "adaptive"), ("nofuse", "average")])
def test_twin_gives_the_official_numbers(golden, name, design):
    official = golden("a_small_dstformer")
    weights = {
        key[2:]: value
        for key, value in official.items()
        if key.startswith("w/") and not (design == "average" and "ts_attn" in key)
    }
    model = {"dim_feat": 32, "dim_rep": 32, "depth": 2, "num_heads": 4, "maxlen": 27}
    twin = build_twin({**model, "design": design}, weights)
    assert list(twin.state_dict()) == list(weights)
    for frames in (27, 13):
        motion = torch.from_numpy(official[f"x_T{frames}"])
        with torch.no_grad():
            pose, representation = twin(motion).numpy(), twin.represent(motion).numpy()
        for ours, key in ((pose, "y"), (representation, "rep")):
            np.testing.assert_allclose(
                ours, official[f"out/{name}/{key}_T{frames}"], rtol=0, atol=6e-6
            )


@pytest.mark.parametrize(
    "options",
    [
        {"design": "adaptive"},
        {"design": "average"},
        {"design": "adaptive", "norm": "post", "depth": 1},
        pytest.param({"design": "st"}, marks=pytest.mark.long),
        pytest.param({"design": "ts"}, marks=pytest.mark.long),
        pytest.param({"design": "parallel"}, marks=pytest.mark.long),
        pytest.param({"design": "one_mlp"}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_outputs_and_gradients_agree(options):
    params = convert.from_torch(random_state_dict(**options))
    differences = compare({"params": params}, {**OPTIONS, **options})
    for name, tolerance in (("pose", 1e-5), ("representation", 1e-5), ("gradients", 2e-6)):
        assert differences[name].scale > 10 * tolerance
        assert differences[name].largest < tolerance * max(1, differences[name].scale), name


@pytest.mark.long
@pytest.mark.parametrize("size", [(512, 2.0), (256, 4.0)], ids=["full", "lite"])
def test_full_sizes_agree(size):
    model = {"dim_feat": size[0], "dim_rep": 512, "mlp_ratio": size[1], "maxlen": 27}
    torch.manual_seed(0)
    params = convert.from_torch(DSTformer(**model).state_dict())
    differences = compare({"params": params}, {**model, "scan_layers": True}, clips=1)
    assert differences["pose"].largest < 1e-4
    assert differences["representation"].largest < 1e-4
    assert differences["gradients"].largest < 1e-4 * differences["gradients"].scale


@pytest.mark.parametrize("design", list(DESIGNS))
def test_table_order_is_the_order_of_the_modules(design):
    state_dict = random_state_dict(design=design)
    assert list(convert.to_torch(convert.from_torch(state_dict))) == list(state_dict)


def test_twin_starts_as_the_official_code(golden):
    torch.manual_seed(0)
    twin = DSTformer(dim_feat=32, dim_rep=32, depth=2, num_heads=4, maxlen=27)
    for key, value in twin.state_dict().items():
        expected = golden("a_small_dstformer_init")[f"init/{key}"]
        if expected.std() == 0:
            np.testing.assert_array_equal(value, expected)
        else:
            assert value.std().item() == pytest.approx(0.02, abs=0.08 / np.sqrt(value.numel()))


def test_tensors_of_any_float_type_convert():
    state_dict = {key: torch.from_numpy(x) for key, x in random_state_dict().items()}
    halves = {key: x.bfloat16() for key, x in state_dict.items()}
    converted = convert.to_torch(convert.from_torch(halves))
    for key, value in halves.items():
        np.testing.assert_array_equal(converted[key], value.float().numpy())
