"""Which stretches of which people are lifted: one Track of the network's joints each."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import Skeleton

FPS = 30.0  # taken where a file does not say
MAX_GAP = 2.0  # seconds without a person that still are one track
FEW_FRAMES, SMALL_SHARE = 10, 0.1  # a track short by both rules is dropped
MASKED = 5  # frames: the longest run that the masks of training make now and then
FEW_JOINTS = 6  # a track that mostly shows fewer is dropped
SQUARE = (
    "Image: its size is not known and x and y are parts of it, so a square image is assumed; "
    "another one squeezes people (give --size=WIDTHxHEIGHT)."
)


def prepare(motion: Motion, skeleton: Skeleton, people: Collection[int] = ()) -> Motion:
    """The tracks to lift, in the joints of a network.

    - Frames before a person's first and after the last sighting are cut off; a gap of more than 2 s
      splits a track, and the parts get ids of their own (free ones above those of the file).
    - A track seen in fewer than 10 frames, and in fewer than a tenth of those of the longest, is
      dropped; so is one that shows fewer than 6 joints in most of its frames, where another shows
      more.
    - Parts of the image become pixels; where its size is not known it is taken for square, noted.
    - Missing joints and frames are zeros with confidence 0; `bridged` is what the network gets.

    Args:
      motion: 2D detections.
      skeleton: of the network.
      people: ids of the tracks to keep; none: all.

    Raises:
      ValueError: an id that is not there, or nobody in the whole motion.
    """
    known = [track.id for track in motion]
    if missing := sorted(set(people) - set(known)):
        raise ValueError(
            f"got person {missing[0]}, expected one of {', '.join(map(str, known)) or 'nobody'} "
            f"in {motion.source or 'the motion'}"
        )
    motion, notes = motion.in_pixels(), list(motion.notes)
    if motion.unit == "normalised":
        notes.append(SQUARE)
    if not motion.fps:
        notes.append(f"Frames a second are not known: {FPS:g} assumed.")
        motion = replace(motion, fps=FPS)
    chosen = [track for track in motion if not people or track.id in people]
    converted = replace(motion, tracks=tuple(chosen)).convert(skeleton)
    parts = [part for track in converted for part in _parts(track, MAX_GAP * motion.fps)]
    parts = _renamed(parts, known)
    if not parts:
        raise ValueError(
            f"{motion.source or 'motion'}: got no frame with a person, expected detections"
        )
    kept = [part for part in parts if _joints(part) >= FEW_JOINTS] or parts
    if dropped := len(parts) - len(kept):
        notes.append(f"{dropped} track(s) of fewer than {FEW_JOINTS} joints were left out.")
    parts, longest = kept, max(int(part.seen.sum()) for part in kept)
    kept = [p for p in parts if p.seen.sum() >= min(FEW_FRAMES, SMALL_SHARE * longest)]
    if dropped := len(parts) - len(kept):
        notes.append(
            f"{dropped} track(s) of fewer than {FEW_FRAMES} frames were left out, being under a "
            "tenth of the longest."
        )
    return replace(converted, tracks=tuple(map(_blank, kept)), notes=tuple(notes))


def _parts(track: Track, most: float) -> Iterator[Track]:
    """The stretches of a track between gaps of more than `most` frames."""
    rows = np.flatnonzero(track.seen)
    if not len(rows):
        return
    cuts = np.flatnonzero(np.diff(rows) > most + 1)
    firsts = rows[np.concatenate([[0], cuts + 1])]
    lasts = rows[np.concatenate([cuts, [len(rows) - 1]])]
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        rows_of = slice(first, last + 1)
        yield Track(track.id, track.start + first, track.points[rows_of], track.confidence[rows_of])


def _joints(track: Track) -> float:
    """How many joints are seen in the median of all its frames."""
    return float(np.median((track.confidence > 0).sum(-1)))


def _renamed(parts: list[Track], known: Collection[int]) -> list[Track]:
    """Parts with ids of their own; the first part of a track keeps its id."""
    free, taken, out = max(known, default=-1) + 1, set(), []
    for part in parts:
        name = part.id
        if name in taken:
            name, free = free, free + 1
        taken.add(part.id)
        out.append(replace(part, id=name))
    return out


def bridged(motion: np.ndarray) -> np.ndarray:
    """Motion [T, J, 3] as the network is to see it: its long gaps bridged by straight lines.

    Up to MASKED frames a joint that is missing stays zeros, exactly as the masks of the training
    make it. Longer gaps the training never makes: there zeros are much worse than lines between the
    sightings, confidence too (docs/lift/gaps.md). What comes before the first sighting of a joint
    or after its last stays as it is.
    """
    out = motion.copy()
    missing = motion[..., 2] <= 0
    for joint in np.flatnonzero(missing.any(0) & ~missing.all(0)):
        known = np.flatnonzero(~missing[:, joint])
        for place in np.flatnonzero(np.diff(known) > MASKED + 1):
            first, last = known[place], known[place + 1]
            share = (np.arange(first, last) - first) / (last - first)
            ends = motion[first, joint], motion[last, joint]
            out[first:last, joint] = ends[0] + share[:, None] * (ends[1] - ends[0])
    return out


def _blank(track: Track) -> Track:
    """Zeros where a joint is missing."""
    return replace(track, points=track.points * (track.confidence[..., None] > 0))
