"""One-shot action recognition (paper sec. 4.3 and appendix A.3).

    python -m dstformer_jax.main --config=configs/oneshot.py:finetune --workdir=runs/oneshot \
      --config.init_from=runs/pretrain

Accuracy on the novel classes is printed after every epoch. Variants, joined by commas:
  finetune  from runs/pretrain, runs/mocap on a small machine, or --config.init_from=..., the
            backbone at a tenth of the head's rate [the default]
  scratch   from random weights
  frozen    the backbone stays as it is
  ntu120    100 classes of NTU RGB+D 120 to learn from, 20 novel ones, the protocol's exemplars
            [the default]
  utd       UTD-MHAD on a small machine: 18 classes, every third one novel, random exemplars
  official  what the official code does where it differs from the paper
"""

from typing import Any

from ml_collections import ConfigDict

from configs import common
from configs.action import BACKBONE, clips, one_of, recognition, small, small_data

Settings = Any  # a ConfigDict, of whose values no type checker knows
HOW, WHERE = ("finetune", "scratch", "frozen"), ("ntu120", "utd")


def get_config(variant: str = "") -> ConfigDict:
    """The configuration of a variant."""
    names = common.variant_of(variant, (*HOW, *WHERE, "official"))
    how, where = one_of(names, HOW), one_of(names, WHERE)
    config: Settings = common.base()
    recognition(config)
    config.epochs = 50
    config.task = ConfigDict(
        {
            "name": "oneshot",
            "hidden": 2048,  # dimensions of the embedding
            "dropout": 0.1,
            "absent": "zeros",  # absent people: zeros, averaged in (official) | masked
            "temperature": 0.1,
            "base_temperature": 0.07,  # official factor; equal to temperature: the plain loss
            "exemplars": "",  # ntu120, or ids separated by commas; "": drawn
            "draws": 100,  # random sets of exemplars
        }
    )
    config.weights = ConfigDict({"contrastive": 1.0})
    if where == "utd":
        small(config)
        config.eval.every = 1
        small_data(config, "utd")
        config.sources.utd.update({"dataset": "utd_mhad/oneshot", "per_class": 2})
        config.eval.sources.utd.dataset = "utd_mhad/oneshot"
    else:
        _ntu(config)
    if how != "scratch":
        config.init_from = "runs/mocap" if where == "utd" else "runs/pretrain"
    if how == "finetune":
        config.optim.lr_mult = tuple((pattern, 0.1) for pattern in BACKBONE)
    elif how == "frozen":
        config.optim.freeze = BACKBONE
    if "official" in names:
        _official(config)
    return config


def _ntu(config: Settings) -> None:
    """Batches of 8 pairs (paper A.3); the novel split holds the exemplars too."""
    config.task.exemplars = "ntu120"
    config.sources.ntu = clips(
        "ntu_oneshot/default", "train", True, batch=16, per_class=2, persons=2
    )
    config.eval.sources.ntu = clips("ntu_oneshot/default", "test", False, persons=2)


def _official(config: Settings) -> None:
    """Where the official configs differ: 16 pairs a batch, 100 frames, two rates always."""
    if not config.optim.freeze:
        config.optim.lr_mult = tuple((pattern, 0.1) for pattern in BACKBONE)
    for settings in (*config.sources.values(), *config.eval.sources.values()):
        settings.frames = 100
    for settings in config.sources.values():
        settings.batch = 32
