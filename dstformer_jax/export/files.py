"""Writing an export: built, written beside its place, read back, checked, moved to its place."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dstformer_jax.export.parts import Part, read_part

FORMATS = {".stablehlo": "stablehlo", ".onnx": "onnx_file"}
# Largest |file - model|, for values up to 1 and else of the largest value.
TOLERANCE = 1e-4
Function = Callable[[np.ndarray], np.ndarray]


class Check(NamedTuple):
    """How far a file's numbers are from the model's: the worst of several shapes."""

    shapes: list[list[int]]  # of motion
    largest_difference: float  # in units of the largest value, where that is above 1
    tolerance: float = TOLERANCE


def export(
    path: str | Path, output: str | Path, name: str | None = None, num_heads: int | None = None
) -> dict[str, Any]:
    """Writes one self-contained file of a checkpoint; the whole file, or none.

    Args:
      path: a workdir of ours, or a PyTorch or safetensors file.
      output: the file; its ending, .stablehlo or .onnx, decides.
      name: "pose", "backbone", "action" or "embedding"; None: as the checkpoint's head.
      num_heads: attention heads of a PyTorch file of others (default 8).

    Returns:
      The metadata in the file.

    Raises:
      ValueError: see `read_part`; another ending; missing packages; numbers that differ from the
        model's by more than TOLERANCE, in which case nothing is written.
    """
    output = Path(output)
    form = FORMATS.get(output.suffix.lower())
    if form is None:
        raise ValueError(f"got output {str(output)!r}, expected {' or '.join(FORMATS)} at its end")
    file: Any = import_module(f"dstformer_jax.export.{form}")  # says what is not installed
    part = read_part(path, name, num_heads)
    # What is checked is the model in float32; some accelerators multiply with fewer digits.
    with jax.default_device(jax.devices("cpu")[0]):
        model = file.build(part)
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(output.name + ".partial")
        try:
            file.write(partial, model, part.metadata)
            found = check(part, file.read(partial))
            metadata = {**part.metadata, "checked": found._asdict()}
            file.write(partial, model, metadata)
            os.replace(partial, output)
        finally:
            partial.unlink(missing_ok=True)
    return metadata


def check(part: Part, function: Function) -> Check:
    """Compares a file's function with the model for several B, M and T, the longest T included.

    Raises:
      ValueError: more than TOLERANCE apart, or a result of another shape.
    """
    expected_of = jax.jit(part.function)
    worst, shapes = 0.0, _shapes(part)
    for seed, shape in enumerate(shapes):
        motion = _motion(shape, seed)
        expected, got = np.asarray(expected_of(motion)), function(motion)
        if got.shape != expected.shape:
            raise ValueError(
                f"got {got.shape} of the exported file for motion {shape}, expected the model's "
                f"{expected.shape}; nothing is written"
            )
        difference = float(np.abs(got - expected).max() / max(1.0, np.abs(expected).max()))
        if not difference <= TOLERANCE:
            raise ValueError(
                f"got numbers {difference:.3g} from the model's for motion {shape}, expected at "
                f"most {TOLERANCE:g}; nothing is written"
            )
        worst = max(worst, difference)
    return Check([list(shape) for shape in shapes], worst)


def _shapes(part: Part) -> list[tuple[int, ...]]:
    """Shapes of motion: one frame, some and all; one clip and several; one person and two."""
    longest = part.maxlen
    cases = [(1, 2, longest), (3, 1, (longest + 1) // 2), (2, 2, 1)]
    return [(b, *((m,) if part.people else ()), t, part.joints, 3) for b, m, t in cases]


def _motion(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """x and y in [-1, 1], confidence in [0, 1]; of a second person nothing is seen."""
    motion = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    motion[..., 2] = np.abs(motion[..., 2])
    if len(shape) == 5:
        motion[:, 1:] = 0
    return motion
