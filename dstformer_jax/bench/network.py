"""The programs of our side: the network's forward pass and the train step that training runs."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.plan import Plan
from dstformer_jax.data.sources import Source
from dstformer_jax.models.backbones import DTYPES, forward_flops
from dstformer_jax.models.dstformer import SIZES
from dstformer_jax.models.network import Network, build_network, variable_shapes
from dstformer_jax.tasks.lift3d import Lift3D
from dstformer_jax.training import optim, parallel
from dstformer_jax.training.cost import train_flops
from dstformer_jax.training.experiment import Experiment, initial_variables
from dstformer_jax.training.state import abstract_state, new_state
from dstformer_jax.training.step import make_step

WEIGHTS = {"mpjpe": 1.0, "velocity": 20.0, "n_mpjpe": 0.5}  # of pretraining on 3D clips
OPTIM = {"name": "adamw", "learning_rate": 5e-4, "weight_decay": 0.01, "schedule": "constant"}
JOINTS = 17


@dataclass(frozen=True)
class Setting:
    """What is run: the network, how it computes, and clips of what shape."""

    size: str = "lite"
    frames: int = 243
    batch: int = 1
    dtype: str = "float32"
    attention: str = "auto"
    temporal_layout: str = "native"
    scan: bool = False
    remat: str = "none"
    accumulate: int = 1

    @classmethod
    def of(cls, flags: argparse.Namespace) -> "Setting":
        """From the command line, which may lack some of the fields."""
        return cls(**{k: v for k, v in vars(flags).items() if k in cls.__dataclass_fields__})

    def __post_init__(self) -> None:
        for name in ("frames", "batch", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"got --{name}={getattr(self, name)}, expected 1 or more")

    @property
    def model(self) -> dict[str, Any]:
        """As `config.model`."""
        return {
            "size": self.size,
            "maxlen": max(243, self.frames),
            "dtype": self.dtype,
            "attention": self.attention,
            "temporal_layout": self.temporal_layout,
            "scan_layers": self.scan,
            "remat": self.remat,
        }

    @cached_property
    def network(self) -> Network:
        """With a pose head."""
        return build_network(self.model)

    @property
    def forward_flops(self) -> float:
        """Of one batch, by the closed formula."""
        return float(self.batch * forward_flops(self.network.backbone, self.frames))

    @property
    def train_flops(self) -> float:
        """Of one step, by the closed formula: recomputed levels do not count."""
        return float(self.batch * train_flops(self.network.backbone, self.frames))

    @property
    def columns(self) -> dict[str, Any]:
        """What a row says of it."""
        words = {"scan": self.scan, f"remat={self.remat}": self.remat != "none"}
        words[f"{self.accumulate} parts"] = self.accumulate > 1
        words["swap"] = self.temporal_layout == "swap"
        how = "+".join(word for word, holds in words.items() if holds)
        return {
            "size": self.size,
            "T": self.frames,
            "batch": self.batch,
            "dtype": self.dtype,
            "attention": self.attention,
            "levels": how or "unrolled",
        }


def add_flags(parser: argparse.ArgumentParser, frames: int = 243, batch: int = 1) -> None:
    """The flags of `Setting`."""
    add = parser.add_argument
    add("--size", default="lite", choices=sorted(SIZES), help="of the network [lite]")
    add("--frames", type=int, default=frames, help=f"T [{frames}]")
    add("--batch", type=int, default=batch, help=f"clips [{batch}]")
    add("--dtype", default="float32", choices=sorted(DTYPES), help="of computing [float32]")
    add("--attention", default="auto", choices=("auto", "xla", "cudnn"), help="back end [auto]")
    add("--temporal_layout", default="native", choices=("native", "swap"), help="[native]")
    add("--scan", action="store_true", help="levels as one loop")
    add("--remat", default="none", choices=("none", "layer", "dots"), help="recomputes [none]")
    add("--accumulate", type=int, default=1, help="parts of a batch in training [1]")


def random_batch(setting: Setting, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch as training has it: motion and target [B, T, J, 3], valid [B, T]."""
    rng = np.random.default_rng(seed)
    shape = (setting.batch, setting.frames, JOINTS, 3)
    motion, target = (rng.uniform(-1, 1, shape).astype(np.float32) for _ in range(2))
    return {"motion": motion, "target": target, "valid": np.ones(shape[:2], bool)}


def experiment(setting: Setting) -> Experiment:
    """Pretraining on 3D clips, without any data: what `make_step` reads."""
    source = Source("bench", "bench", frames=setting.frames, batch=8)
    plan = Plan((source,), num_windows=(8,), epochs=1)
    shapes = variable_shapes(setting.network, setting.frames)
    settings = {**OPTIM, "accumulate": setting.accumulate}
    return Experiment(
        config={"seed": 0, "weights": WEIGHTS, "model": setting.model, "optim": settings},
        task=Lift3D(terms=tuple(WEIGHTS)),
        network=setting.network,
        data=(),
        tests={},
        plan=plan,
        shapes=shapes,
        optimizer=optim.build_optimizer(settings, plan, shapes["params"]),
        frozen=optim.frozen_parameters(shapes["params"], ()),
        skeleton=H36M17,
    )


def one_device() -> parallel.Jit:
    """The back end of a single device."""
    return parallel.Jit(jax.devices()[:1])


def lower_forward(setting: Setting) -> Any:
    """The forward pass (variables, motion) -> pose, lowered."""
    motion = jax.ShapeDtypeStruct((setting.batch, setting.frames, JOINTS, 3), jnp.float32)
    shapes = variable_shapes(setting.network, setting.frames)
    return jax.jit(partial(_pose, setting.network)).lower(shapes, motion)


def _pose(network: Network, variables: Any, motion: jax.Array) -> jax.Array:
    return network.apply(variables, motion)["pose"]  # pyright: ignore[reportCallIssue, reportArgumentType, reportReturnType, reportIndexIssue]


def lower_step(setting: Setting) -> Any:
    """The train step (state, batch) -> (state, metrics), lowered for one device."""
    backend, trial = one_device(), experiment(setting)
    shapes = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=backend.split)
        for name, array in random_batch(setting).items()
    }
    step = make_step(trial, backend.reduce)
    return backend.compile_step(step).lower(abstract_state(trial, backend), shapes)


def weights(setting: Setting) -> dict[str, Any]:
    """Random variables of the network, as training begins with."""
    return initial_variables(experiment(setting))


def forward(setting: Setting, variables: Any) -> Callable[[], jax.Array]:
    """A compiled forward pass on a batch that is on the device."""
    program = lower_forward(setting).compile()
    placed, motion = jax.device_put((variables, random_batch(setting)["motion"]))
    return partial(program, placed, motion)


class Training:
    """A compiled train step; each call goes on from the state that the last one left."""

    def __init__(self, setting: Setting, variables: Any) -> None:
        backend, trial = one_device(), experiment(setting)
        self._compiled = lower_step(setting).compile()
        self.state = new_state(trial, backend, variables)
        self._batch = backend.place(random_batch(setting))

    def __call__(self) -> Any:
        """Starts a step; returns its metrics, which the device may not have computed yet."""
        self.state, metrics = self._compiled(self.state, self._batch)
        return metrics
