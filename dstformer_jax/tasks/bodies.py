"""What mesh tasks know of bodies and of the data: fitting widths, mean parameters, the camera."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.model import BodyModel
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.people import BODY
from dstformer_jax.data.sources import SourceData
from dstformer_jax.files.bodies import MEANS, read_means
from dstformer_jax.tasks.base import Batch

SAMPLES = 2000  # frames of a source that its mean pose is taken of
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # a body that stands in world axes, seen by a level camera


def seen(body: BodyModel, batch: Batch, prefix: str = "") -> tuple[jax.Array, jax.Array]:
    """Stored body parameters as the camera sees them, mirrored where the clip is.

    Args:
      body: whose bones they turn.
      batch: `{prefix}theta`, `{prefix}beta`, camera and mirrored; see `data.people.body_arrays`.
      prefix: "" or "initial_".

    Returns:
      turns [B, T, bones, 3, 3], the root's in camera axes, and shape [B, T, S].
    """
    turns = body.turns(batch[f"{prefix}theta"])
    root = jnp.einsum("nij,ntjk->ntik", batch["camera"], turns[:, :, 0])
    turns = jnp.concatenate([root[:, :, None], turns[:, :, 1:]], axis=2)
    mirrored = batch["mirrored"].reshape(-1, 1, 1, 1, 1)
    return jnp.where(mirrored, body.flip_turns(turns), turns), batch[f"{prefix}beta"]


def check_body(body: BodyModel, path: str, data: Sequence[SourceData], refines: bool) -> None:
    """Refuses sources that hold no parameters of this body.

    Args:
      body, path: the body and where it was read.
      data: every source of the run.
      refines: whether the task reads another method's parameters too.

    Raises:
      ValueError: a body without the 17 joints, a source that is not of bodies, parameters of
        another width, or none to refine; naming what was expected.
    """
    if len(body.regressor) != H36M17.num_joints:
        raise ValueError(
            f"got task.body={path!r} with a regressor of {len(body.regressor)} joints, expected "
            f"the {H36M17.num_joints} joints of the network's skeleton"
        )
    widths = {"theta": 3 * body.num_bones, "beta": body.num_shapes}
    for item in data:
        where = f"source {item.source.name!r}"
        if item.source.supervision != "body":
            raise ValueError(
                f"got {where} with supervision {item.source.supervision!r}, expected 'body'"
            )
        for name in BODY if refines else BODY[:2]:
            array = getattr(item.bank, name)
            if not len(array):
                raise ValueError(
                    f"got {where} without {name}, expected another method's parameters to refine; "
                    "do prepare it with them, or task.head=mesh"
                )
            if array.shape[1] != (width := widths[name.removeprefix("initial_")]):
                raise ValueError(
                    f"got {name} of {array.shape[1]} numbers in {where}, expected {width} of the "
                    f"body {body.name} ({body.num_bones} bones, {body.num_shapes} shapes); "
                    "do set task.body to the body that the data are of"
                )


def means_of(
    body: BodyModel, path: str, given: str, train: Sequence[SourceData]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean pose in 6D [6 bones] and mean shape [S], where a head begins.

    Args:
      body, path: the body and where it was read.
      given: smpl_mean_params.npz or its folder; "": the one beside the body, and without one the
        means of the training data, as a level camera sees them.
      train: sources of training.

    Raises:
      ValueError: a file of means of another body.
    """
    beside = (Path(path) if Path(path).is_dir() else Path(path).parent) / MEANS
    if not given and not beside.is_file():
        return data_means(body, train)
    pose, shape = read_means(given or beside)
    if (len(pose), len(shape)) != (6 * body.num_bones, body.num_shapes):
        raise ValueError(
            f"got means of {len(pose)} pose and {len(shape)} shape numbers in {given or beside}, "
            f"expected {6 * body.num_bones} and {body.num_shapes} of the body {body.name}"
        )
    return pose, shape


def data_means(body: BodyModel, train: Sequence[SourceData]) -> tuple[np.ndarray, np.ndarray]:
    """Mean pose in 6D and mean shape of training frames, every source weighing the same."""
    poses, shapes = [], []
    for item in train:
        bank = item.bank
        rows = np.unique(np.linspace(0, len(bank.theta) - 1, SAMPLES).astype(int))
        turns = rotations.to_matrix(
            np.asarray(bank.theta[rows], np.float64).reshape(-1, body.num_bones, 3)
        )
        if bank.sequences[0]["axes"] == "world":
            turns[:, 0] = UPRIGHT @ turns[:, 0]
        poses.append(turns.mean(0))
        shapes.append(np.asarray(bank.beta[rows], np.float64).mean(0))
    # Where a mean has no direction (people who face everywhere) any rotation is as good.
    mean = rotations.nearest(np.mean(poses, axis=0))
    return rotations.to_six(mean).reshape(-1), np.mean(shapes, axis=0)
