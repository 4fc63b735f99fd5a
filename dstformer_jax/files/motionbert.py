"""The official MotionBERT pickles: {"train", "test"} of columns with one row a frame.

So are h36m_sh_conf_cam_source_final.pkl and mesh_det_{h36m,coco,pw3d}.pkl.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.files.pickles import load_pickle

SPLITS = ("train", "test")
# What follows the N of a column of numbers. joint_2d may have more channels, which are left out.
TAILS: dict[str, tuple[int, ...]] = {
    "joint_2d": (17, 2),
    "confidence": (17,),
    "joint3d_image": (17, 3),
    "joints_2.5d_image": (17, 3),
    "2.5d_factor": (),
    "smpl_pose": (72,),
    "smpl_shape": (10,),
    "pred_smpl_pose": (72,),
    "pred_smpl_shape": (10,),
}
TEXTS = ("source", "camera_name", "action")


def read_columns(
    path: str | Path, split: str, needed: Collection[str], optional: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The wanted columns of a split, all of N > 0 rows: float32 by TAILS, texts as arrays of str.

    `confidence` is always there: ones where the file has none (or None).

    Raises:
      ValueError: naming the file, the split and the column that is missing or does not fit.
    """
    table = load_pickle(path)
    if not isinstance(table, Mapping) or not isinstance(table.get(split), Mapping):
        raise ValueError(f"{path}: got no {split!r}, expected a dict with train and test")
    where, table = f"{path}, {split}", table[split]
    if missing := sorted(set(needed) - set(table)):
        found = ", ".join(sorted(map(str, table))[:12]) or "nothing"
        raise ValueError(f"{where}: got {found} without {', '.join(missing)}, expected them")
    names = [name for name in (*needed, *optional) if table.get(name) is not None]
    columns = {name: _column(where, name, table[name]) for name in names if name != "confidence"}
    count = max(map(len, columns.values()), default=0)
    given = table.get("confidence")
    given = np.ones((count, 17), np.float32) if given is None else given
    columns["confidence"] = _column(where, "confidence", given)
    for name, column in columns.items():
        if column.shape != (count, *TAILS.get(name, ())) or not count:
            raise ValueError(
                f"{where}: got {name} of shape {column.shape}, "
                f"expected {(count, *TAILS.get(name, ()))}, at least one frame"
            )
    return columns


def _column(where: str, name: str, value: Any) -> np.ndarray:
    """One column as an array, not yet of a checked shape."""
    try:
        if name in TEXTS:
            return np.array([_text(one) for one in value], str)
        column = np.atleast_1d(np.asarray(value, np.float32))
    except (TypeError, ValueError) as error:
        kind = "texts" if name in TEXTS else "numbers"
        raise ValueError(f"{where}: got {name} that is no array of {kind} ({error})") from None
    if name == "joint_2d" and column.ndim == 3:
        return column[..., :2]
    if column.ndim == len(TAILS[name]) + 2 and column.shape[-1] == 1:  # confidence (N, 17, 1)
        return column[..., 0]
    return column


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes | int | np.integer):  # images may be numbered
        raise TypeError(f"{type(value).__name__} among them")
    return value.decode() if isinstance(value, bytes) else str(value)


def runs(names: np.ndarray) -> Iterator[tuple[str, slice]]:
    """The stretches of rows with one name, `[N]` texts, in order.

    As in the official code, a name that comes again later is another video: `name#2`.
    """
    changes = np.flatnonzero(names[1:] != names[:-1]) + 1
    seen: dict[str, int] = {}
    for start, end in pairwise([0, *changes.tolist(), len(names)]):
        name = str(names[start])
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}#{seen[name]}"), slice(start, end)
