"""Action recognition: which class of action a clip shows (paper sec. 3.4 and appendix A.3)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body.geometry import flip
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.models.heads_action import Absent
from dstformer_jax.tasks import losses, metrics
from dstformer_jax.tasks.base import Batch, Outputs, Reduce, Rows


@dataclass(frozen=True)
class Action:
    """Names the action of a clip.

    Args:
      terms: names of the loss terms to compute.
      num_classes: K; 0: as many as the data have.
      hidden: width of the head's hidden layer; 0: one linear layer, a linear probe.
      dropout: of the representation.
      absent: "zeros" averages absent people in (official), "masked" leaves them out.
      classes, clips: names in label order, and how tested clips are made; filled by `with_data`.
      skeleton: of the joints; set by `config.skeleton`.
    """

    terms: tuple[str, ...] = ("cross_entropy",)
    num_classes: int = 0
    hidden: int = 2048
    dropout: float = 0.5
    absent: Absent = "zeros"
    classes: tuple[str, ...] = ()
    clips: Source | None = None
    skeleton: Skeleton = H36M17
    head: str = "action"
    best: tuple[str, str] = ("top1", "max")

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.terms) - {"cross_entropy"}):
            raise ValueError(f"got weights.{unknown[0]}, expected cross_entropy")
        if self.absent not in ("zeros", "masked"):
            raise ValueError(f"got task.absent={self.absent!r}, expected 'zeros' or 'masked'")
        if self.num_classes < 0 or self.hidden < 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"got task.num_classes={self.num_classes}, hidden={self.hidden}, "
                f"dropout={self.dropout}, expected none negative and dropout below 1"
            )

    def with_data(self, train: Sequence[SourceData], tests: Sequence[SourceData]) -> "Action":
        """This task with the classes of the data.

        Raises:
          ValueError: a source without labels, a label out of range, one label of two names, or
            a class that is tested and never trained.
        """
        sources = [*train, *tests]
        names = class_names(sources, self.num_classes)
        check_trained(names, train, tests)
        clips = sources[len(train) if tests else 0].source
        return dataclasses.replace(self, num_classes=len(names), classes=names, clips=clips)

    @property
    def head_settings(self) -> dict[str, Any]:
        """Keyword arguments of the head."""
        return {
            "classes": self.num_classes,
            "hidden": self.hidden,
            "dropout": self.dropout,
            "absent": self.absent,
        }

    @property
    def info(self) -> dict[str, Any]:
        """What a checkpoint says of the task."""
        info: dict[str, Any] = {"classes": list(self.classes)}
        if self.clips:
            crop = self.clips.crop and list(self.clips.crop)
            frames, persons = self.clips.frames, self.clips.persons
            info["clips"] = {"frames": frames, "persons": persons, "crop": crop}
        return info

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """Further inputs of the head."""
        return {"present": batch["present"]} if self.absent == "masked" else {}

    def loss(
        self, outputs: Outputs, batch: Batch, supervision: str, reduce: Reduce
    ) -> dict[str, jax.Array]:
        """Cross-entropy of "label" batches."""
        if supervision != "label" or "cross_entropy" not in self.terms:
            return {}
        logits = outputs[self.head]
        return {"cross_entropy": losses.cross_entropy(logits, batch["label"], reduce.mean)}

    def diagnose(
        self, outputs: Outputs, batch: Batch, supervision: str, reduce: Reduce
    ) -> dict[str, jax.Array]:
        """Watched, not trained on: the share of training clips that are named right."""
        if supervision != "label":
            return {}
        return {"accuracy": reduce.mean(metrics.top_k(outputs[self.head], batch["label"]))}

    def measure(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
        """Class scores [B, K] and labels [B]."""
        return {"scores": outputs[self.head], "label": batch["label"]}

    def summarise(self, rows: Rows, index: dict[str, Any]) -> dict[str, float]:
        """Shares of clips named right: see `recognition_scores`."""
        return recognition_scores(rows["scores"], rows["label"], self.classes, index["window"])

    def mirror_input(self, batch: Batch) -> Batch:
        """The 2D motion seen in a mirror; only for classes that have no side."""
        return {**batch, "motion": flip(batch["motion"], self.skeleton, jnp)}

    def mirror(self, outputs: Outputs) -> Outputs:
        """The scores are what flip averaging averages."""
        return {self.head: outputs[self.head]}


def recognition_scores(
    scores: np.ndarray, labels: np.ndarray, classes: Sequence[str], clips: np.ndarray
) -> dict[str, float]:
    """Accuracy of N scored views of clips.

    Args:
      scores: [N, K].
      labels: int [N].
      classes: K names.
      clips: int [N], which clip each row is a view of: views of one clip are no independent
        trials, so the interval counts clips.

    Returns:
      top1, top5 (of more than 5 classes), mean_class (mean over classes), top1_low and top1_high
      (Wilson, 95 %), clips, and `top1/<class>` for every class that occurs.
    """
    right = metrics.top_k(scores, labels)
    trials = len(np.unique(clips))
    top1 = float(right.mean())
    low, high = metrics.wilson_interval(top1 * trials, trials)
    each = {k: float(right[labels == k].mean()) for k in np.unique(labels).tolist()}
    top5 = {}
    if scores.shape[1] > 5:
        top5 = {"top5": float(metrics.top_k(scores, labels, 5).mean())}
    return {
        "top1": top1,
        **top5,
        "mean_class": float(np.mean(list(each.values()))),
        "top1_low": low,
        "top1_high": high,
        "clips": float(trials),
        **{f"top1/{classes[k]}": share for k, share in each.items()},
    }


def class_names(sources: Sequence[SourceData], num_classes: int = 0) -> tuple[str, ...]:
    """Names of the classes 0 .. K-1 of some labelled sources; an unnamed one is its number.

    Raises:
      ValueError: a source that is not labelled, a label of K or above, one of two names, or one
        name of two labels.
    """
    names: dict[int, str] = {}
    owners: dict[str, int] = {}
    for data in sources:
        where = f"source {data.source.name!r}"
        if data.source.supervision != "label":
            raise ValueError(
                f"got {where} with supervision {data.source.supervision!r}, expected 'label'"
            )
        for row in data.bank.sequences:
            label, name = int(row["label"]), row["action"] or str(row["label"])
            if label < 0 or (num_classes and label >= num_classes):
                raise ValueError(
                    f"got label {label} of {row['id']!r} in {where}, expected 0 to "
                    f"{num_classes - 1} (task.num_classes); do set it to 0 to count the classes"
                )
            if names.setdefault(label, name) != name or owners.setdefault(name, label) != label:
                raise ValueError(
                    f"got label {label} called {name!r} in {where}, expected "
                    f"{names[label]!r} with label {owners.get(name, label)} as before; do prepare "
                    "all splits with one class list"
                )
    count = num_classes or max(names) + 1
    return tuple(names.get(label, str(label)) for label in range(count))


def check_trained(
    names: Sequence[str], train: Sequence[SourceData], tests: Sequence[SourceData]
) -> None:
    """Raises ValueError for a class that is tested and has no training clip."""
    trained = set(np.concatenate([data.labels for data in train]).tolist())
    for data in tests:
        if missing := sorted(set(data.labels.tolist()) - trained):
            raise ValueError(
                f"got class {names[missing[0]]!r} in source {data.source.name!r} "
                f"({len(missing)} such), expected training clips of it; do check the splits"
            )
