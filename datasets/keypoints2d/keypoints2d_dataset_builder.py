"""Any detector's keypoints -> 2D sequences of joints in pixels with confidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dstformer_jax.body.declared import skeleton_of
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.data.builder import Item, SequenceBuilder, option
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.coco import read_coco_videos
from dstformer_jax.files.formats import read, sniff
from dstformer_jax.files.openpose import LISTS
from dstformer_jax.files.records import sample

SUFFIXES = (".json", ".csv", ".npz", ".pkl", ".h5")
_FEET = re.compile(r"(left|right)_(big_toe|small_toe|heel|foot_index)")


@dataclass(frozen=True)
class KeypointOptions:
    """Settings of the keypoints2d dataset."""

    fps: float = option(30.0, "frames a second of videos whose files do not say")
    only: tuple[str, ...] = option((), "take these videos or folders alone")
    test: tuple[str, ...] = option((), "videos or folders that go to the split test")
    size: str = option("", "WIDTHxHEIGHT of the videos, needed where points are in [0, 1]")
    skeleton: str = option(H36M17.name, "joints to write: a built-in skeleton, or a JSON of yours")
    max_gap: float = option(2.0, "seconds; a track is split where it is lost for longer")
    min_seconds: float = option(1.0, "shorter tracks are dropped")


class Builder(SequenceBuilder):
    """One item a video: a results file, or a folder of per-frame JSON; one sequence a track."""

    OPTIONS = KeypointOptions
    EXPECTS = "a folder of keypoint files, or of folders of per-frame JSON"

    @property
    def num_joints(self) -> int:
        """Joints J of its sequences."""
        return skeleton_of(self.options.skeleton).num_joints

    def items(self, source: Path) -> list[Item]:
        """The videos below `source`, or `source` itself."""
        options: KeypointOptions = self.options
        image_size(options.size)
        if not (options.fps > 0 and options.max_gap >= 0 and options.min_seconds >= 0):
            raise ValueError(
                f"got fps {options.fps}, max_gap {options.max_gap} and min_seconds "
                f"{options.min_seconds}, expected fps above 0 and the others 0 or more"
            )
        found = {_name(source, path): path for path in sorted(videos(source))}
        for names in (options.only, options.test):
            for name in names:
                if not any(_is_in(key, (name,)) for key in found):
                    raise ValueError(
                        f"got video {name!r}, expected one of {', '.join(found) or 'none'}"
                    )
        items = [
            Item(key, path, "test" if _is_in(key, options.test) else "train")
            for key, path in found.items()
            if not options.only or _is_in(key, options.only)
        ]
        if not items:
            raise ValueError(f"got {source} without a keypoint file, expected {self.EXPECTS}")
        return items

    def read(self, item: Item, notes: Counter[str]) -> Iterator[Sequence]:
        """The tracks of one file or folder, split at long gaps."""
        size = image_size(self.options.size)
        for name, motion in motions(item.path).items():
            video = f"{item.key}/{name}" if name else item.key
            yield from self._tracks(in_pixels(motion, size), video, notes)

    def _tracks(self, original: Motion, video: str, notes: Counter[str]) -> Iterator[Sequence]:
        options: KeypointOptions = self.options
        fps = original.fps or options.fps
        feet = tuple(name for name in original.skeleton.names if _FEET.fullmatch(name))
        wanted = skeleton_of(options.skeleton)
        for track, whole in zip(original.convert(wanted), original, strict=True):
            pieces = track_pieces(track, round(options.max_gap * fps))
            notes["tracks split at gaps"] += len(pieces) > 1
            for start, end in pieces:
                if end - start < options.min_seconds * fps:
                    notes[f"tracks under {options.min_seconds:g} s dropped"] += 1
                    continue
                notes["frames without a detection"] += int((~track.seen[start:end]).sum())
                yield Sequence(
                    id=f"{video}#{track.id}@{track.start + start}",
                    subject=f"{video}#{track.id}",
                    fps=fps,
                    unit="px",
                    axes="camera",
                    rig=original.skeleton.name,
                    size=original.size,
                    joints=wanted.names,
                    # A mean of a seen and a missing joint is no place: missing joints are zero.
                    motion=(track.motion * (track.confidence > 0)[..., None])[start:end],
                    landmarks=_feet(whole, original.skeleton, feet)[start:end],
                    landmark_names=feet,
                )


def motions(path: Path) -> dict[str, Motion]:
    """The one video of a file or folder, unnamed, or the videos of an annotation file by name."""
    if sniff(path).name == "coco" and isinstance(sample(path)[0], dict):
        return read_coco_videos(path)
    return {"": read(path)}


def videos(source: Path) -> Iterator[Path]:
    """Results files and folders of per-frame files below a folder, or the one that `source` is."""
    if source.is_file() or holds_frames(source):
        yield source
        return
    for path in source.iterdir():
        if path.is_dir():
            yield from videos(path)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def holds_frames(folder: Path) -> bool:
    """Whether the JSON files of a folder are the frames of one video (OpenPose and its kin)."""
    first = min((path for path in folder.iterdir() if path.suffix == ".json"), default=None)
    if first is None:
        return False
    with first.open("rb") as file:
        head = file.read(4096).lstrip()
    return head.startswith(b"{") and any(b'"%s"' % word.encode() in head for word in LISTS)


def in_pixels(motion: Motion, size: tuple[int, int]) -> Motion:
    """The motion in pixels; points relative to an image need its size."""
    if motion.axes != "image" or motion.unit not in ("px", "normalised"):
        raise ValueError(
            f"got points in {motion.unit} and {motion.axes} axes, expected 2D keypoints of an image"
        )
    size = size if size != (0, 0) else motion.size
    scale = np.ones(2, np.float32)
    if motion.unit == "normalised":
        if size == (0, 0):
            raise ValueError("got points in [0, 1] of the image, expected its --size=WIDTHxHEIGHT")
        scale = np.array(size, np.float32)
    tracks = [
        Track(track.id, track.start, track.points[..., :2] * scale, np.minimum(track.confidence, 1))
        for track in motion.tracks
    ]
    return Motion(tuple(tracks), motion.skeleton, motion.fps, "px", "image", size, motion.source)


def track_pieces(track: Track, max_gap: int) -> list[tuple[int, int]]:
    """[start, end) rows of a track between gaps of more than `max_gap` frames, and its ends."""
    seen = np.flatnonzero(track.seen)
    if not len(seen):
        return []
    breaks = np.flatnonzero(np.diff(seen) > max_gap + 1)
    starts = seen[np.append(0, breaks + 1)]
    ends = seen[np.append(breaks, len(seen) - 1)] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _feet(track: Track, skeleton: Skeleton, names: tuple[str, ...]) -> np.ndarray:
    """x, y and confidence [T, L, 3] of the points of the feet."""
    return track.motion[:, [skeleton.index(name) for name in names]]


def _name(source: Path, path: Path) -> str:
    relative = path.relative_to(source).as_posix()
    return path.name if relative == "." else relative


def _is_in(key: str, names: tuple[str, ...]) -> bool:
    """Whether a name is the video's, with or without suffix, or that of a folder around it."""
    parts = {key, Path(key).stem, *Path(key).parts}
    return not parts.isdisjoint(names)


def image_size(text: str) -> tuple[int, int]:
    """(width, height) of WIDTHxHEIGHT, (0, 0) of an empty text; anything else is refused."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if text and not match:
        raise ValueError(f"got --size={text}, expected WIDTHxHEIGHT such as 1920x1080")
    return (int(match[1]), int(match[2])) if match else (0, 0)
