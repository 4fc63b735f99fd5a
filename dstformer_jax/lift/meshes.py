"""2D tracks -> moving bodies: overlapping windows through a mesh network, their answers blended."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.model import BodyModel
from dstformer_jax.body.motion import Motion
from dstformer_jax.files.bodies import read_body
from dstformer_jax.files.meshes import BodyMotion
from dstformer_jax.inference import Model
from dstformer_jax.lift.lifter import FILLED, Lifter, Window
from dstformer_jax.lift.rates import rate_note
from dstformer_jax.lift.world import World
from dstformer_jax.models.network import Network
from dstformer_jax.tasks.metrics import centre


def body_of(model: Model, path: str | Path | None = None) -> BodyModel:
    """The body that a mesh network answers for.

    Args:
      model: of `load(path, head="mesh")`.
      path: the body's file or folder (`read_body`); None: where the training had it.

    Raises:
      ValueError: no body there, or another than the network's.
    """
    trained = model.info.get("body") or {}
    if path is None and not Path(trained.get("path") or "nowhere").exists():
        raise ValueError(
            "got no body, which the weights do not hold, expected that of the training "
            f"({trained.get('path') or 'SMPL'}); do give --body=PATH, an .npz or the official "
            "folder data/mesh"
        )
    body = read_body(path or trained["path"])
    head: Any = model.network.head
    sizes, wanted = (body.num_bones, body.num_shapes), (head.bones, head.shapes)
    named = trained.get("bones")
    if sizes != wanted or (named and list(named) != list(body.bone_names)):
        raise ValueError(
            f"got the body {body.name} of {sizes[0]} bones and {sizes[1]} shapes, expected the "
            f"training's: {wanted[0]} and {wanted[1]}" + (f", {', '.join(named)}" if named else "")
        )
    return body


def recover(
    motion: Motion, lifter: Lifter, body: BodyModel, world: World, progress: bool = False
) -> BodyMotion:
    """Bodies of every track.

    Rotations are averaged as matrices, over windows and with the mirrored input's, and brought to
    the nearest rotation; a person has one shape, the mean over all frames.

    Args:
      motion: 2D tracks as `lift.tracks.prepare` gives them.
      lifter: of a model with the head "mesh".
      body: see `body_of`.
      world: lens and space; `height` only says how high ankles are above the floor.
      progress: shows a bar.
    """
    predict = jax.jit(partial(_predict, lifter.model.network))
    answer = partial(_answers, lifter, body, predict)
    answers = lifter.blended(motion, answer, _points(body), progress)
    turns, shapes = zip(*(_unpacked(mean, body) for mean, _ in answers), strict=True)
    poses = [_joints(body, *each) for each in zip(turns, shapes, strict=True)]
    placed = world.place([centre(pose) for pose in poses], motion)
    places, tracks = [], []
    for track, each, shape, pose in zip(motion, turns, shapes, placed.poses, strict=True):
        each[:, 0] = placed.turn @ each[:, 0]
        places.append(pose[:, 0] - _joints(body, each, shape)[:, 0])
        confidence = np.maximum(track.confidence, FILLED)
        tracks.append(replace(track, points=pose, confidence=confidence))
    notes = (*motion.notes, *rate_note(motion.fps, lifter.model.fps), *placed.notes)
    notes = (*notes, "Scale: that of the body, of one shape in all frames of a person.")
    joints = replace(motion, tracks=tuple(tracks), unit="m", axes=placed.axes, notes=notes)
    return BodyMotion(joints, body, turns, shapes, places)


def _points(body: BodyModel) -> int:
    """In how many rows of three the answers of a frame are packed: rotations, then shape."""
    return 3 * body.num_bones + -(-body.num_shapes // 3)


def _answers(
    lifter: Lifter, body: BodyModel, predict: Any, windows: list[Window], clips: np.ndarray
) -> list[list[np.ndarray]]:
    """Answers to each window, and to its mirror image, as rows [T, P, 3]."""
    packed = lifter.model.run(predict, clips)
    answers = [packed[: lifter.batch]]
    if lifter.flip:
        rows, other = 3 * body.num_bones, packed[lifter.batch :]
        shape = (*other.shape[:2], body.num_bones, 3, 3)
        turns = np.asarray(body.flip_turns(jnp.asarray(other[..., :rows, :].reshape(shape))))
        flipped = turns.reshape(*other.shape[:2], rows, 3)
        answers.append(np.concatenate([flipped, other[..., rows:, :]], axis=-2))
    return [[each[number] for each in answers] for number in range(len(windows))]


def _predict(network: Network, variables: Any, motion: jax.Array) -> jax.Array:
    """[B, T, J, 3] -> rotations and shape as rows [B, T, P, 3]."""
    outputs: Any = network.apply(variables, motion)
    lead = motion.shape[:2]
    turns = outputs["turns"].reshape(*lead, -1, 3)
    beta = outputs["beta"]
    beta = jnp.pad(beta, [(0, 0), (0, 0), (0, -beta.shape[-1] % 3)]).reshape(*lead, -1, 3)
    return jnp.concatenate([turns, beta], axis=-2).astype(jnp.float32)


def _unpacked(mean: np.ndarray, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [L, B, 3, 3] and shape [S] of blended rows [L, P, 3]."""
    rows = 3 * body.num_bones
    turns = rotations.nearest(mean[:, :rows].reshape(-1, body.num_bones, 3, 3))
    return turns, mean[:, rows:].reshape(len(mean), -1)[:, : body.num_shapes].mean(0)


def _joints(body: BodyModel, turns: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """[L, 17, 3]."""
    return body.joint_body.joints(turns, np.tile(shape, (len(turns), 1)))
