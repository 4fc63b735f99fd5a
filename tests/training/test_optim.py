"""Optimisers against closed forms; rates along the plan; rates and freezing by path."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from dstformer_jax.data.plan import Plan
from dstformer_jax.data.sources import Source
from dstformer_jax.training import optim
from dstformer_jax.training.muon import muon

PLAN = Plan(
    sources=(Source("a", "x", batch=8), Source("b", "y", batch=8, epochs=(1, -1))),
    num_windows=(32, 16),
    epochs=4,
)
PARAMS = {
    "backbone": {"layer_0": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, -1.0)}},
    "head": {"dense": {"kernel": jnp.full((3, 2), 0.5)}},
}
GRADIENTS = jax.tree.map(lambda p: jnp.linspace(0.5, 3.0, p.size).reshape(p.shape), PARAMS)


def first_update(**settings):
    """The first update of parameters, constant rate 0.1."""
    chosen = {"learning_rate": 0.1, "schedule": "constant", **settings}
    optimizer = optim.build_optimizer(chosen, PLAN, PARAMS)
    return optimizer.update(GRADIENTS, optimizer.init(PARAMS), PARAMS)


def rates(**settings):
    rate = jax.jit(optim.learning_rate({"learning_rate": 1e-3, **settings}, PLAN))
    return np.array([rate(jnp.int32(step)) for step in range(PLAN.total_steps)])


def test_the_rate_decays_at_the_epochs_of_the_plan():
    """Epochs have 4, then 6 steps, because a source joins."""
    want = 1e-3 * 0.9 ** np.repeat(np.arange(4), [4, 6, 6, 6])
    np.testing.assert_allclose(rates(lr_decay=0.9), want, rtol=1e-5)


def test_cosine_ends_at_the_budget_and_warms_up():
    got = rates(schedule="cosine", warmup=5, final=0.1)
    np.testing.assert_allclose(got[:5], 1e-3 * np.arange(1, 6) / 5, rtol=1e-5)
    assert np.all(np.diff(got[5:]) < 0)
    step = np.arange(17) / 17
    want = 1e-3 * (0.1 + 0.9 * (1 + np.cos(np.pi * step)) / 2)
    np.testing.assert_allclose(got[5:], want, rtol=1e-4)


def test_adamw_decays_every_parameter_and_adam_none():
    """The first step of Adam is the sign of the gradient; decay is decoupled."""
    updates, _ = first_update(name="adamw", weight_decay=0.01)
    jax.tree.map(
        lambda u, p: np.testing.assert_allclose(u, -0.1 * (1 + 0.01 * p), rtol=1e-4),
        updates,
        PARAMS,
    )
    updates, _ = first_update(name="adam", weight_decay=0.01)
    jax.tree.map(lambda u: np.testing.assert_allclose(u, -0.1, rtol=1e-4), updates)


@pytest.mark.parametrize("freeze", [(), ("head/*",)])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_decay_by_pattern(name, freeze):
    """What decay adds to a step: -rate * decay * parameter, and nothing where a pattern says so."""
    given = {"name": name, "freeze": freeze}
    plain, _ = first_update(**given, weight_decay=0.0)
    full, _ = first_update(**given, weight_decay=0.5)
    part, _ = first_update(**given, weight_decay=0.5, no_decay=["*/layer_0/*"])
    layer, head = ("backbone", "layer_0", "kernel"), ("head", "dense", "kernel")
    for path, decays in ((layer, False), (head, not freeze)):
        steps = [tree[path[0]][path[1]][path[2]] for tree in (plain, full, part)]
        value = PARAMS[path[0]][path[1]][path[2]]
        expected = -0.1 * 0.5 * value if path == layer or decays else 0 * value
        np.testing.assert_allclose(steps[1] - steps[0], expected, atol=1e-6)
        np.testing.assert_allclose(steps[2], steps[1] if decays else steps[0], atol=1e-7)


def test_muon_steps_are_nearly_orthogonal():
    updates, _ = first_update(name="muon", weight_decay=0.0)
    singular = np.linalg.svd(updates["backbone"]["layer_0"]["kernel"], compute_uv=False)
    assert singular.max() / singular.min() < 2.5
    gradient = np.linalg.svd(GRADIENTS["backbone"]["layer_0"]["kernel"], compute_uv=False)
    assert gradient.max() / gradient.min() > 10


@pytest.mark.parametrize("kept", [(), (("a/*", False),)])
def test_muon_on_stacks_steps_as_matrix_after_matrix(kept):
    rng = np.random.default_rng(3)
    shapes = {"a": {"kernel": (6, 4), "bias": (4,)}, "b": {"kernel": (6, 4), "other": (3, 5)}}

    def tree():
        return jax.tree.map(
            lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32),
            shapes,
            is_leaf=lambda shape: isinstance(shape, tuple),
        )

    def schedule(count):
        return 0.1 / (count + 1)

    decayed = optim.path_values(tree(), kept, True) if kept else None
    stacked = muon(schedule, 0.3, decayed)
    plain = optax.contrib.muon(schedule, weight_decay=0.3, weight_decay_mask=decayed, adam_b2=0.99)
    start = tree()
    ours = theirs = start
    mine, other = stacked.init(ours), plain.init(theirs)
    for _ in range(3):
        gradients = tree()
        step, mine = stacked.update(gradients, mine, ours)
        expected, other = plain.update(gradients, other, theirs)
        ours, theirs = optax.apply_updates(ours, step), optax.apply_updates(theirs, expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-6), ours, theirs)
    assert np.abs(ours["a"]["kernel"] - start["a"]["kernel"]).max() > 0.01


def test_rates_by_pattern_the_last_match_wins():
    mult = [("backbone/*", 0.1), ("*/bias", 3.0)]
    updates, _ = first_update(name="adam", lr_mult=mult)
    np.testing.assert_allclose(updates["backbone"]["layer_0"]["kernel"], -0.01, rtol=1e-4)
    np.testing.assert_allclose(updates["backbone"]["layer_0"]["bias"], -0.3, rtol=1e-4)
    np.testing.assert_allclose(updates["head"]["dense"]["kernel"], -0.1, rtol=1e-4)


def test_frozen_parameters_get_no_update_no_decay_and_no_moments():
    mult = [("head/*", 2.0)]
    updates, state = first_update(freeze=["backbone/*"], lr_mult=mult, weight_decay=0.5)
    jax.tree.map(lambda u: np.testing.assert_array_equal(u, 0 * u), updates["backbone"])
    np.testing.assert_allclose(updates["head"]["dense"]["kernel"], -0.2 * (1 + 0.25), rtol=1e-4)
    held = sum(leaf.size for leaf in jax.tree.leaves(state))
    assert held <= 2 * PARAMS["head"]["dense"]["kernel"].size + 4  # two moments and counters


def test_no_gradient_flows_into_frozen_parameters():
    frozen = optim.frozen_parameters(PARAMS, ["*/kernel"])

    def loss(params):
        return optax.tree.norm(optim.stop_frozen(params, frozen), squared=True)

    gradient = jax.grad(loss)(PARAMS)
    np.testing.assert_array_equal(gradient["head"]["dense"]["kernel"], 0)
    np.testing.assert_array_equal(gradient["backbone"]["layer_0"]["bias"], -2)


def test_clip_bounds_the_norm_of_all_gradients_together():
    chosen = {"learning_rate": 1.0, "schedule": "constant", "name": "adam", "clip": 0.5}
    optimizer = optim.build_optimizer(chosen, PLAN, PARAMS)
    _, state = optimizer.update(GRADIENTS, optimizer.init(PARAMS), PARAMS)
    norm = optax.tree.norm(optax.tree.get(state, "mu"))  # the first moment is 0.1 of the gradient
    np.testing.assert_allclose(norm, 0.1 * 0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 1}, "got optim.rate"),
        ({"name": "sgd"}, "got optim.name='sgd'"),
        ({"schedule": "linear"}, "got optim.schedule='linear'"),
        ({"learning_rate": -1e-3}, "got optim.learning_rate=-0.001, expected 0 or more"),
        ({"lr_mult": [("head/*",)]}, "got optim.lr_mult=.*expected pairs"),
        ({"no_decay": ["*/biases"]}, "'\\*/biases', which matches none"),
        ({"lr_mult": "head/*"}, "got optim.lr_mult='head/\\*'"),
        ({"freeze": ["backbon/*"]}, "'backbon/\\*', which matches none"),
        ({"lr_mult": [("tail/*", 2.0)]}, "'tail/\\*', which matches none"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        optim.build_optimizer(settings, PLAN, PARAMS)
