"""Moves a body through an action: joint angles over time, feet on the floor, world positions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .actions import ACTIONS, NAMES, REST, Action
from .body import SIDES, Body, forward
from .curves import slow_noise, smooth, spline

GRAVITY = 9.81
_SOFT = 0.012  # m: bodies rest on points about so close to the lowest one
# How far the surface of the body is from the points that can touch the floor.
_TOUCHING = {"toe": 0.0, "ball": 0.0, "heel": 0.0, "knee": 0.05, "wrist": 0.03, "shoulder": 0.08}
_MIDDLE = {"root": 0.10, "neck": 0.07, "head": 0.05}
_MIRRORED = ("yaw", "roll", "side", "twist", "look")
_ONE_WAY = ("knee_l", "knee_r", "elbow_l", "elbow_r")  # joints that bend one way


def simulate(
    body: Body,
    name: str,
    rng: np.random.Generator,
    frames: int,
    fps: float,
    spread: float = 360.0,
) -> dict[str, np.ndarray]:
    """World positions {joint: [T, 3]} in metres, y up, of one person doing one action.

    First headings spread over `spread` degrees around the world's +z.
    """
    action = ACTIONS[name]
    time = np.arange(frames) / fps
    period = rng.uniform(*action.seconds)
    phase = time / period + rng.uniform() + slow_noise(rng, time, 0.02)
    angles = _angles(action, rng, time, phase)
    angles["yaw"] = angles["yaw"] + spread * rng.uniform(-0.5, 0.5)
    lift, airborne = _flight(action, phase, period)
    places = forward(body, {key: np.deg2rad(value) for key, value in angles.items()})
    drift = rng.uniform(0, action.drift) * airborne
    heading = np.deg2rad(angles["yaw"])
    ahead = np.stack([np.sin(heading), np.zeros(frames), np.cos(heading)], -1)
    root = _root(places, lift, airborne, ahead * drift[:, None] / fps)
    return {joint: place + root for joint, place in places.items()}


def _angles(
    action: Action, rng: np.random.Generator, time: np.ndarray, phase: np.ndarray
) -> dict[str, np.ndarray]:
    """Every joint angle over time in degrees: key poses, their size varied, and slow noise."""
    cycles = np.arange(int(phase.min()) - 1, int(phase.max()) + 3)
    size = rng.normal(1.0, 0.08)
    angles = {}
    for name in NAMES:
        angle = np.full(len(time), REST[name])
        if name in action.curves:
            own = size * rng.normal(1.0, 0.05)
            factors = own * np.clip(rng.normal(1.0, action.vary, len(cycles)), 0.2, 1.8)
            # The size changes gradually from one cycle to the next, so nothing jumps.
            factor = np.interp(phase, cycles + 0.5, factors)
            keyed = spline(phase, *action.curves[name])
            rigid = name in ("pitch", "foot_l", "foot_r")  # contact with the floor decides these
            angle = angle + (keyed - angle) * (1.0 if rigid else factor)
        still = 0.15 if name.startswith(("pitch", "roll", "foot", "knee")) else 1.0
        angles[name] = angle + slow_noise(rng, time, still * action.noise)
    angles["look"] = angles["look"] + slow_noise(rng, time, 12.0, 0.3)
    rate = slow_noise(rng, time, action.turning, 0.2)
    rate = rate + rng.uniform(*action.spinning)
    step = time[1] - time[0] if len(time) > 1 else 0.0
    angles["yaw"] = angles["yaw"] + np.cumsum(rate) * step
    for name in _ONE_WAY:
        angles[name] = np.maximum(angles[name], 1.0)
    if rng.uniform() < 0.5:
        angles = _mirrored(angles)
    return angles


def _mirrored(angles: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same movement by the other hand and foot."""
    other = {"_l": "_r", "_r": "_l"}
    swapped = {name[:-2] + other.get(name[-2:], name[-2:]): value for name, value in angles.items()}
    return {name: -value if name in _MIRRORED else value for name, value in swapped.items()}


def _flight(action: Action, phase: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Height above the ground [T] in metres (free fall), and 1 where there is no contact [T]."""
    lift, airborne = np.zeros(len(phase)), np.zeros(len(phase))
    for start, end in action.flights:
        share = (np.mod(phase, 1.0) - start) / (end - start)
        flying = (share > 0) & (share < 1)
        seconds = (end - start) * period
        lift[flying] += 0.5 * GRAVITY * seconds**2 * (share * (1 - share))[flying]
        airborne[flying] = 1.0
    return lift, airborne


def _root(
    places: Mapping[str, np.ndarray], lift: np.ndarray, airborne: np.ndarray, drift: np.ndarray
) -> np.ndarray:
    """Path of the root [T, 3] that keeps the lowest points of the body on the floor, in place."""
    sides = [(f"{side}_{joint}", gap) for _, side, _ in SIDES for joint, gap in _TOUCHING.items()]
    touching = [*sides, *_MIDDLE.items()]
    points = np.stack([places[joint] for joint, _ in touching], 1)
    heights = points[..., 1] - np.array([gap for _, gap in touching])
    weights = np.exp(-(heights - heights.min(1, keepdims=True)) / _SOFT)
    weights /= weights.sum(1, keepdims=True)
    frames = np.arange(len(points))
    ground = airborne == 0
    if not ground.any():
        ground = np.ones(len(points), bool)
    root = np.zeros((len(points), 3))
    lowest = (weights * heights).sum(1)
    root[:, 1] = smooth(np.interp(frames, frames[ground], -lowest[ground]), 1.0) + lift
    # What touches the floor stays where it is: the root moves the other way.
    before = (weights[:-1] + weights[1:]) / 2
    step = np.zeros((len(points), 3))
    step[1:] = -(before[..., None] * np.diff(points, axis=0)).sum(1)
    for axis in (0, 2):
        step[:, axis] = np.interp(frames, frames[ground], step[ground, axis])
    root[:, [0, 2]] = np.cumsum(smooth(step, 1.0) + drift, axis=0)[:, [0, 2]]
    return root - root[0] * [1, 0, 1]
