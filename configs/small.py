"""The small arms of the paper's tables and figures: a few minutes each on one core.

    python -m dstformer_jax.reproduce table5 --data=data/front --workdir=runs/small

Every arm trains the same narrow network on three-frame windows of free motion that a simulated
camera has filmed from within 30 degrees of the front and a simulated detector has seen with half
its usual faults (docs/reproduce.md has the commands). One of these, and what follows it:
  pose      3D pose from detections; --config.init_from=... finetunes (at a third of the rate:
            `finetune`)
  pretrain  3D pose from true 2D of other motion, scored on the detections of `pose`; with
            noise, mask, and video (OpenPose video beside the motion), as in Table 5
"""

from typing import Any

from ml_collections import ConfigDict

from configs import common
from configs.common import source
from configs.pose3d import FILMED

Settings = Any  # a ConfigDict, of whose values no type checker knows
VARIANTS = ("pose", "finetune", "pretrain", "noise", "mask", "video")
RATE = 2e-2
# At Muon's rate the fusion of a level would be down to one of its streams after some dozen steps.
SLOW_FUSION = (("*fusion*", 0.02),)


def get_config(variant: str = "pose") -> ConfigDict:
    """The configuration of an arm."""
    names = common.variant_of(variant, VARIANTS)
    if ("pose" in names) == ("pretrain" in names):
        raise ValueError(f"got variant {variant!r}, expected pose or pretrain among it")
    config: Settings = common.base()
    config.log_every = 20
    config.data.update({"path": "data/mocap", "feed": "numpy"})
    config.model.update({"size": common.DEMO, "dim_feat": 64, "dim_rep": 64, "depth": 3})
    config.model.update({"num_heads": 2, "maxlen": 27})
    config.optim.update({"name": "muon", "learning_rate": RATE, "schedule": "cosine"})
    config.optim.update({"warmup": 10, "final": 0.02, "lr_mult": SLOW_FUSION})
    config.checkpoint.keep = 1
    _pose(config, names) if "pose" in names else _pretraining(config, names)
    return config


def _pose(config: Settings, names: tuple[str, ...]) -> None:
    """Four passes over the detected takes, measured after every other."""
    config.epochs = 4
    config.eval.every = 2
    config.sources.detected = source("detected_bvh/cmu_mocap", input="motion", **_windows("train"))
    config.eval.at_start = True
    if "finetune" in names:
        config.optim.learning_rate = RATE / 3
    _measure(config)


def _pretraining(config: Settings, names: tuple[str, ...]) -> None:
    """A pass over motion of other people, and over videos."""
    config.epochs = 1
    corrupted = {"mask": "mask" in names, "noise": "noise" in names}
    config.sources.motion = source("detected_bvh/cmu_mocap_more", **_windows("train"), **corrupted)
    if "video" in names:
        video = {"supervision": "2d", "input": "motion", "crop": (1.0, 1.0)}
        windows = {**_windows("train"), "mask": "mask" in names}
        config.sources.video = source("keypoints2d/openpose", **video, **windows)
    _measure(config)


def _windows(split: str) -> dict[str, Any]:
    """Three frames, ten times in a take: many steps are worth more here than long windows."""
    return {"split": split, "frames": 3, "stride": 9, "batch": 32, "flip": split == "train"}


def _measure(config: Settings) -> None:
    """Detections of people who were not trained on."""
    config.eval.flip = False
    for name in FILMED:
        config.eval.sources[name] = source(
            f"detected_bvh/{name}", input="motion", **_windows("test")
        )
    config.eval.groups.detected = FILMED
    config.eval.best = "detected"
