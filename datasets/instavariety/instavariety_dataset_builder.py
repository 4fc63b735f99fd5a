"""InstaVariety: OpenPose tracks of Instagram videos -> 2D motion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence

from .clips import PAIR, complete, read_pair, read_track

TEST_LIST = "insta_variety_test.txt"


@dataclass(frozen=True)
class InstaVarietyOptions:
    """Settings of the instavariety dataset."""

    official_zeros: bool = option(
        False, "leave belly and head at zero as the official code, instead of interpolating them"
    )
    fps: float = option(30.0, "nominal: the files do not say")


class Builder(SequenceBuilder):
    """One sequence a track; pixels from JSON, the official normalised units from the .npy pair."""

    OPTIONS = InstaVarietyOptions
    EXPECTS = (
        "the folder InstaVariety_tracks (tag/video/track/*.json), or one with motion_all.npy and "
        "id_all.npy"
    )

    def items(self, source: Path) -> list[Item]:
        """The .npy pair as one item, or the track folders; videos of the test list go to test."""
        options: InstaVarietyOptions = self.options
        if options.fps <= 0:
            raise ValueError(f"got --fps={options.fps}, expected a number above 0")
        if all((source / name).is_file() for name in PAIR):
            return [Item(PAIR[0], source / PAIR[0], "train", {"layout": "pair"})]
        tracks = sorted({path.parent for path in source.glob("*/*/*/*.json")})
        if not tracks:
            raise ValueError(f"got {source}, expected {self.EXPECTS}")
        tested = _listed(source)
        return [
            Item(
                path.relative_to(source).as_posix(),
                path,
                "test" if path.parent.relative_to(source).as_posix() in tested else "train",
                {"layout": "track"},
            )
            for path in tracks
        ]

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The videos of the pair, or one track."""
        zeros = self.options.official_zeros
        if item.about["layout"] == "track":
            tag, video, _ = item.key.split("/")
            motion = complete(read_track(item.path), zeros)
            yield self._sequence(item.key, f"{tag}/{video}", tag, "px", motion)
            return
        for name, motion in read_pair(item.path.parent, zeros):
            if np.isfinite(motion).all():
                yield self._sequence(name, name, "", "normalised", motion)
            else:
                notes["videos with values that are not finite, left out"] += 1

    def _sequence(self, key: str, video: str, tag: str, unit: str, motion: np.ndarray) -> Sequence:
        return Sequence(
            id=key,
            subject=video,
            action=tag,
            fps=self.options.fps,
            unit=unit,
            axes="camera",
            motion=motion,
        )


def _listed(source: Path) -> set[str]:
    """Videos `tag/id` of the authors' test list, when it lies in the folder or beside it."""
    for path in (source / TEST_LIST, source.parent / TEST_LIST):
        if path.is_file():
            return {line.strip() for line in path.read_text().splitlines() if line.strip()}
    return set()
