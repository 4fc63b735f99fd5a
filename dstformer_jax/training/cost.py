"""What a run will cost, before it runs: clips, steps, FLOPs, memory and hours."""

import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from dstformer_jax.data.sources import SourceData
from dstformer_jax.models.backbones import forward_flops
from dstformer_jax.training import parallel
from dstformer_jax.training.experiment import Experiment, initial_variables
from dstformer_jax.training.state import abstract_state, new_state
from dstformer_jax.training.step import Steps

LONGEST = 20.0  # seconds; a step that should take longer is not timed
EFFICIENCY = 0.35  # share of the rate of matrix products that such a step is assumed to reach


def train_flops(backbone: Any, frames: int) -> int:
    """FLOPs of one clip in one train step: forward, and twice that for the gradients."""
    return 3 * forward_flops(backbone, frames)


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


@dataclass(frozen=True)
class StepCost:
    """What one step of a source costs on every device."""

    memory: int  # bytes, as the compiler plans them
    seconds: float
    measured: bool  # else from the rate of matrix products and EFFICIENCY


def step_cost(experiment: Experiment, backend: parallel.Jit, data: SourceData) -> StepCost:
    """Compiles the step of a source and times it, unless it would take very long."""
    steps = Steps(experiment, backend)
    placed = steps.place(data.source, steps.example(data))
    lowered = steps.lower(data.source, abstract_state(experiment, backend), placed)
    program = lowered.compile()
    plan = program.memory_analysis()
    memory = (
        plan.argument_size_in_bytes
        + plan.temp_size_in_bytes
        + plan.output_size_in_bytes
        - plan.alias_size_in_bytes
    )
    seconds = step_flops(experiment, data) / (product_flops(experiment, backend) * EFFICIENCY)
    if seconds > LONGEST:
        return StepCost(memory, seconds, measured=False)
    state = new_state(experiment, backend, initial_variables(experiment))
    return StepCost(memory, _time(program, state, placed), measured=True)


def step_flops(experiment: Experiment, data: SourceData) -> float:
    """FLOPs of one train step of a source."""
    clips = float(data.source.batch * data.source.persons)
    return clips * train_flops(experiment.network.backbone, data.source.frames)


def product_flops(experiment: Experiment, backend: parallel.Jit) -> float:
    """FLOP/s of matrix products on all devices together, in the model's compute type."""
    backbone: Any = experiment.network.backbone
    # Simulated CPU devices share the same cores.
    devices = 1 if jax.default_backend() == "cpu" else len(backend.devices)
    return matmul_flops(backbone.dtype) * devices


def _time(compiled: Any, state: Any, placed: Any, repeats: int = 2) -> float:
    """Seconds of a step: the fastest of some, after a first one."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, placed))
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def describe(experiment: Experiment) -> str:
    """The plan of a run as text. Compiles every step, so that what does not fit shows now."""
    plan, data = experiment.plan, experiment.data
    backend = parallel.backend(experiment.config.get("parallel", "auto"))
    costs = [step_cost(experiment, backend, item) for item in data]
    draws = plan.first_draws(plan.total_steps)
    lines = [f"{'source':20}   clips     T  batch  supervision    steps  s a step   GB a device"]
    for item, count, cost in zip(data, draws, costs, strict=True):
        source = item.source
        lines.append(
            f"{source.name:20} {len(item.windows):7d} {source.frames:5d} {source.batch:6d}  "
            f"{source.supervision:12} {count:7d} {cost.seconds:9.3f} {cost.memory / 1e9:13.2f}"
        )
    for name, item in experiment.tests.items():
        lines.append(f"{name:20} {len(item.windows):7d} {item.source.frames:5d}         evaluated")
    parameters = sum(leaf.size for leaf in jax.tree.leaves(experiment.shapes["params"]))
    flops = sum(n * step_flops(experiment, item) for n, item in zip(draws, data, strict=True))
    hours = sum(n * cost.seconds for n, cost in zip(draws, costs, strict=True)) / 3600
    assumed = [
        item.source.name for item, cost in zip(data, costs, strict=True) if not cost.measured
    ]
    basis = f"; assumed for {', '.join(assumed)}: {EFFICIENCY:.0%} of matrix products" * bool(
        assumed
    )
    return "\n".join(
        [
            *lines,
            f"parameters: {parameters:,}",
            f"epochs: {plan.epochs}, steps: {plan.total_steps:,}",
            f"training: {flops / 1e15:.3g} PFLOP",
            f"expected: {hours:.2f} h on {len(backend.devices)} {backend.devices[0].device_kind} "
            f"device(s), from steps timed now{basis}; evaluation is not counted",
        ]
    )
