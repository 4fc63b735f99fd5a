"""Procedural people: random bodies doing known actions, from a seed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence

from .actions import ACTIONS
from .body import LANDMARKS, random_body
from .people import simulate


@dataclass(frozen=True)
class SyntheticOptions:
    """Settings of the synthetic dataset."""

    sequences: int = option(264, "sequences in all")
    subjects: int = option(24, "different bodies")
    test_subjects: int = option(4, "how many of them are in the split test")
    seconds: float = option(8.0, "length of a sequence")
    fps: float = option(30.0, "frames a second")
    heading: float = option(360.0, "degrees over which first headings spread; 0: all alike")
    seed: int = option(0, "what every random choice follows from")


class Builder(SequenceBuilder):
    """One item a subject; a sequence depends on (seed, subject, number) alone."""

    OPTIONS = SyntheticOptions
    NEEDS_SOURCE = False
    EXPECTS = "nothing: it needs no files"

    def items(self, source: Path) -> list[Item]:
        """The subjects, the last of them for testing."""
        options: SyntheticOptions = self.options
        if not 0 <= options.test_subjects < options.subjects <= options.sequences:
            raise ValueError(
                f"got {options.test_subjects} test subjects of {options.subjects} and "
                f"{options.sequences} sequences, expected test_subjects < subjects <= sequences"
            )
        if not 0 <= options.heading <= 360:
            raise ValueError(f"got heading {options.heading}, expected 0 to 360 degrees")
        if not (options.fps > 0 and options.seconds * options.fps >= 2 and options.seed >= 0):
            raise ValueError(
                f"got {options.seconds} seconds at {options.fps} fps and seed {options.seed}, "
                "expected two frames or more and a seed of 0 or more"
            )
        train = options.subjects - options.test_subjects
        return [
            Item(f"S{number:03d}", split="train" if number < train else "test", about={"n": number})
            for number in range(options.subjects)
        ]

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The sequences of one subject; actions take turns over all subjects."""
        options: SyntheticOptions = self.options
        subject: int = item.about["n"]
        body = random_body(np.random.default_rng([options.seed, subject]))
        frames = round(options.seconds * options.fps)
        names = list(ACTIONS)
        for number in range(subject, options.sequences, options.subjects):
            turn = number // options.subjects
            label = (subject * 5 + turn) % len(names)
            rng = np.random.default_rng([options.seed, subject, turn])
            places = simulate(body, names[label], rng, frames, options.fps, options.heading)
            yield Sequence(
                id=f"{item.key}/{turn:03d}_{names[label]}",
                subject=item.key,
                action=names[label],
                label=label,
                rig="synthetic",
                fps=options.fps,
                pose=np.stack([places[joint] for joint in H36M17.names], 1),
                landmarks=np.stack([places[joint] for joint in LANDMARKS], 1),
                landmark_names=LANDMARKS,
            )
