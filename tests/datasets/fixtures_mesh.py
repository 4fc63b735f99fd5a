"""mesh_det pickles in the official layout, written from its description, not from our reader.

{"train", "test"} of columns with one row a frame: joint_2d (N, 17, 2 or more) pixels, confidence
(N, 17) or (N, 17, 1), source (N texts; its change is another video), smpl_pose (N, 72) axis-angles,
smpl_shape (N, 10); mesh_det_h36m.pkl also camera_name; files of the refiner also pred_smpl_pose and
pred_smpl_shape.
"""

import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np

Rows = dict[str, np.ndarray]


def person(source: str, frames: int, seed: int = 0, **columns) -> Rows:
    """The rows of one person in one video; the shape is one a person."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(200, 700, (1, 17, 2))
    return {
        "joint_2d": (start + rng.normal(0, 3, (frames, 17, 2)).cumsum(0)).astype(np.float32),
        "confidence": rng.uniform(0.2, 1.0, (frames, 17, 1)).astype(np.float32),
        "smpl_pose": rng.normal(0, 0.4, (frames, 72)),
        "smpl_shape": np.repeat(rng.normal(size=(1, 10)), frames, axis=0),
        "source": np.array([source] * frames),
        **columns,
    }


def guessed(rows: Rows, seed: int = 9) -> Rows:
    """The rows with another method's prediction of pose and shape."""
    rng = np.random.default_rng(seed)
    return rows | {
        f"pred_{name}": rows[name] + rng.normal(0, 0.1, rows[name].shape)
        for name in ("smpl_pose", "smpl_shape")
    }


def join(people: Iterable[Rows]) -> Rows:
    """Rows of people one after another."""
    people = list(people)
    return {name: np.concatenate([one[name] for one in people]) for name in people[0]}


def alternate(first: Rows, second: Rows) -> Rows:
    """Rows of two people frame by frame."""
    order = np.arange(2 * len(first["source"])).reshape(2, -1).T.reshape(-1)
    return {name: column[order] for name, column in join([first, second]).items()}


def write(path: Path, train: Rows, test: Rows, drop: tuple[str, ...] = ()) -> Path:
    """The pickle; texts are lists of str as in the official files."""
    table = {
        split: {
            name: column.tolist() if column.dtype.kind == "U" else column
            for name, column in rows.items()
            if name not in drop
        }
        for split, rows in {"train": train, "test": test}.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(table, protocol=4))
    return path
