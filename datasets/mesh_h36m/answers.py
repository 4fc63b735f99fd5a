"""Another method's theta and beta of the sequences of a dataset, which a refiner starts from.

One .npz a sequence, called `files.output.file_stem(id)` and ".npz" or ".mesh.npz": so are the files
of `main --config.eval.write`. What is read are

- `theta`: [N, 3 B] or [N, B, 3] axis-angles, or [N, B, 3, 3] rotations, of N frames and B bones,
  relative to the parents, the root's in the axes of the sequence; `beta`: [N, S] or [S]. Beside
  them `frames` [N], which counts from 0, and `axes`, where they are there;
- or what `python -m dstformer_jax.lift --task=mesh` writes of one person: `theta_ID`, `beta_ID`,
  `start_ID`, `ids` and `axes`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from dstformer_jax.body.rotations import to_vector
from dstformer_jax.data.builder import Unfit
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.npz import load_npz
from dstformer_jax.files.output import file_stem

HELP = "folder of another method's theta and beta, an .npz a sequence, for refiners"
ENDINGS = (".mesh.npz", ".npz")  # beside a .mesh.npz, `lift` may have written the joints as .npz
_NAMES = ("theta", "beta", "frames", "axes", "view", "ids")
_OFF = 1e-3  # of R R^T from the identity: rotations of another method, rounded


class InitialFolder:
    """The files of a folder, matched to sequences by their ids."""

    def __init__(self, folder: str | Path) -> None:
        """Looks whether the folder is there.

        Raises:
          ValueError: it is not.
        """
        self.folder = Path(folder)
        self._owners: dict[str, str] = {}
        if not self.folder.is_dir():
            raise ValueError(f"got no folder {folder}, expected it for --initial_from")

    def add(self, sequence: Sequence) -> Sequence:
        """The sequence with `initial_theta` and `initial_beta` of its file.

        Raises:
          Unfit: naming the file and what it should be: it is not there, or not of this sequence's
            frames, axes and body, or holds numbers that are not finite.
        """
        path = self._path(sequence.id)
        try:
            theta, beta = read_initial(path, sequence)
        except (ValueError, OSError) as error:
            where = "" if str(path) in str(error) else f"{path}: "
            raise Unfit(f"{where}{error}") from None
        return dataclasses.replace(sequence, initial_theta=theta, initial_beta=beta)

    def _path(self, name: str) -> Path:
        stem = file_stem(name)
        if (owner := self._owners.setdefault(stem, name)) != name:
            raise Unfit(
                f"got sequences {owner!r} and {name!r}, whose files would both be {stem}.npz in "
                f"{self.folder}, expected ids that differ in letters or digits"
            )
        paths = [self.folder / f"{stem}{ending}" for ending in ENDINGS]
        for path in paths:
            if path.is_file():
                return path
        raise Unfit(
            f"got no {paths[-1]}, expected theta and beta of every sequence, here of {name!r}"
        )


def read_initial(path: Path, sequence: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """theta [N, 3 B] as axis-angles and beta [N, S] of a file, N frames of a sequence.

    Raises:
      ValueError: what the file has and what was expected of it.
    """
    arrays = _read(path)
    if missing := [name for name in ("theta", "beta") if name not in arrays]:
        found = ", ".join(sorted(arrays)[:8]) or "nothing"
        raise ValueError(f"got {found} without {' and '.join(missing)}, expected both")
    _check_axes(arrays, sequence)
    frames, width = sequence.theta.shape
    shapes = sequence.beta.shape[1]
    theta, beta = _numbers("theta", arrays["theta"]), _numbers("beta", arrays["beta"])
    bones = width // 3
    if theta.shape not in ((frames, width), (frames, bones, 3), (frames, bones, 3, 3)):
        raise ValueError(
            f"got theta of shape {theta.shape}, expected {(frames, width)}, {(frames, bones, 3)} "
            f"or {(frames, bones, 3, 3)}: {frames} frames of {sequence.id!r}, {bones} bones"
        )
    if beta.shape not in ((frames, shapes), (shapes,)):
        raise ValueError(
            f"got beta of shape {beta.shape}, expected {(frames, shapes)} or {(shapes,)}: "
            f"{frames} frames of {sequence.id!r}, {shapes} shapes"
        )
    _check_frames(arrays, frames)
    turns = _vectors(theta) if theta.ndim == 4 else theta
    return turns.reshape(frames, width), np.broadcast_to(beta, (frames, shapes))


def _read(path: Path) -> dict[str, np.ndarray]:
    """What there is of _NAMES; the vertices that files have besides are not read."""
    arrays = load_npz(path, _NAMES)
    if "theta" in arrays or "ids" not in arrays:
        return arrays
    people = np.ravel(arrays["ids"]).tolist()
    if len(people) != 1:
        raise ValueError(f"got {len(people)} people, expected one; do a file a person")
    ending = f"_{people[0]}"
    found = load_npz(path, [f"{name}{ending}" for name in ("theta", "beta", "start")])
    arrays |= {name.removesuffix(ending): array for name, array in found.items()}
    if "theta" in arrays:
        start = np.ravel(arrays.get("start", 0))
        arrays["frames"] = start[:1] + np.arange(len(np.atleast_1d(arrays["theta"])))
    return arrays


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"got {name} of type {array.dtype}, expected numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"got {name} with values that are not finite, expected numbers")
    return array.astype(np.float64)


def _check_axes(arrays: dict[str, np.ndarray], sequence: Sequence) -> None:
    """Refuses rotations in other axes than the sequence's, as far as the file says."""
    # Files of `eval.write` are always as the camera sees people.
    axes = str(arrays.get("axes", "camera" if "view" in arrays else sequence.axes))
    if axes != sequence.axes:
        way = "; do lift with --space=camera" if sequence.axes == "camera" else ""
        raise ValueError(f"got theta in {axes} axes, expected {sequence.axes} axes{way}")


def _check_frames(arrays: dict[str, np.ndarray], frames: int) -> None:
    given = np.ravel(arrays.get("frames", np.arange(frames)))
    if not np.array_equal(given, np.arange(frames)):
        raise ValueError(f"got frames {given[:2]}..., expected all from 0 to {frames - 1}")


def _vectors(turns: np.ndarray) -> np.ndarray:
    """Axis-angles [N, B, 3] of rotations [N, B, 3, 3]."""
    off = np.abs(turns @ turns.swapaxes(-1, -2) - np.eye(3)).max()
    if off > _OFF or (np.linalg.det(turns) < 0).any():
        raise ValueError(
            f"got theta of matrices that are no rotations (R R^T is off by {off:.2g}), "
            "expected rotations, of determinant 1"
        )
    return to_vector(turns)
