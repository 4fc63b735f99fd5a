"""Action recognition (paper sec. 4.3 and appendix A.3): NTU RGB+D, and real sets of a small size.

    python -m dstformer_jax.main --config=configs/action.py:finetune,xsub --workdir=runs/ntu \
      --config.init_from=runs/pretrain

Variants, joined by commas. How to train (one of):
  finetune  from runs/pretrain, runs/mocap on a small machine, or --config.init_from=..., the
            backbone at a tenth of the head's rate [the default]
  scratch   from random weights
  frozen    the backbone stays as it is, the head learns
  probe     likewise, and the head is one linear layer
On what (one of):
  xsub, xview   NTU RGB+D 60, by people [the default] or by cameras
  ntu120        NTU RGB+D 120 by people
  mine          your own clips: --config.data.path=DIR of `prepare --dataset=labelled_keypoints`
  hdm05, utd, bandai   real motion capture, 11, 27 and 10 classes, on a small machine
Besides:
  official  what the official code does where it differs from the paper. Its confidences in COCO
            order (issue 132) are `prepare --dataset=ntu --name=official --official_confidence`,
            chosen by --config.sources.ntu.dataset=ntu/official (and likewise eval.sources.ntu);
            its moves that add up over the epochs are --config.sources.ntu.accumulate=True

Own classes in NTU's place: --config.task.num_classes=0 counts those of the data.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import common
from configs.common import source

Settings = Any  # a ConfigDict, of whose values no type checker knows
HOW = ("finetune", "scratch", "frozen", "probe")
WHERE = ("xsub", "xview", "ntu120", "mine", "hdm05", "utd", "bandai")
SMALL = ("mine", "hdm05", "utd", "bandai")
BACKBONE = ("backbone/*",)


def get_config(variant: str = "") -> ConfigDict:
    """The configuration of a variant."""
    names = common.variant_of(variant, (*HOW, *WHERE, "official"))
    how, where = one_of(names, HOW), one_of(names, WHERE)
    config: Settings = common.base()
    recognition(config)
    config.task = ConfigDict(
        {
            "name": "action",
            "num_classes": 0,  # 0: as many as the data have
            "hidden": 2048,  # 0: one linear layer
            "dropout": 0.5,
            "absent": "zeros",  # absent people: zeros, averaged in (official) | masked
        }
    )
    config.weights = ConfigDict({"cross_entropy": 1.0})
    if where in ("hdm05", "utd", "bandai"):
        small(config)
        small_data(config, where)
    elif where == "mine":
        small(config)
        _mine(config)
    else:
        _ntu(config, where)
    _how(config, how)
    if how != "scratch":
        config.init_from = "runs/mocap" if where in SMALL else "runs/pretrain"
    if "official" in names:
        _official(config, how)
    return config


def one_of(names: tuple[str, ...], choices: tuple[str, ...]) -> str:
    """The one of some alternatives that a variant names, the first when it names none."""
    chosen = [name for name in names if name in choices]
    if len(chosen) > 1:
        raise ValueError(f"got variants {', '.join(chosen)}, expected one of {', '.join(choices)}")
    return chosen[0] if chosen else choices[0]


def recognition(config: Settings) -> None:
    """What every recognition task shares: labels have a side, so nothing is mirrored."""
    config.eval.flip = False
    config.epochs = 200
    config.optim.update({"learning_rate": 1e-3, "lr_decay": 0.99})


def clips(dataset: str, split: str, train: bool, **settings: Any) -> ConfigDict:
    """Whole clips of a labelled dataset, resampled to T; randomly moved and scaled in training."""
    crop = (1.0, 3.0) if train else (2.0, 2.0)
    fields = {"input": "motion", "batch": 32, "crop": crop, "move": train, **settings}
    return source(dataset, split=split, supervision="label", window="whole", **fields)


def _ntu(config: Settings, where: str) -> None:
    """NTU RGB+D 60 or 120 from PYSKL's pickles; two people."""
    large = where == "ntu120"
    config.task.num_classes = 120 if large else 60
    dataset, split = ("ntu/ntu120", "xsub") if large else ("ntu/ntu60", where)
    config.sources.ntu = clips(dataset, f"{split}_train", True, persons=2)
    config.eval.sources.ntu = clips(dataset, f"{split}_val", False, persons=2)


def _how(config: Settings, how: str) -> None:
    """Rates and what is frozen. Paper A.3: 1e-3 from scratch, 1e-4 and 1e-3 when finetuning."""
    if how == "finetune":
        config.optim.lr_mult = tuple((pattern, 0.1) for pattern in BACKBONE)
    elif how != "scratch":
        config.optim.freeze = BACKBONE
    if how == "probe":
        config.task.hidden = 0


def _official(config: Settings, how: str) -> None:
    """Where the official configs differ: 300 epochs; from scratch 1e-4 for all parameters."""
    config.epochs = 300
    if how == "scratch":
        config.optim.learning_rate = 1e-4


def small(config: Settings) -> None:
    """The network of pretrain.py:mocap and a short schedule, minutes on one core."""
    config.epochs = 8
    config.log_every = 20
    config.model.update({"size": common.DEMO, "depth": 3, "num_heads": 4, "maxlen": 81})
    config.task.hidden = 256
    config.optim.update({"name": "muon", "learning_rate": 1e-2, "schedule": "cosine"})
    config.optim.update({"warmup": 10, "final": 0.02})
    config.eval.every = 4


def small_data(config: Settings, where: str) -> None:
    """The real sets: HDM05 and Bandai-Namco from drawn sides, UTD-MHAD from the front.

    --config.sources.hdm05.split=without_bd --config.eval.sources.hdm05.split=only_bd tests
    another of HDM05's people than mm.
    """
    config.data.path = "data/actions"
    drawn = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0), "fixed": False}
    fixed = {"yaw": (0.0, 90.0, 180.0, 270.0), "pitch": (10.0,), "fixed": True}
    if where == "utd":
        drawn = fixed = {"yaw": (0.0,), "pitch": (0.0,), "fixed": True}
    dataset = "utd_mhad/default" if where == "utd" else f"labelled_bvh/{where}"
    fields = {"frames": 16, "batch": 16, "input": "pose", "crop": (1.0, 1.0), "move": False}
    config.sources[where] = clips(dataset, "train", True, **{**fields, "views": drawn})
    config.eval.sources[where] = clips(dataset, "test", False, **{**fields, "views": fixed})


def _mine(config: Settings) -> None:
    """Own clips of one person in 2D, cropped to the person as in pretraining."""
    config.data.path = "data/mine"
    fields = {"frames": 27, "batch": 16, "crop": (1.0, 1.0), "move": False}
    dataset = "labelled_keypoints/default"
    config.sources.mine = clips(dataset, "train", True, **{**fields, "crop": (1.0, 1.3)})
    config.eval.sources.mine = clips(dataset, "test", False, **fields)
