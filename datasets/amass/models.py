"""Finds and reads the bodies of AMASS, .npz or official pickles."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from dstformer_jax.files.bodies import read_arrays

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
    model = read_arrays(path, _WANTED)
    model["shapedirs"] = model["shapedirs"][..., :NUM_BETAS]
    tissue = np.zeros((len(model["v_template"]), 3, 0))
    if found := find_model(folder, "dmpls", gender):
        tissue = read_arrays(found, ("eigvec",))["eigvec"][..., :NUM_DMPLS]
    return reduce(model, np.load(regressor, allow_pickle=False).astype(np.float64), tissue)
