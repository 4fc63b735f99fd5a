"""PoseTrack18 annotations -> 2D motion of people, in pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence

from .tracks import read_tracks, to_motion

# Folders of the release and the splits they become.
SPLITS = {"train": "train", "val": "test", "test": "test"}


@dataclass(frozen=True)
class PoseTrackOptions:
    """Settings of the posetrack18 dataset; the defaults are the official selection."""

    frames: int = option(30, "keep the first so many annotations of a person, drop shorter tracks")
    visible: float = option(0.6, "drop a person with this share of their joints visible, or less")
    fps: float = option(25.0, "nominal: the files do not say")


class Builder(SequenceBuilder):
    """One sequence a person: the first 30 annotations of their track, if well seen.

    As the official PoseTrackDataset2D selects them. Its crop to [0.25, 1], drawn once there,
    belongs to the source (`crop=(0.25, 1)`), where it is drawn anew each time.
    """

    OPTIONS = PoseTrackOptions
    EXPECTS = "the folder posetrack18_annotations (train/*.json, val/*.json)"

    def items(self, source: Path) -> list[Item]:
        """The annotation files of train/ and val/, or of the folder itself."""
        options: PoseTrackOptions = self.options
        if options.frames < 1 or options.fps <= 0:
            raise ValueError(
                f"got --frames={options.frames} --fps={options.fps}, expected numbers above 0"
            )
        root = source / "annotations" if (source / "annotations").is_dir() else source
        folders = [root / name for name in SPLITS if (root / name).is_dir()] or [root]
        files = {
            path: SPLITS.get(path.parent.name, "train")
            for folder in folders
            for path in sorted(folder.glob("*.json"))
        }
        if not files:
            raise ValueError(f"got {source}, expected {self.EXPECTS}")
        return [
            Item(path.relative_to(source).as_posix(), path, split) for path, split in files.items()
        ]

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The people of one video who are seen long and well enough."""
        options: PoseTrackOptions = self.options
        people, size = read_tracks(item.path)
        for person in people:
            if len(person.points) < options.frames:
                notes[f"people with fewer than {options.frames} annotations, left out"] += 1
                continue
            points = person.points[: options.frames]
            motion = to_motion(points)
            # Officially: more than 306 of 30 x 17 marks.
            if points[..., 2].mean() <= options.visible + 1e-9 or not motion[:, 0, 2].all():
                notes["people with too few visible joints, or hips once hidden, left out"] += 1
                continue
            yield Sequence(
                id=f"{Path(item.key).with_suffix('').as_posix()}/{person.id}",
                subject=item.path.stem,
                fps=options.fps,
                unit="px",
                axes="camera",
                size=size,
                motion=motion,
            )
