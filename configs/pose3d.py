"""3D pose from detected 2D motion (paper sec. 4.2): from scratch or finetuned.

    python -m dstformer_jax.main --config=configs/pose3d.py:finetune --workdir=runs/pose3d \
      --config.init_from=runs/pretrain

Variants, joined by commas (`configs/pose3d.py:finetune,global`):
  scratch   (the default) Human3.6M, 60 epochs at 2e-4, batches of 32
  finetune  30 epochs from runs/pretrain (--config.init_from=...), one rate for all parameters
  gt2d      true 2D input, and its x and y in the scored answer
  lite      MotionBERT-Lite
  global    targets keep the way of the root: x, y as seen, depth from the first frame's root
  official  what the official code does where it differs from the paper: 120 and 60 epochs
  score     scores the frames after a video's last full window too (official: never scored)
  mocap     the same on free motion seen by a simulated detector (launch/prepare_detected.sh),
            minutes on one core; scratch and finetune with the same budget
"""

from typing import Any

from ml_collections import ConfigDict

from configs import common
from configs.common import source

Settings = Any  # a ConfigDict, of whose values no type checker knows
VARIANTS = ("scratch", "finetune", "gt2d", "lite", "global", "official", "score", "mocap")
FILMED = ("cmu_mocap", "cmu_mocap_more")  # below detected_bvh/


def get_config(variant: str = "") -> ConfigDict:
    """The 3D pose configuration of a variant."""
    names = common.variant_of(variant, VARIANTS)
    if "scratch" in names and "finetune" in names:
        raise ValueError("got variants scratch and finetune, expected one of them")
    config: Settings = common.base()
    (_mocap if "mocap" in names else _human36m)(config, "finetune" in names)
    if "lite" in names:
        config.model.size = common.LITE
    if "official" in names:
        _official(config, names)
    if "global" in names:
        config.task.root_relative = False
    if "gt2d" in names:
        _true_2d(config)
    if "score" in names:
        config.eval.tail = "score"
    return config


def _human36m(config: Settings, finetunes: bool) -> None:
    """Detected 2D of Human3.6M, windows of 243 frames."""
    config.epochs = 30 if finetunes else 60
    config.optim.learning_rate = 2e-4
    if finetunes:
        config.init_from = "runs/pretrain"
    detected = {"input": "motion", "batch": 32}
    config.sources.human36m = source("human36m/default", flip=True, **detected)
    config.eval.sources.human36m = source("human36m/default", split="test", stride=243, **detected)


def _official(config: Settings, names: tuple[str, ...]) -> None:
    """Twice the epochs; the lite network with global targets at 5e-4; every 30th epoch stays."""
    config.epochs = 60 if "finetune" in names else 120
    config.checkpoint.archive = 30
    if {"lite", "global"} <= set(names):
        config.optim.learning_rate = 5e-4


def _true_2d(config: Settings) -> None:
    """The x and y of the answer as input, with confidence 1."""
    config.task.true_2d = True
    for settings in (*config.sources.values(), *config.eval.sources.values()):
        settings.input = "pose"


def _mocap(config: Settings, finetunes: bool) -> None:
    """Five minutes of motion in 13 minutes of takes; the network of `pretrain.py:mocap`.

    Nine-frame windows come first, as in pretraining, in both arms: their budgets are the same.
    """
    config.epochs = 5
    config.log_every = 20
    config.data.path = "data/mocap"
    config.model.update({"size": common.DEMO, "depth": 3, "num_heads": 4, "maxlen": 81})
    config.optim.update({"name": "muon", "learning_rate": 1e-2, "schedule": "cosine"})
    config.optim.update({"warmup": 20, "final": 0.02})
    config.eval.every = 5
    config.eval.flip = False
    if finetunes:
        config.init_from = "runs/mocap"
        config.optim.learning_rate = 3e-3
    detected = {"input": "motion"}
    config.sources.short = source(
        "detected_bvh/cmu_mocap", frames=9, stride=9, batch=32, epochs=(0, 2), flip=True, **detected
    )
    config.sources.long = source(
        "detected_bvh/cmu_mocap", frames=27, stride=18, batch=16, epochs=(2, -1), flip=True,
        **detected,
    )  # fmt: skip
    for name in FILMED:
        config.eval.sources[name] = source(
            f"detected_bvh/{name}", split="test", frames=27, stride=27, batch=16, **detected
        )
    config.eval.groups.detected = FILMED
