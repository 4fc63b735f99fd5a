"""The tiny run that tests of whole commands share: random walks, a network of some hundred weights.

Imported by tests of any folder (pytest puts tests/ on the path), and by child processes with
PYTHONPATH=tests.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.data.bank import write_bank
from dstformer_jax.data.schema import Sequence


def walk(name: str, frames: int) -> Sequence:
    """A random walk of 17 joints in metres, with made-up detections."""
    rng = np.random.default_rng(frames)
    pose = rng.normal(0, 0.3, (1, 17, 3)) + np.cumsum(rng.normal(0, 0.01, (frames, 17, 3)), axis=0)
    return Sequence(
        id=name, fps=30.0, axes="camera", pose=pose, motion=pose.copy(), subject=name, action="walk"
    )


def prepare(folder: Path, train: dict[str, int], test: dict[str, int]) -> None:
    """The prepared dataset "walks" in a data folder; name -> frames of its sequences."""
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    for split, people in (("train", train), ("test", test)):
        write_bank([walk(name, frames) for name, frames in people.items()], bank / split)


def settings(folder: Path) -> dict[str, Any]:
    """A config of one epoch over "walks", measured in 3D."""
    source = {"dataset": "walks", "frames": 5, "stride": 5, "batch": 8, "tail": "pad"}
    return {
        "seed": 0,
        "epochs": 1,
        "parallel": "jit",
        "model": {
            "dim_feat": 8,
            "dim_rep": 8,
            "depth": 1,
            "num_heads": 2,
            "mlp_ratio": 1.0,
            "maxlen": 5,
            "design": "st",
        },
        "task": {"name": "lift3d"},
        "weights": {"mpjpe": 1.0},
        "optim": {"learning_rate": 1e-3},
        "data": {"path": str(folder), "feed": "numpy"},
        "sources": {"walks": source},
        "eval": {"flip": False, "sources": {"unseen": {**source, "split": "test"}}},
        "checkpoint": {},
    }
