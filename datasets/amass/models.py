"""Body model files: .npz, and the official pickles with their chumpy and scipy objects inside.

Neither library is imported and nothing in a pickle runs: stand-ins keep the numbers.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.files.npz import load_npz
from dstformer_jax.files.pickles import load_pickle

from .skinning import RegressedBody, reduce

NUM_BETAS, NUM_DMPLS = 16, 8  # as the official preprocessing
_WANTED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")


def find_model(folder: Path, kind: str, gender: str) -> Path | None:
    """The file of a body (kind "smplh") or of its soft tissue ("dmpls"), .npz or .pkl."""
    names = [f"{kind}/{gender}/model", f"{kind}/{kind.upper()}_{gender.upper()}"]
    names += [f"{kind.upper()}_{case}" for case in (gender.upper(), gender)]
    paths = [folder / f"{name}{ending}" for name in names for ending in (".npz", ".pkl")]
    return next((path for path in paths if path.is_file()), None)


@lru_cache(maxsize=3)
def load_body(folder: Path, regressor: Path, gender: str) -> RegressedBody:
    """The body of a gender from `folder`; ValueError when its files are not what they should be."""
    path = find_model(folder, "smplh", gender)
    if path is None:
        raise ValueError(f"got no {gender} body, expected {folder}/smplh/{gender}/model.npz")
    model = _read(path, _WANTED)
    model["shapedirs"] = model["shapedirs"][..., :NUM_BETAS]
    tissue = np.zeros((len(model["v_template"]), 3, 0))
    if found := find_model(folder, "dmpls", gender):
        tissue = _read(found, ("eigvec",))["eigvec"][..., :NUM_DMPLS]
    return reduce(model, np.load(regressor, allow_pickle=False).astype(np.float64), tissue)


def _read(path: Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The wanted arrays of a model file in float64."""
    found = load_pickle(path, extra=_STANDINS) if path.suffix == ".pkl" else load_npz(path, wanted)
    missing = [name for name in wanted if not isinstance(found, dict) or name not in found]
    if missing:
        raise ValueError(f"{path}: got no {', '.join(missing)}, expected an SMPL+H model")
    return {name: _array(found[name]) for name in wanted}


def _array(value: Any) -> np.ndarray:
    value = value.array() if isinstance(value, _Chumpy | _Sparse) else value
    return np.asarray(value, np.float64)


class _Chumpy:
    """Stands in for chumpy.ch.Ch (an array x) and chumpy.reordering.Select (elements of a)."""

    def array(self) -> np.ndarray:
        """The numbers of the object."""
        state = self.__dict__
        if "idxs" not in state:
            return np.asarray(state["x"], np.float64)
        whole = _array(state["a"]).ravel()[np.asarray(state["idxs"], np.int64)]
        return whole.reshape(state.get("preferred_shape", whole.shape))


class _Sparse:
    """Stands in for scipy's compressed sparse column matrix."""

    def array(self) -> np.ndarray:
        """The matrix with its zeros."""
        state = self.__dict__
        shape = state.get("_shape") or state["shape"]
        out = np.zeros(shape)
        columns = np.repeat(np.arange(shape[1]), np.diff(state["indptr"]))
        np.add.at(out, (state["indices"], columns), state["data"])
        return out


def _new(kind: type, base: type, state: Any) -> Any:
    """How old pickles make an object; only the stand-ins can be made."""
    if kind not in (_Chumpy, _Sparse):
        raise ValueError(f"got an object of {kind}, expected arrays")
    return kind()


_STANDINS = {
    ("copy_reg", "_reconstructor"): _new,
    ("copyreg", "_reconstructor"): _new,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _Chumpy,
    ("scipy.sparse.csc", "csc_matrix"): _Sparse,
    ("scipy.sparse._csc", "csc_matrix"): _Sparse,
}
