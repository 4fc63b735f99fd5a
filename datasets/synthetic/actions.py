"""The actions: key poses in degrees over one cycle, in the words of `body.forward`.

A name without `_l` or `_r` means both sides. What a pose does not name is at rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

TRUNK = ("yaw", "pitch", "roll", "lean", "bend", "side", "twist", "nod", "look")
LIMB = ("hip", "spread", "splay", "knee", "foot", "arm", "raise", "spin", "elbow")
NAMES = (*TRUNK, *(f"{name}_{side}" for name in LIMB for side in "lr"))
REST = dict.fromkeys(NAMES, 0.0) | {
    f"{name}_{side}": value
    for name, value in {"raise": 7.0, "elbow": 15.0, "splay": 7.0, "spread": 2.0}.items()
    for side in "lr"
}
Curve = tuple[np.ndarray, np.ndarray]  # keys [K] in [0, 1), degrees [K]


@dataclass(frozen=True)
class Action:
    """How one action moves.

    seconds: range of the length of a cycle.
    curves: key values of the angles that move.
    flights: (start, end) phases of the cycle without ground contact.
    drift: m/s forward in flight, at most.
    vary: standard deviation of the size of a movement from cycle to cycle.
    noise: degrees of slow noise on every joint.
    turning: degrees a second, standard deviation of the slow turning of the whole body.
    """

    seconds: tuple[float, float]
    curves: dict[str, Curve]
    flights: tuple[tuple[float, float], ...] = ()
    drift: float = 0.0
    vary: float = 0.1
    noise: float = 2.0
    turning: float = 5.0
    spinning: tuple[float, float] = field(default=(0.0, 0.0))  # degrees a second, steady


def _both(pose: Mapping[str, float]) -> dict[str, float]:
    named: dict[str, float] = {}
    for name, value in pose.items():
        names = (f"{name}_l", f"{name}_r") if name in LIMB else (name,)
        named |= dict.fromkeys(names, value)
    return named


def poses(*keyed: tuple[float, Mapping[str, float]]) -> dict[str, Curve]:
    """Curves through whole-body key poses (phase, pose)."""
    keys = np.array([phase for phase, _ in keyed])
    full = [_both(pose) for _, pose in keyed]
    moved = {name: None for pose in full for name in pose}
    return {name: (keys, np.array([pose.get(name, REST[name]) for pose in full])) for name in moved}


def gait(steady: Mapping[str, float] | None = None, **curves: str) -> dict[str, Curve]:
    """Curves given as "phase:degrees ...": limbs on the left, half a cycle later on the right."""
    found = poses((0.0, steady or {}))
    for name, text in curves.items():
        pairs = np.array([[float(x) for x in pair.split(":")] for pair in text.split()])
        if name not in LIMB:
            found[name] = (pairs[:, 0], pairs[:, 1])
            continue
        found[f"{name}_l"] = (pairs[:, 0], pairs[:, 1])
        later = np.mod(pairs[:, 0] + 0.5, 1.0)
        order = np.argsort(later)
        found[f"{name}_r"] = (later[order], pairs[order, 1])
    return found


_SEAT = {"hip": 84, "knee": 86, "lean": 4, "bend": 8, "arm": 25, "elbow": 50, "spread": 8}
_CROUCH = {"hip": 55, "knee": 85, "lean": 28, "bend": 15, "arm": -35, "foot": 0}
_GUARD = {"arm": 35, "elbow": 125, "spin": 10, "knee_l": 15, "hip_l": 15, "knee_r": 18, "hip_r": 2}
_PLANK = {"pitch": 66, "arm": 90, "elbow": 3, "nod": -20, "raise": 12}
_LYING = {"pitch": -86, "hip": 55, "knee": 95, "foot": -86, "arm": 15, "elbow": 30}
_WAVING = {"raise_r": 85, "spin_r": -85, "elbow_r": 65}

ACTIONS: dict[str, Action] = {
    "walk": Action(
        (0.95, 1.3),
        gait(
            {"lean": 2, "bend": 3},
            hip="0:28 .1:22 .3:4 .52:-14 .6:-8 .75:22 .87:31",
            knee="0:5 .13:14 .35:5 .48:10 .58:42 .7:64 .85:25 .96:3",
            foot="0:18 .08:0 .4:0 .5:-12 .6:-30 .75:-20 .87:5 .95:17",
            arm="0:-18 .5:22",
            elbow="0:12 .5:30",
            twist="0:-6 .5:6",
            side="0:0 .15:3 .5:0 .65:-3",
        ),
        turning=18,
    ),
    "run": Action(
        (0.62, 0.8),
        gait(
            {"lean": 7, "bend": 6},
            hip="0:36 .2:10 .38:-14 .5:0 .7:45 .85:54",
            knee="0:22 .15:40 .35:16 .5:70 .65:105 .82:55 .95:20",
            foot="0:4 .1:0 .25:-10 .38:-52 .55:-80 .75:-40 .92:4",
            arm="0:-35 .5:35",
            elbow="0:80 .5:100",
            twist="0:-10 .5:10",
        ),
        flights=((0.38, 0.5), (0.88, 1.0)),
        turning=20,
    ),
    "march": Action(
        (1.0, 1.5),
        gait(
            hip="0:16 .2:4 .46:-8 .56:4 .75:85 .85:60",
            knee="0:10 .2:3 .44:4 .54:40 .75:92 .87:50",
            foot="0:0 .5:0 .6:-25 .75:-10 .9:0",
            arm="0:-20 .5:45",
            elbow="0:25 .5:60",
        ),
        turning=12,
    ),
    "jump": Action(
        (1.6, 2.4),
        poses(
            (0.0, {}),
            (0.32, _CROUCH),
            (0.45, {"arm": 110, "foot": -40, "lean": 5}),
            (0.54, {"arm": 140, "hip": 30, "knee": 40, "foot": -25}),
            (0.63, {"arm": 80, "hip": 22, "knee": 20, "foot": -15, "lean": 5}),
            (0.73, {"hip": 45, "knee": 70, "lean": 20, "arm": 30}),
            (0.88, {}),
        ),
        flights=((0.45, 0.63),),
        drift=1.2,
    ),
    "jumping_jack": Action(
        (0.9, 1.3),
        poses(
            (0.0, {"knee": 18, "hip": 10}),
            (0.12, {"foot": -30}),
            (0.28, {"foot": -20, "spread": 14, "raise": 90}),
            (0.42, {"spread": 24, "raise": 160, "elbow": 20}),
            (0.5, {"spread": 25, "raise": 165, "elbow": 20, "knee": 18, "hip": 10}),
            (0.62, {"spread": 22, "raise": 150, "foot": -30}),
            (0.78, {"spread": 10, "raise": 80, "foot": -20}),
            (0.92, {"spread": 3}),
        ),
        flights=((0.12, 0.4), (0.62, 0.9)),
    ),
    "squat": Action(
        (1.8, 3.2),
        poses(
            (0.0, {}),
            (0.4, {"hip": 82, "knee": 118, "lean": 28, "bend": 12, "arm": 75, "spread": 12}),
            (0.5, {"hip": 82, "knee": 118, "lean": 28, "bend": 12, "arm": 75, "spread": 12}),
            (0.9, {}),
        ),
    ),
    "sit": Action(
        (4.0, 7.0),
        poses((0.0, {}), (0.14, _SEAT | {"lean": 30}), (0.25, _SEAT), (0.7, _SEAT), (0.92, {})),
        noise=3.0,
    ),
    "wave": Action(
        (1.2, 2.0),
        poses(
            (0.0, _WAVING | {"elbow_r": 60}),
            (0.25, _WAVING | {"elbow_r": 105}),
            (0.5, _WAVING | {"elbow_r": 60, "side": 4}),
            (0.75, _WAVING | {"elbow_r": 105}),
        ),
    ),
    "reach": Action(
        (2.0, 3.2),
        poses(
            (0.0, {}),
            (0.4, {"arm_r": 95, "raise_r": 15, "elbow_r": 8, "bend": 14, "twist": 18, "look": 12}),
            (0.55, {"arm_r": 95, "raise_r": 15, "elbow_r": 8, "bend": 14, "twist": 18, "look": 12}),
            (0.9, {}),
        ),
        vary=0.45,
    ),
    "pick_up": Action(
        (2.4, 3.6),
        poses(
            (0.0, {}),
            (0.35, {"hip": 60, "knee": 85, "lean": 55, "bend": 25, "arm": 65, "elbow": 8}),
            (0.45, {"hip": 60, "knee": 85, "lean": 55, "bend": 25, "arm": 65, "elbow": 8}),
            (0.7, {"arm": 30, "elbow": 95}),
            (0.95, {}),
        ),
        vary=0.2,
    ),
    "turn": Action(
        (0.9, 1.3),
        gait(
            hip="0:3 .4:0 .55:5 .75:28 .9:10",
            knee="0:3 .45:3 .6:20 .75:48 .9:15",
            foot="0:0 .45:0 .6:-25 .75:-15 .9:0",
            arm="0:-5 .5:8",
        ),
        spinning=(35, 100),
    ),
    "kick": Action(
        (1.5, 2.3),
        poses(
            (0.0, {}),
            (0.3, {"hip_r": -28, "knee_r": 75, "foot_r": -60, "arm_r": 25, "knee_l": 12}),
            (0.46, {"hip_r": 72, "knee_r": 12, "foot_r": 20, "lean": -8, "arm_l": 40, "raise": 35}),
            (0.6, {"hip_r": 40, "knee_r": 60, "foot_r": -10}),
            (0.8, {}),
        ),
    ),
    "throw": Action(
        (1.6, 2.4),
        poses(
            (0.0, {}),
            (0.32, {"raise_r": 95, "spin_r": -100, "elbow_r": 100, "twist": -38, "arm_l": 60}),
            (
                0.46,
                {"arm_r": 110, "raise_r": 25, "elbow_r": 22, "twist": 28, "bend": 14, "hip_l": 22},
            ),
            (
                0.58,
                {"arm_r": 45, "elbow_r": 20, "twist": 40, "bend": 26, "hip_l": 25, "knee_l": 25},
            ),
            (0.85, {}),
        ),
    ),
    "punch": Action(
        (0.8, 1.3),
        poses(
            (0.0, _GUARD),
            (0.18, _GUARD | {"arm_l": 88, "elbow_l": 6, "twist": -22}),
            (0.4, _GUARD),
            (0.62, _GUARD | {"arm_r": 88, "elbow_r": 6, "twist": 32, "bend": 8}),
            (0.85, _GUARD),
        ),
        noise=4.0,
        turning=15,
    ),
    "bow": Action(
        (2.4, 4.0),
        poses(
            (0.0, {}),
            (0.35, {"lean": 38, "bend": 28, "nod": 15, "arm": 20}),
            (0.55, {"lean": 38, "bend": 28, "nod": 15, "arm": 20}),
            (0.85, {}),
        ),
        vary=0.25,
    ),
    "lunge": Action(
        (2.4, 3.4),
        poses(
            (0.0, {}),
            (0.38, {"hip_l": 78, "knee_l": 84, "hip_r": -18, "knee_r": 62, "foot_r": -55}),
            (0.52, {"hip_l": 78, "knee_l": 84, "hip_r": -18, "knee_r": 62, "foot_r": -55}),
            (0.9, {}),
        ),
    ),
    "clap": Action(
        (0.7, 1.2),
        poses(
            (0.0, {"arm": 50, "elbow": 75, "spin": 45}),
            (0.5, {"arm": 45, "elbow": 70, "spin": 5, "raise": 15}),
        ),
    ),
    "chop": Action(
        (1.4, 2.2),
        poses(
            (0.0, {"arm": 30, "elbow": 30, "spin": 25}),
            (0.35, {"arm": 155, "elbow": 70, "spin": 25, "bend": -8}),
            (
                0.5,
                {"arm": 45, "elbow": 12, "spin": 25, "bend": 26, "lean": 16, "knee": 22, "hip": 18},
            ),
            (0.65, {"arm": 35, "elbow": 20, "spin": 25, "bend": 20, "lean": 10}),
        ),
    ),
    "push_up": Action(
        (1.6, 2.6),
        poses((0.0, _PLANK), (0.45, _PLANK | {"pitch": 80, "elbow": 95, "arm": 45, "raise": 35})),
        vary=0.06,
        noise=1.0,
        turning=1,
    ),
    "sit_up": Action(
        (2.0, 3.2),
        poses(
            (0.0, _LYING),
            (0.42, _LYING | {"lean": 50, "bend": 50, "arm": 60}),
            (0.9, _LYING),
        ),
        vary=0.15,
        noise=1.0,
        turning=1,
    ),
    "dance": Action(
        (0.9, 1.4),
        gait(
            {"arm": 40, "raise": 30, "elbow": 60},
            hip="0:12 .25:5 .5:0 .75:30",
            knee="0:12 .25:22 .5:8 .75:45",
            foot="0:0 .5:0 .65:-30 .85:-5",
            side="0:-8 .5:8",
            twist="0:12 .5:-12",
        ),
        vary=0.3,
        noise=16.0,
        turning=45,
    ),
    "idle": Action((3.0, 6.0), poses((0.0, {})), noise=6.0, turning=10),
}
