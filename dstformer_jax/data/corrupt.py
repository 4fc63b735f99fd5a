"""The paper's corruption of 2D input: mixture noise on keyframes, jitter, confidence, masks.

Drawing and applying are apart. `apply_noise` and `apply_mask` are arithmetic on recorded draws,
the same for numpy, tensorflow.experimental.numpy and jax.numpy. A Sampler makes the draws, from
one key for each virtual shard, so that any number of processes and devices draw the same numbers.
The three Samplers draw different numbers from the same distributions.

Noise as the official Augmenter2D (reference 3.9), except that jitter and the frame mask are
independent for every clip, as the paper says; `shared=True` is the official way, one for the
whole batch.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from dstformer_jax.body.skeleton import H36M17, Skeleton

from .samplers import sampler

Array = Any  # an array of the namespace `xp`
Pair = tuple[Array, Array]  # for x and for y


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """Parameters of the noise, in normalised coordinates; J joints."""

    mean: np.ndarray  # float32 [J, 2] of the Gaussian
    std: np.ndarray  # float32 [J, 2] of the Gaussian
    weight: np.ndarray  # float32 [J]: share of the Gaussian; the rest is uniform
    span: float = 0.06  # full width of the uniform, centred on 0
    jitter: float = 0.002  # standard deviation, independent in every frame
    keyframes: int = 27
    curve: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # a, b, m, s
    joint_mask: float = 0.05  # share of joints masked
    frame_mask: float = 0.1  # share of frames masked
    groups: tuple[tuple[int, ...], ...] = ()  # joints that are masked together, in whole clips
    group_mask: float = 0.25  # share of clips in which a group is

    @classmethod
    def read(cls, path: str | Path) -> NoiseTable:
        """A table as written by `fit_noise`.

        Raises:
          ValueError: a file that cannot be read, or that holds something else.
        """
        try:
            values = json.loads(Path(path).read_text())
            a, b, m, s = (float(values["confidence"][name]) for name in "abms")
            table = cls(
                mean=np.array(values["mean"], np.float32),
                std=np.array(values["std"], np.float32),
                weight=np.array(values["weight"], np.float32),
                span=float(values["span"]),
                jitter=float(values["jitter"]),
                keyframes=int(values["keyframes"]),
                curve=(a, b, m, s),
            )
            joints = len(table.weight)
            if not table.mean.shape == table.std.shape == (joints, 2) == (*table.weight.shape, 2):
                raise ValueError(f"mean of shape {table.mean.shape} for {joints} weights")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"got {path} ({type(error).__name__}: {error}), expected a noise table: JSON with "
                "mean and std [J, 2], weight [J], span, jitter, keyframes and confidence a, b, m, "
                "s; do write it with `python -m dstformer_jax.data.fit_noise`"
            ) from error
        return table

    def of(self, skeleton: Skeleton) -> NoiseTable:
        """The table of a skeleton's joints.

        A table of as many joints as the skeleton has is taken as its own. One of H36M17's joints
        gives each joint of that name its row, and every other joint the row of the first joint
        above it that has one: toes err as ankles do, hands as wrists. Its optional joints become
        the groups that are masked together.
        """
        groups = tuple(tuple(map(skeleton.index, group)) for group in skeleton.optional)
        if len(self.weight) == skeleton.num_joints:
            return dataclasses.replace(self, groups=groups)
        rows = [_row(skeleton, joint) for joint in range(skeleton.num_joints)]
        return dataclasses.replace(
            self,
            mean=self.mean[rows],
            std=self.std[rows],
            weight=self.weight[rows],
            groups=groups,
        )


def _row(skeleton: Skeleton, joint: int) -> int:
    """The joint of H36M17 whose noise a joint has; its root's where none is above."""
    while joint >= 0:
        if skeleton.names[joint] in H36M17.names:
            return H36M17.index(skeleton.names[joint])
        joint = skeleton.parents[joint]
    return H36M17.index("root")


SHIPPED = NoiseTable.read(Path(__file__).with_name("noise.json"))


class NoiseDraws(NamedTuple):
    """Recorded random numbers of the noise, for K keyframes; uniforms are in [0, 1)."""

    select: Array  # uniform [B, K, J]
    gauss: Pair  # normal, each [B, K, J]
    uniform: Pair  # uniform, each [B, K, J]
    jitter: Pair  # normal, each [B, T, J], or [1, T, J] shared
    confidence: Array  # normal [B, T, J]


class MaskDraws(NamedTuple):
    """Recorded random numbers of the mask, uniform in [0, 1)."""

    joint: Array  # [B, T, J]
    frame: Array  # [B, T, 1], or [1, T, 1] shared
    group: Array | None = None  # [B, G] of G groups of joints


class Sampler(Protocol):
    """Random numbers for B clips; every call is independent of the others."""

    def uniform(self, *shape: int) -> Array:
        """[B, *shape] in [0, 1)."""
        ...

    def normals(self, *shape: int) -> Pair:
        """Two independent standard normal [B, *shape]."""
        ...

    def normal(self, *shape: int) -> Array:
        """Standard normal [B, *shape]."""
        ...

    def common(self) -> Sampler:
        """The same for numbers that the whole batch shares, [1, *shape]."""
        ...


def draw_noise(
    random: Sampler, frames: int, joints: int, keyframes: int = 27, shared: bool = False
) -> NoiseDraws:
    """Draws for `apply_noise`; with `shared`, one jitter for the whole batch (official)."""
    grid = (keyframes, joints)
    return NoiseDraws(
        select=random.uniform(*grid),
        gauss=random.normals(*grid),
        uniform=(random.uniform(*grid), random.uniform(*grid)),
        jitter=(random.common() if shared else random).normals(frames, joints),
        confidence=random.normal(frames, joints),
    )


def draw_mask(
    random: Sampler, frames: int, joints: int, shared: bool = False, groups: int = 0
) -> MaskDraws:
    """Draws for `apply_mask`; with `shared`, one frame mask for the whole batch (official)."""
    frame = (random.common() if shared else random).uniform(frames, 1)
    joint = random.uniform(frames, joints)
    return MaskDraws(joint, frame, random.uniform(groups) if groups else None)


def apply_noise(
    motion: Array, draws: NoiseDraws, table: NoiseTable = SHIPPED, xp: ModuleType = np
) -> Array:
    """Moves x and y and replaces the confidence of `motion` [B, T, J, 3] (reference 3.9)."""
    return xp.stack(_noisy(_channels(motion), draws, table, xp), axis=-1)


def apply_mask(
    motion: Array, draws: MaskDraws, table: NoiseTable = SHIPPED, xp: ModuleType = np
) -> Array:
    """Zeroes x, y and confidence of masked joints and frames of `motion` [B, T, J, 3]."""
    return xp.stack(_masked(_channels(motion), draws, table, xp), axis=-1)


def corrupt(
    motion: Array,
    keys: Array,
    *,
    noise: bool,
    mask: bool,
    table: NoiseTable = SHIPPED,
    shared: bool = False,
    xp: ModuleType | None = None,
) -> Array:
    """Noise, then mask, on `motion` [B, T, J, 3], drawn from `keys` uint32 [S, 2] of S shards.

    shared: jitter and frame mask are one for the whole batch, as in the official code. xp: the
    namespace of motion and keys; jax.numpy when None (on the device, jit-able).
    """
    if xp is None:
        import jax.numpy as xp
    if not (noise or mask):
        return motion
    clips, frames, joints = motion.shape[:3]
    random = sampler(keys, clips, xp)
    channels = _channels(motion)
    if noise:
        draws = draw_noise(random, frames, joints, table.keyframes, shared)
        channels = _noisy(channels, draws, table, xp)
    if mask:
        draws = draw_mask(random, frames, joints, shared, len(table.groups))
        channels = _masked(channels, draws, table, xp)
    return xp.stack(channels, axis=-1)


# The arithmetic is on x, y and confidence apart: arrays with a last axis of 2 or 3 are slow on
# the CPU (a factor of 3 in TensorFlow).
def _channels(motion: Array) -> list[Array]:
    return [motion[..., 0], motion[..., 1], motion[..., 2]]


def _noisy(
    channels: list[Array], draws: NoiseDraws, table: NoiseTable, xp: ModuleType
) -> list[Array]:
    frames = channels[0].shape[1]
    is_gauss = draws.select < table.weight[None, None]
    moves = []
    for axis in range(2):
        near = draws.gauss[axis] * table.std[None, None, :, axis] + table.mean[None, None, :, axis]
        far = (draws.uniform[axis] - 0.5) * table.span
        drift = interpolate(xp.where(is_gauss, near, far), frames, xp)
        moves.append(drift + draws.jitter[axis] * table.jitter)
    distance = xp.sqrt(moves[0] * moves[0] + moves[1] * moves[1])
    return [channels[0] + moves[0], channels[1] + moves[1], _confidence(distance, draws, table, xp)]


def _confidence(distance: Array, draws: NoiseDraws, table: NoiseTable, xp: ModuleType) -> Array:
    """A detector's confidence for a joint that is off by `distance`."""
    a, b, m, s = table.curve
    raw = a / (distance + a) + distance * b + (draws.confidence * s + m)
    return xp.clip(raw, np.float32(0), np.float32(1))


def _masked(
    channels: list[Array], draws: MaskDraws, table: NoiseTable, xp: ModuleType
) -> list[Array]:
    keep = (draws.joint > table.joint_mask) & (draws.frame > table.frame_mask)
    if draws.group is not None:
        hidden = draws.group < table.group_mask
        for number, group in enumerate(table.groups):
            is_member = np.isin(np.arange(len(table.weight)), group)[None, None]
            keep &= ~(is_member & hidden[:, number, None, None])
    return [channel * xp.asarray(keep, dtype=channel.dtype) for channel in channels]


@lru_cache(maxsize=16)
def _between_keyframes(frames: int, keyframes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The keyframes before and after each of T frames with aligned ends, and the way between."""
    # In float32 as torch does: confidence depends steeply on the distance.
    step = np.float32(keyframes - 1) / np.float32(max(frames - 1, 1))
    place = np.arange(frames, dtype=np.float32) * step
    before = np.minimum(place.astype(np.int32), keyframes - 1)
    after = np.minimum(before + 1, keyframes - 1)
    return before, after, (place - before.astype(np.float32))


def interpolate(values: Array, frames: int, xp: ModuleType = np) -> Array:
    """Keyframes [B, K, J] -> frames [B, T, J], linear in time with aligned ends."""
    before, after, way = _between_keyframes(frames, values.shape[1])
    # Not a matrix product: its rounding would depend on how many clips there are.
    start, end = xp.take(values, before, axis=1), xp.take(values, after, axis=1)
    return start * (1 - way)[None, :, None] + end * way[None, :, None]
