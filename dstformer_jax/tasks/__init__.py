"""What is asked of the network; see `base` for the contract of a task and of a batch."""

from dstformer_jax.tasks.action import Action
from dstformer_jax.tasks.lift3d import Lift3D
from dstformer_jax.tasks.mesh import Mesh
from dstformer_jax.tasks.oneshot import OneShot

TASKS = {"lift3d": Lift3D, "action": Action, "oneshot": OneShot, "mesh": Mesh}
