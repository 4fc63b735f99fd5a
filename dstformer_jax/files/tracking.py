"""Simple tracking for detectors that give no identities: greedy, by joint distance.

A detection joins the track whose last pose lies nearest, in units of the person's own size. It is
enough for a few people who do not cross closely; files with identities never come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dstformer_jax.files.detections import Detection

MAX_GAP = 30  # frames a person may be lost
MAX_STEP = 0.5  # sizes of the person that a joint may move between two sightings, on average


@dataclass
class _Person:
    """The last sighting of a track."""

    id: int
    last: Detection


def assign_ids(detections: Sequence[Detection]) -> list[Detection]:
    """The same detections, in frame order, with identities 0, 1, ... by order of appearance."""
    people: list[_Person] = []
    count = 0
    out = []
    frames: dict[int, list[Detection]] = {}
    for found in detections:
        if (found.confidence > 0).any():
            frames.setdefault(found.frame, []).append(found)
    for frame in sorted(frames):
        people = [person for person in people if frame - person.last.frame <= MAX_GAP]
        matched = _match(people, frames[frame])
        for index, found in enumerate(frames[frame]):
            person = matched.get(index)
            if person is None:
                person = _Person(count, found)
                people.append(person)
                count += 1
            person.last = found
            out.append(replace(found, id=person.id))
    return out


def _match(people: Sequence[_Person], found: Sequence[Detection]) -> dict[int, _Person]:
    """Pairs detections with people, the nearest pair first."""
    pairs = sorted(
        (
            (distance(person.last, detection), index, person.id, person)
            for person in people
            for index, detection in enumerate(found)
        ),
        key=lambda pair: pair[:3],
    )
    matched: dict[int, _Person] = {}
    taken: set[int] = set()
    for gap, index, identity, person in pairs:
        if gap <= MAX_STEP and index not in matched and identity not in taken:
            matched[index] = person
            taken.add(identity)
    return matched


def distance(one: Detection, other: Detection) -> float:
    """Mean distance of the joints seen in both, over the larger person's size; inf if none is."""
    both = (one.confidence > 0) & (other.confidence > 0)
    size = max(_size(one), _size(other))
    if not both.any() or not size > 0:
        return float("inf")
    return float(np.linalg.norm(one.points[both] - other.points[both], axis=-1).mean()) / size


def _size(found: Detection) -> float:
    """Diagonal of the box around the visible joints."""
    points = found.points[found.confidence > 0]
    return float(np.linalg.norm(points.max(0) - points.min(0))) if len(points) else 0.0
