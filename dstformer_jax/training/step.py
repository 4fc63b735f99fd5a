"""The train step: one pure function, and its compiled programs, one for each kind of batch."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dstformer_jax.data import pipeline
from dstformer_jax.data.corrupt import corrupt
from dstformer_jax.data.people import finish_batch
from dstformer_jax.data.schema import ARRAYS
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.training import optim, parallel
from dstformer_jax.training.experiment import Experiment, noise_table
from dstformer_jax.training.parallel import Reduce
from dstformer_jax.training.state import State

Metrics = dict[str, jax.Array]
Batch = dict[str, jax.Array]
Prepare = Callable[[Batch], Batch]


def make_step(
    experiment: Experiment,
    reduce: Reduce,
    supervision: str = "3d",
    prepare: Prepare | None = None,
) -> Callable[[State, dict[str, jax.Array]], tuple[State, Metrics]]:
    """The pure train step of one kind of batch.

    Args:
      experiment: gives network, task, optimiser, weights, frozen parameters and seed.
      reduce: global means and gathers, from the back end.
      supervision: what the batch's target is, "3d" | "2d" | "label" | "body".
      prepare: what the device does to a batch first, when the host has left it that.

    Returns:
      step(state, batch) -> (state, metrics); the metrics are global float32 scalars: "loss", each
      term by its name, "grad_norm" and what the task diagnoses.
    """
    task, weights = experiment.task, experiment.config["weights"]
    watch = getattr(task, "diagnose", None)
    parts = optim.settings(experiment.config["optim"])["accumulate"]
    # Levels that are recomputed anyway leave little of a part to keep.
    recompute = experiment.config["model"].get("remat", "none") == "none"

    def loss(params: Any, state: State, batch: dict[str, jax.Array]) -> tuple[Any, Any]:
        params = optim.stop_frozen(params, experiment.frozen)
        variables = {"params": params, "batch_stats": state.batch_stats}
        key = jax.random.fold_in(jax.random.key(experiment.config["seed"]), state.step)

        def predict(key: jax.Array, motion: jax.Array, inputs: Any) -> Any:
            return experiment.network.apply(
                variables,
                motion,
                train=True,
                frozen=experiment.frozen_parts,
                axis_name=reduce.axis_name,
                rngs={"dropout": key},
                mutable=["batch_stats"],
                **inputs,
            )

        arguments = (reduce.fold_in(key), batch["motion"], task.inputs(batch))
        if parts == 1:
            outputs, updates = predict(*arguments)
        else:
            outputs, updates = in_parts(predict, parts, recompute, *arguments), {}
        terms = task.loss(outputs, batch, supervision, reduce)
        watched = watch(outputs, batch, supervision, reduce) if watch else {}
        total = weighted_sum(terms, weights)
        stats = updates.get("batch_stats", state.batch_stats)
        return total, ({"loss": total, **terms, **watched}, stats)

    def step(state: State, batch: dict[str, jax.Array]) -> tuple[State, Metrics]:
        if prepare is not None:
            batch = prepare(batch)
        gradients, (metrics, stats) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        gradients = reduce.gradients(gradients)
        updates, opt_state = experiment.optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {**metrics, "grad_norm": optax.tree.norm(gradients)}
        return State(state.step + 1, params, stats, opt_state), metrics

    return step


def in_parts(
    predict: Callable[..., Any],
    parts: int,
    recompute: bool,
    key: jax.Array,
    motion: jax.Array,
    inputs: Batch,
) -> Any:
    """A network's outputs for a whole batch, computed a part at a time.

    The loss sees all clips at once, so masked means and comparisons between clips are those of
    the whole batch, exactly; gradients add up over the parts in the backward pass, which holds
    the activations of one part. What is kept of a part for that is its inputs (`recompute`; one
    more forward pass), or what `model.remat` keeps of every level.

    Args:
      predict: (key, motion, inputs) -> (outputs, updates of batch statistics: none).
      parts: how many; they take turns in the rows, so that every device has its share of each.
      key: of dropout; each part has its own.
      motion, inputs: [B, ...].

    Returns:
      outputs [B, ...].

    Raises:
      ValueError: rows that do not divide into the parts.
    """
    if len(motion) % parts:
        raise ValueError(
            f"got {len(motion)} clips a device for optim.accumulate={parts}, expected a multiple; "
            "do choose a batch that devices times parts divide"
        )

    def split(x: jax.Array) -> jax.Array:
        return jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1)

    def join(x: jax.Array) -> jax.Array:
        return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])

    def part(arguments: tuple[jax.Array, jax.Array, Batch]) -> Any:
        return predict(*arguments)[0]

    part = jax.checkpoint(part) if recompute else part
    clips = jax.tree.map(split, (motion, inputs))
    return jax.tree.map(join, jax.lax.map(part, (jax.random.split(key, parts), *clips)))


def weighted_sum(terms: Mapping[str, jax.Array], weights: Mapping[str, float]) -> jax.Array:
    """The loss. A term without a weight is an error; a term of weight 0 is only reported."""
    if not terms:
        raise ValueError("got no loss term for a kind of source, expected one in config.weights")
    if missing := sorted(set(terms) - set(weights)):
        raise ValueError(
            f"got the loss term {missing[0]!r} without a weight, expected one in config.weights; "
            f"do --config.weights.{missing[0]}=0 to switch it off"
        )
    used = [weights[name] * term for name, term in terms.items() if weights[name]]
    return sum(used, start=jnp.zeros((), jnp.float32))


class Steps:
    """Compiled train steps, one for each kind of source: length, batch size, supervision."""

    def __init__(self, experiment: Experiment, backend: parallel.Jit):
        self._experiment, self._backend = experiment, backend
        self._on_device = experiment.config["data"].get("corrupt_on", "host") == "device"
        self._data = {data.source.name: data for data in experiment.data}
        self._compiled: dict[tuple[Any, ...], Any] = {}

    def compile_all(self, state: State) -> None:
        """Compiles every kind ahead of the first step, so that no step waits for it."""
        for data in self._experiment.data:
            kind = self._kind(data.source)
            if kind not in self._compiled:
                placed = self.place(data.source, self.example(data))
                lowered = self.lower(data.source, state, placed)
                self._compiled[kind] = lowered.compile()

    def example(self, data: SourceData) -> parallel.Batch:
        """A batch like those that the source is trained on."""
        return example(data, "device" if self._on_device else "host")

    def place(self, source: Source, batch: parallel.Batch) -> Batch:
        """The arrays that the step reads, on the devices: keys only where they are used."""
        unused = set() if self._on_device and (source.noise or source.mask) else {"keys"}
        return self._backend.place({k: v for k, v in batch.items() if k not in unused})

    def lower(self, source: Source, state: Any, placed: Batch) -> Any:
        """The step of a source, lowered for these arguments."""
        step = make_step(
            self._experiment, self._backend.reduce, source.supervision, self._prepare(source)
        )
        return self._backend.compile_step(step).lower(state, placed)

    def __call__(
        self, source: Source, state: State, batch: parallel.Batch
    ) -> tuple[State, Metrics]:
        """Starts one step on a host batch; returns before the device has finished it."""
        return self._compiled[self._kind(source)](state, self.place(source, batch))

    def _kind(self, source: Source) -> tuple[Any, ...]:
        if not self._on_device:
            return (source.frames, source.batch, source.supervision)
        # Crop, scale and corruption are part of the program; where frames come from is not.
        places = {"name": "", "dataset": "", "split": "", "stride": 1, "epochs": (0, -1)}
        data = self._data[source.name]
        stored = tuple(name for name in ARRAYS if len(getattr(data.bank, name)))
        return (dataclasses.replace(source, **places), data.unit, stored)

    def _prepare(self, source: Source) -> Prepare | None:
        """Finishes and corrupts the clips on the device, when the config puts that there."""
        if not self._on_device:
            return None
        settings, data = self._experiment.config["data"], self._data[source.name]
        spoil = partial(
            corrupt,
            noise=source.noise,
            mask=source.mask,
            table=noise_table(settings, self._experiment.skeleton),
            shared=settings.get("shared", False),
        )

        def prepare(batch: Batch) -> Batch:
            # An accelerator's default products have few bits, and these place the joints.
            with jax.default_matmul_precision("highest"):
                batch = finish_batch(batch, data, jnp)
            return {**batch, "motion": spoil(batch["motion"], batch.get("keys"))}

        return prepare


def example(data: SourceData, corrupt_on: str = "host") -> parallel.Batch:
    """A batch of this process with the shapes and types of the training batches of a source."""
    batches, _ = pipeline.evaluation(
        data,
        corrupt_on=corrupt_on,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    return next(iter(batches))
