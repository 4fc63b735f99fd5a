"""How well the spread of answers tells errors, and the curve from one to the other."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dstformer_jax.lift.calibration import Calibration
from dstformer_jax.lift.lifter import Lifter
from dstformer_jax.lift.measure import people
from dstformer_jax.lift.measure.people import PIXELS, Clip, together
from dstformer_jax.lift.measure.report import Report, Row
from dstformer_jax.view.charts import Line, lines

LAYOUTS = ("h36m17", "coco17", "halpe26", "body25")
GAP, JOINTS_MISSING = 10, 0.05  # frames, share
ABOUT = (
    "Expected error a s^b + c of the spread s of flips and overlapping windows, in metres, least "
    "squares on {fit} (people {fitted}), checked on {check} (people {checked}). "
    "{frames} frames; a twentieth of all joints and a gap of 10 frames in every sequence are "
    "missing. Deciles are of the predicted error, on the people of the check alone."
)


class Joints(NamedTuple):
    """What is known of N joints: spread and error in metres, whether missing, and whose."""

    spread: np.ndarray
    error: np.ndarray
    missing: np.ndarray
    subject: np.ndarray

    def of(self, rows: np.ndarray) -> "Joints":
        """Some of them."""
        return Joints(*(array[rows] for array in self))


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    people.flags(parser)
    parser.add_argument("--most", type=int, default=108, help="frames of a sequence [108]")
    parser.add_argument(
        "--constants", type=Path, help="also write them here: <weights>.calibration.json"
    )


def run(values: argparse.Namespace, lifter: Lifter) -> Report:
    """Fits on every other person, checks on the rest."""
    clips = [clip.cut(0, values.most) for clip in people.filmed(values, layouts=LAYOUTS)]
    joints = measured(lifter, clips)
    names = sorted(set(joints.subject.tolist()), key=lambda name: (len(name), name))
    if len(names) < 2:
        raise ValueError(f"got {len(names)} test people, expected 2 or more")
    fit, check = (joints.of(np.isin(joints.subject, names[first::2])) for first in (0, 1))
    found = Calibration.fit(lifter, fit.spread, fit.error, fit.missing)
    if values.constants:
        write_constants(found, values.constants, lifter)
    deciles = reliability(found, check)
    picture = f"{values.name or values.subject}.png"
    _draw(deciles, values.output / picture)
    text = ABOUT.format(
        fit=f"{len(fit.error)} joints",
        fitted=", ".join(names[::2]),
        check=f"{len(check.error)} joints",
        checked=", ".join(names[1::2]),
        frames=sum(len(clip.truth) for clip in clips),
    )
    tables = {
        "Predicted and observed error": [row for rows in deciles.values() for row in rows],
        "Curves": _curves(found, fit, check),
    }
    caption = "Reliability on people who were neither trained nor fitted on."
    return Report(
        "Uncertainty", f"{text} {people.about(values, LAYOUTS)}", tables, {picture: caption}
    )


def measured(lifter: Lifter, clips: list[Clip]) -> Joints:
    """Every joint of every clip but the root, some of them hidden."""
    rng = np.random.default_rng(0)
    masks = [_missing(clip, rng) for clip in clips]
    lifted = lifter(together([c.masked(mask) for c, mask in zip(clips, masks, strict=True)]))
    rows = []
    for track, clip, missing in zip(lifted, clips, masks, strict=True):
        assert track.uncertainty is not None
        arrays = (track.uncertainty / PIXELS, clip.errors(track.points), missing)
        flat = [array[:, 1:].ravel() for array in arrays]
        rows.append((*flat, np.full(flat[0].shape, clip.subject)))
    return Joints(*(np.concatenate(arrays) for arrays in zip(*rows, strict=True)))


def _missing(clip: Clip, rng: np.random.Generator) -> np.ndarray:
    """What is hidden of a clip, bool [T, J]."""
    missing = rng.random(clip.truth.shape[:2]) < JOINTS_MISSING
    if len(missing) > 2 * GAP:
        first = rng.integers(1, len(missing) - GAP)
        missing[first : first + GAP] = True
    return missing


def reliability(found: Calibration, joints: Joints) -> dict[str, list[Row]]:
    """Kind of joint -> a row for each tenth of the joints, by predicted error."""
    tables = {}
    for kind, here in (("seen", ~joints.missing), ("missing", joints.missing)):
        some = joints.of(here)
        predicted = (found.missing if kind == "missing" else found.seen)(some.spread)
        order = np.argsort(predicted, kind="stable")
        tables[kind] = [
            {
                "joints": kind,
                "decile": number,
                "spread mm": f"{1000 * some.spread[part].mean():.1f}",
                "predicted mm": f"{1000 * predicted[part].mean():.1f}",
                "observed mm": f"{1000 * some.error[part].mean():.1f}",
            }
            for number, part in enumerate(np.array_split(order, 10), 1)
        ]
    return tables


def _curves(found: Calibration, fit: Joints, check: Joints) -> list[Row]:
    """Constants, and how much of the error the spread tells."""
    rows = []
    for kind, curve in (("seen", found.seen), ("missing", found.missing)):
        ours, theirs = (each.of(each.missing == (kind == "missing")) for each in (fit, check))
        rows.append(
            {
                "joints": kind,
                "a": f"{curve.a:.4g}",
                "b": f"{curve.b:.3g}",
                "c": f"{curve.c:.4g}",
                "mean error mm, fit": f"{1000 * ours.error.mean():.1f}",
                "check": f"{1000 * theirs.error.mean():.1f}",
                "predicted mm, check": f"{1000 * curve(theirs.spread).mean():.1f}",
                "rank correlation": f"{rank_correlation(theirs.spread, theirs.error):.2f}",
            }
        )
    return rows


def rank_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman's, of numbers without ties."""
    ranks = np.stack([np.argsort(np.argsort(each)) for each in (left, right)])
    return float(np.asarray(np.corrcoef(ranks))[0, 1])


def write_constants(found: Calibration, path: Path, lifter: Lifter) -> None:
    """The file that `load` reads beside the weights."""
    values = asdict(found) | {"step": lifter.model.info.get("step")}
    path.write_text(json.dumps(values, indent=1) + "\n")


def _draw(deciles: dict[str, list[Row]], path: Path) -> None:
    series = {f"{kind} joints": Line(*_columns(rows)) for kind, rows in deciles.items()}
    ends = [float(x) for line in series.values() for x in line.x]
    span = [min(ends), max(ends)]
    series["as predicted"] = Line(span, np.array([span]))
    lines(series, path, "predicted error, mm", "observed error, mm", title="Reliability")


def _columns(rows: list[Row]) -> tuple[list[float], np.ndarray]:
    return [float(r["predicted mm"]) for r in rows], np.array(
        [[float(r["observed mm"]) for r in rows]]
    )
