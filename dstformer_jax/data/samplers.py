"""Random numbers for corruption, keyed by virtual shard: for numpy, TensorFlow and JAX.

All three follow the protocol `corrupt.Sampler`: made from keys uint32 [S, 2] for a batch of B
clips, whose rows s*B/S ... (s+1)*B/S are drawn from key s alone. A process or device that holds
some of the shards draws exactly the numbers that it would draw if it held them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from .sources import NUM_SHARDS

Array = Any


def sampler(keys: Array, clips: int, xp: ModuleType) -> Any:
    """The Sampler of an array namespace: numpy, jax.numpy or tensorflow.experimental.numpy."""
    kinds = {"numpy": NumpySampler, "jax.numpy": JaxSampler}
    return kinds.get(xp.__name__, TfSampler)(keys, clips)


def _rows(keys: Array, clips: int) -> int:
    """Clips of one shard."""
    shards = keys.shape[0]
    if clips % shards:
        raise ValueError(f"got {clips} clips for {shards} keys, expected a multiple of {shards}")
    return clips // shards


def _common(keys: Array) -> Array:
    """The key of what the whole batch shares: any shard's, less its number, away from them all."""
    return keys[:1] // NUM_SHARDS * NUM_SHARDS ^ np.array([[0x9E3779B9, 0]], np.uint32)


class NumpySampler:
    """Draws on the host without TensorFlow; slower."""

    def __init__(self, keys: np.ndarray, clips: int) -> None:
        self.keys = keys
        self.rows = _rows(keys, clips)
        words = np.ascontiguousarray(keys, np.uint32).astype(np.uint64)
        numbers = (words[:, 0] << np.uint64(32)) | words[:, 1]
        self._rngs = [np.random.Generator(np.random.Philox(key=int(key))) for key in numbers]

    def _draw(self, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        draws = [getattr(rng, kind)((self.rows, *shape), np.float32) for rng in self._rngs]
        return np.concatenate(draws)

    def uniform(self, *shape: int) -> np.ndarray:
        return self._draw("random", shape)

    def normal(self, *shape: int) -> np.ndarray:
        return self._draw("standard_normal", shape)

    def normals(self, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        return self.normal(*shape), self.normal(*shape)

    def common(self) -> NumpySampler:
        return NumpySampler(_common(self.keys), 1)


class JaxSampler:
    """Draws on the device, under jit or pmap."""

    def __init__(self, keys: Array, clips: int) -> None:
        self.keys = keys
        self.rows = _rows(keys, clips)
        self._calls = 0

    def _draw(self, draw: Callable[..., Array], shape: tuple[int, ...]) -> Array:
        import jax

        self._calls += 1
        # Named, because the default generator of an accelerator may have another key size.
        keys = jax.random.wrap_key_data(self.keys, impl="threefry2x32")
        keys = jax.vmap(lambda key: jax.random.fold_in(key, self._calls))(keys)
        # Flat, which compiles ten times as fast, and behind a barrier, for else XLA draws the same
        # numbers again in every operation that uses them.
        flat = jax.vmap(lambda key: draw(key, (self.rows * math.prod(shape),)))(keys)
        return jax.lax.optimization_barrier(flat).reshape(-1, *shape)

    def uniform(self, *shape: int) -> Array:
        import jax

        return self._draw(jax.random.uniform, shape)

    def normal(self, *shape: int) -> Array:
        import jax

        return self._draw(jax.random.normal, shape)

    def normals(self, *shape: int) -> tuple[Array, Array]:
        both = self.normal(2, *shape)
        return both[:, 0], both[:, 1]

    def common(self) -> JaxSampler:
        import jax.numpy as jnp

        return JaxSampler(_common(jnp.asarray(self.keys)), 1)


class TfSampler:
    """Draws inside a tf.data pipeline; made to be cheap.

    Every 32 random bits give two uniforms of 16 bits, or two normals by Box and Muller's
    transform of them, whose tails end at 4.8 standard deviations. This takes a third of the time
    of TensorFlow's own normals, and that time is most of the pipeline's.
    """

    def __init__(self, keys: Array, clips: int) -> None:
        from ._tf import tf

        self._tf = tf
        self.keys = keys
        self.rows = _rows(keys, clips)
        self._calls = 0
        words = tf.cast(keys, tf.uint64)
        self._words = tf.unstack(words[:, :1] * np.uint64(2**32) + words[:, 1:])

    def _halves(self, words: int) -> Array:
        """Integers in [-32768, 32767] as floats, float32 [S, n, 2] with n >= rows * words.

        n is a multiple of 16: Eigen's last, odd numbers go through other code than the rest and
        may differ from it in the last bit, which must not depend on the number of shards here.
        """
        tf = self._tf
        self._calls += 1
        draws = [
            tf.raw_ops.StatelessRandomUniformFullIntV2(
                shape=[-(-self.rows * words // 16) * 16],
                key=key,
                counter=np.array([0, self._calls], np.uint64),
                alg=1,  # Philox
                dtype=tf.uint32,
            )
            for key in self._words
        ]
        return tf.cast(tf.bitcast(tf.stack(draws), tf.int16), tf.float32)

    def _shaped(self, flat: Array, shape: tuple[int, ...]) -> Array:
        """The first numbers of every shard, [S, n] -> [B, *shape]."""
        size = self.rows * math.prod(shape)
        return self._tf.reshape(flat[:, :size], [-1, *shape])

    def uniform(self, *shape: int) -> Array:
        halves = self._halves((math.prod(shape) + 1) // 2)
        flat = self._tf.reshape(halves, [len(self._words), -1])
        return self._shaped(flat * 2.0**-16 + (0.5 + 2.0**-17), shape)

    def normals(self, *shape: int) -> tuple[Array, Array]:
        x, y = self._normals(math.prod(shape))
        return self._shaped(x, shape), self._shaped(y, shape)

    def _normals(self, words: int) -> tuple[Array, Array]:
        tf = self._tf
        halves = self._halves(words)
        radius = tf.sqrt(-2.0 * tf.math.log(halves[..., 0] * 2.0**-16 + (0.5 + 2.0**-17)))
        angle = halves[..., 1] * (math.pi * 2.0**-15)
        return radius * tf.cos(angle), radius * tf.sin(angle)

    def normal(self, *shape: int) -> Array:
        pair = self._normals((math.prod(shape) + 1) // 2)
        return self._shaped(self._tf.concat(pair, axis=1), shape)

    def common(self) -> TfSampler:
        shared = self._tf.constant([[0x9E3779B9, 0]], self._tf.uint32)
        first = self.keys[:1] // NUM_SHARDS * NUM_SHARDS
        return TfSampler(self._tf.bitwise.bitwise_xor(first, shared), 1)
