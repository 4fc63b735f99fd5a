"""The contract between tasks, the loop and the data, in prose and as types.

A **task** says what to predict and how wrong a prediction is. It is a plain object with:

- `head`: the name of the head it needs (`models.network.HEADS`), and `head_settings`, the
  keyword arguments of that head; both are saved in the checkpoint.
- `with_data(train, tests) -> Task` (optional): the task with what only the sources tell (number
  of classes), or ValueError when they do not fit it.
- `inputs(batch) -> {name: array}`: what the head reads beside the motion representation.
- `loss(outputs, batch, supervision, reduce) -> {name: scalar}`: every term that the batch's
  supervision allows. The loop alone multiplies them by `config.weights` and sums.
- `measure(outputs, batch) -> {name: [B, ...]}`: rows of one evaluation batch, on device.
- `summarise(rows, index) -> {metric: float}`: once, on host, numpy in and floats out. `index` is
  the host table of the evaluation source (sequence, action, subject, rig, view, frame ids ...).
- `terms`: the names of the loss terms it computes.
- `diagnose(outputs, batch, supervision, reduce) -> {name: scalar}` (optional): watched beside the
  loss, and `alarm(step, values) -> str | None` (optional): what the log should warn of.
- `mirror_input(batch)` and `mirror(outputs)`: the batch with mirrored inputs, and the mirrored
  answer brought back, of what flip averaging averages.
- `finish(outputs) -> outputs` (optional): in evaluation, before averaging, what is measured beside
  the head's answer (a body's vertices).
- `results(outputs) -> {name: [B, T, ...]}` (optional): what an evaluation writes of each frame with
  `eval.write`.
- `best`: the metric that selects the best checkpoint and its direction, ("mpjpe", "min").

A **batch** is a dict of arrays. B clips, T frames, J joints:

- `motion` [B, T, J, 3] (labels: [B, M, T, J, 3] of M people): network input x, y, confidence,
  normalised to about [-1, 1].
- `target` [B, T, J, 3]: normalised pose; for 2D supervision the clean x, y and 0.
- `confidence` [B, T, J]: confidence before noise and masks, the weight of the 2D loss.
- `valid` [B, T]: False on frames and rows that only pad.
- `scale` [B]: mm (2D sources: pixels) per normalised unit, 0 where it has no meaning.
- `index` [B]: row of the host table, -1 for a padding row (evaluation only; the loop removes
  padding rows and sorts the others before `summarise`).
- `label` int32 [B], `present` bool [B, M]: of supervision "label"; no target or confidence there.
- `theta` [B, T, P], `beta` [B, T, S], `camera` [B, 3, 3], `mirrored` bool [B] (and `initial_theta`,
  `initial_beta` for refiners): of supervision "body", see `data.people.body_arrays`.
- `keys` [8, 2]: random keys of the virtual shards, for corruption on the device. (What else may be
  left to it is in `data.people.gather_batch`; tasks see finished batches.)

Every batch is homogeneous: one source, one T, one supervision ("3d", "2d", "label", "body").
"""

from typing import Any, Protocol

import jax
import numpy as np

Batch = dict[str, jax.Array]
Outputs = dict[str, jax.Array]
Rows = dict[str, np.ndarray]


class Reduce(Protocol):
    """Reductions that are global over devices; identities on one device or under jit."""

    axis_name: str | None

    def mean(self, x: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        """Mean over all axes and devices; with `weight` (broadcastable) the weighted mean."""
        ...

    def gather(self, x: jax.Array) -> jax.Array:
        """The rows of every device, concatenated on the leading axis."""
        ...


class Task(Protocol):
    """See the module's text."""

    head: str
    terms: tuple[str, ...]
    best: tuple[str, str]

    @property
    def head_settings(self) -> dict[str, Any]: ...

    def inputs(self, batch: Batch) -> dict[str, jax.Array]: ...

    def loss(
        self, outputs: Outputs, batch: Batch, supervision: str, reduce: Reduce
    ) -> dict[str, jax.Array]: ...

    def measure(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]: ...

    def summarise(self, rows: Rows, index: dict[str, Any]) -> dict[str, float]: ...

    def mirror_input(self, batch: Batch) -> Batch: ...

    def mirror(self, outputs: Outputs) -> Outputs: ...
