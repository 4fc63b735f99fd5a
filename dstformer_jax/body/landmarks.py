"""Where detectors see joints that motion capture has not: face and feet, placed on bones.

Motion capture knows the ends of bones; detectors mark eyes, ears, a nose, heels and toes. Here
these are points of a grown-up's head and feet, that turn with the bones, so that every detector's
layout can be drawn from motion capture and brought to the network's joints as its files are.
"""

from collections.abc import Mapping

import numpy as np

from dstformer_jax.body.skeleton import BODY25, COCO17, H36M17, HALPE26, MEDIAPIPE33, Skeleton

# What a network may be shown; "h36m17" are the joints of motion capture themselves.
LAYOUTS: dict[str, Skeleton] = {
    skeleton.name: skeleton for skeleton in (H36M17, COCO17, HALPE26, BODY25, MEDIAPIPE33)
}
_LEG = 0.83  # metres from hip to ankle of the person that these are measured of
# Metres to the left, up and forward. Of the head from its top (eyes 11 cm below it, as in tables of
# adults' heads), of feet from the ankle; the left side of paired points.
_HEAD = {
    "nose": (0.0, -0.155, 0.115),
    "left_eye": (0.032, -0.115, 0.085),
    "left_eye_inner": (0.017, -0.115, 0.088),
    "left_eye_outer": (0.047, -0.115, 0.078),
    "left_ear": (0.072, -0.130, 0.0),
    "left_mouth": (0.025, -0.190, 0.090),
}
_FOOT = {
    "left_heel": (0.0, -0.060, -0.055),
    "left_big_toe": (-0.020, -0.075, 0.190),
    "left_small_toe": (0.045, -0.075, 0.150),
    "left_foot_index": (0.0, -0.075, 0.190),
}
_FINGERS = {"left_index": 0.10, "left_pinky": 0.09, "left_thumb": 0.06}  # metres beyond the wrist
_MIRROR = np.array([-1.0, 1.0, 1.0])


def virtual_landmarks(
    pose: np.ndarray, head: np.ndarray, left_foot: np.ndarray, right_foot: np.ndarray
) -> dict[str, np.ndarray]:
    """Points of face, feet and hands, by name, each [T, 3].

    Args:
      pose: [T, 17, 3] of H36M17, metres.
      head, left_foot, right_foot: [T, 3, 3], whose columns are where the person's left, up and
        forward are now.

    A person with longer legs has a larger head and feet.
    """
    size = _legs(pose) / _LEG
    top = pose[:, H36M17.index("head")]
    points = {}
    for name, offset in _HEAD.items():
        points[name] = top + head @ (size * np.array(offset))
        if name.startswith("left_"):
            points[_right(name)] = top + head @ (size * np.array(offset) * _MIRROR)
    for side, turn, sign in (("left", left_foot, 1.0), ("right", right_foot, _MIRROR)):
        ankle = pose[:, H36M17.index(f"{side}_ankle")]
        for name, offset in _FOOT.items():
            named = name if side == "left" else _right(name)
            points[named] = ankle + turn @ (size * np.array(offset) * sign)
        wrist, elbow = (pose[:, H36M17.index(f"{side}_{joint}")] for joint in ("wrist", "elbow"))
        along = wrist - elbow
        along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
        for name, length in _FINGERS.items():
            points[name if side == "left" else _right(name)] = wrist + size * length * along
    return points


def layout_points(
    layout: Skeleton, pose: np.ndarray, landmarks: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The joints of a detector's layout, [T, K, 3]: landmarks first, else the joints of `pose`.

    H36M17's "nose" is the base of its skull; a detector's is a nose. A neck between the shoulders
    is where OpenPose marks it.

    Raises:
      ValueError: a joint that neither of them has.
    """
    between = {
        "root": _middle(pose, "hip"),
        "neck": _middle(pose, "shoulder") if layout == BODY25 else pose[:, H36M17.index("neck")],
    }
    points = []
    for name in layout.names:
        if name in landmarks:
            points.append(landmarks[name])
        elif name in between:
            points.append(between[name])
        elif name in H36M17.names:
            points.append(pose[:, H36M17.index(name)])
        else:
            raise ValueError(f"got joint {name!r} of {layout.name}, expected a landmark or a joint")
    return np.stack(points, axis=1)


def seen_poses(pose: np.ndarray, landmarks: Mapping[str, np.ndarray]) -> np.ndarray:
    """The network's joints as each layout of LAYOUTS gives them, [T, len(LAYOUTS), 17, 3].

    Conversion is linear, so what is projected afterwards is what a detector's file would give.
    """
    seen = []
    for layout in LAYOUTS.values():
        if layout == H36M17:
            seen.append(pose)
            continue
        points = layout_points(layout, pose, landmarks)
        seen.append(layout.convert(points, None, H36M17)[0])
    return np.stack(seen, axis=1).astype(np.float32)


def facing(rest: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Columns left, up and forward of someone at rest: [17, 3] and a unit vector -> [3, 3]."""
    left = rest[H36M17.index("left_hip")] - rest[H36M17.index("right_hip")]
    left = left - (left @ up) * up
    left = left / np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)], axis=1)


def _middle(pose: np.ndarray, joint: str) -> np.ndarray:
    left, right = (pose[:, H36M17.index(f"{side}_{joint}")] for side in ("left", "right"))
    return (left + right) / 2


def _legs(pose: np.ndarray) -> float:
    """Median length of a leg."""
    total = np.zeros(len(pose))
    for side in ("left", "right"):
        hip, knee, ankle = (pose[:, H36M17.index(f"{side}_{j}")] for j in ("hip", "knee", "ankle"))
        total += np.linalg.norm(hip - knee, axis=-1) + np.linalg.norm(knee - ankle, axis=-1)
    return float(np.median(total)) / 2


def _right(name: str) -> str:
    return name.replace("left_", "right_")
