"""1 device == 8 devices and pmap == jit == fsdp, for means, gradients and training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from dstformer_jax.training import parallel
from dstformer_jax.training.experiment import initial_variables
from dstformer_jax.training.state import abstract_state, begin, new_state
from dstformer_jax.training.step import example, make_step

BACKENDS = ["pmap", "jit"]
EVERY = [*BACKENDS, "fsdp"]


def batch_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """16 rows whose weights differ wildly from device to device."""
    weight = rng.uniform(0, 1, (16, 5)).astype(np.float32) ** 4
    weight[2:4] = 0.0  # the second of 8 devices has nothing to score
    return {"x": rng.normal(size=(16, 5, 3)).astype(np.float32), "weight": weight}


@pytest.mark.parametrize("name", BACKENDS)
def test_mean_is_the_global_weighted_mean(name):
    backend = parallel.backend(name)
    batch = batch_of(np.random.default_rng(0))

    def step(state, batch):
        x, weight = batch["x"], batch["weight"][..., None]
        means = {
            "plain": backend.reduce.mean(x),
            "weighted": backend.reduce.mean(x, weight),
            "weightless": backend.reduce.mean(x, 0 * weight),
            "rows": backend.reduce.sum(backend.reduce.gather(x[:, 0, 0]) ** 2),
        }
        return state, means

    compiled = backend.compile_step(step)
    _, got = compiled(backend.replicate(np.float32(0)), backend.place(batch))
    x, weight = batch["x"], np.broadcast_to(batch["weight"][..., None], batch["x"].shape)
    np.testing.assert_allclose(got["plain"], x.mean(), rtol=1e-5)
    np.testing.assert_allclose(got["weighted"], np.average(x, weights=weight), rtol=1e-5)
    assert got["weightless"] == 0
    rows = np.sum(x[:, 0, 0] ** 2) * (8 if name == "pmap" else 1)  # every device has them all
    np.testing.assert_allclose(got["rows"], rows, rtol=1e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_gradient_through_functions_of_global_means(name):
    """A loss that bends its means (a variance and a root) has the one-device gradient."""
    batch = batch_of(np.random.default_rng(1))
    theta = np.array([0.3, -0.7, 1.1], np.float32)

    def loss(theta, batch, reduce):
        value = jnp.sum(batch["x"] * theta[None, None], axis=-1)
        mean = reduce.mean(value, batch["weight"])
        return jnp.sqrt(reduce.mean((value - mean) ** 2, batch["weight"])) + mean**3

    backend = parallel.backend(name)

    def step(theta, batch):
        gradient = jax.grad(loss)(theta, batch, backend.reduce)
        return theta, backend.reduce.gradients(gradient)

    placed = backend.place(batch)
    _, got = backend.compile_step(step)(backend.replicate(theta), placed)
    arrays = {key: jnp.asarray(value) for key, value in batch.items()}
    want = jax.grad(loss)(jnp.asarray(theta), arrays, parallel.Reduce())
    np.testing.assert_allclose(got, want, rtol=2e-5)


def train(experiment, backend, steps):
    """Parameters and losses after some steps on one batch with unequal weights."""
    state = new_state(experiment, backend, initial_variables(experiment))
    compiled = backend.compile_step(make_step(experiment, backend.reduce))
    batch = {k: v for k, v in example(experiment.data[0]).items() if k != "keys"}
    valid = np.random.default_rng(2).uniform(size=batch["valid"].shape) < 0.5
    batch["valid"] = valid & (np.arange(8) != 3)[:, None]
    losses = []
    for _ in range(steps):
        state, metrics = compiled(state, backend.place(batch))
        losses.append(float(metrics["loss"]))
    return jax.device_get(state.params), losses


def test_all_back_ends_and_one_device_train_alike(make_experiment, monkeypatch):
    monkeypatch.setattr(parallel, "SMALLEST_SPLIT", 8)  # this network's matrices are small
    experiment = make_experiment(dstformer=True)
    one = train(experiment, parallel.backend("jit", jax.devices()[:1]), 10)
    assert one[1][-1] < one[1][0]
    for name in EVERY:
        params, losses = train(experiment, parallel.backend(name), 10)
        np.testing.assert_allclose(losses, one[1], rtol=1e-5)
        for path, value in flatten_dict(params, sep="/").items():
            want = flatten_dict(one[0], sep="/")[path]
            used = learned(path, len(value))
            np.testing.assert_allclose(value[used], want[used], atol=1e-4, err_msg=path)


def learned(path: str, size: int) -> slice | np.ndarray:
    """All of a parameter but the keys' bias: softmax ignores it, so its gradient is rounding
    noise, which Adam scales up to full steps."""
    if not path.endswith("qkv/bias"):
        return slice(None)
    return np.delete(np.arange(size), np.arange(size // 3, 2 * size // 3))


@pytest.mark.parametrize("name", BACKENDS)
def test_the_state_is_whole_replicated_and_donated(make_experiment, name):
    experiment, backend = make_experiment(), parallel.backend(name)
    state = new_state(experiment, backend, initial_variables(experiment))
    compiled = backend.compile_step(make_step(experiment, backend.reduce))
    batch = {k: v for k, v in example(experiment.data[0]).items() if k != "keys"}
    following, _ = compiled(state, backend.place(batch))
    kernel = following.params["head"]["dense"]["kernel"]
    assert kernel.shape == (8, 3)
    assert kernel.sharding.is_fully_replicated
    assert state.params["head"]["dense"]["kernel"].is_deleted()


def bytes_on_one_device(tree) -> int:
    """What the first device holds of the arrays of a tree."""
    shards = [leaf.addressable_shards[0] for leaf in jax.tree.leaves(tree)]
    assert {shard.device for shard in shards} == {jax.devices()[0]}
    return sum(shard.data.nbytes for shard in shards)


def test_fsdp_holds_an_eighth_of_the_state_on_each_device(make_experiment):
    """Before and after a step, and in the compiler's plan of the step; small arrays stay whole."""
    experiment = make_experiment(model__dim_rep=4096)
    batch = {k: v for k, v in example(experiment.data[0]).items() if k != "keys"}
    held, planned = {}, {}
    for name in ("jit", "fsdp"):
        backend = parallel.backend(name)
        state = new_state(experiment, backend, initial_variables(experiment))
        before, placed = bytes_on_one_device(state), backend.place(batch)
        step = backend.compile_step(make_step(experiment, backend.reduce))
        compiled = step.lower(state, placed).compile()
        planned[name] = compiled.memory_analysis().argument_size_in_bytes
        state, _ = compiled(state, placed)
        assert bytes_on_one_device(state) == before
        held[name] = before
        bias = state.params["head"]["dense"]["bias"]
        assert bias.sharding.is_fully_replicated
    assert held["fsdp"] < 0.2 * held["jit"]
    assert planned["fsdp"] < 0.25 * planned["jit"]


def test_fsdp_rows_are_those_of_jit(make_experiment, monkeypatch):
    monkeypatch.setattr(parallel, "SMALLEST_SPLIT", 8)
    experiment = make_experiment(model__dim_rep=64, model__dim_feat=64)
    variables = initial_variables(experiment)
    batch = {"motion": example(experiment.data[0])["motion"]}

    def rows(variables, batch):
        return experiment.network.apply(variables, batch["motion"])

    got = {}
    for name in ("jit", "fsdp"):
        backend = parallel.backend(name)
        state = new_state(experiment, backend, variables)
        got[name] = backend.fetch_rows(
            backend.compile_rows(rows)(state.variables, backend.place(batch))
        )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got["fsdp"], got["jit"])


@pytest.mark.parametrize("pair", [("fsdp", "jit"), ("jit", "fsdp")])
def test_a_checkpoint_moves_between_whole_and_split_state(
    make_experiment, tmp_path, monkeypatch, pair
):
    monkeypatch.setattr(parallel, "SMALLEST_SPLIT", 8)
    from dstformer_jax.training.checkpoint import Checkpoints

    experiment = make_experiment(model__dim_rep=64, model__dim_feat=64)
    saver, reader = (parallel.backend(name) for name in pair)
    saved = new_state(experiment, saver, initial_variables(experiment))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, saved, {})
        checkpoints.wait()
        restored, _ = checkpoints.restore(abstract_state(experiment, reader))
    jax.tree.map(np.testing.assert_array_equal, restored, saved)
    held = new_state(experiment, reader, initial_variables(experiment))
    assert bytes_on_one_device(restored) == bytes_on_one_device(held)
    assert bytes_on_one_device(restored) != bytes_on_one_device(saved)


def test_replicate_does_not_alias_its_source():
    backend = parallel.backend("jit")
    source = jnp.arange(3.0)
    copy = backend.replicate({"x": source})
    jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)(copy)
    np.testing.assert_array_equal(source, [0, 1, 2])


def test_rows_come_back_in_order():
    batch = {"x": np.arange(16, dtype=np.float32)}
    for name in BACKENDS:
        backend = parallel.backend(name)
        rows = backend.compile_rows(lambda scale, batch: {"twice": batch["x"] * scale})
        fetched = backend.fetch_rows(rows(backend.replicate(np.float32(2)), backend.place(batch)))
        np.testing.assert_array_equal(fetched["twice"], 2 * batch["x"])


def test_errors_say_what_to_do(monkeypatch):
    with pytest.raises(ValueError, match="got 12 rows for 8 devices"):
        parallel.backend("pmap").place({"x": np.zeros((12, 3), np.float32)})
    with pytest.raises(ValueError, match="expected one of"):
        parallel.backend("threads")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="do use parallel='jit'"):
        parallel.backend("pmap")
    assert parallel.backend("auto").name == "jit"


def test_initialise_needs_a_whole_description(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1234")
    monkeypatch.delenv("JAX_NUM_PROCESSES", raising=False)
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES"):
        parallel.initialise()


def test_begin_prefers_given_parameters_to_random_ones(make_experiment, tmp_path):
    from dstformer_jax.training.checkpoint import Checkpoints

    experiment, backend = make_experiment(), parallel.backend("pmap")
    other = make_experiment(seed=5)
    given = initial_variables(other)
    with Checkpoints(tmp_path) as checkpoints:
        state, sentence = begin(experiment, backend, checkpoints, given)
    assert "given backbone, head" in sentence
    np.testing.assert_array_equal(
        state.params["head"]["dense"]["kernel"], given["params"]["head"]["dense"]["kernel"]
    )
