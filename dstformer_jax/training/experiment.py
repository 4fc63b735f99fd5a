"""Experiment: everything that a config means, built and checked before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dstformer_jax.data import pipeline
from dstformer_jax.data.plan import Plan
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.models.network import Network, build_network
from dstformer_jax.tasks import TASKS
from dstformer_jax.training import optim

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A config's task, network, clips, plan and optimiser."""

    config: dict[str, Any]
    task: Any
    network: Network
    data: tuple[SourceData, ...]
    tests: dict[str, SourceData]
    plan: Plan
    shapes: dict[str, Any]  # the network's variables as ShapeDtypeStructs
    optimizer: optax.GradientTransformation
    frozen: Any  # a tree like the parameters: True where nothing is learned

    @property
    def info(self) -> dict[str, Any]:
        """What readers of a checkpoint need, as JSON values."""
        rates = sorted({row["fps"] for data in self.data for row in data.bank.sequences})
        return {
            "config": self.config,
            "model": self.config["model"],
            "task": self.config["task"],
            "skeleton": "h36m17",
            "fps": rates[0] if len(rates) == 1 else rates,
            # Detections are brought to the range of the clips: cropped to the person, or by width.
            "normaliser": {"mode": "crop" if any(d.source.crop for d in self.data) else "image"},
            "root": "relative" if getattr(self.task, "root_relative", True) else "absolute",
            **getattr(self.task, "info", {}),
        }


def build(config: Any) -> Experiment:
    """Builds the experiment of a config.

    Raises:
      ValueError: anything in the config that cannot work: a name, a path, a size.
    """
    config = plain(config)
    task = build_task(config["task"], config["weights"])
    network = build_network(config["model"], task.head)
    data = open_sources(config["sources"], config["data"]["path"])
    tests = open_sources(config["eval"]["sources"], config["data"]["path"])
    order = config["data"].get("order", "shuffled")
    plan = pipeline.open_plan(data, config["epochs"], config["seed"], order)
    check_frames(network, (*data, *tests))
    shapes = variable_shapes(network, max(item.source.frames for item in (*data, *tests)))
    return Experiment(
        config=config,
        task=task,
        network=network,
        data=data,
        tests={item.source.name: item for item in tests},
        plan=plan,
        shapes=shapes,
        optimizer=optim.build_optimizer(config["optim"], plan, shapes["params"]),
        frozen=optim.frozen_parameters(shapes["params"], optim.settings(config["optim"])["freeze"]),
    )


def plain(config: Any) -> Any:
    """A ConfigDict, or any nested mapping, as plain dicts and lists that JSON can hold."""
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if isinstance(config, Mapping):
        return {key: plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [plain(value) for value in config]
    return config


def build_task(settings: Config, weights: Config) -> Any:
    """The task that `config.task.name` names, with the other settings as its fields.

    Its loss terms are those with a weight other than 0: what is not weighed costs nothing.
    """
    settings = dict(settings)
    name = settings.pop("name")
    if name not in TASKS:
        raise ValueError(f"got task.name={name!r}, expected one of {sorted(TASKS)}")
    try:
        TASKS[name](**{"terms": tuple(weights), **settings})  # refuses unknown weights
        return TASKS[name](**{"terms": tuple(n for n, w in weights.items() if w), **settings})
    except TypeError as error:
        raise ValueError(f"got task settings {sorted(settings)}: {error}") from error


def open_sources(sources: Config, path: str) -> tuple[SourceData, ...]:
    """Opens every source of `name -> settings`; settings that are None switch a source off."""
    chosen = {name: settings for name, settings in sources.items() if settings}
    return tuple(
        SourceData.open(Source.from_config({"name": name, **settings}), path)
        for name, settings in chosen.items()
    )


def check_frames(network: Network, data: tuple[SourceData, ...]) -> None:
    """Raises ValueError for clips longer than the model's position embedding."""
    maxlen = network.backbone.maxlen  # pyright: ignore[reportAttributeAccessIssue]
    for item in data:
        if item.source.frames > maxlen:
            raise ValueError(
                f"got source {item.source.name!r} with frames={item.source.frames}, expected at "
                f"most model.maxlen={maxlen}; do raise one or lower the other"
            )


def variable_shapes(network: Network, frames: int) -> dict[str, Any]:
    """Shapes of the network's variables, `{"params", "batch_stats"}`, with nothing computed."""
    joints = network.backbone.num_joints  # pyright: ignore[reportAttributeAccessIssue]
    motion = jax.ShapeDtypeStruct((1, frames, joints, 3), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), motion)
    return {"batch_stats": {}, **shapes}


def initial_variables(experiment: Experiment) -> dict[str, Any]:
    """The variables of an untrained network, from the config's seed."""
    joints = experiment.network.backbone.num_joints  # pyright: ignore[reportAttributeAccessIssue]
    motion = jnp.zeros((1, 1, joints, 3), jnp.float32)
    key = jax.random.key(experiment.config["seed"])
    variables = jax.jit(experiment.network.init)(key, motion)
    return jax.tree.map(np.asarray, {"batch_stats": {}, **variables})
