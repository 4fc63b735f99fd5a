"""What tables share: how an arm is trained at each scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dstformer_jax.reproduce.cells import Cell, Pretrained

Overrides = tuple[tuple[str, Any], ...]
VIDEOS = ("posetrack", "instavariety")
MOTION = ("human36m", "amass")
NO_FUSION: Overrides = (("optim.lr_mult", ()),)  # for networks that a rate of it would not fit


@dataclass(frozen=True)
class Stage:
    """One way of pretraining: a row of Table 5."""

    label: str
    config: str
    overrides: Overrides = ()


@dataclass(frozen=True)
class Scale:
    """Configurations of one size of experiment.

    name: small | paper. scratch, finetune: 3D pose. stages: Table 5's, each with all of those
    before. pretrained: the stage that other tables finetune. metric: what they report.
    sizes: changes of the model in Table 8. backbones: model settings of Table 6.
    """

    name: str
    about: str
    scratch: str
    finetune: str
    stages: tuple[Stage, ...]
    pretrained: Stage
    metric: str
    column: str
    sizes: tuple[tuple[str, Overrides], ...]
    backbones: tuple[tuple[str, Overrides], ...]
    seeds: int
    given: Pretrained | None = None  # --pretrained: what recognition and mocap pose start from

    def pose(self, seeds: int, *overrides: tuple[str, Any], config: str = "") -> tuple[Cell, ...]:
        """3D pose from scratch, a cell a seed; config: another than `scratch`."""
        return tuple(Cell(config or self.scratch, overrides, seed) for seed in range(seeds))

    def pretraining(
        self, seeds: int, stage: Stage | None = None, *overrides: tuple[str, Any]
    ) -> tuple[Cell, ...]:
        """Pretraining in one way, by default the whole of it."""
        stage = stage or self.pretrained
        changed = (*stage.overrides, *overrides)
        return tuple(Cell(stage.config, changed, seed) for seed in range(seeds))

    def finetuned(
        self, start: tuple[Cell, ...], *overrides: tuple[str, Any], config: str = ""
    ) -> tuple[Cell, ...]:
        """3D pose from pretrained cells, seed by seed; config: another than `finetune`."""
        return tuple(Cell(config or self.finetune, overrides, each.seed, each) for each in start)


def _switched(names: tuple[str, ...], key: str, value: Any) -> Overrides:
    return tuple((f"sources.{name}.{key}", value) for name in names)


_OFF = _switched(VIDEOS, "epochs", (0, 0))  # a window without an epoch
_CLEAN = _switched(MOTION, "noise", False)
_WHOLE = _switched(MOTION, "mask", False)
_PRETRAIN = "configs/pretrain.py:"

SMALL = Scale(
    name="small",
    about=(
        "Small scale: a narrow network (64 channels, three levels unless said otherwise) on "
        "three-frame windows, a few minutes of one core for every arm "
        "(`configs/small.py`). 3D pose is learned from simulated detections of `cmu_mocap` and "
        "scored on people who were not "
        "trained on, MPJPE in mm over frames, by Human3.6M's protocol. Nets this size are far "
        "from converged: differences say what learns sooner, not what ends lower."
    ),
    scratch="configs/small.py:pose",
    finetune="configs/small.py:pose",
    stages=(
        Stage("3D motion, clean", "configs/small.py:pretrain"),
        Stage("+ noise", "configs/small.py:pretrain,noise"),
        Stage("+ masks", "configs/small.py:pretrain,noise,mask"),
        Stage("+ 2D video", "configs/small.py:pretrain,noise,mask,video"),
    ),
    pretrained=Stage("+ masks", "configs/small.py:pretrain,noise,mask"),
    metric="eval/detected/mpjpe_frames",
    column="MPJPE, mm",
    sizes=(
        ("3 levels, 2 heads, 64 channels", ()),
        ("2 levels", (("model.depth", 2),)),
        ("4 levels", (("model.depth", 4),)),
        ("3 heads (of 21 channels: 64 does not divide)", (("model.num_heads", 3),)),
        ("4 heads", (("model.num_heads", 4),)),
        ("32 channels", (("model.dim_feat", 32), ("model.dim_rep", 32))),
        ("96 channels", (("model.dim_feat", 96), ("model.dim_rep", 96))),
    ),
    backbones=(
        ("DSTformer", ()),
        # A TCN has no heads: the value that every config starts with says nothing. Its published
        # dropout of 0.25 keeps a narrow one from learning in so few steps.
        (
            "TCN (without dropout)",
            (
                *NO_FUSION,
                ("model.backbone", "tcn"),
                ("model.dim_feat", 160),
                ("model.num_heads", 8),
                ("model.dropout", 0.0),
            ),
        ),
        (
            "PoseFormer",
            (
                *NO_FUSION,
                ("model.backbone", "poseformer"),
                ("model.dim_feat", 6),
                ("model.num_heads", 2),
            ),
        ),
    ),
    seeds=2,
)

PAPER = Scale(
    name="paper",
    about="The paper's scale: Human3.6M, AMASS, PoseTrack and InstaVariety, full size.",
    scratch="configs/pose3d.py:scratch",
    finetune="configs/pose3d.py:finetune",
    stages=(
        Stage("3D motion, clean", _PRETRAIN, (*_OFF, *_CLEAN, *_WHOLE)),
        Stage("+ noise", _PRETRAIN, (*_OFF, *_WHOLE)),
        Stage("+ masks", _PRETRAIN, _OFF),
        Stage("+ 2D video", _PRETRAIN),
    ),
    pretrained=Stage("+ 2D video", _PRETRAIN),
    metric="eval/human36m/mpjpe",
    column="Human3.6M MPJPE, mm",
    sizes=(
        ("5 levels, 8 heads, 512 channels", ()),
        ("4 levels", (("model.depth", 4),)),
        ("6 levels", (("model.depth", 6),)),
        ("6 heads", (("model.num_heads", 6),)),
        ("10 heads", (("model.num_heads", 10),)),
        ("256 channels", (("model.dim_feat", 256),)),
        ("1024 channels", (("model.dim_feat", 1024),)),
    ),
    backbones=(
        ("DSTformer", ()),
        ("TCN", (("model.backbone", "tcn"),)),
        ("PoseFormer", (("model.backbone", "poseformer"),)),
    ),
    seeds=5,
)
SCALES = {scale.name: scale for scale in (SMALL, PAPER)}
