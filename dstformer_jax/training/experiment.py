"""Experiment: everything that a config means, built and checked before anything is computed."""

import dataclasses
import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dstformer_jax.body.declared import declaration, skeleton_of
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.data import pipeline
from dstformer_jax.data.corrupt import SHIPPED, NoiseTable
from dstformer_jax.data.plan import Plan
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.models.network import Network, build_network, example, variable_shapes
from dstformer_jax.tasks.action import Action
from dstformer_jax.tasks.lift3d import Lift3D
from dstformer_jax.tasks.mesh import Mesh
from dstformer_jax.tasks.oneshot import OneShot
from dstformer_jax.training import optim
from dstformer_jax.training.evaluate import check_groups

Config = Mapping[str, Any]
TASKS = {"lift3d": Lift3D, "action": Action, "oneshot": OneShot, "mesh": Mesh}
NEEDED = ("data", "epochs", "eval", "model", "optim", "seed", "sources", "task", "weights")


@dataclass(frozen=True)
class Experiment:
    """A config's joints, task, network, clips, plan and optimiser."""

    config: dict[str, Any]
    skeleton: Skeleton
    task: Any
    network: Network
    data: tuple[SourceData, ...]
    tests: dict[str, SourceData]
    plan: Plan
    shapes: dict[str, Any]  # the network's variables as ShapeDtypeStructs
    optimizer: optax.GradientTransformation
    frozen: Any  # a tree like the parameters: True where nothing is learned

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Parts of the network ("backbone", "head") of which nothing is learned."""
        parts = self.frozen.items()
        return tuple(name for name, part in parts if all(jax.tree.leaves(part)))

    @property
    def info(self) -> dict[str, Any]:
        """What readers of a checkpoint need, as JSON values."""
        poses = [data.source for data in self.data if data.source.supervision in ("3d", "body")]
        crops = bool(poses) and all(source.crop for source in poses)
        rates = sorted({row["fps"] for data in self.data for row in data.bank.sequences})
        return {
            "config": self.config,
            "model": self.config["model"],
            "task": self.config["task"],
            "head": {"name": self.task.head, **self.task.head_settings},
            "skeleton": declaration(self.skeleton),
            "fps": rates[0] if len(rates) == 1 else rates,
            # Detections are brought to the range of the 3D clips: cropped to the person, or by
            # width. (2D sources are cropped in the official recipe whatever the 3D ones are.)
            "normaliser": {"mode": "crop" if crops else "image"},
            "root": "relative" if getattr(self.task, "root_relative", True) else "absolute",
            **getattr(self.task, "info", {}),
        }


def build(config: Any) -> Experiment:
    """Builds the experiment of a config.

    Raises:
      ValueError: anything in the config that cannot work: a name, a path, a size.
    """
    config = plain(config)
    if missing := [key for key in NEEDED if key not in config]:
        raise ValueError(
            f"got a config without {', '.join(missing)}, expected {', '.join(NEEDED)}; "
            "do start from configs.common.base()"
        )
    skeleton = skeleton_of(config.get("skeleton", H36M17.name))
    config["model"] = with_joints(config["model"], skeleton)
    task = with_skeleton(build_task(config["task"], config["weights"]), skeleton)
    data = open_sources(config["sources"], config["data"]["path"], skeleton)
    tests = open_sources(tested(config["eval"]), config["data"]["path"], skeleton)
    if hasattr(task, "with_data"):
        task = task.with_data(data, tests)
    network = build_network(config["model"], task.head, task.head_settings)
    check_data(config["data"], skeleton)
    check_rhythm(config)
    check_evaluation(config["eval"], [item.source.name for item in tests])
    order = config["data"].get("order", "shuffled")
    plan = pipeline.open_plan(data, config["epochs"], config["seed"], order)
    check_frames(network, (*data, *tests))
    shapes = variable_shapes(network, max(item.source.frames for item in (*data, *tests)))
    check_parts(config["optim"], shapes)
    return Experiment(
        config=config,
        skeleton=skeleton,
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


def with_joints(model: Config, skeleton: Skeleton) -> dict[str, Any]:
    """`config.model` with as many joints as the skeleton has; 17, the default, means just that."""
    joints = model.get("num_joints", H36M17.num_joints)
    if joints not in (H36M17.num_joints, skeleton.num_joints):
        raise ValueError(
            f"got model.num_joints={joints} with the {skeleton.num_joints} joints of "
            f"{skeleton.name}, expected as many; do leave it out and set config.skeleton"
        )
    own = {} if skeleton == H36M17 else {"num_joints": skeleton.num_joints}
    return {**model, **own}


def with_skeleton(task: Any, skeleton: Skeleton) -> Any:
    """The task of these joints; ValueError of one that knows those of H36M17 alone."""
    if skeleton == H36M17:
        return task
    if not hasattr(task, "skeleton"):
        raise ValueError(
            f"got config.skeleton={skeleton.name} with task.name of head {task.head!r}, expected "
            "h36m17: bodies are measured at its joints"
        )
    return dataclasses.replace(task, skeleton=skeleton)


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


def tested(settings: Config) -> Config:
    """`eval.sources`, all of them with the tails that `eval.tail` asks for.

    "drop": frames after a sequence's last full window are never scored, as in the official code,
    whose numbers only this compares with. "score": every frame is. None: as each source says.
    """
    tails = {None: {}, "drop": {"tail": "drop"}, "score": {"tail": "pad"}}
    tail = settings.get("tail")
    if tail not in tails:
        raise ValueError(f"got eval.tail={tail!r}, expected drop, score or None")
    sources = settings["sources"]
    return {name: each and {**each, **tails[tail]} for name, each in sources.items()}


def open_sources(sources: Config, path: str, skeleton: Skeleton = H36M17) -> tuple[SourceData, ...]:
    """Opens every source of `name -> settings`; settings that are None switch a source off."""
    chosen = {name: settings for name, settings in sources.items() if settings}
    return tuple(
        SourceData.open(Source.from_config({"name": name, **settings}), path, skeleton)
        for name, settings in chosen.items()
    )


def check_data(settings: Config, skeleton: Skeleton = H36M17) -> None:
    """Raises ValueError for a feed, place or noise table that cannot work."""
    valid = {"feed": pipeline.FEEDS, "corrupt_on": pipeline.PLACES}
    for key, choices in valid.items():
        if settings.get(key, choices[0]) not in choices:
            raise ValueError(f"got data.{key}={settings[key]!r}, expected one of {choices}")
    if settings.get("feed", "tf") == "tf" and importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            "got data.feed='tf' without TensorFlow installed; "
            "do --config.data.feed=numpy --config.data.corrupt_on=device"
        )
    noise_table(settings, skeleton)


def noise_table(settings: Config, skeleton: Skeleton = H36M17) -> NoiseTable:
    """The noise that `config.data.noise` names (a file of `fit_noise`), or the shipped.

    `config.data.mask_joints`, `mask_frames` and `mask_groups` replace its shares of masked joints,
    frames and optional joints. A table of 17 joints serves other skeletons too: `NoiseTable.of`.

    Raises:
      ValueError: not such a file, not one of these joints, or shares outside [0, 1).
    """
    path = settings.get("noise")
    table = NoiseTable.read(path) if path else SHIPPED
    if (joints := len(table.mean)) not in (H36M17.num_joints, skeleton.num_joints):
        raise ValueError(
            f"got data.noise={path} of {joints} joints, expected {skeleton.num_joints}; "
            "do write it with `python -m dstformer_jax.data.fit_noise`"
        )
    table = table.of(skeleton)
    names = {"joint_mask": "mask_joints", "frame_mask": "mask_frames", "group_mask": "mask_groups"}
    shares = {name: settings.get(key) for name, key in names.items()}
    given = {name: share for name, share in shares.items() if share is not None}
    if any(not 0 <= share < 1 for share in given.values()):
        raise ValueError(
            f"got data.mask_joints, mask_frames, mask_groups {shares}, expected 0 <= share < 1"
        )
    return dataclasses.replace(table, **given)


def check_rhythm(config: Config) -> None:
    """Raises ValueError for negative counts of steps or epochs, and for no checkpoint to keep."""
    least = {
        "log_every": (config, "log_every", 0),
        "eval.every": (config["eval"], "every", 0),
        "checkpoint.every": (config.get("checkpoint", {}), "every", 0),
        "checkpoint.archive": (config.get("checkpoint", {}), "archive", 0),
        "checkpoint.keep": (config.get("checkpoint", {}), "keep", 1),
    }
    for name, (settings, key, low) in least.items():
        if settings.get(key, low) < low:
            raise ValueError(f"got {name}={settings[key]}, expected {low} or more")


def check_parts(settings: Config, shapes: Config) -> None:
    """Raises ValueError for a batch in parts whose normalisation needs all of it."""
    if settings.get("accumulate", 1) != 1 and jax.tree.leaves(shapes["batch_stats"]):
        raise ValueError(
            f"got optim.accumulate={settings['accumulate']} for a network with batch "
            "normalisation, expected 1: its statistics are of the whole batch"
        )


def check_evaluation(settings: Config, sources: Collection[str]) -> None:
    """Raises ValueError where eval.best or eval.groups name what is not in eval.sources."""
    groups = settings.get("groups") or {}
    check_groups(groups, sources)
    names, best = sorted({*sources, *groups}), settings.get("best")
    if best is not None and best not in names:
        raise ValueError(f"got eval.best={best!r}, expected one of {names} or None for their mean")


def check_frames(network: Network, data: tuple[SourceData, ...]) -> None:
    """Raises ValueError for clips longer than the model's position embedding."""
    maxlen = network.backbone.maxlen  # pyright: ignore[reportAttributeAccessIssue]
    for item in data:
        if item.source.frames > maxlen:
            raise ValueError(
                f"got source {item.source.name!r} with frames={item.source.frames}, expected at "
                f"most model.maxlen={maxlen}; do raise one or lower the other"
            )


def initial_variables(experiment: Experiment) -> dict[str, Any]:
    """The variables of an untrained network, from the config's seed."""
    motion, inputs = example(experiment.network)
    given = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (motion, inputs))
    key = jax.random.key(experiment.config["seed"])
    variables = jax.jit(experiment.network.init)(key, given[0], **given[1])
    return jax.tree.map(np.asarray, {"batch_stats": {}, **variables})
