"""Tables 5 to 9: pretraining, backbones, designs, sizes, and what pretraining gains."""

from __future__ import annotations

from dstformer_jax.reproduce import bodies, published
from dstformer_jax.reproduce.arms import NO_FUSION, Scale
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.recognition import gains
from dstformer_jax.reproduce.report import Entry, Measure, Study

DESIGNS = {
    "(a) one stream, S-T": "st",
    "(b) one stream, T-S": "ts",
    "(c) spatial and temporal in parallel, fused": "parallel",
    "(d) one stream, S-MHSA, T-MHSA, one MLP": "one_mlp",
    "(e) two streams, averaged": "average",
    "(f) two streams, adaptive fusion": "adaptive",
}

POSE_ERRORS = {
    "P-MPJPE, mm": "p_mpjpe",
    "velocity error, mm a frame": "mpjve",
    "acceleration error, mm a frame²": "acceleration_error",
}
GAIN = ("from scratch", "finetuned", "difference")


def table5(scale: Scale, seeds: int) -> Study:
    """What each part of the pretraining adds to 3D pose."""
    rows: dict[str, tuple[Entry, ...]] = {
        "none (from scratch)": ("-", Measure(scale.pose(seeds), scale.metric))
    }
    for stage in scale.stages:
        pretrained = scale.pretraining(seeds, stage)
        rows[stage.label] = (
            Measure(pretrained, scale.metric),
            Measure(scale.finetuned(pretrained), scale.metric),
        )
    columns = ("before finetuning", "finetuned")
    return Study(
        "Table 5: pretraining strategies",
        tuple(f"{scale.column}, {name}" for name in columns),
        rows,
        f"{scale.about} Each row adds to those above it.",
        published.NOT_HERE["Table 5"],
    )


def table6(scale: Scale, seeds: int) -> Study:
    """Other backbones, from scratch and pretrained."""
    rows = {}
    for label, model in scale.backbones:
        scratch = scale.pose(seeds, *model)
        finetuned = scale.finetuned(scale.pretraining(seeds, None, *model), *model)
        rows[label] = (
            f"{scratch[0].parameters:,}",
            Measure(scratch, scale.metric),
            Measure(finetuned, scale.metric),
            Measure(finetuned, scale.metric, scratch),
        )
    columns = (f"{scale.column}, from scratch", "finetuned", "difference")
    return Study(
        "Table 6: backbones",
        ("parameters", *columns),
        rows,
        scale.about,
        published.BACKBONES,
    )


def table7(scale: Scale, seeds: int) -> Study:
    """Designs of a level, trained on 3D pose from scratch."""
    rows = {}
    for label, design in DESIGNS.items():
        fused = design in ("parallel", "adaptive")
        cells = scale.pose(seeds, *(() if fused else NO_FUSION), ("model.design", design))
        rows[label] = (f"{cells[0].parameters:,}", Measure(cells, scale.metric))
    return Study(
        "Table 7: designs of the network",
        ("parameters", scale.column),
        rows,
        f"{scale.about} Every design has the same number of levels.",
        published.NOT_HERE["Table 7"],
    )


def table8(scale: Scale, seeds: int) -> Study:
    """Sizes of the network, trained on 3D pose from scratch."""
    rows = {}
    for label, model in scale.sizes:
        cells = scale.pose(seeds, *model)
        rows[label] = (f"{cells[0].parameters:,}", Measure(cells, scale.metric))
    return Study(
        "Table 8: sizes of the network",
        ("parameters", scale.column),
        rows,
        f"{scale.about} The first row is the base; each other row changes what it names.",
        published.NOT_HERE["Table 8"],
    )


def table9(scale: Scale, seeds: int) -> Study:
    """Scratch, finetuned and their difference on 3D pose."""
    pose = _pose_gain(scale, seeds)
    rows = pose | gains(scale, seeds) | bodies.mesh_gain(scale, seeds)
    about = (
        "Of recognition and meshes the finetuned arm starts from the weights that --pretrained "
        "names, with the budget of the arm from scratch."
    )
    return Study(
        "Table 9: from scratch, finetuned, and the difference",
        GAIN,
        rows,
        f"{scale.about} {about * (scale.name == 'small')}".rstrip(),
        published.ALL,
    )


def _pose_gain(scale: Scale, seeds: int) -> dict[str, tuple[Entry, ...]]:
    """The row of 3D pose."""
    scratch = scale.pose(seeds)
    finetuned = scale.finetuned(scale.pretraining(seeds))
    return {f"3D pose, {scale.column}": _gain(scratch, finetuned, scale.metric)}


def _gain(scratch: tuple[Cell, ...], finetuned: tuple[Cell, ...], metric: str) -> tuple[Entry, ...]:
    return (
        Measure(scratch, metric),
        Measure(finetuned, metric),
        Measure(finetuned, metric, scratch),
    )


def table1(scale: Scale, seeds: int) -> Study:
    """3D pose from detected 2D by several errors and, at the paper's scale, from true 2D."""
    scratch = scale.pose(seeds)
    finetuned = scale.finetuned(scale.pretraining(seeds))
    where = scale.metric.rsplit("/", 1)[0]
    metrics = {scale.column: scale.metric} | {
        label: f"{where}/{name}" for label, name in POSE_ERRORS.items()
    }
    rows: dict[str, tuple[Entry, ...]] = {}
    for label, metric in metrics.items():
        rows[label] = _gain(scratch, finetuned, metric)
    if scale.name == "paper":
        true = scale.pose(seeds, config=f"{scale.scratch},gt2d")
        tuned = scale.finetuned(scale.pretraining(seeds), config=f"{scale.finetune},gt2d")
        rows[f"{scale.column}, from true 2D"] = _gain(true, tuned, scale.metric)
    return Study("Table 1: 3D pose from detected 2D", GAIN, rows, scale.about, published.POSE)


TABLES = {each.__name__: each for each in (table1, table5, table6, table7, table8, table9)}
