"""Subjects `forward` and `train_step`: time, FLOP/s and the share of what matrix products reach.

Operations are those of the closed formula; the ceiling is the fastest of a few matrix products,
timed in the same turns, for each engine on its own.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from dstformer_jax.bench import network
from dstformer_jax.bench.clock import Arm, Timing, interleave
from dstformer_jax.bench.events import OnDevice, trace
from dstformer_jax.bench.network import Setting
from dstformer_jax.bench.report import Rows, spread
from dstformer_jax.convert import to_torch
from dstformer_jax.models.backbones import DTYPES, backbone_fields

SQUARE = {"cpu": 2048, "gpu": 8192}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of both subjects."""
    network.add_flags(parser)
    add = parser.add_argument
    add("--repeats", type=int, default=7, help="rounds in which every arm has its turn [7]")
    add("--steps", type=int, help="calls timed together [1 on a CPU, 10 elsewhere]")
    add("--against", choices=("torch",), help="the other engine, in turns with ours")
    add(
        "--torch",
        default="eager,sdpa",
        help="its arms, by comma, of eager, official, sdpa, compiled [eager,sdpa]",
    )
    add("--threads", type=int, choices=(0, 1), help="1: one pinned thread [when comparing on CPUs]")
    add("--allocator", choices=("system", "hugepages"), default="system", help="of memory [system]")


def forward(flags: argparse.Namespace) -> Rows:
    """Forward pass: time of a batch, FLOP/s, share of the ceiling of matrix products."""
    if flags.accumulate != 1:
        raise ValueError(f"got --accumulate={flags.accumulate}, expected train_step with it")
    return _measure(flags, _forward_arms, lambda setting: setting.forward_flops)


def train_step(flags: argparse.Namespace) -> Rows:
    """Train step as pretraining runs it: losses, gradients, AdamW; columns as of forward."""
    return _measure(flags, _training_arms, lambda setting: setting.train_flops)


Calls = dict[str, Callable[[], Any]]


def _measure(
    flags: argparse.Namespace,
    calls: Callable[[Setting, Any, list[str]], Calls],
    flops: Callable[[Setting], float],
) -> Rows:
    if flags.repeats < 1 or (flags.steps is not None and flags.steps < 1):
        raise ValueError(f"got --repeats={flags.repeats} --steps={flags.steps}, expected 1 or more")
    setting, ways = Setting.of(flags), _ways(flags)
    cpu = flags.threads == 1
    steps = flags.steps or (1 if jax.default_backend() == "cpu" else 10)
    programs = calls(setting, network.weights(setting), ways)
    arms = [Arm(name, call, _wait(name), flops(setting), steps) for name, call in programs.items()]
    arms += _products(setting, bool(ways), steps)
    timed = interleave(arms, flags.repeats, cpu)
    arms, products = arms[: len(programs)], arms[len(programs) :]
    rows = list(_rows(setting, arms, products, timed, cpu))
    if jax.default_backend() == "cpu":
        return rows
    return [{**row, **_on_device(trace(arm), row)} for arm, row in zip(arms, rows, strict=True)]


def _on_device(found: OnDevice | None, row: dict[str, Any]) -> dict[str, Any]:
    """Columns by device events: time of a call, share of it with work, share of the ceiling."""
    if found is None:
        return {"device_ms": "", "busy": "", "device_share": ""}
    ms = 1e3 * found.seconds
    share = round(row["share"] * row["ms"] / ms, 3) if row["share"] != "" else ""
    return {"device_ms": round(ms, 2), "busy": round(found.busy, 3), "device_share": share}


def _ways(flags: argparse.Namespace) -> list[str]:
    """The arms of the other engine that the flags name."""
    if not flags.against:
        return []
    from dstformer_jax.bench import torch_side

    ways = flags.torch.split(",")
    if unknown := sorted(set(ways) - set(torch_side.WAYS)):
        raise ValueError(f"got --torch={unknown[0]!r}, expected some of {torch_side.WAYS}")
    if flags.threads == 1:
        torch_side.use_one_thread()
    return ways


def _wait(name: str) -> Callable[[Any], Any]:
    if not name.startswith("torch"):
        return jax.block_until_ready
    from dstformer_jax.bench import torch_side

    return torch_side.wait


def _forward_arms(setting: Setting, variables: Any, ways: list[str]) -> Calls:
    calls: Calls = {"jax": network.forward(setting, variables)}
    for way in ways:
        from dstformer_jax.bench import torch_side

        twin = _twin(setting, variables, way)
        motion = network.random_batch(setting)["motion"]
        calls[f"torch {way}"] = torch_side.forward(twin, motion, way, setting.dtype)
    return calls


def _training_arms(setting: Setting, variables: Any, ways: list[str]) -> Calls:
    calls: Calls = {"jax": network.Training(setting, variables)}
    for way in ways:
        from dstformer_jax.bench import torch_side

        twin, batch = _twin(setting, variables, way), network.random_batch(setting)
        calls[f"torch {way}"] = torch_side.Training(
            twin, batch, way, setting.dtype, network.WEIGHTS, network.OPTIM
        )
    return calls


def _twin(setting: Setting, variables: Any, way: str) -> Any:
    from dstformer_jax.bench import torch_side

    fields, arrays = backbone_fields(setting.model), to_torch(variables["params"])
    return torch_side.network(fields, arrays, way)


def _products(setting: Setting, against: bool, steps: int) -> Iterator[Arm]:
    """Matrix products: a large square, and the two widest of the network's own."""
    size: Any = setting.network.backbone
    tokens = setting.batch * setting.frames * size.num_joints
    square = SQUARE.get(jax.default_backend(), SQUARE["gpu"])
    shapes = {
        (square, square, square),
        (tokens, size.dim_feat, 3 * size.dim_feat),
        (tokens, size.dim_feat, int(size.dim_feat * size.mlp_ratio)),
    }
    for shape in sorted(shapes):
        flops = 2.0 * shape[0] * shape[1] * shape[2]
        yield Arm(
            f"jax {shape}", _product(shape, setting.dtype), jax.block_until_ready, flops, steps
        )
        if against:
            from dstformer_jax.bench import torch_side

            call = torch_side.product(shape, setting.dtype)
            yield Arm(f"torch {shape}", call, torch_side.wait, flops, steps)


def _product(shape: tuple[int, int, int], dtype: str) -> Callable[[], jax.Array]:
    m, k, n = shape
    return partial(
        jax.jit(jnp.matmul), jnp.ones((m, k), DTYPES[dtype]), jnp.ones((k, n), DTYPES[dtype])
    )


def _rows(
    setting: Setting, arms: list[Arm], products: list[Arm], timed: dict[str, Timing], cpu: bool
) -> Iterator[dict[str, Any]]:
    ours = timed[arms[0].name].seconds
    for arm in arms:
        timing, engine = timed[arm.name], arm.name.split()[0]
        median, low, high = spread(timing.seconds)
        ceiling = max(
            each.flops / spread(timed[each.name].seconds)[0]
            for each in products
            if each.name.startswith(engine)
        )
        own_type = setting.dtype == "float32" or arm.name != "torch official"
        ratios = [b / a for a, b in zip(ours, timing.seconds, strict=True)]
        ratio, least, most = spread(ratios)
        yield {
            "arm": arm.name,
            **setting.columns,
            "ms": round(1e3 * median, 2),
            "low": round(1e3 * low, 2),
            "high": round(1e3 * high, 2),
            "clock": "cpu" if cpu else "wall",
            "first_ms": round(1e3 * timing.first),
            "gflops_s": round(arm.flops / median / 1e9, 1),
            "ceiling": round(ceiling / 1e9, 1),
            "share": round(arm.flops / median / ceiling, 3) if own_type else "",
            "to_jax": round(ratio, 2),
            "least": round(least, 2),
            "most": round(most, 2),
            "faults": round(statistics.median(timing.faults)),
        }
