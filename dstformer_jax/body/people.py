"""Who is who: keeps two people apart whose places in a file are exchanged now and then."""

import numpy as np


def exchanged(points: np.ndarray) -> np.ndarray:
    """Which frames hold the first two people the wrong way round (reference 3.10).

    They change places from one frame to the next where the first is nearer to where the second was
    before, by the sum over joints of distances, as in the official human_tracking.

    Args:
      points: `[M, T, J, C]` positions of M people, any unit.

    Returns:
      bool `[T]`; all False for fewer than two people.
    """
    points = np.asarray(points)
    wrong = np.zeros(points.shape[1], bool)
    if len(points) < 2:
        return wrong
    first, second = points[:2].astype(np.float64)
    stayed, came = (
        np.linalg.norm(first[1:] - before[:-1], axis=-1).sum(-1) for before in (first, second)
    )
    # Every exchange turns all that follows; two of them cancel.
    wrong[1:] = np.cumsum(stayed > came) % 2 == 1
    return wrong


def follow(array: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """`[M, T, ...]` with the first two people exchanged in the frames marked by bool `[T]`.

    Unlike the official code, which forgets them, people after the second are kept, and whatever
    belongs to a person (confidence too) can be brought along.
    """
    array = np.array(array)
    if wrong.any():
        array[:2, wrong] = array[1::-1, wrong]
    return array
