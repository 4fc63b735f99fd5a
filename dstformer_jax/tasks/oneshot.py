"""One-shot action recognition: one example of each new class, nearest by cosine (paper A.3)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body.geometry import flip
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.data.sources import SourceData
from dstformer_jax.models.heads_action import Absent
from dstformer_jax.tasks import losses, metrics
from dstformer_jax.tasks.action import class_names
from dstformer_jax.tasks.base import Batch, Outputs, Reduce, Rows

# The 20 exemplars of the NTU RGB+D 120 protocol (Liu et al. 2019).
NTU120_EXEMPLARS = (
    *(f"S001C003P008R001A{action:03d}" for action in range(1, 61, 6)),
    *(f"S018C003P008R001A{action:03d}" for action in range(61, 121, 6)),
)


@dataclass(frozen=True)
class OneShot:
    """Learns embeddings in which clips of one class lie together, also of unseen classes.

    Args:
      terms: names of the loss terms to compute.
      hidden: dimensions of the embedding.
      dropout: of the representation, in training only (the official evaluation forgets to switch
        it off).
      absent: "zeros" averages absent people in (official), "masked" leaves them out.
      temperature, base_temperature: see `losses.supervised_contrastive`.
      exemplars: "ntu120" for the protocol's, or ids of sequences separated by commas; "" draws
        them at random.
      draws: random sets of exemplars that the accuracy is averaged over.
      skeleton: of the joints; set by `config.skeleton`.
    """

    terms: tuple[str, ...] = ("contrastive",)
    hidden: int = 2048
    dropout: float = 0.1
    absent: Absent = "zeros"
    temperature: float = 0.1
    base_temperature: float = 0.07
    exemplars: str = ""
    draws: int = 100
    classes: tuple[str, ...] = ()
    skeleton: Skeleton = H36M17
    head: str = "embedding"
    best: tuple[str, str] = ("top1", "max")

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.terms) - {"contrastive"}):
            raise ValueError(f"got weights.{unknown[0]}, expected contrastive")
        if self.temperature <= 0 or self.base_temperature <= 0 or self.draws < 1:
            raise ValueError(
                f"got task.temperature={self.temperature}, base_temperature="
                f"{self.base_temperature}, draws={self.draws}, expected positive numbers"
            )

    def with_data(self, train: Sequence[SourceData], tests: Sequence[SourceData]) -> "OneShot":
        """This task with the names of the training classes.

        Raises:
          ValueError: a novel class that is trained on, exemplars that are not there, or novel
            classes with a single clip.
        """
        for data in tests:
            class_names([data])  # refuses what is not labelled
            check_novel(data, train)
            check_exemplars(data, exemplar_ids(self.exemplars))
        return dataclasses.replace(self, classes=class_names(train))

    @property
    def head_settings(self) -> dict[str, Any]:
        """Keyword arguments of the head."""
        return {"hidden": self.hidden, "dropout": self.dropout, "absent": self.absent}

    @property
    def info(self) -> dict[str, Any]:
        """What a checkpoint says of the task."""
        return {"classes": list(self.classes)}

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """Further inputs of the head."""
        return {"present": batch["present"]} if self.absent == "masked" else {}

    def loss(
        self, outputs: Outputs, batch: Batch, supervision: str, reduce: Reduce
    ) -> dict[str, jax.Array]:
        """The contrastive loss over the clips of all devices."""
        if supervision != "label" or "contrastive" not in self.terms:
            return {}
        features, labels = reduce.gather(outputs[self.head]), reduce.gather(batch["label"])
        value = losses.supervised_contrastive(
            features, labels, self.temperature, self.base_temperature
        )
        return {"contrastive": value}

    def measure(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
        """Embeddings [B, D] and labels [B]."""
        return {"embedding": outputs[self.head], "label": batch["label"]}

    def summarise(self, rows: Rows, index: dict[str, Any]) -> dict[str, float]:
        """Accuracy with the chosen exemplars, or the mean over random ones: `one_shot_scores`."""
        chosen = exemplar_ids(self.exemplars)
        ids = np.asarray(index["sequence"])
        sets = (
            [np.flatnonzero(np.isin(ids, chosen))]
            if chosen
            else random_exemplars(rows["label"], self.draws)
        )
        return one_shot_scores(rows["embedding"], rows["label"], np.asarray(index["action"]), sets)

    def mirror_input(self, batch: Batch) -> Batch:
        """The 2D motion seen in a mirror; only for classes that have no side."""
        return {**batch, "motion": flip(batch["motion"], self.skeleton, jnp)}

    def mirror(self, outputs: Outputs) -> Outputs:
        """The embeddings are what flip averaging averages."""
        return {self.head: outputs[self.head]}


def one_shot_scores(
    embeddings: np.ndarray,
    labels: np.ndarray,
    names: np.ndarray,
    sets: Sequence[np.ndarray],
) -> dict[str, float]:
    """Accuracy of naming every clip by its nearest exemplar, averaged over sets of exemplars.

    Args:
      embeddings: [N, D].
      labels: int [N].
      names: of the classes, text [N].
      sets: rows of the exemplars; they are not scored.

    Returns:
      top1; with several sets its standard deviation over them, `top1_deviation`, else the Wilson
      interval, top1_low and top1_high; clips (scored), classes; `top1/<class>`.
    """
    right = np.zeros((len(sets), len(labels)))
    scored = np.ones((len(sets), len(labels)), bool)
    for number, rows in enumerate(sets):
        predicted = metrics.nearest_exemplar(embeddings, embeddings[rows], labels[rows])
        right[number], scored[number, rows] = predicted == labels, False
    shares = (right * scored).sum(axis=1) / scored.sum(axis=1)
    clips = float(scored.sum(axis=1).mean())
    out = {"top1": float(shares.mean()), "clips": clips, "classes": float(len(np.unique(labels)))}
    if len(sets) > 1:
        out["top1_deviation"] = float(shares.std(ddof=1))
    else:
        out["top1_low"], out["top1_high"] = metrics.wilson_interval(shares[0] * clips, int(clips))
    for name in np.unique(names):
        here = scored[:, names == name]
        out[f"top1/{name}"] = float((right[:, names == name] * here).sum() / here.sum())
    return out


def random_exemplars(labels: np.ndarray, draws: int, seed: int = 0) -> list[np.ndarray]:
    """`draws` sets of one random row of each label; the same for every call."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [np.array([rng.choice(rows) for rows in members]) for _ in range(draws)]


def exemplar_ids(text: str) -> tuple[str, ...]:
    """The ids that `task.exemplars` means; none: draw them."""
    if text == "ntu120":
        return NTU120_EXEMPLARS
    return tuple(name.strip() for name in text.split(",") if name.strip())


def check_novel(data: SourceData, train: Sequence[SourceData]) -> None:
    """Raises ValueError for a class of a test source that is also trained on."""

    def names(data: SourceData) -> set[str]:
        return {row["action"] or str(row["label"]) for row in data.bank.sequences}

    if shared := sorted(names(data) & set().union(*map(names, train))):
        raise ValueError(
            f"got class {shared[0]!r} both in training and in source {data.source.name!r}, "
            "expected novel classes to test one-shot recognition; do check the splits"
        )


def check_exemplars(data: SourceData, chosen: Sequence[str]) -> None:
    """Raises ValueError unless every novel class has one exemplar, or two clips to draw from."""
    where = f"source {data.source.name!r}"
    labels = data.labels
    if not chosen:
        values, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2:
            raise ValueError(
                f"got one clip of label {values[counts.argmin()]} in {where}, expected two or "
                "more: an exemplar and a clip to name"
            )
        return
    ids = [row["id"] for row in data.bank.sequences]
    if missing := [name for name in chosen if name not in ids]:
        raise ValueError(
            f"got {where} without exemplar {missing[0]!r} ({len(missing)} missing), expected "
            "task.exemplars among its sequences"
        )
    seen = sorted(labels[ids.index(name)] for name in chosen)
    if seen != np.unique(labels).tolist():
        raise ValueError(
            f"got exemplars of labels {seen} for {where}, expected one of each of "
            f"{np.unique(labels).tolist()}; do change task.exemplars"
        )
