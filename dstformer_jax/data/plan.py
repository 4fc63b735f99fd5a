"""The Plan: which clips are drawn at which step, as a pure function of (seed, step).

Pipeline, learning-rate schedule, ETA, logs and resume all read it. Nothing is drawn in sequence,
so a run may start at any step, and any number of processes may each take their part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from .sources import NUM_SHARDS, Source

ORDERS = ("shuffled", "sequential")
# The second word of a Philox counter: one stream of random numbers for each purpose.
_EPOCH, _PASS, _KEYS, _CLIPS, EVALUATION_KEYS, EVALUATION_CLIPS = range(6)


def stream(seed: int, purpose: int, first: int, second: int) -> np.random.Philox:
    """A counter-based stream of random numbers; different arguments never overlap."""
    return np.random.Philox(key=seed, counter=np.array([0, purpose, first, second], np.uint64))


def shard_keys(bits: np.random.Philox) -> np.ndarray:
    """One random key for each virtual shard of a batch, uint32 [8, 2].

    The shard's number is in the last 3 bits: what a whole batch shares can be keyed by any row
    with these bits dropped.
    """
    words = bits.random_raw(1).view(np.uint32)
    keys = np.tile(words, (NUM_SHARDS, 1))
    keys[:, 1] = keys[:, 1] // NUM_SHARDS * NUM_SHARDS + np.arange(NUM_SHARDS)
    return keys


class Draw(NamedTuple):
    """What one step draws."""

    step: int
    epoch: int
    source: int
    draw: int  # earlier draws of this source
    pass_: int  # earlier complete passes over this source
    position: int  # earlier draws of this source in this pass


@dataclass(frozen=True)
class Plan:
    """Every full batch of every active source once an epoch.

    order: "shuffled" mixes the batches of all sources. "posetrack,instavariety" makes a whole pass
    over each source it names, in that order, then shuffles the others together: the official way.
    "sequential" names every 2D source in this way, in the order of `sources` (of a configuration:
    by name). The windows of a source are permuted anew for every pass; a remainder smaller than a
    batch is left out of that pass.
    labels: the class of each window [N] of sources with `per_class`, None for the others. Their
    batches hold that many windows of each of some classes, and a pass is as many batches as
    another source of as many windows would have.
    """

    sources: tuple[Source, ...]
    num_windows: tuple[int, ...]
    epochs: int
    seed: int = 0
    order: str = "shuffled"
    labels: tuple[np.ndarray | None, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "num_windows", tuple(map(int, self.num_windows)))
        _check(self)
        idle = np.flatnonzero(np.diff(self._starts) == 0)
        if len(idle):
            raise ValueError(f"got epochs {idle.tolist()} without an active source, expected one")

    @cached_property
    def _active(self) -> np.ndarray:
        """Which sources are drawn, bool [epochs, sources]."""
        return np.array([[s.active(epoch) for s in self.sources] for epoch in range(self.epochs)])

    @cached_property
    def _draws(self) -> np.ndarray:
        """Draws of every source before each epoch, int64 [epochs + 1, sources]."""
        passes = np.cumsum(np.pad(self._active.astype(np.int64), ((1, 0), (0, 0))), axis=0)
        return passes * np.array(self.batches, np.int64)

    @cached_property
    def _starts(self) -> np.ndarray:
        """First step of each epoch and the end, int64 [epochs + 1]."""
        return self._draws.sum(axis=1)

    # The caches are bound to the plan: what they hold goes when it goes.
    @cached_property
    def _epoch_order(self) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
        return lru_cache(maxsize=2)(self._order_of)

    @cached_property
    def _permutation(self) -> Callable[[int, int], np.ndarray]:
        return lru_cache(maxsize=2 * len(self.sources))(self._permute)

    @property
    def batches(self) -> tuple[int, ...]:
        """Full batches in one pass of every source."""
        return tuple(n // s.batch for n, s in zip(self.num_windows, self.sources, strict=True))

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return int(self._starts[-1])

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of one epoch."""
        return int(self._starts[epoch + 1] - self._starts[epoch])

    def epoch_of(self, step: int) -> int:
        """The epoch of a step; the last epoch for steps past the end."""
        epoch = int(np.searchsorted(self._starts, step, side="right")) - 1
        return min(epoch, self.epochs - 1)

    def step(self, step: int) -> Draw:
        """What a step draws. Raises ValueError outside 0 <= step < total_steps."""
        if not 0 <= step < self.total_steps:
            raise ValueError(f"got step {step}, expected 0 <= step < {self.total_steps}")
        epoch = self.epoch_of(step)
        order, rank = self._epoch_order(epoch)
        place = step - self._starts[epoch]
        source = int(order[place])
        draw = int(self._draws[epoch, source] + rank[place])
        return Draw(step, epoch, source, draw, *divmod(draw, self.batches[source]))

    def first_draws(self, step: int) -> tuple[int, ...]:
        """How often each source was drawn before this step: all that resuming needs."""
        epoch = self.epoch_of(step)
        order, _ = self._epoch_order(epoch)
        seen = np.bincount(order[: step - self._starts[epoch]], minlength=len(self.sources))
        return tuple((self._draws[epoch] + seen).tolist())

    def windows(self, source: int, draw: int) -> np.ndarray:
        """Which windows of the source a draw takes, int64 [B]."""
        pass_, position = divmod(draw, self.batches[source])
        size = self.sources[source].batch
        return self._permutation(source, pass_)[position * size : (position + 1) * size]

    def keys(self, source: int, draw: int) -> np.ndarray:
        """One random key for each virtual shard, uint32 [8, 2]."""
        return shard_keys(stream(self.seed, _KEYS, source, draw))

    def generator(self, source: int, draw: int) -> np.random.Generator:
        """Random numbers for the clips of a draw (views, crops, mirroring)."""
        return np.random.Generator(stream(self.seed, _CLIPS, source, draw))

    def lr_scale(self, step: int, decay: float) -> float:
        """The learning rate's factor at a step: decay once an epoch (reference 5)."""
        return decay ** self.epoch_of(step)

    def schedule(self, base: float, decay: float) -> Callable[[Any], Any]:
        """`lr_scale` times `base` as an optax schedule of an array of steps; jit-able."""
        import jax.numpy as jnp

        boundaries = jnp.asarray(self._starts[1:-1], jnp.int32)

        def rate(step: Any) -> Any:
            epoch = jnp.searchsorted(boundaries, step, side="right")
            return base * jnp.float32(decay) ** epoch

        return rate

    def _order_of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The source of each step of an epoch, and how many earlier steps of it drew the same."""
        groups = _groups(self.sources, self.order)
        rng = np.random.Generator(stream(self.seed, _EPOCH, epoch, 0))
        parts = []
        for group in groups:
            sources = [index for index in group if self._active[epoch, index]]
            steps = np.repeat(sources, [self.batches[index] for index in sources])
            parts.append(rng.permutation(steps.astype(np.int16)))
        order = np.concatenate(parts)
        rank = np.empty(len(order), np.int32)
        for index in range(len(self.sources)):
            places = np.flatnonzero(order == index)
            rank[places] = np.arange(len(places))
        return order, rank

    def _permute(self, source: int, pass_: int) -> np.ndarray:
        rng = np.random.Generator(stream(self.seed, _PASS, source, pass_))
        here = self.sources[source]
        if not here.per_class:
            return rng.permutation(self.num_windows[source])
        labels = self.labels[source] if self.labels else None
        if labels is None:
            raise ValueError(f"got source {here.name!r} with per_class, expected its labels too")
        return by_class(rng, labels, self.batches[source], here.batch, here.per_class)


def by_class(
    rng: np.random.Generator, labels: np.ndarray, batches: int, batch: int, per_class: int
) -> np.ndarray:
    """Windows of batches with `per_class` different windows of each of batch / per_class classes.

    As the sampler of the official one-shot training: classes are drawn for each batch, without
    repeating one while there are enough; so are the windows of a class.

    Returns int64 [batches * batch]. Raises ValueError when classes or windows are too few.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < batch // per_class or counts.min() < per_class:
        raise ValueError(
            f"got {len(classes)} classes of at least {counts.min()} clips, expected "
            f"{batch // per_class} classes of {per_class}; do lower batch or per_class"
        )
    members = [np.flatnonzero(labels == label) for label in classes]
    picks = []
    for _ in range(batches):
        for chosen in rng.choice(len(classes), batch // per_class, replace=False):
            picks.append(rng.choice(members[chosen], per_class, replace=False))
    return np.concatenate(picks)


def _groups(sources: Sequence[Source], order: str) -> list[list[int]]:
    """Sources that are shuffled together, in the order in which the groups are visited."""
    names = [source.name for source in sources]
    if order == "shuffled":
        first = []
    elif order == "sequential":
        first = [source.name for source in sources if source.supervision == "2d"]
    else:
        first = order.split(",")
    passes = [names.index(name) for name in first]
    return [[index] for index in passes] + [sorted(set(range(len(names))) - set(passes))]


def _check(plan: Plan) -> None:
    named = plan.order.split(",")
    known = [source.name for source in plan.sources]
    if plan.order not in ORDERS and (len(set(named)) < len(named) or not set(named) <= set(known)):
        raise ValueError(
            f"got data.order={plan.order!r}, expected one of {ORDERS} or some of {known}, each "
            "once and joined by commas"
        )
    if plan.epochs < 1 or plan.seed < 0:
        raise ValueError(
            f"got epochs {plan.epochs} and seed {plan.seed}, expected epochs >= 1 and seed >= 0"
        )
    if not plan.sources or len(plan.sources) != len(plan.num_windows):
        raise ValueError(
            f"got {len(plan.sources)} sources and {len(plan.num_windows)} window counts, "
            "expected one count for each of at least one source"
        )
    for source, windows in zip(plan.sources, plan.num_windows, strict=True):
        if windows < source.batch:
            raise ValueError(
                f"got {windows} clips in source {source.name!r}, expected at least one batch of "
                f"{source.batch}; lower batch or stride"
            )
