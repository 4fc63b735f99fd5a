"""The colours of pictures and pages."""

from functools import cache

# Okabe and Ito's colours, told apart by people of any colour vision.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
PEOPLE = OKABE_ITO[:6]  # without black, which a dark ground swallows
SIDES = {"left": "#1f6fb4", "right": "#d1493f", "middle": "#5a4a78"}
OTHERS = "#8a8f98"  # people of the 2D input who are not in the 3D answer


def person(place: int | None) -> str:
    """The colour of the person at `place` of the legend; None is somebody of the 2D input alone."""
    return OTHERS if place is None else PEOPLE[place % len(PEOPLE)]


@cache
def limb(place: int | None, side: str, alone: bool) -> str:
    """The colour of a limb: of its side where one person is alone, else light left, dark right."""
    if alone and place is not None:
        return SIDES[side]
    colour = person(place)
    if side == "left":
        return _mixed(colour, 255, 0.45)
    return _mixed(colour, 0, 0.3) if side == "right" else colour


def _mixed(colour: str, other: int, share: float) -> str:
    """A colour with a share of white (255) or black (0)."""
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (other - part) * share):02x}" for part in parts)
