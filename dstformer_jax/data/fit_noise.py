"""Command: fits the noise of a 2D detector from detected and true joints.

    python -m dstformer_jax.data.fit_noise --detected=FILE --true=FILE --output=noise.json

Both files are .npy, or .npz with one array: [..., 17, 3] (x, y, confidence) detected and
[..., 17, 2 or more] true, in normalised coordinates. The result goes to `config.data.noise`.

The model is that of [17] in the paper (reference 3.9): for each joint a Gaussian with some weight
or else a uniform, fitted by expectation-maximisation, and a confidence that falls with the
distance, clip(a / (d + a) + b d + N(m, s), 0, 1), fitted by maximum likelihood.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from .corrupt import SHIPPED

FAR = 0.1  # farther off (normalised) is another person or a swap, not noise


class Mixture(NamedTuple):
    """The Gaussian of every joint, its weight against the uniform, and their standard errors."""

    mean: np.ndarray  # [J, 2]
    std: np.ndarray  # [J, 2]
    weight: np.ndarray  # [J]
    error: np.ndarray  # [J, 5]: of mean x, y, std x, y, weight


class Curve(NamedTuple):
    """Confidence = clip(a / (d + a) + b d + N(m, s), 0, 1), and the standard errors of a b m s."""

    a: float
    b: float
    m: float
    s: float
    error: np.ndarray  # [4]


def fit_mixture(
    offset: np.ndarray, used: np.ndarray, span: float = SHIPPED.span, iterations: int = 500
) -> Mixture:
    """Expectation-maximisation for all joints at once.

    offset [N, J, 2]: detected minus true. used [N, J]: which count. span: full width of the
    uniform; what lies outside it is of the Gaussian.
    """
    offset = np.ascontiguousarray(np.moveaxis(offset, -1, 0), np.float64)  # [2, N, J]
    count = np.maximum(used.sum(0), 1)
    uniform = (np.abs(offset).max(0) <= span / 2) / span**2
    near = used & (np.abs(offset).max(0) < span / 4)
    mean = (offset * near).sum(1) / np.maximum(near.sum(0), 1)
    std = np.sqrt(((offset - mean[:, None]) ** 2 * near).sum(1) / np.maximum(near.sum(0), 1))
    std, weight = np.maximum(std, 1e-6), np.full(len(count), 0.9)
    for _ in range(iterations):
        share, _ = _shares(offset, used, uniform, mean, std, weight)
        total = np.maximum(share.sum(0), 1e-9)
        new_mean = np.einsum("anj,nj->aj", offset, share) / total
        square = np.einsum("anj,anj,nj->aj", offset, offset, share) / total
        new_std = np.sqrt(np.maximum(square - new_mean**2, 1e-12))
        new_weight = np.clip(total / count, 1e-9, 1 - 1e-9)
        # Stop when a step is small against the standard error of a mean.
        step = max(np.abs((new_mean - mean) / std).max(), np.abs(new_std / std - 1).max(),
                   np.abs(new_weight - weight).max())  # fmt: skip
        mean, std, weight = new_mean, new_std, new_weight
        if step < 0.003 / np.sqrt(count.max()):
            break
    error = _mixture_errors(offset, used, uniform, mean, std, weight)
    return Mixture(mean.T, std.T, weight, error)


def _shares(
    offset: np.ndarray,
    used: np.ndarray,
    uniform: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How surely each sample is of the Gaussian [N, J], and its density over the mixture's."""
    z = (offset - mean[:, None]) / std[:, None]
    gauss = np.exp(-(z[0] ** 2 + z[1] ** 2) / 2) / (2 * np.pi * std[0] * std[1])
    total = np.maximum(weight * gauss + (1 - weight) * uniform, 1e-300)
    return weight * gauss / total * used, (gauss - uniform) / total * used


def _mixture_errors(
    offset: np.ndarray,
    used: np.ndarray,
    uniform: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """Standard errors [J, 5] from the information in the samples (outer product of scores)."""
    share, lean = _shares(offset, used, uniform, mean, std, weight)
    away = offset - mean[:, None]
    by_mean = share * away / std[:, None] ** 2
    by_std = share * (away**2 / std[:, None] ** 3 - 1 / std[:, None])
    scores = np.stack([*by_mean, *by_std, lean])  # [5, N, J]
    information = np.einsum("anj,bnj->jab", scores, scores)
    scale = np.sqrt(np.maximum(np.einsum("jaa->ja", information), 1e-300))
    inverse = np.linalg.pinv(information / scale[:, :, None] / scale[:, None])
    return np.sqrt(np.maximum(np.einsum("jaa->ja", inverse), 0)) / scale


def fit_curve(distance: np.ndarray, confidence: np.ndarray, iterations: int = 200) -> Curve:
    """Maximum likelihood of confidence [N] given distance [N]; clipped values count as such.

    Damped scoring steps on (log a, b, m, log s): the curvature is the outer product of scores.
    """
    x, damping = np.array([np.log(0.05), 0.0, 0.0, np.log(0.2)]), 1e-3
    value, scores = _curve_scores(x, distance, confidence)
    bend = scores.T @ scores
    for _ in range(iterations):
        step = np.linalg.solve(bend + damping * np.diag(np.diag(bend) + 1e-9), scores.sum(0))
        trial = x + np.clip(step, -1, 1)
        new, new_scores = _curve_scores(trial, distance, confidence)
        if new >= value:
            x, value, scores, damping = trial, new, new_scores, damping / 5
            bend = scores.T @ scores
            # A step against its standard error.
            if step @ bend @ step < 1e-6:
                break
        elif (damping := damping * 5) > 1e12:
            break
    a, s = np.exp(x[0]), np.exp(x[3])
    error = np.sqrt(np.maximum(np.diag(np.linalg.pinv(bend)), 0)) * np.array([a, 1, 1, s])
    return Curve(float(a), float(x[1]), float(x[2]), float(s), error)


def _curve_scores(
    x: np.ndarray, distance: np.ndarray, confidence: np.ndarray
) -> tuple[float, np.ndarray]:
    """Log likelihood, and its derivative by x for every sample, [N, 4]."""
    a, s = np.exp(x[0]), np.exp(x[3])
    centre = a / (distance + a) + x[1] * distance + x[2]
    z = (confidence - centre) / s
    value = -(z**2) / 2 - x[3] - np.log(2 * np.pi) / 2
    by_centre, by_scale = z / s, z**2 - 1
    for clipped, end, sign in ((confidence >= 1, 1.0, 1.0), (confidence <= 0, 0.0, -1.0)):
        u = np.maximum(sign * (centre[clipped] - end) / s, -37.0)  # below, Phi is 0
        phi = np.maximum(np.float64(_erfc(-u / np.sqrt(2))) / 2, 1e-300)
        mills = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) / phi
        value[clipped] = np.log(phi)
        by_centre[clipped], by_scale[clipped] = sign * mills / s, -mills * u
    by_a = a * distance / (distance + a) ** 2
    scores = np.stack([by_centre * by_a, by_centre * distance, by_centre, by_scale], axis=1)
    return float(value.sum()), scores


_erfc = np.frompyfunc(math.erfc, 1, 1)


def fit(detected: np.ndarray, true: np.ndarray, span: float = SHIPPED.span) -> dict[str, Any]:
    """The table of a detector, as `corrupt.NoiseTable.read` reads it, with standard errors.

    detected [..., J, 3], true [..., J, 2 or more], normalised. Joints detected with confidence 0
    or more than FAR off are left out; "left_out" counts the latter.
    """
    numbers = all(array.dtype.kind in "fiu" for array in (detected, true))
    same = detected.ndim > 1 and detected.shape[:-1] == true.shape[:-1]
    if not numbers or not same or detected.shape[-1] != 3 or true.shape[-1] < 2:
        raise ValueError(
            f"got detected {detected.shape} and true {true.shape}, expected [..., J, 3] "
            "(x, y, confidence) and [..., J, 2 or more] of the same frames"
        )
    joints = detected.shape[-2]
    detected = np.asarray(detected, np.float64).reshape(-1, joints, 3)
    offset = detected[..., :2] - np.asarray(true, np.float64)[..., :2].reshape(-1, joints, 2)
    distance = np.linalg.norm(offset, axis=-1)
    found = (detected[..., 2] > 0) & np.isfinite(distance)
    used = found & (distance <= FAR)
    if (used.sum(0) < 100).any():
        raise ValueError(
            f"got {used.sum(0).min()} usable detections of joint {used.sum(0).argmin()}, "
            "expected at least 100 of every joint; do check that both files are normalised alike"
        )
    mixture = fit_mixture(np.where(used[..., None], offset, 0), used, span)
    curve = fit_curve(distance[used], detected[..., 2][used])
    return {
        "unit": "normalised",
        "mean": mixture.mean.tolist(),
        "std": mixture.std.tolist(),
        "weight": mixture.weight.tolist(),
        "span": span,
        "jitter": SHIPPED.jitter,
        "keyframes": SHIPPED.keyframes,
        "confidence": dict(zip("abms", curve[:4], strict=True)),
        "standard_error": {
            "mean": mixture.error[:, :2].tolist(),
            "std": mixture.error[:, 2:4].tolist(),
            "weight": mixture.error[:, 4].tolist(),
            "confidence": dict(zip("abms", curve.error.tolist(), strict=True)),
        },
        "samples": int(used.sum()),
        "left_out": int(found.sum() - used.sum()),
    }


def _load(path: str) -> np.ndarray:
    try:
        with open(path, "rb") as file:  # closed whatever happens
            stored = np.load(file, allow_pickle=False)
            arrays = {"": stored} if isinstance(stored, np.ndarray) else dict(stored)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"got {path}, expected a readable .npy or .npz file: {error}") from error
    if len(arrays) != 1:
        raise ValueError(f"got arrays {list(arrays)} in {path}, expected one; do save one array")
    return next(iter(arrays.values()))


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.data.fit_noise",
        description="Fits the noise of a 2D detector from detected and true joints.",
    )
    parser.add_argument("--detected", required=True, help="x, y, confidence [..., 17, 3]")
    parser.add_argument("--true", required=True, help="x, y [..., 17, 2 or more]")
    parser.add_argument("--output", required=True, help="the .json file to write")
    parser.add_argument("--span", type=float, default=SHIPPED.span, help="width of the uniform")
    flags = parser.parse_args(arguments)
    try:
        table = fit(_load(flags.detected), _load(flags.true), flags.span)
        Path(flags.output).write_text(json.dumps(table, indent=1) + "\n")
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    weights = ", ".join(f"{weight:.3f}" for weight in table["weight"])
    print(f"{table['samples']} joints, {table['left_out']} left out as more than {FAR} off")
    print(f"weight of the Gaussian by joint: {weights}")
    print("confidence: " + ", ".join(f"{k} {v:.5f}" for k, v in table["confidence"].items()))
    print(f"wrote {flags.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
