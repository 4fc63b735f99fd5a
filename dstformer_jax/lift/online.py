"""One person's frames as they come: a ring of the last ones, one compiled shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dstformer_jax.body import geometry
from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.lift.windows import mirrored
from dstformer_jax.lift.world import HEIGHT, limb_lengths
from dstformer_jax.tasks.metrics import centre

if TYPE_CHECKING:
    from dstformer_jax.lift.lifter import Lifter

SIZE_FRAMES = 60  # over which a person's size in the image is taken as one


class Answer(NamedTuple):
    """The pose of one frame: joints [J, 3] in metres, camera axes, relative to the root."""

    frame: int
    joints: np.ndarray


@dataclass
class Stream:
    """One person's frames, one after another, through windows of one compiled shape.

    They come at the frame rate that the network was trained at (`Model.fps`): nothing is resampled.

    Attributes:
      lifter: of the network; its `flip` doubles the time of a frame, its `overlap` and `batch` mean
        nothing here.
      skeleton: of the keypoints.
      look_ahead: frames that the network sees after the one that is answered; 0: causal.
      height: of the person in metres.
    """

    lifter: Lifter
    skeleton: Skeleton
    look_ahead: int = 0
    height: float = HEIGHT
    _motion: deque[np.ndarray] = field(init=False)
    _frames: deque[int] = field(init=False)
    _lengths: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        window = self.lifter.window
        if not 0 <= self.look_ahead < window:
            raise ValueError(
                f"got look_ahead={self.look_ahead}, expected 0 to {window - 1}: windows have "
                f"{window} frames"
            )
        if not 0 < self.height < np.inf:
            raise ValueError(f"got height={self.height}, expected metres above 0")
        self._motion, self._frames = deque(maxlen=window), deque(maxlen=window)
        self._lengths = deque(maxlen=SIZE_FRAMES)

    def push(self, frame: int, keypoints: np.ndarray) -> Answer | None:
        """Takes a frame; answers the one `look_ahead` before, or nothing at the beginning.

        Args:
          frame: its number; frames that were left out since the last one count as not seen.
          keypoints: [J, 3] x, y in pixels and confidence, 0 of joints that are missing.

        Raises:
          ValueError: another number of joints, values that are not finite, or an earlier frame.
        """
        keypoints = np.asarray(keypoints, np.float32)
        shape = (self.skeleton.num_joints, 3)
        if keypoints.shape != shape or not np.isfinite(keypoints).all():
            raise ValueError(
                f"got keypoints of shape {keypoints.shape}, expected {shape} finite numbers for "
                f"{self.skeleton.name}"
            )
        if self._frames and frame <= self._frames[-1]:
            raise ValueError(f"got frame {frame} after {self._frames[-1]}, expected a later one")
        model = self.lifter.model
        confidence = np.clip(keypoints[:, 2], 0, 1)
        points, confidence = self.skeleton.convert(keypoints[:, :2], confidence, model.skeleton)
        self._skip(frame)
        seen = confidence[:, None] > 0
        self._keep(frame, np.concatenate([points * seen, confidence[:, None]], axis=-1))
        return self._answer(self.look_ahead)

    def finish(self) -> Iterator[Answer]:
        """The frames that still wait for others to come."""
        for behind in reversed(range(min(self.look_ahead, len(self._frames)))):
            answer = self._answer(behind)
            if answer is not None:
                yield answer

    def _skip(self, frame: int) -> None:
        """Empty frames in the place of those that were left out."""
        if self._frames:
            first = max(self._frames[-1] + 1, frame - self.lifter.window)
            for missing in range(first, frame):
                self._keep(missing, np.zeros((self.lifter.model.skeleton.num_joints, 3)))

    def _keep(self, frame: int, motion: np.ndarray) -> None:
        self._frames.append(frame)
        self._motion.append(motion.astype(np.float32))

    def _answer(self, behind: int) -> Answer | None:
        """The pose of the frame so many before the last; of unseen windows nothing."""
        window, known = self.lifter.window, len(self._motion)
        if behind >= known:
            return None
        rows = mirrored(np.arange(known - window, known), known)
        clip = np.stack(self._motion)[rows]
        seen = clip[..., 2:] > 0
        if not seen.any():
            return None
        normal, box = self.lifter.model.normaliser.encode(clip)
        pose = self._lift(np.where(seen, normal, 0))[window - 1 - behind]
        pose = centre(pose) * np.asarray(box.half).reshape(())
        length, goal = limb_lengths(pose, self.lifter.model.skeleton, self.height)
        self._lengths.append(float(length))
        metres = goal / max(float(np.median(self._lengths)), 1e-6)
        return Answer(self._frames[-1 - behind], pose * metres)

    def _lift(self, clip: np.ndarray) -> np.ndarray:
        """[T, J, 3], averaged with the mirrored input's answer where the lifter says so."""
        model = self.lifter.model
        if not self.lifter.flip:
            return model.lift(clip[None])[0]
        pair = np.stack([clip, geometry.flip(clip, model.skeleton)])
        plain, other = model.lift(pair)
        return (plain + geometry.flip(other, model.skeleton)) / 2
