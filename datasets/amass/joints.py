"""Joints that somebody else computed: the official pickle and the official clip folders."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.files.pickles import load_pickle

OFFICIAL_SCALE = 0.298  # of the clip folders; the joints pickle is in metres
_Z_UP_TO_Y_DOWN = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])


def to_camera(points: np.ndarray) -> np.ndarray:
    """Axes of AMASS (z up) `[..., 3]` -> x'=x, y'=-z, z'=y: x right, y down, z away."""
    return points @ _Z_UP_TO_Y_DOWN


def read_joints(path: Path) -> Iterator[tuple[str, float, np.ndarray]]:
    """Reads amass_joints_h36m_60.pkl, a list of (17, T, 3): name, fps, pose `[T, 17, 3]` metres.

    Names come from clip_list.csv and frame rates from fps.csv when they lie beside it: 100 Hz
    files were thinned by 2, so their rate is 50 and not 60.
    """
    table = load_pickle(path)
    if not isinstance(table, list | tuple) or not table:
        raise ValueError(f"{path}: got {type(table).__name__}, expected a list of (17, T, 3)")
    names, rates = _names(path.with_name("clip_list.csv")), _rates(path.with_name("fps.csv"))
    for place, points in enumerate(table):
        pose = np.asarray(points, np.float64)
        if pose.ndim != 3 or pose.shape[0] != 17 or pose.shape[2] != 3:
            raise ValueError(f"{path}: got item {place} of shape {pose.shape}, expected (17, T, 3)")
        if pose.shape[1]:  # the official script adds an empty piece to files of 2916 n frames
            name = names[place] if len(names) == len(table) else ""
            yield name, rates.get(name, 60.0), pose.transpose(1, 0, 2)


def _names(path: Path) -> list[str]:
    """File of each piece, from clip_list.csv (clip_id, fname, clip_len)."""
    return [row[1] for row in _rows(path)]


def _rates(path: Path) -> dict[str, float]:
    """Frame rate after thinning, by file, from fps.csv (fname, len, fps, new len)."""
    rates = {row[0]: float(row[2]) for row in _rows(path)}
    return {name: thinned_rate(rate)[1] for name, rate in rates.items() if rate > 0}


def _rows(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    return [row for row in rows[1:] if len(row) >= 3]


def thinned_rate(fps: float) -> tuple[int, float]:
    """The official step, and the rate it really gives: 100 Hz -> (2, 50.0).

    Python rounds halves to even, so 150 -> 2 (75 Hz); below 30 Hz, where the official step would
    be 0, nothing is left out.
    """
    step = max(round(fps / 60), 1)
    return step, whole(fps / step)


def whole(fps: float) -> float:
    """The rate without the noise of some files: 60.00002 -> 60."""
    return float(round(fps)) if abs(fps - round(fps)) < 0.005 * fps else fps


def read_clip(path: Path) -> np.ndarray:
    """One file of MB3D_f243s81/AMASS: its pose `[T, 17, 3]` in metres, camera axes."""
    clip: Any = load_pickle(path)
    if not isinstance(clip, dict) or "data_label" not in clip:
        raise ValueError(f"{path}: got no data_label, expected a clip {{data_input, data_label}}")
    if clip.get("data_input") is not None:
        raise ValueError(f"{path}: got a clip with detections, expected one of AMASS without")
    pose = np.asarray(clip["data_label"], np.float64)
    if pose.ndim != 3 or pose.shape[1:] != (17, 3):
        raise ValueError(f"{path}: got data_label {pose.shape}, expected [T, 17, 3]")
    return pose / OFFICIAL_SCALE
