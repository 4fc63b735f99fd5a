"""Anybody's 2D keypoints to 3D motion in metres.

from dstformer_jax.lift import lift

motion = lift("alphapose-results.json")
"""

from collections.abc import Collection
from pathlib import Path

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.formats import read
from dstformer_jax.inference import STARTER, Model, load
from dstformer_jax.lift.calibration import calibrated
from dstformer_jax.lift.lifter import Lifter
from dstformer_jax.lift.tracks import prepare
from dstformer_jax.lift.world import World

__all__ = ["Lifter", "World", "lift"]


def lift(
    motion: Motion | str | Path,
    model: Model | Lifter | str | Path = STARTER,
    people: Collection[int] = (),
    world: World | None = None,
    progress: bool = False,
) -> Motion:
    """3D motion of 2D keypoints.

    Args:
      motion: 2D tracks, or a file or folder of any format that `read` knows.
      model: a network, a `Lifter` of one with windows as wanted, or what `load` takes; by default
        the weights in the package.
      people: ids of the tracks to lift; none: all.
      world: size, lens and space of the answer; None: people of 1.7 m on y = 0, one of them with
        the root above the origin, several where they are.
      progress: shows a bar.

    Returns:
      tracks of the network's joints in metres. Confidence is that of the detections, 0.05 where a
      joint was not detected. `uncertainty` is the error to be expected of a joint relative to the
      root, in metres, where a calibration comes with the weights and holds for the lifter's
      settings; else the spread between the answers of overlapping windows and mirrored input.
      `notes` say which of both, and what was assumed.

    Raises:
      ValueError: 3D input, nobody in it, or a network of other joints.
    """
    if isinstance(motion, str | Path):
        motion = read(motion)
    if not isinstance(model, Model | Lifter):
        model = load(model)
    lifter = Lifter(model) if isinstance(model, Model) else model
    if any(track.points.shape[-1] != 2 for track in motion):
        raise ValueError(f"{motion.source or 'motion'}: got 3D motion, expected 2D keypoints")
    seen = prepare(motion, lifter.model.skeleton, people)
    return calibrated((world or World())(lifter(seen, progress), seen), lifter)
