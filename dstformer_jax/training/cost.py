"""What a run will cost, before it runs: clips, steps, FLOPs, memory and hours."""

import time
from typing import Any

import jax
import jax.numpy as jnp

from dstformer_jax.models.network import forward_flops
from dstformer_jax.training import logs, parallel
from dstformer_jax.training.experiment import Experiment
from dstformer_jax.training.state import abstract_state
from dstformer_jax.training.step import Steps, example

# Share of the measured matrix-product rate that a train step reached on 2 CPU cores and is
# assumed everywhere: attention, element-wise work and the optimiser take the rest.
ASSUMED_EFFICIENCY = 0.35


def train_flops(backbone: Any, frames: int) -> int:
    """FLOPs of one clip in one train step: forward, and twice that for the gradients."""
    return 3 * forward_flops(backbone, frames)


def run_flops(experiment: Experiment) -> float:
    """FLOPs of the whole plan."""
    draws = experiment.plan.first_draws(experiment.plan.total_steps)
    backbone: Any = experiment.network.backbone
    return sum(
        float(count) * source.batch * train_flops(backbone, source.frames)
        for count, source in zip(draws, experiment.plan.sources, strict=True)
    )


def matmul_flops(dtype: Any = jnp.float32, size: int = 2048, seconds: float = 0.5) -> float:
    """Measured FLOP/s of square matrix products on one device."""
    x = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    product(x).block_until_ready()
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        product(x).block_until_ready()
        count += 1
    return 2 * size**3 * count / elapsed


def memory_bytes(experiment: Experiment, backend: parallel.Jit) -> dict[str, int]:
    """Bytes a device needs for a step of each source, as the compiler plans them."""
    steps, state, needed = Steps(experiment, backend), abstract_state(experiment, backend), {}
    for data in experiment.data:
        placed = steps.place(data.source, example(data))
        analysis = steps.lower(data.source, state, placed).compile().memory_analysis()
        needed[data.source.name] = (
            analysis.argument_size_in_bytes
            + analysis.temp_size_in_bytes
            + analysis.output_size_in_bytes
            - analysis.alias_size_in_bytes
        )
    return needed


def describe(experiment: Experiment) -> str:
    """The plan of a run as text. Compiles every step (which also checks that it compiles)."""
    plan, config = experiment.plan, experiment.config
    backend = parallel.backend(config.get("parallel", "auto"))
    memory = memory_bytes(experiment, backend)
    draws = plan.first_draws(plan.total_steps)
    lines = ["source                 clips     T  batch  supervision    steps  memory a device"]
    for item, count in zip(experiment.data, draws, strict=True):
        source = item.source
        lines.append(
            f"{source.name:20} {len(item.windows):7d} {source.frames:5d} {source.batch:6d}  "
            f"{source.supervision:12} {count:7d}  {memory[source.name] / 1e9:.2f} GB"
        )
    for name, item in experiment.tests.items():
        lines.append(f"{name:20} {len(item.windows):7d} {item.source.frames:5d}         evaluated")
    count = sum(leaf.size for leaf in jax.tree.leaves(experiment.shapes["params"]))
    flops = run_flops(experiment)
    lines += [
        f"parameters: {count:,}",
        f"epochs: {plan.epochs}, steps: {plan.total_steps:,}",
        f"training: {flops / 1e15:.3g} PFLOP",
        expected_time(experiment, backend, flops),
    ]
    return "\n".join(lines)


def expected_time(experiment: Experiment, backend: parallel.Jit, flops: float) -> str:
    """A sentence: the hours, from a matrix product measured now and an assumed share of it."""
    backbone: Any = experiment.network.backbone
    devices = len(backend.devices)
    simulated = devices if jax.default_backend() == "cpu" else 1  # they share the same cores
    rate = matmul_flops(backbone.dtype) * devices / simulated
    hours = flops / (rate * ASSUMED_EFFICIENCY) / 3600
    peak = logs.peak_flops(experiment.config.get("peak_tflops"))
    known = f", peak {peak / 1e12:.0f}" if peak else ""
    return (
        f"expected: {hours:.2f} h on {devices} {backend.devices[0].device_kind} device(s), from "
        f"{rate / 1e12:.2f} TFLOP/s of matrix products measured now{known} and an assumed "
        f"{ASSUMED_EFFICIENCY:.0%} of it in training; evaluation is not counted"
    )
