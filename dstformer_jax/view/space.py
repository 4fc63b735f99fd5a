"""Motion as it is shown: metres, y up, the floor at y = 0."""

import numpy as np

from dstformer_jax.body.motion import Motion

ADULT = 1.7  # metres: the extent that a person is shown with where the unit is unknown
_METRES = {"m": 1.0, "mm": 0.001}
_LOWEST = 0.5  # percentile of the heights of joints that is taken for the floor under a camera


def check(pose: Motion, image: Motion | None = None) -> None:
    """Raises ValueError unless `pose` is 3D in space and `image` lies in an image."""
    flat = [track.id for track in pose if track.points.shape[-1] != 3]
    if flat or pose.axes == "image":
        where = f"2D points of tracks {flat[:3]}" if flat else "points"
        raise ValueError(
            f"got {where} with {pose.axes} axes from {pose.source or 'a motion'}, expected 3D "
            "points with camera or world axes; lift them first"
        )
    if image is not None and image.axes != "image":
        raise ValueError(f"got an input with {image.axes} axes, expected image axes")


def extent(motion: Motion) -> float:
    """The longest side of the box around a person, the median of all; 1 without people."""
    sides = [np.zeros(0, np.float32)]
    for track in motion:
        seen = (track.confidence > 0)[..., None]
        low = np.where(seen, track.points, np.inf).min(1)
        high = np.where(seen, track.points, -np.inf).max(1)
        sides.append((high - low)[track.seen].max(-1, initial=0.0))
    longest = np.concatenate(sides)
    return float(np.median(longest[longest > 0])) if (longest > 0).any() else 1.0


def floor(pose: Motion) -> float:
    """Height of the floor in the unit of the points, upwards.

    0 for world axes; with camera axes nobody knows it, so it lies at the lowest joints seen.
    """
    if pose.axes == "world":
        return 0.0
    heights = [-track.points[..., 1][track.confidence > 0] for track in pose]
    every = np.concatenate([np.zeros(0, np.float32), *heights])
    return float(np.percentile(every, _LOWEST)) if every.size else 0.0


def scale(pose: Motion) -> float:
    """Metres a unit; where the unit says nothing, people are made as large as adults."""
    return _METRES.get(pose.unit) or ADULT / extent(pose)


def placed(pose: Motion) -> list[np.ndarray]:
    """The points of each track, float32 `[T, J, 3]`: metres, x right, y up, z to the viewer."""
    sign = 1.0 if pose.axes == "world" else -1.0
    ground, metres = floor(pose), scale(pose)
    turn = np.array([1.0, sign, sign], np.float32)
    lift = np.array([0.0, ground, 0.0], np.float32)
    return [((track.points * turn - lift) * metres).astype(np.float32) for track in pose]
