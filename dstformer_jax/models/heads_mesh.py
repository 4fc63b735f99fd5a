"""Heads that answer body parameters: rotations of B bones and S shape coefficients.

Axes: N clips, T frames, J joints, C channels of E. Rotations leave as matrices `turns`
[N, T, B, 3, 3] and axis-angles `theta` [N, T, 3 B]; shape as `beta` [N, T, S].
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.smoothing import savitzky_golay
from dstformer_jax.models.batch_norm import BatchNorm
from dstformer_jax.models.heads_action import linear

REST_SIX = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)  # the identity in 6D
SMALL_GAIN = 0.01  # of the last layers: a new head answers nearly the mean body
SPAN = 5  # frames of the official refiner's convolutions

Prediction = dict[str, jax.Array]


class MeshHead(nn.Module):
    """Body parameters from E. [N, T, J, C] -> turns, theta, beta.

    Pose: each frame's features through linear, batch normalisation, ReLU, linear, added to a mean
    pose in 6D. Shape: the same of their mean over frames, added to a mean shape. Source: paper
    sec. 3.4 (width 512); official SMPLRegressor (1024), which passes once, whatever its n_iter.

    Attributes:
      bones, shapes: B and S of the body.
      hidden: width of the hidden layers.
      dropout: of the features.
      mean_pose: 6D of the mean pose, 6 B numbers; empty: the body at rest. Kept with the batch
        statistics: saved, never trained.
      mean_shape: S numbers; empty: zeros.
    """

    bones: int = 24
    shapes: int = 10
    hidden: int = 512
    dropout: float = 0.1
    mean_pose: tuple[float, ...] = ()
    mean_shape: tuple[float, ...] = ()

    @nn.compact
    def __call__(
        self, representation: jax.Array, train: bool = False, axis_name: str | None = None
    ) -> Prediction:
        clips, frames = representation.shape[:2]
        features = representation.astype(jnp.float32).reshape(clips, frames, -1)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        means = self._means()

        def branch(inputs: jax.Array, number: int, name: str, outputs: int) -> jax.Array:
            hidden = linear(self.hidden, inputs.shape[-1], f"fc{number}")(drop(inputs))
            hidden = nn.relu(BatchNorm(name=f"bn{number}")(hidden, not train, axis_name))
            return small_linear(outputs, self.hidden, name)(hidden)

        flat = features.reshape(clips * frames, -1)
        six = means[0] + branch(flat, 1, "head_pose", 6 * self.bones)
        shape = means[1] + branch(features.mean(1), 2, "head_shape", self.shapes)
        beta = jnp.broadcast_to(shape[:, None], (clips, frames, self.shapes))
        return prediction(six.reshape(clips, frames, -1), beta)

    def _means(self) -> tuple[jax.Array, jax.Array]:
        """Mean pose [1, 6 B] and mean shape [1, S]."""
        pose = self.mean_pose or REST_SIX * self.bones
        shape = self.mean_shape or (0.0,) * self.shapes
        if len(pose) != 6 * self.bones or len(shape) != self.shapes:
            raise ValueError(
                f"got a mean pose of {len(pose)} and a mean shape of {len(shape)} numbers, "
                f"expected {6 * self.bones} and {self.shapes}"
            )
        rows = {"init_pose": pose, "init_shape": shape}
        kept = [
            self.variable("batch_stats", name, lambda row=row: jnp.asarray([row], jnp.float32))
            for name, row in rows.items()
        ]
        return kept[0].value, kept[1].value


class MeshRefiner(nn.Module):
    """Another method's body parameters, refined by E. Reads `initial` and `initial_beta`.

    form "mlp" (the paper's): E of a frame, with the initial prediction around it in 6D, through
    two hidden layers to a residual of pose and of shape, one shape for the clip. form "conv" (the
    official branch `refine`): E of a frame through one hidden layer, the initial pose through a
    convolution over 5 frames, both through another to a residual of the pose; shape stays.

    Attributes:
      bones, shapes, hidden, dropout: as MeshHead.
      form: "mlp" | "conv".
      span: mlp: how many frames of the initial prediction each frame sees, an odd number.
      use_representation: False takes E away (for comparisons).
      smooth: frames of a Savitzky-Golay window that the refined pose passes, an odd number: the
        network learns what comes out of it. 0: none, as published.
    """

    bones: int = 24
    shapes: int = 10
    hidden: int = 512
    dropout: float = 0.5
    form: str = "mlp"
    span: int = 1
    use_representation: bool = True
    smooth: int = 0

    @nn.compact
    def __call__(
        self,
        representation: jax.Array,
        train: bool = False,
        axis_name: str | None = None,
        *,
        initial: jax.Array,
        initial_beta: jax.Array,
    ) -> Prediction:
        """`initial` is the pose in 6D [N, T, 6 B], `initial_beta` [N, T, S]."""
        if self.form not in ("mlp", "conv") or self.span < 1 or self.span % 2 == 0:
            raise ValueError(
                f"got form {self.form!r} and span {self.span}, expected mlp or conv and an odd span"
            )
        clips, frames = representation.shape[:2]
        features = representation.astype(jnp.float32).reshape(clips, frames, -1)
        if not self.use_representation:
            features = jnp.zeros_like(features)
        features = nn.Dropout(self.dropout, deterministic=not train)(features)
        refine = self._mlp if self.form == "mlp" else self._convolve
        pose, shape = refine(features, initial, initial_beta, not train, axis_name)
        return prediction(calm(initial + pose, self.smooth), shape)

    def example_inputs(self, frames: int) -> dict[str, Any]:
        """Shapes of what it reads beside E, for one clip."""
        widths = {"initial": 6 * self.bones, "initial_beta": self.shapes}
        return {
            name: jax.ShapeDtypeStruct((1, frames, width), jnp.float32)
            for name, width in widths.items()
        }

    def _mlp(
        self,
        features: jax.Array,
        initial: jax.Array,
        beta: jax.Array,
        still: bool,
        axis_name: str | None,
    ) -> tuple[jax.Array, jax.Array]:
        clips, frames = features.shape[:2]
        known = [features, around(initial, self.span), beta]
        hidden = jnp.concatenate(known, axis=-1).reshape(clips * frames, -1)
        for number in (1, 2):
            hidden = linear(self.hidden, hidden.shape[-1], f"fc{number}")(hidden)
            hidden = nn.relu(BatchNorm(name=f"bn{number}")(hidden, still, axis_name))
        residual = small_linear(6 * self.bones + self.shapes, self.hidden, "residual")(hidden)
        residual = residual.reshape(clips, frames, -1)
        pose, shape = jnp.split(residual, [6 * self.bones], axis=-1)
        # Nobody changes shape within a clip: noise of given shapes would make all joints tremble.
        one = (beta + shape).mean(1, keepdims=True)
        return pose, jnp.broadcast_to(one, beta.shape)

    def _convolve(
        self,
        features: jax.Array,
        initial: jax.Array,
        beta: jax.Array,
        still: bool,
        axis_name: str | None,
    ) -> tuple[jax.Array, jax.Array]:
        def normalised(x: jax.Array, name: str) -> jax.Array:
            rows = x.reshape(-1, self.hidden)
            return nn.relu(BatchNorm(name=name)(rows, still, axis_name)).reshape(x.shape)

        inputs = features.shape[-1]
        seen = normalised(linear(self.hidden, inputs, "fc1")(features), "bn1")
        before = normalised(convolution(self.hidden, initial.shape[-1], "fc2")(initial), "bn2")
        both = jnp.concatenate([seen, before], axis=-1)
        pose = convolution(6 * self.bones, 2 * self.hidden, "head_pose", SMALL_GAIN)(both)
        return pose, beta


def prediction(six: jax.Array, beta: jax.Array) -> Prediction:
    """What every body head answers, from the pose in 6D [N, T, 6 B] and shape [N, T, S]."""
    turns = rotations.from_six(six.reshape(*six.shape[:-1], -1, 6), jnp)
    theta = rotations.to_vector(turns, jnp)
    return {"turns": turns, "theta": theta.reshape(*six.shape[:-1], -1), "beta": beta}


def around(values: jax.Array, span: int) -> jax.Array:
    """Every frame with its neighbours: [N, T, D] -> [N, T, span D]; the ends repeat."""
    half, frames = span // 2, values.shape[1]
    where = np.clip(np.arange(frames)[:, None] + np.arange(-half, half + 1), 0, frames - 1)
    return values[:, where].reshape(*values.shape[:2], -1)


def calm(values: jax.Array, window: int) -> jax.Array:
    """[N, T, D] through a Savitzky-Golay filter of second order over time; window 0: as it is."""
    if not window:
        return values
    answers = savitzky_golay(np.eye(values.shape[1]), window)  # to a pulse in each frame
    return jnp.einsum("st,ntd->nsd", jnp.asarray(answers, values.dtype), values)


def small_linear(features: int, inputs: int, name: str) -> nn.Dense:
    """A last layer: weights near 0 (Glorot with gain 0.01), bias as PyTorch's."""
    bound = inputs**-0.5
    return nn.Dense(
        features,
        dtype=jnp.float32,
        kernel_init=nn.initializers.variance_scaling(SMALL_GAIN**2, "fan_avg", "uniform"),
        bias_init=_uniform(bound),
        name=name,
    )


def convolution(features: int, inputs: int, name: str, gain: float = 1.0) -> nn.Conv:
    """A convolution over 5 frames, same length, initialised as PyTorch does, times `gain`."""
    bound = (SPAN * inputs) ** -0.5
    return nn.Conv(
        features,
        (SPAN,),
        dtype=jnp.float32,
        kernel_init=_uniform(gain * bound),
        bias_init=_uniform(gain * bound),
        name=name,
    )


def _uniform(bound: float) -> Any:
    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw
