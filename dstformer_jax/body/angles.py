"""Joint angles in degrees, with the axes of the International Society of Biomechanics.

Pelvis and thorax have frames of their own: z from the left to the right hip (shoulder), y up along
the spine, x forward. Angles between frames, and of limbs in them, are taken in the order z
(flexion), x (abduction), y (rotation), as the ISB recommends for the hip (Wu et al. 2002) and
OpenSim's models do. Rotation about the long axis of a limb is not among them: joints alone show it
only where the next joint is bent.
"""

from dataclasses import dataclass

import numpy as np

from dstformer_jax.body.rotations import to_zxy
from dstformer_jax.body.skeleton import H36M17, Skeleton


@dataclass(frozen=True)
class Angle:
    """One angle: its name, where it is positive, and its name and sign in OpenSim's models."""

    name: str
    positive: str
    opensim: str
    sign: int


def _sides(name: str, positive: str, opensim: str, sign: int) -> list[Angle]:
    return [
        Angle(f"{name}_{side}", positive, f"{opensim}_{side[0]}", sign)
        for side in ("right", "left")
    ]


# Names and signs of OpenSim are those of the Rajagopal (2016) full-body model.
ANGLES: tuple[Angle, ...] = (
    *_sides("hip_flexion", "thigh forward of the pelvis", "hip_flexion", 1),
    *_sides("hip_abduction", "thigh away from the other", "hip_adduction", -1),
    *_sides("knee_flexion", "shin back; 0 straight, never negative", "knee_angle", 1),
    *_sides("ankle_dorsiflexion", "toes up; 0 at a right angle to the shin", "ankle_angle", 1),
    Angle("trunk_flexion", "thorax forward of the pelvis", "lumbar_extension", -1),
    Angle("trunk_bending", "thorax to the right", "lumbar_bending", 1),
    Angle("trunk_rotation", "thorax turned to the left", "lumbar_rotation", 1),
    *_sides("shoulder_flexion", "upper arm forward of the thorax, 0 hanging down", "arm_flex", 1),
    *_sides("shoulder_abduction", "upper arm away from the trunk", "arm_add", -1),
    *_sides("elbow_flexion", "forearm to upper arm; 0 straight, never negative", "elbow_flex", 1),
)
_TOES = (("big_toe", "small_toe"), ("foot_index",), ("foot",))


def joint_angles(
    points: np.ndarray, skeleton: Skeleton, confidence: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Joint angles in degrees, [T] each, by the names of `ANGLES`; NaN where joints are missing.

    Ankles need a skeleton with toes: without them they are not in the answer.

    Args:
      points: [T, J, 3], y up or camera axes, any unit.
      skeleton: one that converts to Human3.6M's joints.
      confidence: [T, J]; 0 is a missing joint.
    """
    points = np.asarray(points, np.float64)
    body, score = skeleton.convert(points, confidence, H36M17)
    joints = {name: body[:, index] for index, name in enumerate(H36M17.names)}
    missing = {
        name: np.where(score[:, index] > 0, 0.0, np.nan) for index, name in enumerate(H36M17.names)
    }

    def needs(*names: str) -> np.ndarray:
        """0 where all joints are there, NaN elsewhere."""
        return np.sum([missing[name] for name in names], axis=0)

    pelvis, thorax = pelvis_frame(joints), thorax_frame(joints)
    pelvic = ("left_hip", "right_hip", "root", "belly")
    thoracic = ("left_shoulder", "right_shoulder", "belly", "neck")
    out: dict[str, np.ndarray] = {}
    turn = (
        np.rad2deg(to_zxy(np.swapaxes(pelvis, -1, -2) @ thorax))
        + needs(*pelvic, *thoracic)[:, None]
    )
    out["trunk_flexion"], out["trunk_bending"], out["trunk_rotation"] = -turn[:, 0], *turn.T[1:]
    for side in ("right", "left"):
        for limb, frame, base, chain in (
            ("hip", pelvis, pelvic, ("hip", "knee", "ankle")),
            ("shoulder", thorax, thoracic, ("shoulder", "elbow", "wrist")),
        ):
            upper, middle, lower = (f"{side}_{name}" for name in chain)
            bone = joints[middle] - joints[upper]
            flexion, abduction = _swung(frame, bone, side)
            gone = needs(*base, upper, middle)
            out[f"{limb}_flexion_{side}"] = flexion + gone
            out[f"{limb}_abduction_{side}"] = abduction + gone
            bent = _between(bone, joints[lower] - joints[middle])
            name = f"{'knee' if limb == 'hip' else 'elbow'}_flexion_{side}"
            out[name] = bent + needs(upper, middle, lower)
        ankle = _dorsiflexion(points, skeleton, confidence, side)
        if ankle is not None:
            out[f"ankle_dorsiflexion_{side}"] = ankle
    return {angle.name: out[angle.name] for angle in ANGLES if angle.name in out}


def pelvis_frame(joints: dict[str, np.ndarray]) -> np.ndarray:
    """[T, 3, 3], columns x forward, y up, z right: z through the hips, y towards the belly."""
    return _frame(joints["right_hip"] - joints["left_hip"], joints["belly"] - joints["root"])


def thorax_frame(joints: dict[str, np.ndarray]) -> np.ndarray:
    """[T, 3, 3], columns x forward, y up, z right: z through the shoulders, y along the spine."""
    return _frame(
        joints["right_shoulder"] - joints["left_shoulder"], joints["neck"] - joints["belly"]
    )


def _frame(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Frames with z along `right` exactly and y near `up`."""
    z = _unit(right)
    x = _unit(np.cross(up, z))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _swung(frame: np.ndarray, bone: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Flexion and abduction of a limb that hangs down at rest: bone = Rz(f) Rx(a) (0, -1, 0)."""
    forward, up, right = np.moveaxis(np.einsum("tji,tj->ti", frame, _unit(bone)), -1, 0)
    flexion = np.arctan2(forward, -up)
    abduction = np.arcsin(np.clip(right if side == "right" else -right, -1, 1))
    return np.rad2deg(flexion), np.rad2deg(abduction)


def _between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between two directions, 0 to 180."""
    across = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.rad2deg(np.arctan2(across, np.sum(first * second, axis=-1)))


def _dorsiflexion(
    points: np.ndarray, skeleton: Skeleton, confidence: np.ndarray | None, side: str
) -> np.ndarray | None:
    """90 degrees less the angle between shin (upwards) and foot; None of a skeleton without toes.

    The foot runs from the heel, or where there is none from the ankle, to the middle of the toes.
    """
    names = set(skeleton.names)
    toes = next((t for t in _TOES if {f"{side}_{name}" for name in t} <= names), None)
    if toes is None or not {f"{side}_knee", f"{side}_ankle"} <= names:
        return None
    heel = "heel" if f"{side}_heel" in names else "ankle"
    used = [skeleton.index(f"{side}_{name}") for name in ("knee", "ankle", heel, *toes)]
    shin = points[:, used[0]] - points[:, used[1]]
    foot = points[:, used[3:]].mean(1) - points[:, used[2]]
    angle = 90 - _between(shin, foot)
    return (
        angle if confidence is None else np.where((confidence[:, used] > 0).all(1), angle, np.nan)
    )
