"""State: everything that training changes, and where it begins."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.training.checkpoint import Checkpoints, check_joints, read_info, restore_params
from dstformer_jax.training.experiment import Experiment, initial_variables
from dstformer_jax.training.parallel import Jit

Tree = dict[str, Any]


@flax.struct.dataclass
class State:
    """One training state. Randomness is derived from the step, never stored."""

    step: jax.Array  # int32 scalar, finished steps
    params: Any  # {"backbone": ..., "head": ...}, float32
    batch_stats: Any  # {} for networks without batch statistics
    opt_state: Any

    @property
    def variables(self) -> Tree:
        """What `network.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def begin(
    experiment: Experiment, backend: Jit, checkpoints: Checkpoints, given: Tree | None = None
) -> tuple[State, str]:
    """The state to start from, on the devices, and a sentence that says where it came from.

    In this order: (1) the run's own last checkpoint (converted weights have no optimiser state
    and begin at step 0), (2) `given` parameters of another model, (3) from scratch.
    """
    step, warning = checkpoints.newest_sound()
    if step is not None:
        workdir = checkpoints.folder.parent
        info = read_info(workdir, step)
        check_joints(info, experiment.skeleton, workdir)
        if not info.get("weights_only"):
            _check_fits(experiment, checkpoints, step)
            state, _ = checkpoints.restore(abstract_state(experiment, backend))
            return state, f"{warning}resuming at step {step}"
        given, _ = restore_params(workdir, step)
    if given is not None:
        variables, sentence = transplant(initial_variables(experiment), given)
    else:
        variables, sentence = initial_variables(experiment), "starting from scratch"
    return new_state(experiment, backend, variables), sentence


def _check_fits(experiment: Experiment, checkpoints: Checkpoints, step: int) -> None:
    """Raises ValueError naming the first parameter that this model has otherwise."""
    saved = checkpoints.shapes(step)["params"]
    if difference := first_difference(experiment.shapes["params"], saved):
        raise ValueError(
            f"got a checkpoint in {checkpoints.folder} that does not fit this config "
            f"({difference}); do use the config.json beside it, or another workdir"
        )


def new_state(experiment: Experiment, backend: Jit, variables: Tree) -> State:
    """Step 0 with these variables."""

    def begin_with(variables: Tree) -> State:
        # Copies: what is jitted through unchanged may share the buffer that donation deletes.
        params, batch_stats = jax.tree.map(
            jnp.copy, (variables["params"], variables["batch_stats"])
        )
        return State(jnp.int32(0), params, batch_stats, experiment.optimizer.init(params))

    wanted = {name: variables[name] for name in ("params", "batch_stats")}
    return backend.hold(begin_with, jax.tree.map(np.asarray, wanted))


def abstract_state(experiment: Experiment, backend: Jit) -> State:
    """Shapes, types and sharding of the state, with nothing computed."""
    params = experiment.shapes["params"]
    state = State(
        step=jax.ShapeDtypeStruct((), np.int32),  # pyright: ignore[reportArgumentType]
        params=params,
        batch_stats=experiment.shapes["batch_stats"],
        opt_state=jax.eval_shape(experiment.optimizer.init, params),
    )
    return jax.tree.map(
        lambda leaf, held: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=held),
        state,
        backend.shardings(state),
    )


def transplant(fresh: Tree, given: Tree) -> tuple[Tree, str]:
    """Puts given parameters into a fresh model: the whole backbone, and the heads that fit.

    The pose head of a pretrained model becomes the passenger of a network with another head, and
    the passenger of such a network the head of a pose network.

    Args:
      fresh, given: `{"params": {"backbone": ..., "head": ...}, "batch_stats": ...}`.

    Returns:
      The variables, and a sentence that says what was taken.

    Raises:
      ValueError: a backbone of other sizes, naming the first parameter that differs.
    """
    if difference := first_difference(fresh["params"]["backbone"], given["params"]["backbone"]):
        raise ValueError(
            f"got init_from with another backbone ({difference}); "
            "do set config.model to the sizes of that checkpoint"
        )
    parts = {"backbone": given["params"]["backbone"]}
    source = dict(given["params"])
    if "pose" in fresh["params"]:
        source.setdefault("pose", source.get("head"))
    elif "pose" in source:
        source["head"] = source["pose"]
    for name, part in fresh["params"].items():
        other = source.get(name)
        if name != "backbone" and other is not None and not first_difference(part, other):
            parts[name] = other
    new = sorted(set(fresh["params"]) - set(parts))
    sentence = f"starting from given {', '.join(parts)}" + (f"; new: {', '.join(new)}" * bool(new))
    given_stats = given.get("batch_stats") or {}
    stats = {
        name: given_stats[name] if name in parts and name in given_stats else part
        for name, part in fresh["batch_stats"].items()
    }
    return {"params": {**fresh["params"], **parts}, "batch_stats": stats}, sentence


def first_difference(expected: Tree, got: Tree) -> str:
    """The first parameter that is missing, unknown or of another shape, in words; "" if none."""
    shapes = [
        {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}
        for leaves in (jax.tree.leaves_with_path(expected), jax.tree.leaves_with_path(got))
    ]
    for path in sorted(shapes[0].keys() | shapes[1].keys()):
        want, have = (each.get(path, "nothing") for each in shapes)
        if want != have:
            return f"{path}: got {have}, expected {want}"
    return ""
