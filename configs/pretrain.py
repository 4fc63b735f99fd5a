"""Pretraining: lift corrupted 2D skeletons to 3D (paper sec. 3.3, appendix A.1).

    python -m dstformer_jax.main --config=configs/pretrain.py --workdir=runs/pretrain

Variants, joined by commas (`configs/pretrain.py:lite,official`):
  (none)    the paper's recipe on Human3.6M, AMASS, PoseTrack and InstaVariety; means as losses
  lite      MotionBERT-Lite
  official  what the official code does where it differs from the paper
  paper     the paper's equations to the letter: sums, Adam, no scale term, post-norm
  mocap     a free run on the BVH motion that `make mocap-data` prepares, for a small machine
  clean     without masks and noise, the other arm of the comparison
  demo      the three-minute run of `make demo` on synthetic people
"""

from ml_collections import ConfigDict

from configs import common
from configs.common import source

MOCAP = ("cmu_mocap", "cmu_mocap_more", "hdm05_actions")
VARIANTS = ("lite", "official", "paper", "mocap", "clean", "demo")


def get_config(variant: str = "") -> ConfigDict:
    """The pretraining configuration of a variant."""
    names = common.variant_of(variant, VARIANTS)
    config = common.base()
    if "demo" in names:
        _demo(config)
    elif "mocap" in names:
        _mocap(config)
    else:
        _paper_data(config)
    if "lite" in names:
        config.model.size = common.LITE
    if "official" in names:
        _official(config)
    if "paper" in names:
        _letter(config)
    if "clean" in names:
        for settings in config.sources.values():
            settings.mask = settings.noise = False
    return config


def _paper_data(config: ConfigDict) -> None:
    """The paper's sources: 3D for 30 epochs, then 3D and 2D for 60."""
    corrupted = {"mask": True, "noise": True, "flip": True}
    joined = {"supervision": "2d", "input": "motion", "epochs": (30, -1), "flip": True}
    config.sources.human36m = source("human36m/default", **corrupted)
    config.sources.amass = source("amass/default", scale=0.298, **corrupted)
    config.sources.posetrack = source(
        "posetrack18/default",
        frames=30,
        stride=30,
        crop=(0.25, 1.0),
        mask=True,
        noise=True,
        **joined,
    )
    config.sources.instavariety = source(
        "instavariety/default", frames=81, stride=27, crop=(0.25, 1.0), mask=True, **joined
    )
    config.eval.sources.human36m = source(
        "human36m/default", split="test", stride=243, input="motion"
    )


def _official(config: ConfigDict) -> None:
    """Where the official code differs from the paper: batch-shared frame mask, pass after pass."""
    config.data.shared = True
    config.data.order = "sequential"


def _letter(config: ConfigDict) -> None:
    """The paper's equations: sums over frames and joints, Adam, no n_mpjpe, post-norm."""
    config.task.reduction = "sum"
    config.weights.n_mpjpe = 0.0
    config.optim.name = "adam"
    config.optim.weight_decay = 0.0
    config.model.norm = "post"


def _mocap(config: ConfigDict) -> None:
    """Real motion on two CPU cores: narrow network, short windows first, a schedule that ends.

    Nine-frame windows come first: many independent poses a step leave the zero-depth plateau.
    Expected numbers and the commands that print them: docs/results.md.
    """
    config.epochs = 13
    config.log_every = 50
    config.data.path = "data/mocap"
    config.model.update({"size": common.DEMO, "depth": 3, "num_heads": 4, "maxlen": 81})
    config.model.init = "fan_in"
    config.optim.update({"name": "muon", "learning_rate": 1e-2, "schedule": "cosine"})
    config.optim.update({"warmup": 100, "final": 0.02})
    config.checkpoint.every = 200
    config.eval.every = 4
    views = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0), "fixed": False}
    drawn = {"views": views, "crop": (1.0, 1.0), "mask": True, "noise": True, "flip": True}
    for name in MOCAP:
        config.sources[f"{name}_short"] = source(
            f"bvh/{name}", frames=9, stride=9, batch=32, epochs=(0, 7), **drawn
        )
        config.sources[name] = source(
            f"bvh/{name}", frames=27, stride=18, batch=16, epochs=(7, -1), **drawn
        )
    video = {"supervision": "2d", "input": "motion", "crop": (1.0, 1.0)}
    config.sources.openpose = source(
        "keypoints2d/openpose",
        frames=27,
        stride=9,
        batch=16,
        mask=True,
        flip=True,
        epochs=(9, -1),
        **video,
    )
    padded = {
        "split": "test",
        "frames": 27,
        "stride": 27,
        "batch": 16,
        "short": "pad",
        "tail": "pad",
    }
    fixed = {"yaw": (0.0, 90.0, 180.0, 270.0), "pitch": (10.0,), "fixed": True}
    for name in MOCAP:
        config.eval.sources[name] = source(f"bvh/{name}", views=fixed, crop=(1.0, 1.0), **padded)
    config.eval.sources.openpose = source("keypoints2d/openpose", **video, **padded)


def _demo(config: ConfigDict) -> None:
    """Synthetic people seen from the front: learns visibly within three minutes on two cores."""
    config.epochs = 10
    config.log_every = 20
    config.model.update({"size": common.DEMO, "maxlen": 27, "init": "fan_in"})
    config.optim.update({"learning_rate": 2e-3, "schedule": "cosine", "warmup": 20})
    views = {"yaw": (-30.0, 30.0), "pitch": (0.0, 10.0), "fixed": False}
    config.sources.synthetic = source(
        "synthetic/default",
        frames=27,
        stride=27,
        batch=32,
        views=views,
        crop=(1.0, 1.0),
        mask=True,
        noise=True,
        flip=True,
    )
    config.eval.sources.synthetic = source(
        "synthetic/default",
        split="test",
        frames=27,
        stride=27,
        batch=32,
        crop=(1.0, 1.0),
        views={"yaw": (-20.0, 20.0), "pitch": (5.0,), "fixed": True},
    )
