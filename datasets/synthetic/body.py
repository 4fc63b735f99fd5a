"""A person's proportions, and where the joints are for given joint angles.

Axes of the body: x to its left, y up, z forward; metres and radians. Every angle is zero in a
soldier's stance: legs straight, arms hanging, feet flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Angles = Mapping[str, np.ndarray]  # joint angle name -> [T] radians; see `forward`
SIDES = (("l", "left", 1.0), ("r", "right", -1.0))
LANDMARKS = ("left_toe", "right_toe", "left_heel", "right_heel")


@dataclass(frozen=True)
class Body:
    """Segment lengths in metres."""

    thigh: float
    shin: float
    ankle: float  # height of the ankle above the sole
    foot: float  # ankle to the tip of the toes
    hip: float  # half the distance of the hips
    lower_spine: float
    upper_spine: float
    shoulder: float  # half the distance of the shoulders
    upper_arm: float
    forearm: float
    neck: float
    head: float


# Shares of stature (Drillis and Contini 1966, as in Winter, Biomechanics of Human Movement).
_SHARES = Body(
    thigh=0.245,
    shin=0.246,
    ankle=0.039,
    foot=0.11,
    hip=0.068,
    lower_spine=0.135,
    upper_spine=0.145,
    shoulder=0.098,
    upper_arm=0.173,
    forearm=0.146,
    neck=0.062,
    head=0.080,
)


def random_body(rng: np.random.Generator) -> Body:
    """An adult: stature 1.50 to 1.95 m, each segment off the average by some per cent."""
    stature = np.clip(rng.normal(1.71, 0.09), 1.50, 1.95)
    shares = vars(_SHARES)
    factors = np.clip(rng.normal(1.0, 0.05, len(shares)), 0.87, 1.13)
    return Body(
        **{
            name: float(share * stature * factor)
            for (name, share), factor in zip(shares.items(), factors, strict=True)
        }
    )


def turn(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotations [T, 3, 3] about one axis."""
    matrix = np.zeros((len(angle), 3, 3))
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, one, one] = matrix[:, two, two] = np.cos(angle)
    matrix[:, two, one] = np.sin(angle)
    matrix[:, one, two] = -np.sin(angle)
    return matrix


def _place(
    base: np.ndarray, rotation: np.ndarray, offset: tuple[float, float, float]
) -> np.ndarray:
    return base + rotation @ np.array(offset)


def forward(body: Body, angles: Angles) -> dict[str, np.ndarray]:
    """Joint positions {name: [T, 3]} with the root at the origin.

    Angles of the whole body: yaw (to the left), pitch (forward), roll. Of the trunk: lean (pelvis
    forward, legs stay), bend (spine forward), side, twist; nod and look of the head. Of each limb
    (`_l`, `_r`): hip (thigh forward), spread (thigh outward), splay (toes outward), knee, foot
    (toes up from flat); arm (forward), raise (outward), spin (inward), elbow.
    """
    whole = turn(1, angles["yaw"]) @ turn(0, angles["pitch"]) @ turn(2, angles["roll"])
    pelvis = whole @ turn(0, angles["lean"])
    half = turn(0, angles["bend"] / 2) @ turn(2, angles["side"] / 2) @ turn(1, angles["twist"] / 2)
    lower = pelvis @ half
    upper = lower @ half
    skull = upper @ turn(1, angles["look"]) @ turn(0, angles["nod"])
    places = {"root": np.zeros((len(whole), 3))}
    places["belly"] = _place(places["root"], lower, (0, body.lower_spine, 0))
    places["neck"] = _place(places["belly"], upper, (0, body.upper_spine, 0))
    places["nose"] = _place(places["neck"], skull, (0, body.neck, 0.35 * body.neck))
    places["head"] = _place(places["nose"], skull, (0, body.head, -0.1 * body.head))
    for letter, side, sign in SIDES:
        limb = {name[:-2]: value for name, value in angles.items() if name.endswith(f"_{letter}")}
        hip = _place(places["root"], pelvis, (sign * body.hip, 0, 0))
        shoulder = (sign * body.shoulder, -0.1 * body.neck, 0)
        _leg(places, body, whole, hip, limb, side, sign)
        _arm(places, body, upper, _place(places["neck"], upper, shoulder), limb, side, sign)
    return places


def _leg(
    places: dict[str, np.ndarray],
    body: Body,
    whole: np.ndarray,
    hip: np.ndarray,
    limb: Angles,
    side: str,
    sign: float,
) -> None:
    out = turn(2, sign * limb["spread"]) @ turn(1, sign * limb["splay"])
    thigh = whole @ turn(0, -limb["hip"]) @ out
    shin = thigh @ turn(0, limb["knee"])
    foot = whole @ turn(1, sign * limb["splay"]) @ turn(0, -limb["foot"])
    places[f"{side}_hip"] = hip
    places[f"{side}_knee"] = _place(hip, thigh, (0, -body.thigh, 0))
    ankle = places[f"{side}_ankle"] = _place(places[f"{side}_knee"], shin, (0, -body.shin, 0))
    places[f"{side}_toe"] = _place(ankle, foot, (0, -body.ankle, body.foot))
    places[f"{side}_ball"] = _place(ankle, foot, (0, -body.ankle, 0.65 * body.foot))
    places[f"{side}_heel"] = _place(ankle, foot, (0, -body.ankle, -0.3 * body.foot))


def _arm(
    places: dict[str, np.ndarray],
    body: Body,
    upper: np.ndarray,
    shoulder: np.ndarray,
    limb: Angles,
    side: str,
    sign: float,
) -> None:
    arm = upper @ turn(0, -limb["arm"]) @ turn(2, sign * limb["raise"])
    arm = arm @ turn(1, -sign * limb["spin"])
    forearm = arm @ turn(0, -limb["elbow"])
    places[f"{side}_shoulder"] = shoulder
    places[f"{side}_elbow"] = _place(shoulder, arm, (0, -body.upper_arm, 0))
    places[f"{side}_wrist"] = _place(places[f"{side}_elbow"], forearm, (0, -body.forearm, 0))
