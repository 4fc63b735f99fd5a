"""Joints by name: what people call them in their files, in the words of our skeletons."""

import re
from collections.abc import Sequence

import numpy as np

from dstformer_jax.body.skeleton import (
    BODY25,
    COCO17,
    COCO18,
    H36M17,
    HALPE26,
    MEDIAPIPE33,
    POSETRACK17,
    SKELETONS,
    Skeleton,
)

# Preferred in this order among those that take most of a file's joints.
CANDIDATES = (COCO17, COCO18, BODY25, HALPE26, MEDIAPIPE33, POSETRACK17, H36M17)
NEEDED = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee")
FEWEST = 8

_PARTS = {
    **{part: part for name in MEDIAPIPE33.names for part in [name.split("_", 1)[-1]]},
    **{part: part for part in ("big_toe", "small_toe")},
    "bigtoe": "big_toe",
    "smalltoe": "small_toe",
    "little_toe": "small_toe",
    "sho": "shoulder",
    "elb": "elbow",
    "wri": "wrist",
    "kne": "knee",
    "ank": "ankle",
}
_MIDDLE = {
    **{name: name for name in ("nose", "neck", "head", "root", "belly")},
    **dict.fromkeys(("mid_hip", "midhip", "pelvis", "hip", "hips", "hip_center"), "root"),
    **dict.fromkeys(("head_top", "top_head", "headtop", "top_of_head"), "head"),
    **dict.fromkeys(("head_bottom", "thorax", "neck_base"), "neck"),
    "spine": "belly",
}
_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right"}


def canonical(name: str) -> str | None:
    """A joint's name in our words (`LShoulder` -> `left_shoulder`); None for an unknown one."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=^[LR])(?=[A-Z][a-z])", " ", name.strip())
    words = re.findall(r"[a-z]+", spaced.lower()) if not re.search(r"\d", name) else []
    for place in (0, -1):  # left_knee, knee_left
        if len(words) > 1 and words[place] in _SIDES:
            rest = words[1:] if place == 0 else words[:-1]
            part = _PARTS.get("_".join(rest)) or _PARTS.get("".join(rest))
            return f"{_SIDES[words[place]]}_{part}" if part else None
    whole = "_".join(words)
    if whole in _MIDDLE:
        return _MIDDLE[whole]
    for side in _SIDES:  # lknee, kneeleft; the longer words come first
        for rest in (whole.removeprefix(side), whole.removesuffix(side)):
            if rest != whole and rest in _PARTS:
                return f"{_SIDES[side]}_{_PARTS[rest]}"
    return None


def skeleton_of_names(names: Sequence[str], where: str) -> tuple[Skeleton, np.ndarray]:
    """The known skeleton that takes most of the named joints.

    Args:
      names: K joint names as they stand in a file.
      where: the file, for messages.

    Returns:
      The skeleton, and int `[J]`: the place in `names` of each of its joints, -1 where it is not.

    Raises:
      ValueError: too few of the names are understood; it lists those that are not.
    """
    for skeleton in SKELETONS.values():  # our own files; other words may mean other places there
        if skeleton.names == tuple(names):
            return skeleton, np.arange(len(names))
    known: dict[str, int] = {}
    for place, name in enumerate(names):
        if word := canonical(name):
            known.setdefault(word, place)
    skeleton = max(CANDIDATES, key=lambda one: len(known.keys() & set(one.names)))
    taken = known.keys() & set(skeleton.names)
    if len(taken) < FEWEST or not taken >= set(NEEDED):
        unknown = [name for name in names if canonical(name) is None]
        lacking = [name for name in NEEDED if name not in taken]
        raise ValueError(
            f"{where}: got {len(names)} joints ({', '.join(unknown[:6])!s:.120} not understood), "
            f"expected a person's, {', '.join(lacking) or f'at least {FEWEST}'} among them; "
            "rename them such as left_knee or r_wrist"
        )
    return skeleton, np.array([known.get(name, -1) for name in skeleton.names])
