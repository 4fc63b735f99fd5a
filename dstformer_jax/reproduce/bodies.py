"""Table 3: meshes, and the refinement of another method's."""

from __future__ import annotations

from dstformer_jax.reproduce import published
from dstformer_jax.reproduce.arms import Overrides, Scale
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.recognition import NO_WEIGHTS, encoder, gain
from dstformer_jax.reproduce.report import Entry, Measure, Study
from dstformer_jax.reproduce.untrained import FILTERS, MEAN, TURNED, Untrained

ERRORS = {
    "MPVE, mm": "mpve",
    "MPJPE, mm": "mpjpe",
    "PA-MPJPE, mm": "p_mpjpe",
    "acceleration error, mm a frame²": "acceleration_error",
}
SETS = {  # label -> variant of configs/mesh.py, and name of its test source
    "small": {"free body": ("body", "body")},
    "paper": {"Human3.6M": ("h36m", "h36m"), "3DPW": ("3dpw", "pw3d")},
}
ARMS = {  # label -> how, and what else is set
    "from scratch": ("scratch", ()),
    "finetuned": ("finetune", ()),
    "refiner without E": ("scratch,refine", (("task.use_representation", False),)),
    "refiner, from scratch": ("scratch,refine", ()),
    "refiner, finetuned": ("finetune,refine", ()),
}


def mesh_cells(
    scale: Scale, how: str, variant: str, seeds: int, overrides: Overrides = ()
) -> tuple[Cell, ...]:
    """An arm of the mesh task, a cell a seed."""
    return tuple(
        Cell(
            f"configs/mesh.py:{how},{variant}",
            overrides,
            seed,
            None if how.startswith("scratch") else encoder(scale, seed),
        )
        for seed in range(seeds)
    )


def table3(scale: Scale, seeds: int) -> Study:
    """Errors of meshes; the refiner gets another method's answer beside the motion."""
    rows: dict[str, tuple[Entry, ...]] = {}
    untrained = (MEAN, TURNED) if scale.name == "small" else ()
    filters = FILTERS if scale.name == "small" else ()
    rows |= {method: _untrained(scale, method) for method in untrained}
    for label, (how, overrides) in ARMS.items():
        if "refine" in how:
            rows |= {method: _untrained(scale, method) for method in filters if method not in rows}
        row: list[Entry] = []
        for variant, source in SETS[scale.name].values():
            if not how.startswith("scratch") and encoder(scale, 0) is None:
                row += [NO_WEIGHTS] * len(ERRORS)
                continue
            cells = mesh_cells(scale, how, variant, seeds, overrides)
            row += [Measure(cells, f"eval/{source}/{name}") for name in ERRORS.values()]
        rows[label] = tuple(row)
    columns = tuple(f"{name}, {error}" for name in SETS[scale.name] for error in ERRORS)
    about = (
        "Clips of 16 frames. The refiner sees the initial answers that are prepared with the data: "
        "its rows compare with each other, and not with those above it."
    )
    filtered = (
        "Filters see whole sequences, rotations as matrices; of several settings that with the "
        "smallest joint error on people of the training split is shown."
    )
    return Study(
        "Table 3: mesh recovery and refinement",
        columns,
        rows,
        f"{about} {filtered * bool(filters)}".rstrip(),
        published.MESH,
    )


def _untrained(scale: Scale, method: str) -> tuple[Entry, ...]:
    """A row of a method that learns nothing."""
    how = "scratch" if method == MEAN else "scratch,refine"
    entries: list[Entry] = []
    for variant, source in SETS[scale.name].values():
        (cell,) = mesh_cells(scale, how, variant, 1)
        entries += [Untrained(cell, method, f"eval/{source}/{name}") for name in ERRORS.values()]
    return tuple(entries)


def mesh_gain(scale: Scale, seeds: int) -> dict[str, tuple[Entry, ...]]:
    """The row of Table 9."""
    label, (variant, source) = list(SETS[scale.name].items())[-1]
    row = gain(scale, lambda how: mesh_cells(scale, how, variant, seeds), f"eval/{source}/mpve")
    return {f"mesh, {label}, MPVE, mm": row}
