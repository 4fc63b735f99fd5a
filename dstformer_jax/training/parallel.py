"""Devices: the only file that knows how many there are.

One pure step, three back ends with the same unstacked state and the same numbers:
`pmap` (`in_axes=(None, 0)`, one process), `jit` (NamedSharding over a `data` mesh, any number of
processes) and `fsdp` (as `jit`, but each device holds only its part of the state). The step asks
its `reduce` for means, so it reads the same under all.

Gradients under pmap: a loss made of `reduce.mean` is the global loss on every device, and JAX
differentiates the sum of the devices' losses (psum transposes to psum). Each device thus holds
its own inputs' share of the gradient times the number of devices, and `reduce.gradients`
averages the shares to the exact global gradient, whatever the losses do with their means.
"""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

AXIS = "data"
SMALLEST_SPLIT = 1024  # elements: to split less saves nothing and costs a message
Batch = dict[str, np.ndarray]


class Reduce:
    """Reductions over the whole batch when one program sees all of it (jit, or one device)."""

    axis_name: str | None = None

    def sum(self, x: jax.Array) -> jax.Array:
        """Sum over all axes and devices, float32 scalar."""
        return jnp.sum(x.astype(jnp.float32))

    def mean(self, x: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        """Exact weighted mean over all axes and devices, float32 scalar; 0 where no weight is.

        Args:
          x: [B, ...] any shape.
          weight: broadcasts to x as in numpy; None weighs all alike.
        """
        weight = jnp.ones((), jnp.float32) if weight is None else weight.astype(jnp.float32)
        weight = jnp.broadcast_to(weight, x.shape)
        total = self.sum(weight)
        return self.sum(x.astype(jnp.float32) * weight) / jnp.where(total == 0, 1.0, total)

    def gather(self, x: jax.Array) -> jax.Array:
        """The rows of all devices: [B_local, ...] -> [B, ...]."""
        return x

    def gradients(self, tree: Any) -> Any:
        """Gradients of a loss made of these reductions, from those of one device."""
        return tree

    def fold_in(self, key: jax.Array) -> jax.Array:
        """A key of this device's own (dropout differs between devices)."""
        return key


class AcrossDevices(Reduce):
    """Reductions inside pmap, where every device holds a part of the batch."""

    axis_name = AXIS

    def sum(self, x: jax.Array) -> jax.Array:
        return jax.lax.psum(super().sum(x), AXIS)

    def gather(self, x: jax.Array) -> jax.Array:
        return jax.lax.all_gather(x, AXIS, axis=0, tiled=True)

    def gradients(self, tree: Any) -> Any:
        return jax.lax.pmean(tree, AXIS)

    def fold_in(self, key: jax.Array) -> jax.Array:
        return jax.random.fold_in(key, jax.lax.axis_index(AXIS))


class Jit:
    """`jax.jit` with the batch split over a `data` mesh of all processes' devices."""

    name = "jit"
    reduce = Reduce()

    def __init__(self, devices: Sequence[Any] | None = None):
        self.devices = list(devices or jax.devices())
        self.mesh = jax.make_mesh(
            (len(self.devices),),
            (AXIS,),
            axis_types=(jax.sharding.AxisType.Auto,),
            devices=self.devices,
        )
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.split = NamedSharding(self.mesh, PartitionSpec(AXIS))

    def replicate(self, tree: Any) -> Any:
        """Host arrays -> the same arrays on every device, never aliasing the source.

        A jitted copy, because device_put may share the source's buffer, which donation deletes.
        """
        tree = jax.tree.map(np.asarray, tree)
        return jax.jit(_copy, out_shardings=self.replicated)(tree)

    def shardings(self, tree: Any) -> Any:
        """How the devices hold each array (or ShapeDtypeStruct) of a training state."""
        return jax.tree.map(lambda _: self.replicated, tree)

    def hold(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(*arguments), jitted, with its result held as a training state is."""
        held = self.shardings(jax.eval_shape(function, *arguments))
        return jax.jit(function, out_shardings=held)(*arguments)

    def place(self, batch: Batch) -> Any:
        """This process's rows of a batch -> arrays split over all devices."""
        rows = {len(array) for array in batch.values()}
        for count in rows:
            _check_divisible(count * jax.process_count(), len(self.devices))
        return {
            name: jax.make_array_from_process_local_data(self.split, array)
            for name, array in batch.items()
        }

    def compile_step(self, step: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
        """step(state, batch) -> (state, metrics), jitted, state donated."""
        return jax.jit(
            step,
            in_shardings=(self.replicated, self.split),
            out_shardings=self.replicated,
            donate_argnums=0,
        )

    def compile_rows(self, function: Callable[[Any, Any], Any]) -> Any:
        """function(variables, batch) -> rows [B, ...] a clip, kept split over devices."""
        return jax.jit(
            function, in_shardings=(self.replicated, self.split), out_shardings=self.split
        )

    def fetch_rows(self, rows: Any) -> Any:
        """Rows of all devices and processes as numpy [B, ...], the same on every process."""
        if jax.process_count() == 1:
            return jax.device_get(rows)
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(rows, tiled=True)


class Fsdp(Jit):
    """`Jit` whose devices each hold a part of parameters, statistics and optimiser state.

    XLA gathers a parameter where a layer needs it and scatters its gradient (fully sharded data
    parallelism, ZeRO stage 3): less memory a device for more traffic. Small arrays stay whole.
    """

    name = "fsdp"

    def shardings(self, tree: Any) -> Any:
        """Each array split along its longest axis that the devices divide; whole without one."""
        return jax.tree.map(lambda leaf: NamedSharding(self.mesh, self._spec(leaf.shape)), tree)

    def _spec(self, shape: tuple[int, ...]) -> PartitionSpec:
        fitting = [axis for axis, size in enumerate(shape) if size % len(self.devices) == 0]
        if math.prod(shape) < SMALLEST_SPLIT or not fitting:
            return PartitionSpec()
        axis = max(fitting, key=lambda axis: shape[axis])
        return PartitionSpec(*[None] * axis, AXIS)

    def compile_step(self, step: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
        def held(state: Any, batch: Any) -> tuple[Any, Any]:
            state, metrics = step(state, batch)
            return jax.lax.with_sharding_constraint(state, self.shardings(state)), metrics

        # The state comes and goes as it is held; only the step itself knows its structure.
        return jax.jit(
            held,
            in_shardings=(None, self.split),
            out_shardings=(None, self.replicated),
            donate_argnums=0,
        )

    def compile_rows(self, function: Callable[[Any, Any], Any]) -> Any:
        return jax.jit(function, in_shardings=(None, self.split), out_shardings=self.split)


class Pmap(Jit):
    """`jax.pmap` over this process's devices with the state passed whole (in_axes None)."""

    name = "pmap"
    reduce = AcrossDevices()

    def __init__(self, devices: Sequence[Any] | None = None):
        if jax.process_count() > 1:
            raise ValueError(
                f"got parallel='pmap' in {jax.process_count()} processes, expected one; "
                "do use parallel='jit' or 'fsdp'"
            )
        super().__init__(devices)

    def place(self, batch: Batch) -> Any:
        """A batch -> arrays [devices, B / devices, ...]."""
        return jax.device_put({k: self._stack(v) for k, v in batch.items()}, self.split)

    def _stack(self, array: np.ndarray) -> np.ndarray:
        _check_divisible(len(array), len(self.devices))
        return array.reshape(len(self.devices), -1, *array.shape[1:])

    def compile_step(self, step: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
        return jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, 0),
            out_axes=None,  # pyright: ignore[reportArgumentType]
            donate_argnums=0,
            devices=self.devices,
        )

    def compile_rows(self, function: Callable[[Any, Any], Any]) -> Any:
        return jax.pmap(function, axis_name=AXIS, in_axes=(None, 0), devices=self.devices)

    def fetch_rows(self, rows: Any) -> Any:
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.device_get(rows))


BACKENDS = {"pmap": Pmap, "jit": Jit, "fsdp": Fsdp}


def backend(name: str = "auto", devices: Sequence[Any] | None = None) -> Jit:
    """The back end called `name`; "auto" is pmap in one process and jit across several."""
    if name == "auto":
        name = "pmap" if jax.process_count() == 1 else "jit"
    if name not in BACKENDS:
        raise ValueError(f"got parallel={name!r}, expected one of {sorted(BACKENDS)} or 'auto'")
    return BACKENDS[name](devices)


def initialise() -> None:
    """Joins the other processes when the launcher says there are any.

    JAX_COORDINATOR_ADDRESS (host:port), JAX_NUM_PROCESSES and JAX_PROCESS_ID; with the address
    "auto" JAX asks Slurm, Open MPI, the TPU or (with its package) Kubernetes itself.
    """
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if not address:
        return
    if address == "auto":
        os.environ.pop("JAX_COORDINATOR_ADDRESS")
        jax.distributed.initialize()
        return
    try:
        count, index = (int(os.environ[k]) for k in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    except (KeyError, ValueError) as error:
        raise ValueError(
            "got JAX_COORDINATOR_ADDRESS without whole numbers in JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID; do set all three, or the address 'auto' under Slurm, Open MPI, on TPUs"
        ) from error
    jax.distributed.initialize(address, count, index)


def is_first_process() -> bool:
    """True in the process that writes logs and prints."""
    return jax.process_index() == 0


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


snapshot = jax.jit(_copy)
"""A device copy of a tree, for a reader that outlives the donated original (checkpoints)."""


def _check_divisible(rows: int, devices: int) -> None:
    if rows % devices:
        raise ValueError(
            f"got {rows} rows for {devices} devices, expected a multiple; do choose a batch that "
            f"{devices} divides (and data.corrupt_on='host' on more than 8 devices)"
        )
