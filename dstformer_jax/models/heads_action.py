"""Heads of recognition: action classes and action embeddings from the motion representation E.

Axes: B clips, M people, T frames, J joints, C channels of E, K classes.
"""

from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from dstformer_jax.models.batch_norm import BatchNorm

Absent = Literal["zeros", "masked"]


class ActionHead(nn.Module):
    """Class scores (logits) of a clip. E [B, M, T, J, C] or [B, T, J, C] -> [B, K], float32.

    Dropout, mean over frames, joints flattened, mean over people; then linear, batch
    normalisation, ReLU, linear. Source: paper appendix A.3; official ActionHeadClassification.

    Attributes:
      classes: K.
      hidden: width between the two linear layers; 0: one linear layer alone, a linear probe.
      dropout: of E.
      absent: "zeros" averages every person in, also those whose input is all zeros (official);
        "masked" averages the people that are `present`.
    """

    people: ClassVar[bool] = True  # its input has an axis of people
    classes: int
    hidden: int = 2048
    dropout: float = 0.5
    absent: Absent = "zeros"

    @nn.compact
    def __call__(
        self,
        representation: jax.Array,
        train: bool = False,
        axis_name: str | None = None,
        present: jax.Array | None = None,
    ) -> jax.Array:
        """`present` is bool [B, M], needed with absent="masked"."""
        dropped = nn.Dropout(self.dropout, deterministic=not train)(representation)
        pooled = pool(dropped, _who_counts(self.absent, present))
        if self.hidden:
            hidden = linear(self.hidden, pooled.shape[-1], "fc1")(pooled)
            pooled = nn.relu(BatchNorm(name="bn")(hidden, not train, axis_name))
        return linear(self.classes, pooled.shape[-1], "fc2")(pooled)


class EmbeddingHead(nn.Module):
    """Unit vectors to compare clips by. E [B, M, T, J, C] or [B, T, J, C] -> [B, D], float32.

    Source: paper appendix A.3; official ActionHeadEmbed (hidden 2048, dropout 0.1). The
    attributes are those of ActionHead, with `hidden` = D.
    """

    people: ClassVar[bool] = True  # its input has an axis of people
    hidden: int = 2048
    dropout: float = 0.1
    absent: Absent = "zeros"

    @nn.compact
    def __call__(
        self,
        representation: jax.Array,
        train: bool = False,
        axis_name: str | None = None,
        present: jax.Array | None = None,
    ) -> jax.Array:
        """`present` is bool [B, M], needed with absent="masked"."""
        del axis_name  # no statistics of the batch
        dropped = nn.Dropout(self.dropout, deterministic=not train)(representation)
        pooled = pool(dropped, _who_counts(self.absent, present))
        return unit(linear(self.hidden, pooled.shape[-1], "fc1")(pooled))


def pool(representation: jax.Array, present: jax.Array | None = None) -> jax.Array:
    """Mean of E over frames and people, joints side by side.

    Args:
      representation: [B, M, T, J, C], or [B, T, J, C] of one person.
      present: bool [B, M], the people that count; None: all. A clip of nobody gives zeros.

    Returns:
      [B, J * C] float32.
    """
    if representation.ndim == 4:
        representation = representation[:, None]
    people = representation.astype(jnp.float32).mean(axis=2)  # [B, M, J, C]
    people = people.reshape(*people.shape[:2], -1)
    if present is None:
        return people.mean(axis=1)
    weight = present.astype(jnp.float32)[..., None]
    return (people * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1.0)


def unit(vectors: jax.Array, epsilon: float = 1e-12) -> jax.Array:
    """Vectors [..., D] over their length, as torch's `normalize`; the gradient at 0 is finite."""
    square = jnp.sum(vectors * vectors, axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.where(square > 0, square, 1.0))
    return vectors / jnp.maximum(jnp.where(square > 0, length, 0.0), epsilon)


def linear(features: int, inputs: int, name: str) -> nn.Dense:
    """A linear layer initialised as PyTorch does: weights and bias U(-b, b), b = inputs^-0.5."""
    bound = inputs**-0.5

    def draw(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return nn.Dense(features, dtype=jnp.float32, kernel_init=draw, bias_init=draw, name=name)


def _who_counts(absent: str, present: jax.Array | None) -> jax.Array | None:
    """The mask of people, or None where all count."""
    if absent == "zeros":
        return None
    if absent != "masked":
        raise ValueError(f"got task.absent={absent!r}, expected 'zeros' (official) or 'masked'")
    return present
