"""2D tracks of any length -> 3D poses: all windows of all people through one compiled program."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dstformer_jax.body import geometry
from dstformer_jax.body.geometry import Box
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.inference import Model
from dstformer_jax.lift.online import Stream
from dstformer_jax.lift.rates import rate_note, rate_ratio, resampled, restored
from dstformer_jax.lift.tracks import bridged
from dstformer_jax.lift.windows import Blend, batched, blend_weights, window_rows
from dstformer_jax.lift.world import HEIGHT
from dstformer_jax.tasks.metrics import centre

FILLED = 0.05  # confidence of joints that no detector saw and the network filled in


class Window(NamedTuple):
    """One window of one track: its rows, its input [T, J, 3] and the square it is cropped to."""

    track: int
    rows: np.ndarray
    motion: np.ndarray
    box: Box


Answer = Callable[[list[Window], np.ndarray], Iterable[list[np.ndarray]]]


@dataclass(frozen=True)
class Lifter:
    """Lifts prepared tracks (`lift.tracks.prepare`).

    Attributes:
      model: the network.
      frames: of a window; None: the longest clips that the network was trained on.
      overlap: share of a window that the next one covers.
      flip: averages with the mirrored input's answer; it rides in the same batch.
      batch: windows computed at once. The shape of a batch never changes: whatever is lifted, one
        program is compiled.
    """

    model: Model
    frames: int | None = None
    overlap: float = 0.5
    flip: bool = True
    batch: int = 4

    def __post_init__(self) -> None:
        most = self.model.maxlen
        if self.frames is not None and not 1 <= self.frames <= most:
            raise ValueError(f"got frames={self.frames}, expected 1 to {most}, the network's most")
        if self.batch < 1 or not 0 <= self.overlap < 1:
            raise ValueError(
                f"got batch={self.batch} and overlap={self.overlap}, expected 1 or more windows "
                "and 0 <= overlap < 1"
            )

    @property
    def window(self) -> int:
        """Frames of a window."""
        return self.frames or trained_frames(self.model)

    def __call__(self, motion: Motion, progress: bool = False) -> Motion:
        """3D poses of every track.

        Args:
          motion: 2D tracks in pixels, in the network's joints, missing ones 0.
          progress: shows a bar with frames a second.

        Returns:
          the same tracks in camera axes, root-relative, in pixels like the input; `uncertainty` is
          the spread of the answers that were averaged. Joints that were not detected have
          confidence 0.05.
        """
        answers = self.blended(motion, self._poses, self.model.skeleton.num_joints, progress)
        lifted = zip(motion, answers, strict=True)
        tracks = tuple(_lifted(track, *answer) for track, answer in lifted)
        notes = (*motion.notes, *rate_note(motion.fps, self.model.fps))
        return replace(motion, tracks=tracks, axes="camera", notes=notes)

    def blended(
        self, motion: Motion, answer: Answer, points: int, progress: bool = False
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Mean and spread of a network's answers to overlapping windows, for every track.

        The network sees the motion at its own frame rate; its answers come back at the motion's.

        Args:
          motion: as for `__call__`.
          answer: windows, and their clips [N, T, J, 3] in batches of one size, of which some may
            only fill -> for each window the answers [T, P, 3] that are to be averaged.
          points: P.
          progress: shows a bar with frames a second.

        Returns:
          means [L, P, 3] and spreads [L, P] (see `Blend`) of each track of L frames.
        """
        ratio = rate_ratio(motion.fps, self.model.fps)
        timed = motion
        if ratio != 1:
            timed = replace(motion, tracks=tuple(resampled(track, ratio) for track in motion))
        blends = [Blend(len(track), points) for track in timed]
        weights = blend_weights(self.window, self.overlap)
        with tqdm(
            total=sum(map(len, timed)), unit=" frames", desc="lifting", disable=not progress
        ) as bar:
            for windows in batched(self._windows(timed), self.batch):
                answers = answer(windows, self._clips(windows))
                for window, several in zip(windows, answers, strict=True):
                    for each in several:
                        blends[window.track].add(window.rows, each, weights)
                bar.update(_done(windows, self.window, timed, bar.n))
        found = [(blend.mean, blend.spread) for blend in blends]
        if ratio == 1:
            return found
        return [
            (restored(mean, len(track), ratio), restored(spread, len(track), ratio, smooth=False))
            for track, (mean, spread) in zip(motion, found, strict=True)
        ]

    def stream(self, skeleton: Skeleton, look_ahead: int = 0, height: float = HEIGHT) -> Stream:
        """One person's frames, lifted as they come; see `lift.online.Stream`."""
        return Stream(self, skeleton, look_ahead, height)

    def _windows(self, people: Motion) -> Iterator[Window]:
        """Every window of every track, normalised as in training."""
        for number, track in enumerate(people):
            motion = bridged(track.motion)
            for rows in window_rows(len(track), self.window, self.overlap):
                clip = motion[rows]
                seen = clip[..., 2:] > 0
                normal, box = self.model.normaliser.encode(clip, people.size)
                yield Window(number, rows, np.where(seen, normal, 0), box)

    def _clips(self, windows: list[Window]) -> np.ndarray:
        """Their inputs, filled up to a batch of zeros; mirrored ones behind where `flip`."""
        clips = np.stack([window.motion for window in windows])
        clips = np.concatenate([clips, np.zeros((self.batch - len(clips), *clips.shape[1:]))])
        if self.flip:
            clips = np.concatenate([clips, geometry.flip(clips, self.model.skeleton)])
        return clips

    def _poses(self, windows: list[Window], clips: np.ndarray) -> Iterator[list[np.ndarray]]:
        """The answers to each window, and to its mirror image, in pixels and root-relative."""
        poses = self.model.lift(clips)
        answers = [poses[: self.batch]]
        if self.flip:
            answers.append(geometry.flip(poses[self.batch :], self.model.skeleton))
        for number, window in enumerate(windows):
            half = np.asarray(window.box.half).reshape(())
            yield [centre(each[number]) * half for each in answers]


def trained_frames(model: Model) -> int:
    """The longest clips that a model was trained on; its most where it does not say."""
    sources = model.info.get("config", {}).get("sources", {}).values()
    clips = model.info.get("clips") or {"frames": model.maxlen}
    return min(max((s["frames"] for s in sources if s), default=clips["frames"]), model.maxlen)


def _done(windows: list[Window], frames: int, motion: Motion, before: int) -> int:
    """Frames that are finished by these windows beyond those before, for the bar."""
    last = windows[-1]
    earlier = sum(len(track) for track in motion.tracks[: last.track])
    return max(0, earlier + min(int(last.rows.max()) + 1, len(motion.tracks[last.track])) - before)


def _lifted(track: Track, mean: np.ndarray, spread: np.ndarray) -> Track:
    return Track(
        track.id, track.start, mean, np.maximum(track.confidence, FILLED), uncertainty=spread
    )
