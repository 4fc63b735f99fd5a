"""DSTformer against the official numbers, and what its options may and may not change."""

import warnings
from collections.abc import Iterator
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax import convert
from dstformer_jax.models.dstformer import SIZES, DSTformer, Fusion, fusion_weights
from dstformer_jax.models.network import Network, build_network, parameter_count
from dstformer_jax.weight_table import DESIGNS

# Optimising these little programs costs more than running them.
quick = partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)
GOLDEN = {"dim_feat": 32, "dim_rep": 32, "depth": 2, "num_heads": 4, "maxlen": 27}
TINY = {"dim_feat": 16, "dim_rep": 8, "depth": 2, "num_heads": 4, "maxlen": 9, "mlp_ratio": 3}


def random_params(network: nn.Module, seed: int = 0) -> convert.Params:
    """Parameters with no zeros or ones among them, so that every one of them matters."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes(network)
    )


def shapes(network: nn.Module) -> convert.Params:
    motion = jax.ShapeDtypeStruct((1, 1, 17, 3), np.float32)
    return jax.eval_shape(network.init, jax.random.key(0), motion)["params"]


def random_motion(*leading: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (*leading, 17, 3)).astype(np.float32)


def value_and_grad(network: Network, params: convert.Params, motion: np.ndarray):
    """Outputs, and gradients of a loss that every output enters unevenly."""

    def loss(params):
        outputs = network.apply({"params": params}, motion)
        weights = jnp.arange(outputs["pose"].size, dtype=jnp.float32).reshape(motion.shape)
        return jnp.mean(jnp.sin(weights) * outputs["pose"] ** 2), outputs

    gradients, outputs = quick(jax.grad(loss, has_aux=True))(params)
    return outputs, gradients


def assert_trees_close(first, second, atol: float) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), first, second)


@pytest.fixture(scope="module")
def official(golden) -> dict[str, np.ndarray]:
    return golden("a_small_dstformer")


def official_params(official, fusion: bool) -> convert.Params:
    weights = {key[2:]: value for key, value in official.items() if key.startswith("w/")}
    return convert.from_torch(
        {k: x for k, x in weights.items() if fusion or not k.startswith("ts_attn")}
    )


# The frozen float32 activations, of size 3, are up to 2e-6 away from their float64 values, and ours
# as far on the other side; how far depends on the processor.
ROUNDING = 6e-6


class TestParity:
    @pytest.mark.parametrize(("name", "design"), [("fuse", "adaptive"), ("nofuse", "average")])
    def test_outputs(self, official, name, design):
        network = build_network({**GOLDEN, "design": design})
        params = official_params(official, design == "adaptive")
        apply = quick(network.apply)
        for frames in (27, 13):
            outputs = apply({"params": params}, official[f"x_T{frames}"])
            for key, ours in (("y", "pose"), ("rep", "representation")):
                expected = official[f"out/{name}/{key}_T{frames}"]
                np.testing.assert_allclose(outputs[ours], expected, rtol=0, atol=ROUNDING)

    def test_stages(self, official):
        network = build_network(GOLDEN)
        variables = {"params": official_params(official, fusion=True)}
        apply = quick(partial(network.apply, mutable="intermediates"))
        stages = apply(variables, official["x_T27"])[1]["intermediates"]["backbone"]
        ours = {"embed": stages["embed"][0], "final_norm": stages["final_norm"][0]}
        alpha = fusion_weights(stages)
        for i in range(2):
            st, ts = stages[f"layer_{i}"]["streams"][0]
            ours |= {f"{i}/st": st, f"{i}/ts": ts, f"{i}/alpha": alpha[i]}
        expected = {key[4:]: x for key, x in official.items() if key.startswith("mid/")}
        assert ours.keys() == expected.keys()
        for key, value in ours.items():
            np.testing.assert_allclose(value, expected[key], rtol=0, atol=ROUNDING, err_msg=key)


def test_official_initial_statistics(golden):
    init = quick(build_network(GOLDEN).init)
    ours = convert.to_torch(init(jax.random.key(0), random_motion(1, 1))["params"])
    for key, expected in golden("a_small_dstformer_init").items():
        value = ours[key.removeprefix("init/")]
        if expected.std() == 0:
            np.testing.assert_array_equal(value, expected, err_msg=key)
        else:
            spread = 4 * 0.02 / np.sqrt(2 * value.size)
            assert abs(value.std() - 0.02) < spread, key
            assert abs(value.mean()) < 4 * 0.02 / np.sqrt(value.size), key


class TestSizes:
    @pytest.mark.parametrize(("size", "count"), [("full", 42_466_317), ("lite", 16_001_549)])
    def test_official_parameter_counts(self, size, count):
        assert parameter_count(build_network({"size": size})) == count

    @pytest.mark.parametrize("size", list(SIZES))
    def test_every_size_builds(self, size):
        assert parameter_count(build_network({"size": size})) > 0

    @pytest.mark.parametrize(("heads", "inner"), [(6, 510), (10, 510), (8, 512)])
    def test_heads_that_do_not_divide_the_width(self, heads, inner):
        tree = shapes(build_network({"dim_feat": 512, "depth": 1, "num_heads": heads}))
        attention = tree["backbone"]["layer_0"]["st"]["spatial"]["attention"]
        assert attention["qkv"]["kernel"].shape == (512, 3 * inner)
        assert attention["proj"]["kernel"].shape == (inner, 512)

    def test_unknown_fields_are_named(self):
        with pytest.raises(ValueError, match=r"model\.dim_feet"):
            build_network({"dim_feet": 3})
        with pytest.raises(ValueError, match=r"model\.size='huge'"):
            build_network({"size": "huge"})


def expected_count(design: str) -> int:
    """Parameters of a TINY model, by hand."""
    c, rep, hidden, depth, joints, frames = 16, 8, 48, 2, 17, 9
    attention = 2 * c + (c * 3 * c + 3 * c) + (c * c + c)
    mlp = 2 * c + (c * hidden + hidden) + (hidden * c + c)
    fusion = 2 * c * 2 + 2
    level = {
        "st": 2 * (attention + mlp),
        "ts": 2 * (attention + mlp),
        "parallel": 2 * (attention + mlp) + fusion,
        "one_mlp": 2 * attention + mlp,
        "average": 4 * (attention + mlp),
        "adaptive": 4 * (attention + mlp) + fusion,
    }[design]
    ends = (3 * c + c) + (joints + frames) * c + 2 * c + (c * rep + rep) + (rep * 3 + 3)
    return depth * level + ends


class TestDesigns:
    @pytest.mark.parametrize("design", list(DESIGNS))
    def test_parameter_count(self, design):
        assert parameter_count(build_network({**TINY, "design": design})) == expected_count(design)

    @pytest.mark.parametrize("design", list(DESIGNS))
    def test_every_parameter_learns(self, design):
        network = build_network({**TINY, "depth": 1, "design": design})
        outputs, gradients = value_and_grad(network, random_params(network), random_motion(2, 9))
        assert outputs["pose"].shape == (2, 9, 17, 3)
        assert outputs["representation"].shape == (2, 9, 17, 8)
        for path, gradient in jax.tree.leaves_with_path(gradients):
            assert np.abs(gradient).max() > 0, jax.tree_util.keystr(path)

    def test_unknown_design(self):
        with pytest.raises(ValueError, match=r"model\.design='both'"):
            shapes(build_network({**TINY, "design": "both"}))


def operations(jaxpr) -> Iterator[tuple[str, np.dtype]]:
    """Names and output types of all operations of a program, nested ones too."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name, equation.outvars[0].aval.dtype
        for value in equation.params.values():
            if inner := getattr(value, "jaxpr", value if hasattr(value, "eqns") else None):
                yield from operations(inner)


@cache
def plain() -> tuple[convert.Params, np.ndarray, dict, dict]:
    network = build_network(TINY)
    params, motion = random_params(network), random_motion(2, 9)
    return params, motion, *value_and_grad(network, params, motion)


@pytest.mark.parametrize("lead", [-40.0, 0.0, 6.0, 40.0])
def test_fusion_in_half_precision_keeps_a_quiet_stream_beside_a_loud_one(lead):
    """The weights are those of a softmax, however far one stream leads, and both sum to one."""
    rng = np.random.default_rng(0)
    first, second = (
        jnp.asarray(rng.normal(0, size, (1, 4, 17, 8)), jnp.bfloat16) for size in (0.05, 10.0)
    )
    params = {"weights": {"kernel": np.zeros((16, 2), np.float32), "bias": np.float32([lead, 0])}}
    fused, stages = Fusion().apply({"params": params}, first, second, mutable="intermediates")
    alpha = np.exp([lead, 0.0]) / np.exp([lead, 0.0]).sum()
    np.testing.assert_allclose(
        stages["intermediates"]["alpha"][0], np.broadcast_to(alpha, (1, 4, 17, 2)), rtol=1e-6
    )
    expected = np.float64(first) * alpha[0] + np.float64(second) * alpha[1]
    assert fused.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float64(fused), expected, rtol=2**-7)


class TestExecution:
    """Options that change how the same numbers are computed."""

    @pytest.mark.parametrize(
        "options",
        [
            {"scan_layers": True},
            {"scan_layers": True, "remat": "layer"},
            {"scan_layers": True, "remat": "dots"},
            {"remat": "layer"},
            {"temporal_layout": "swap"},
            {"temporal_layout": "swap", "scan_layers": True, "remat": "layer"},
        ],
        ids=str,
    )
    def test_same_values_and_gradients(self, options):
        params, motion, outputs, gradients = plain()
        network = build_network({**TINY, **options})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            other_outputs, other_gradients = value_and_grad(network, params, motion)
        assert_trees_close(other_outputs, outputs, 2e-6)
        assert_trees_close(other_gradients, gradients, 2e-6)

    @pytest.mark.parametrize(
        "options", [{"scan_layers": True}, {"scan_layers": True, "remat": "layer"}]
    )
    def test_parameters_have_one_subtree_a_level(self, options):
        assert shapes(build_network({**TINY, **options})) == shapes(build_network(TINY))

    def test_temporal_layouts_drop_the_same_paths(self):
        params, motion, _, _ = plain()
        poses = []
        for layout in ("native", "swap"):
            network = build_network({**TINY, "drop_path": 0.5, "temporal_layout": layout})
            apply = quick(partial(network.apply, train=True, rngs={"dropout": jax.random.key(0)}))
            poses.append(apply({"params": params}, motion)["pose"])
        np.testing.assert_allclose(poses[0], poses[1], rtol=0, atol=2e-6)
        whole = quick(build_network(TINY).apply)({"params": params}, motion)["pose"]
        assert np.abs(whole - poses[0]).max() > 1e-3

    def test_remat_without_scan_warns(self):
        with pytest.warns(UserWarning, match="scan_layers"):
            shapes(build_network({**TINY, "remat": "layer"}))

    def test_scan_refuses_drop_path(self):
        with pytest.raises(ValueError, match="drop_path"):
            shapes(build_network({**TINY, "scan_layers": True, "drop_path": 0.1}))

    def test_bfloat16_stays_close_with_float32_parameters_and_head(self):
        params, motion, outputs, _ = plain()
        network = build_network({**TINY, "dtype": "bfloat16"})
        assert {leaf.dtype for leaf in jax.tree.leaves(shapes(network))} == {np.dtype("f4")}
        half = quick(network.apply)({"params": params}, motion)
        assert half["representation"].dtype == jnp.bfloat16
        assert half["pose"].dtype == jnp.float32
        error = np.linalg.norm(half["pose"] - outputs["pose"]) / np.linalg.norm(outputs["pose"])
        assert 1e-5 < error < 0.03

    def test_bfloat16_keeps_softmax_and_norm_statistics_in_float32(self):
        network = build_network({**TINY, "dtype": "bfloat16"})
        params = random_params(network)
        program = jax.make_jaxpr(network.apply)({"params": params}, random_motion(1, 3))
        kinds: dict[str, set] = {}
        for name, dtype in operations(program.jaxpr):
            kinds.setdefault(name, set()).add(str(dtype))
        assert kinds["exp"] == kinds["rsqrt"] == kinds["logistic"] == {"float32"}
        assert kinds["erf" if "erf" in kinds else "erfc"] == {"bfloat16"}

    def test_leading_axes_and_any_length(self):
        params, motion, outputs, _ = plain()
        network = build_network(TINY)
        apply = quick(network.apply)
        nested = apply({"params": params}, motion.reshape(1, 2, 9, 17, 3))
        np.testing.assert_allclose(nested["pose"][0], outputs["pose"], rtol=0, atol=2e-6)
        assert apply({"params": params}, motion[:, :1])["pose"].shape == (2, 1, 17, 3)

    def test_shapes_are_checked(self):
        network = build_network(TINY)
        params = random_params(network)
        with pytest.raises(ValueError, match="10 frames, expected 1 to 9"):
            network.apply({"params": params}, random_motion(1, 10))
        for wrong in (np.zeros((1, 5, 17, 2)), np.zeros((1, 5, 16, 3)), np.zeros((17, 3))):
            with pytest.raises(ValueError, match=r"expected \[..., T, 17, 3\]"):
                network.apply({"params": params}, wrong)


def test_dropout_needs_training_mode_and_a_key():
    backbone = DSTformer(**{**TINY, "depth": 1}, dropout=0.25)
    motion, key = random_motion(4, 9), jax.random.key(1)
    variables = {"params": random_params(backbone)}
    apply = quick(partial(backbone.apply, mutable="intermediates"), static_argnames="deterministic")
    still = apply(variables, motion)[1]["intermediates"]["embed"][0]
    dropped = apply(variables, motion, deterministic=False, rngs={"dropout": key})
    dropped = dropped[1]["intermediates"]["embed"][0]
    zero = np.asarray(dropped == 0)
    assert abs(zero.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / zero.size)
    np.testing.assert_allclose(dropped[~zero], still[~zero] / 0.75, rtol=1e-5)
