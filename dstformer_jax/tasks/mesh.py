"""Human mesh recovery: pose and shape of a body model from 2D motion (paper sec. 3.4).

With head "mesh" from the motion alone; with head "refiner" from another method's answer too.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.geometry import flip
from dstformer_jax.body.model import BodyModel
from dstformer_jax.data.sources import SourceData
from dstformer_jax.files.bodies import read_body
from dstformer_jax.tasks import bodies, losses, losses_mesh, metrics
from dstformer_jax.tasks.base import Batch, Outputs, Reduce, Rows
from dstformer_jax.tasks.lift3d import TERMS_3D

MM = 1000.0  # of a metre: losses and errors of joints and vertices are in mm, as the official ones
TERMS = (
    *TERMS_3D,
    "limb_variance",
    "joints_l1",
    "pose",
    "theta",
    "shape",
    "norm",
    "norms",
)
HEADS = ("mesh", "refiner")


@dataclass(frozen=True)
class Mesh:
    """Recovers a body's pose and shape in every frame.

    Args:
      terms: names of the loss terms to compute. The official code weighs mpjpe, velocity, pose
        (rotation matrices), shape and norm; the paper writes joints_l1, theta (axis-angles) and
        norms in the place of mpjpe, pose and norm.
      body: the body, a file or folder that `files.bodies.read_body` reads.
      means: where the head begins, see `bodies.means_of`; "": by itself.
      hidden: width of the hidden layers; paper 512, official 1024.
      dropout: of the representation.
      compare: "l1" | "mse", how pose, theta and shape are compared (official loss_type).
      form, span, use_representation, smooth: of the refiner, see `models.heads_mesh.MeshRefiner`.
      model, frames, mean_pose, mean_shape: filled by `with_data`.
      head: "mesh" | "refiner".
    """

    terms: tuple[str, ...] = ("mpjpe", "velocity", "pose", "shape", "norm")
    body: str = ""
    means: str = ""
    hidden: int = 512
    dropout: float = 0.1
    compare: str = "l1"
    form: str = "mlp"
    span: int = 1
    use_representation: bool = True
    smooth: int = 0
    model: BodyModel | None = None
    frames: int = 0
    mean_pose: tuple[float, ...] = ()
    mean_shape: tuple[float, ...] = ()
    head: str = "mesh"
    best: tuple[str, str] = ("mpjpe", "min")

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.terms) - set(TERMS)):
            raise ValueError(f"got weights.{unknown[0]}, expected one of {sorted(TERMS)}")
        choices = {"head": HEADS, "compare": losses_mesh.KINDS, "form": ("mlp", "conv")}
        for name, valid in choices.items():
            if getattr(self, name) not in valid:
                raise ValueError(
                    f"got task.{name}={getattr(self, name)!r}, expected one of {valid}"
                )
        if self.hidden < 1 or not 0 <= self.dropout < 1 or self.span < 1 or self.span % 2 == 0:
            raise ValueError(
                f"got task.hidden={self.hidden}, dropout={self.dropout}, span={self.span}, "
                "expected a positive width, dropout in [0, 1) and an odd span"
            )
        if self.smooth < 0 or (self.smooth and (self.smooth % 2 == 0 or self.smooth < 3)):
            raise ValueError(f"got task.smooth={self.smooth}, expected 0 or an odd number above 1")

    def with_data(self, train: Sequence[SourceData], tests: Sequence[SourceData]) -> "Mesh":
        """This task with its body, and the means that its head begins at.

        Raises:
          ValueError: no body there, or sources that hold no parameters of it.
        """
        body = read_body(self.body)
        bodies.check_body(body, self.body, [*train, *tests], self.head == "refiner")
        pose, shape = bodies.means_of(body, self.body, self.means, train)
        return dataclasses.replace(
            self,
            model=body,
            frames=max((item.source.frames for item in train), default=0),
            mean_pose=tuple(pose.tolist()),
            mean_shape=tuple(shape.tolist()),
        )

    @property
    def body_model(self) -> BodyModel:
        """The body.

        Raises:
          ValueError: of a task that has not seen its data.
        """
        if self.model is None:
            raise ValueError("got a mesh task without its body, expected one from `with_data`")
        return self.model

    @property
    def head_settings(self) -> dict[str, Any]:
        """Keyword arguments of the head."""
        body = self.body_model
        shared = {
            "bones": body.num_bones,
            "shapes": body.num_shapes,
            "hidden": self.hidden,
            "dropout": self.dropout,
        }
        if self.head == "mesh":
            return {**shared, "mean_pose": self.mean_pose, "mean_shape": self.mean_shape}
        own = ("form", "span", "use_representation", "smooth")
        return {**shared, **{name: getattr(self, name) for name in own}}

    @property
    def info(self) -> dict[str, Any]:
        """What a checkpoint says of the task."""
        body = {"path": self.body, "bones": list(self.body_model.bone_names)}
        return {"body": body, "clips": {"frames": self.frames}}

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """Another method's answer, as the camera sees it, for the refiner."""
        if self.head == "mesh":
            return {}
        turns, shape = bodies.seen(self.body_model, batch, "initial_")
        six = rotations.to_six(turns).reshape(*shape.shape[:2], -1)
        return {"initial": six, "initial_beta": shape}

    def loss(
        self, outputs: Outputs, batch: Batch, supervision: str, reduce: Reduce
    ) -> dict[str, jax.Array]:
        """Named terms of paper eq. 9 and 10; joints are root-relative and in mm."""
        if supervision != "body":
            return {}
        body, mean = self.body_model, losses_mesh.over_valid(batch["valid"], reduce.mean)
        turns, shape = bodies.seen(body, batch)
        pred = metrics.centre(MM * body.joints(outputs["turns"], outputs["beta"]))
        true = metrics.centre(MM * body.joints(turns, shape))
        theta, beta = outputs["theta"], outputs["beta"]
        terms = {
            **{name: lambda f=f: f(pred, true, mean) for name, f in TERMS_3D.items()},
            "limb_variance": lambda: losses.limb_variance(pred, reduce.mean, batch["valid"]),
            "joints_l1": lambda: losses_mesh.difference(pred, true, "l1", mean),
            "pose": lambda: losses_mesh.rotation(outputs["turns"], turns, self.compare, mean),
            "theta": lambda: losses_mesh.difference(
                theta, self._vectors(turns), self.compare, mean
            ),
            "shape": lambda: losses_mesh.difference(beta, shape, self.compare, mean),
            "norm": lambda: losses_mesh.parameter_norm(theta, beta, mean),
            "norms": lambda: losses_mesh.parameter_norms(theta, beta, mean),
        }
        return {name: terms[name]() for name in TERMS if name in self.terms}

    def _vectors(self, turns: jax.Array) -> jax.Array:
        """Axis-angles [B, T, 3 bones] of rotations, of angles up to half a turn."""
        return rotations.to_vector(turns, jnp).reshape(*turns.shape[:2], -1)

    def finish(self, outputs: Outputs) -> Outputs:
        """The answer with its vertices [B, T, V, 3] and joints [B, T, 17, 3], in mm."""
        arguments = outputs["turns"], outputs["beta"]
        posed = {"vertices": self.body_model.vertices, "joints": self.body_model.joints}
        return {**outputs, **{name: MM * pose(*arguments) for name, pose in posed.items()}}

    def measure(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
        """Rows: the vertex error of each frame, and predicted and true joints, in mm.

        Vertices are compared here: rows of them would fill the host's memory.
        """
        turns, shape = bodies.seen(self.body_model, batch)
        true = self.finish({"turns": turns, "beta": shape})
        apart = [
            answer["vertices"] - answer["joints"][..., :1, :] for answer in (outputs, true)
        ]  # root-relative
        return {
            "mpve": metrics.mpve(*apart),
            "joints": outputs["joints"],
            "target": true["joints"],
            "valid": batch["valid"],
        }

    def summarise(self, rows: Rows, index: dict[str, Any]) -> dict[str, float]:
        """Errors in mm, root-relative, means over the frames: mpve and `metrics.body_errors`.

        Of clips of three and more frames also `acceleration_error`, of the 17 joints in mm/frame².
        """
        joints = rows["joints"].astype(np.float64), rows["target"].astype(np.float64)
        errors = {"mpve": rows["mpve"], **metrics.body_errors(*joints)}
        valid = rows["valid"]
        means = {name: float(error[valid].mean()) for name, error in errors.items()}
        inside = valid[:, 2:] & valid[:, 1:-1] & valid[:, :-2]
        if inside.any():
            moving = metrics.acceleration_error(*map(metrics.centre, joints))
            means["acceleration_error"] = float(moving[inside].mean())
        return {**means, "frames": float(valid.sum())}

    def mirror_input(self, batch: Batch) -> Batch:
        """The batch seen in a mirror: its 2D motion, and what a refiner starts from."""
        motion = flip(batch["motion"], xp=jnp)
        return {**batch, "motion": motion, "mirrored": ~batch["mirrored"]}

    def mirror(self, outputs: Outputs) -> Outputs:
        """Brings the answer to a mirrored input back.

        Vertices and joints of both answers are averaged, as in the official code. It averages
        axis-angles too, which fails near half turns (people upright before a camera whose y points
        down are turned by one): here rotation matrices are averaged.
        """
        return {"turns": self.body_model.flip_turns(outputs["turns"]), "beta": outputs["beta"]}

    def results(self, outputs: Outputs) -> Outputs:
        """What an evaluation writes of each frame, in camera axes and metres.

        theta [B, T, 3 bones] axis-angles, beta [B, T, S], vertices [B, T, V, 3], joints
        [B, T, 17, 3]: those that are measured. After flip averaging theta is the mean rotation.
        """
        return {
            "theta": self._vectors(rotations.nearest(outputs["turns"], jnp)),
            "beta": outputs["beta"],
            "vertices": outputs["vertices"] / MM,
            "joints": outputs["joints"] / MM,
        }
