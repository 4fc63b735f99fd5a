"""Human mesh recovery (paper sec. 4.4): SMPL, or another body on a small machine.

    python -m dstformer_jax.main --config=configs/mesh.py:finetune,h36m --workdir=runs/mesh \
      --config.init_from=runs/pretrain

Variants, joined by commas. How to train (one of):
  finetune  from --config.init_from, the backbone at a tenth of the head's rate [the default]
  scratch   from random weights, one rate for all
  frozen    the backbone stays as it is, the head learns
On what (one of):
  h36m      Human3.6M [the default]
  3dpw      3DPW for 60 epochs, COCO beside it and Human3.6M in the first 20; best by 3DPW
  body      a free body (CC0) on free motion capture, minutes on one core
Besides:
  refine    refines another method's answer (initial_theta, initial_beta of the data) by E
  official  what the official code does where it differs from the paper: width 1024, sources one
            after the other, 100 epochs of Human3.6M from scratch; of refine the convolutional head
  paper     the paper's equations: L1 on joints and on theta, norms of theta and beta apart; Adam

--config.task.body=PATH is the body: the official folder data/mesh, or an .npz (docs/mesh.md).
--mode=eval --config.eval.write=DIR writes theta, beta, vertices and joints of every frame.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import common
from configs.action import BACKBONE, one_of
from configs.common import source

Settings = Any  # a ConfigDict, of whose values no type checker knows
HOW, WHERE = ("finetune", "scratch", "frozen"), ("h36m", "3dpw", "body")
BESIDES = ("refine", "official", "paper")


def get_config(variant: str = "") -> ConfigDict:
    """The configuration of a variant."""
    names = common.variant_of(variant, (*HOW, *WHERE, *BESIDES))
    how, where = one_of(names, HOW), one_of(names, WHERE)
    config: Settings = common.base()
    config.epochs = 60
    config.task = _task()
    config.weights = _weights()
    config.optim.update({"learning_rate": 5e-4, "lr_decay": 0.98})
    {"h36m": _human36m, "3dpw": _in_the_wild, "body": _body}[where](config)
    if "refine" in names:
        _refine(config, where)
    _how(config, how, where)
    if "official" in names:
        _official(config, how, where, "refine" in names)
    if "paper" in names:
        _letter(config)
    return config


def _task() -> ConfigDict:
    """The head and the body."""
    return ConfigDict(
        {
            "name": "mesh",
            "head": "mesh",  # mesh | refiner
            "body": "data/mesh",  # the official folder, or an .npz of any linear-blend body
            "means": "",  # smpl_mean_params.npz; "": the one beside the body, else the data's means
            "hidden": 512,  # official 1024
            "dropout": 0.1,
            "compare": "l1",  # of pose, theta and shape: l1 | mse
            "form": "mlp",  # refiner: mlp (paper) | conv (official)
            "span": 1,  # refiner, mlp: frames of the initial answer that a frame sees, odd
            "use_representation": True,  # refiner: False takes E away
        }
    )


def _weights() -> ConfigDict:
    """Of the loss terms; joints are in mm. Terms of weight 0 are not computed."""
    return ConfigDict(
        {
            "mpjpe": 0.5,  # paper eq. 9, 10: L_3D; official loss_3d_pos
            "velocity": 10.0,
            "pose": 1000.0,  # L_theta as the official code has it, on rotation matrices
            "shape": 1.0,  # L_beta
            "norm": 20.0,  # L_norm as the official code has it, of theta and beta together
            "joints_l1": 0.0,  # L_3D, L_theta and L_norm as the paper writes them
            "theta": 0.0,
            "norms": 0.0,
            "n_mpjpe": 0.0,
            "limb_variance": 0.0,
            "limb_length": 0.0,
            "angle": 0.0,
            "angle_velocity": 0.0,
        }
    )


def clips(dataset: str, split: str = "train", **settings: Any) -> ConfigDict:
    """Sixteen detected frames, every 8 in training and every 16 in evaluation."""
    fields = {"frames": 16, "stride": 8 if split == "train" else 16, "batch": 128}
    fields |= {"input": "motion", "flip": split == "train", **settings}
    return source(dataset, split=split, supervision="body", **fields)


def _human36m(config: Settings) -> None:
    """Human3.6M alone."""
    config.sources.h36m = clips("mesh_h36m/default")
    config.eval.sources.h36m = clips("mesh_h36m/default", "test")


def _in_the_wild(config: Settings) -> None:
    """3DPW, with Human3.6M and images of COCO as a warm-up (official warmup_h36m, warmup_coco)."""
    config.sources.h36m = clips("mesh_h36m/default", epochs=(0, 20))
    config.sources.coco = clips("mesh_coco/default", frames=1, stride=1, batch=512, epochs=(0, 100))
    config.sources.pw3d = clips("mesh_3dpw/default")
    config.eval.sources.h36m = clips("mesh_h36m/default", "test")
    config.eval.sources.pw3d = clips("mesh_3dpw/default", "test")
    config.eval.best = "pw3d"


def _body(config: Settings) -> None:
    """The network of pretrain.py:mocap on posed bodies seen from drawn sides."""
    config.epochs = 2
    config.log_every = 20
    config.data.path = "data/bodies"
    config.task.body = "data/bodies/body.npz"
    config.task.hidden = 128
    config.model.update({"size": common.DEMO, "depth": 3, "num_heads": 4, "maxlen": 81})
    config.optim.update({"name": "muon", "learning_rate": 1e-2, "schedule": "cosine"})
    config.optim.update({"warmup": 20, "final": 0.02})
    drawn = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0), "fixed": False}
    fixed = {"yaw": (0.0, 90.0, 180.0, 270.0), "pitch": (10.0,), "fixed": True}
    posed = {"input": "pose", "crop": (1.0, 1.0), "batch": 16}
    config.sources.body = clips("body_bvh/default", views=drawn, **posed, stride=16)
    # Every fourth window: vertices of 13,380 points are most of an evaluation's time.
    config.eval.sources.body = clips("body_bvh/default", "test", views=fixed, **posed, stride=64)


def _how(config: Settings, how: str, where: str) -> None:
    """Rates and what is frozen: 5e-5 and 5e-4 when finetuning, else 1e-4 for all."""
    if how == "scratch":
        if where != "body":
            config.optim.learning_rate = 1e-4
        return
    config.init_from = "runs/mocap" if where == "body" else "runs/pretrain"
    if how == "finetune":
        config.optim.lr_mult = tuple((pattern, 0.1) for pattern in BACKBONE)
    else:
        config.optim.freeze = BACKBONE


def _refine(config: Settings, where: str) -> None:
    """Another method's answer as the head's input."""
    config.task.update({"head": "refiner", "dropout": 0.5})
    config.task.smooth = 0  # frames of a filter over its answer, odd; 0: none, as published
    if where == "body":
        # Narrower than the 186 numbers of a pose it could not take its noise away; nine frames
        # of the answer tell noise and hanging from motion; the filter takes what trembles.
        config.task.update({"hidden": 512, "span": 9, "dropout": 0.1, "smooth": 5})
    for settings in (*config.sources.values(), *config.eval.sources.values()):
        if settings.frames > 1:  # images stay 512 a batch
            settings.batch = min(settings.batch, 64)


def _official(config: Settings, how: str, where: str, refines: bool) -> None:
    """Where the official configs differ from the paper."""
    config.checkpoint.archive = 20
    if where == "3dpw":
        config.data.order = "h36m,coco,pw3d"
    if refines:
        config.task.form = "conv"
    else:
        config.task.hidden = 1024
    if how == "scratch" and where == "h36m":
        config.epochs = 100


def _letter(config: Settings) -> None:
    """The paper's equations; the velocity term is the code's."""
    config.weights.update({"mpjpe": 0.0, "pose": 0.0, "norm": 0.0})
    config.weights.update({"joints_l1": 0.5, "theta": 1000.0, "norms": 20.0})
    config.optim.update({"name": "adam", "weight_decay": 0.0})
