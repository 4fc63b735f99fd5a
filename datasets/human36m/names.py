"""What Human3.6M calls things: s_09_act_05_subact_02_ca_01 is one video."""

from __future__ import annotations

import re

from .cameras import CAMERAS

FPS = 50.0  # of the original videos
TRAIN = ("S1", "S5", "S6", "S7", "S8")
TEST = ("S9", "S11")

# Numbers 2 to 16 in the names of the videos; number 1 is all actions together.
ACTIONS = (
    "Directions",
    "Discussion",
    "Eating",
    "Greeting",
    "Phoning",
    "Posing",
    "Purchases",
    "Sitting",
    "SittingDown",
    "Smoking",
    "Photo",
    "Waiting",
    "Walking",
    "WalkDog",
    "WalkTogether",
)
_ALIASES = {
    "TakingPhoto": "Photo",
    "WalkingDog": "WalkDog",
    "WalkingTogether": "WalkTogether",
}
_SOURCE = re.compile(r"s_(\d+)_act_(\d+)_subact_(\d+)_ca_(\d+)")


def split_of(subject: str) -> str:
    """The split of a subject such as S9, by the standard protocol."""
    if subject in TRAIN or subject in TEST:
        return "train" if subject in TRAIN else "test"
    raise ValueError(f"got subject {subject!r}, expected one of {', '.join(TRAIN + TEST)}")


def describe(source: str) -> tuple[str, str]:
    """Subject and action of a video's name, ("S9", "Greeting"); empty where the name is another."""
    match = _SOURCE.fullmatch(source)
    if not match:
        return "", ""
    subject, action = int(match[1]), int(match[2]) - 2
    return f"S{subject}", ACTIONS[action] if 0 <= action < len(ACTIONS) else ""


def plain_action(take: str) -> str:
    """The action of a take: "Directions 1" -> "Directions", "TakingPhoto" -> "Photo"."""
    name = re.sub(r"[ _]\d+$", "", take)
    return _ALIASES.get(name, name)


def video_name(subject: str, take: str, takes: list[str], camera: str) -> str:
    """The name of a video from its take, e.g. ("S9", "Greeting", ["Greeting", "Greeting 1"], ...).

    Each action has two takes. The one without a number is the second: so it is for the broken
    videos that the protocol skips (S9 Greeting, SittingDown, Waiting 1). Of two numbered ones the
    lower is taken for the first, which metadata.xml does not always say; only the name depends
    on it.
    """
    action = plain_action(take)
    if action not in ACTIONS:
        raise ValueError(f"got action {take!r}, expected one of {', '.join(ACTIONS)}")
    same = sorted((other for other in takes if plain_action(other) == action), key=_take_number)
    number = 2 if len(same) == 1 and same[0] == action else same.index(take) + 1
    return (
        f"s_{int(subject[1:]):02d}_act_{ACTIONS.index(action) + 2:02d}_"
        f"subact_{number:02d}_ca_{CAMERAS.index(camera) + 1:02d}"
    )


def _take_number(take: str) -> int:
    match = re.search(r"[ _](\d+)$", take)
    return int(match[1]) if match else 10**6
