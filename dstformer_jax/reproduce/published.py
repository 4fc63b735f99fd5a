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
# tests/models/test_tcn.py and test_poseformer.py count all of these, and the differences.
BACKBONES = Published(
    ("parameters as published", "here, size full"),
    {
        "DSTformer, with its pose head": ("42,466,317", "42,466,317"),
        "TCN": ("16,952,371 (VideoPose3D, 243 frames)", "25,873,920"),
        "PoseFormer": ("9,602,885 (81 frames)", "14,405,760"),
    },
    "Counted from the published code. Here all three read confidence too and end in the motion "
    "representation: the TCN in a linear layer from 1,024 channels to 17 x 512 in the place of one "
    "to 17 x 3, PoseFormer in one to 17 x 512 for every frame in the place of a weighted mean over "
    "frames and 17 x 3, with places for 243 frames instead of 81. The paper's errors of Table 6 "
    "are not repeated here from memory.",
)
NOT_HERE = {name: elsewhere(name) for name in (f"Table {n}" for n in (5, 7, 8))} | {
    "Figure 7": elsewhere("Figure 7")
}
