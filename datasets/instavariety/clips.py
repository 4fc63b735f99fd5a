"""InstaVariety tracks: folders of per-frame JSON, or the official pair of .npy files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.skeleton import H36M17, INSTAVARIETY15, INSTAVARIETY_KEYS
from dstformer_jax.files.records import load_json

PAIR = ("motion_all.npy", "id_all.npy")
_MADE = [H36M17.index("belly"), H36M17.index("head")]  # InstaVariety does not have them
_THERE = [H36M17.index(name) for name in INSTAVARIETY15.names]


def complete(points: np.ndarray, official_zeros: bool) -> np.ndarray:
    """The 15 joints that InstaVariety has, `[T, 15, 3]` -> H36M17 `[T, 17, 3]`.

    Belly and head are interpolated, as the paper says (appendix A.1), or left at zero with
    confidence 0, as the official code does. Joints not seen become zero.
    """
    xy, confidence = INSTAVARIETY15.convert(
        points[..., :2], points[..., 2], H36M17, interpolate=not official_zeros
    )
    motion = np.concatenate([xy, np.clip(confidence, 0, 1)[..., None]], axis=-1)
    return np.where(motion[..., 2:] > 0, motion, 0).astype(np.float32)


def read_track(folder: Path) -> np.ndarray:
    """The frames of one track in order, `[T, 15, 3]` x px, y px, confidence."""
    paths = sorted(folder.glob("*.json"), key=_by_numbers)
    return np.stack([_frame(path) for path in paths])


def _by_numbers(path: Path) -> list[Any]:
    """Orders names as people do: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.stem)
    return [int(part) if part.isdigit() else part for part in parts]


def _frame(path: Path) -> np.ndarray:
    """One file: {"R Knee": {"x": .., "y": .., "logits": ..}, ...}; joints left out have zeros."""
    table = load_json(path)
    if not isinstance(table, dict) or not any(key in table for key in INSTAVARIETY_KEYS):
        raise ValueError(f"{path}: got no joints, expected {', '.join(INSTAVARIETY_KEYS[:3])}, ...")
    points = np.zeros((len(INSTAVARIETY_KEYS), 3), np.float32)
    for place, key in enumerate(INSTAVARIETY_KEYS):
        if key not in table:
            continue
        try:
            points[place] = [float(table[key][name]) for name in ("x", "y", "logits")]
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path}: got {key} {table[key]!r:.60}, expected x, y, logits"
            ) from None
    if not np.isfinite(points).all():
        raise ValueError(f"{path}: got values that are not finite")
    return points


def read_pair(folder: Path, official_zeros: bool) -> Iterator[tuple[str, np.ndarray]]:
    """(name, motion `[T, 17, 3]`) of each video in motion_all.npy (F, 17, 3) and id_all.npy (F,).

    The official conversion left belly and head at zero; they are filled here unless
    `official_zeros`, and unless somebody filled them before.
    """
    motion, ids = (_load(folder / name) for name in PAIR)
    if motion.ndim != 3 or motion.shape[1:] != (17, 3) or ids.shape != motion.shape[:1]:
        raise ValueError(
            f"{folder}: got {PAIR[0]} {motion.shape} and {PAIR[1]} {ids.shape}, "
            "expected (F, 17, 3) and (F,)"
        )
    changes = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    for start, end in zip([0, *changes], [*changes, len(ids)], strict=True):
        if start < end:
            frames = np.asarray(motion[start:end], np.float32)
            if not (official_zeros or frames[:, _MADE, 2].any()):
                frames = complete(frames[:, _THERE], official_zeros=False)
            yield (
                f"{int(ids[start]):06d}",
                np.clip(frames, [-np.inf, -np.inf, 0], [np.inf, np.inf, 1]),
            )


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: got no whole .npy ({error!s:.120})") from None
