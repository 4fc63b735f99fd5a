"""The paper's numbers that this project has a source for; the others stand in the paper alone."""

from __future__ import annotations

from dstformer_jax.reproduce.report import Published

README = (
    "Source: the README of the official repository (model zoo) and, where the two differ, the "
    "paper (37.5). MPJPE and MPVE in mm, accuracy in percent."
)


def elsewhere(table: str) -> Published:
    """What stands where no number is at hand to quote."""
    source = f"See {table} of the paper: its numbers are not repeated here from memory."
    return Published(("numbers",), {"paper": ("not quoted",)}, source)


POSE = Published(
    ("Human3.6M MPJPE",),
    {"from scratch": ("39.2",), "finetuned": ("37.5 (README: 37.2)",)},
    README,
)
ACTION = Published(
    ("NTU-60 X-Sub", "NTU-60 X-View"),
    {"finetuned": ("93.0", "97.2")},
    "Source: the paper; the README has the two numbers in each other's place. Top-1 in percent.",
)
MESH = Published(("3DPW MPVE",), {"finetuned": ("88.1",)}, README)
ALL = Published(
    ("Human3.6M MPJPE", "NTU-60 X-Sub", "NTU-60 X-View", "3DPW MPVE"),
    {
        "from scratch": ("39.2", "not quoted", "not quoted", "not quoted"),
        "finetuned": ("37.5 (README: 37.2)", "93.0", "97.2", "88.1"),
    },
    README,
)
NOT_HERE = {name: elsewhere(name) for name in (f"Table {n}" for n in (1, 5, 6, 7, 8))} | {
    "Figure 7": elsewhere("Figure 7")
}
