"""How the joints of one skeleton become those of another: rules on joint names.

A joint that a skeleton has is taken; one that it lacks is made of others where a rule says how.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dstformer_jax.body.skeleton import Skeleton

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_EXTRAPOLATION = re.compile(rf"(.+?)\+({_NUMBER})\*\((.+)-(.+)\)")


def parse_expression(expression: str) -> dict[str, float]:
    """Reads a joint expression as weights by joint name that sum to 1.

    Forms: `NAME`, `mean(A,B,...)` and `A+1.8*(B-A)`.
    """
    text = expression.strip()
    if text.startswith("mean(") and text.endswith(")"):
        names = [name.strip() for name in text[5:-1].split(",")]
        terms = [(name, 1.0 / len(names)) for name in names]
    elif match := _EXTRAPOLATION.fullmatch(text):
        start, factor, head, tail = match.groups()
        terms = [(start, 1.0), (head, float(factor)), (tail, -float(factor))]
    else:
        terms = [(text, 1.0)]
    weights: dict[str, float] = {}
    for name, weight in terms:
        if not name.strip():
            raise ValueError(
                f"got joint expression {expression!r}, expected NAME, mean(A,B) or A+1.8*(B-A)"
            )
        weights[name.strip()] = weights.get(name.strip(), 0.0) + weight
    return weights


@dataclass(frozen=True)
class Rule:
    """A target joint as a weighted sum of source joints, and how their confidences combine."""

    joints: tuple[int, ...]
    weights: tuple[float, ...]
    average: bool  # mean of the confidences instead of the lowest


def combine(
    points: np.ndarray, confidence: np.ndarray, rules: tuple[Rule, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Applies one rule for each target joint; a joint that no rule names cannot disturb others."""
    shape = points.shape[:-2]
    kind = points.dtype if points.dtype.kind == "f" else np.dtype(np.float32)
    out = np.zeros((*shape, len(rules), points.shape[-1]), kind)
    score = np.zeros((*shape, len(rules)), confidence.dtype)
    for target, rule in enumerate(rules):
        for joint, weight in zip(rule.joints, rule.weights, strict=True):
            out[..., target, :] += kind.type(weight) * points[..., joint, :]
        if rule.joints:
            sources = confidence[..., list(rule.joints)]
            score[..., target] = sources.mean(-1) if rule.average else sources.min(-1)
    return out, score


# Joints that a skeleton lacks, from those it has (reference 3.7 for COCO and PoseTrack).
_RULES: dict[str, tuple[str, ...]] = {
    "root": ("mean(left_hip,right_hip)",),
    "neck": ("mean(left_shoulder,right_shoulder)",),
    "belly": ("mean(root,neck)",),
    "head": ("mean(left_eye,right_eye)",),
}

# Skeletons whose words mean other places of the body, or that need a rule of their own.
_EXCEPTIONS: dict[str, dict[str, str]] = {
    # Interpolated "as the paper says" (appendix A.1); in Human3.6M the nose lies half way between
    # the neck and the top of the head.
    "instavariety15": {"head": "neck+2*(nose-neck)"},
    # SMPL's head joint is the base of the skull; the factor reaches Human3.6M's head in proportion.
    # Approximate: with the body's vertices, use its Human3.6M regressor instead.
    "smpl24": {
        "root": "pelvis",
        "belly": "spine2",
        "nose": "head",
        "head": "neck+2.5*(head-neck)",
    },
    # Kinect v2 (approximate): its neck is the throat and its spine shoulder the base of the neck.
    "ntu25": {
        "root": "spine_base",
        "belly": "spine_mid",
        "neck": "spine_shoulder",
        "nose": "neck",
    },
}

# The official Halpe conversion averages all channels of the belly, confidence included.
_AVERAGED_CONFIDENCE: dict[str, frozenset[str]] = {"halpe26": frozenset({"belly"})}
# Left at zero by the official code (reference 3.6).
_OFFICIAL_ZEROS: dict[str, frozenset[str]] = {"instavariety15": frozenset({"belly", "head"})}


@lru_cache(maxsize=64)
def rules_between(source: "Skeleton", to: "Skeleton", interpolate: bool) -> tuple[Rule, ...]:
    """One rule for each joint of `to`; raises if `source` can tell none of them."""
    zeros = frozenset() if interpolate else _OFFICIAL_ZEROS.get(source.name, frozenset())
    averaged = _AVERAGED_CONFIDENCE.get(source.name, frozenset())
    own, rules = dict(to.rules), []
    for name in to.names:
        same: Mapping[str, float] = {name: 1.0}
        weights = {} if name in zeros else same if source == to else _weights(source, name, own)
        joints = tuple(source.index(key) for key in weights)
        rules.append(Rule(joints, tuple(weights.values()), name in averaged))
    if not any(rule.joints for rule in rules):
        raise ValueError(f"got skeleton {source.name}, which shares no joint with {to.name}")
    return tuple(rules)


def _weights(
    source: "Skeleton", name: str, own: Mapping[str, tuple[str, ...]]
) -> Mapping[str, float]:
    """Weights over source joints for one target joint; empty when the source cannot tell it.

    own: rules that go before those of all skeletons; the first whose joints are known is taken.
    """
    # Exceptions are written in the source's own words and lead to the common vocabulary.
    if name in _EXCEPTIONS.get(source.name, {}):
        return parse_expression(_EXCEPTIONS[source.name][name])
    if name in source.names:
        return {name: 1.0}
    for expression in (*own.get(name, ()), *_RULES.get(name, ())):
        if made := _made(source, expression):
            return made
    return {}


def _made(source: "Skeleton", expression: str) -> dict[str, float]:
    """Weights over source joints of an expression; empty when the source lacks a part of it."""
    total: dict[str, float] = {}
    for part, weight in parse_expression(expression).items():
        below = _weights(source, part, {})
        if not below:
            return {}
        for key, value in below.items():
            total[key] = total.get(key, 0.0) + weight * value
    return total
