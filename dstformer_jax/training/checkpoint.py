"""Checkpoints: a folder `checkpoints/ckpt_00001000` a saved step, written in the background.

A step's folder appears under its name only when it is complete, so a run killed at any moment
resumes from the last complete step; one that was damaged later is put aside for the one before.
Beside the state, each holds the position in the data and the info that inference needs: model
config, skeleton, normaliser, fps, root convention.
"""

import errno
import json
import logging
import math
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from dstformer_jax.body.declared import skeleton_of
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.training import parallel, sums

FOLDER, PREFIX, DIGITS = "checkpoints", "ckpt", 8
BEST = "best"
DAMAGED = "damaged"  # prefix of folders put aside

# Orbax warns of what is meant here (read-only managers, steps without a measure).
logging.getLogger("absl").addFilter(
    lambda record: record.levelno > logging.WARNING or "orbax" not in record.pathname
)


class Checkpoints:
    """The checkpoints of one run; use it in a `with` block, which waits for the last write."""

    def __init__(
        self,
        workdir: str | Path,
        keep: int = 2,
        mode: str = "min",
        read: bool = False,
        archive: Collection[int] = (),
    ):
        """Opens, or starts, the checkpoints of a run.

        Args:
          workdir: the folder of the run.
          keep: how many of the last steps stay; the best one always does.
          mode: whether the best is the "min" or the "max" of the measure given to `save`.
          read: opens for reading alone and creates nothing.
          archive: steps that stay for good.
        """
        self.archive = frozenset(archive)
        folder = Path(workdir).absolute() / FOLDER
        best = policies.BestN(
            get_metric_fn=lambda metrics: metrics[BEST],
            reverse=mode == "min",
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(
                [policies.LatestN(keep), best, policies.CustomSteps(tuple(self.archive))]
            ),
            best_fn=lambda metrics: metrics[BEST],
            best_mode=mode,
            step_prefix=PREFIX,
            step_format_fixed_length=DIGITS,
            cleanup_tmp_directories=not read,
            create=not read,
            read_only=read,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
        )
        self._saving = -1
        self.folder = folder
        self._manager = ocp.CheckpointManager(folder, options=options)

    def save(self, step: int, state: Any, info: dict[str, Any], best: float | None = None) -> None:
        """Starts writing a step; returns once the state is copied, before it is on disk.

        Args:
          step: number of finished steps.
          state: any pytree of arrays; it may be donated right after.
          info: JSON values for readers of the checkpoint.
          best: the measure that decides which checkpoint is best; None or NaN never wins.
        """
        if self.latest() == step:
            return
        self.wait()  # one write at a time, so that `_seal` knows which it is
        self._saving = step
        measured = best is not None and math.isfinite(best)
        with self._naming_a_full_disk():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(parallel.snapshot(state)),
                    info=ocp.args.JsonSave(info),
                ),
                metrics={BEST: float(best)} if measured and best is not None else None,
                force=True,
            )

    def _seal(self) -> None:
        """Sums the files of the step being saved: all are written, its name is still to come."""
        if parallel.is_first_process():
            for folder in self.folder.glob(f"{PREFIX}_{self._saving:0{DIGITS}}.*"):
                sums.write_sums(folder)

    def measure(self, step: int, info: dict[str, Any], best: float) -> None:
        """Gives a complete step, saved without a measure, its measure and new info.

        The state stays where it is: killed at any moment, the step is still there, as it was or
        measured. The measure comes first, so that `info` tells when both are written.
        """
        self.wait()
        if parallel.is_first_process():
            folder = self.folder / f"{PREFIX}_{step:0{DIGITS}}"
            if math.isfinite(best):
                _write_item(folder / "metrics" / "metrics", {BEST: float(best)})
            _write_item(folder / "info" / "metadata", info)
        multihost_utils.sync_global_devices("measured")
        self._manager.reload()

    def latest(self) -> int | None:
        """The last complete step."""
        return self._manager.latest_step()

    def newest_sound(self) -> tuple[int | None, str]:
        """The last complete step that is as it was written, and a warning of those that are not.

        Damaged steps after it are put aside under another name, since they are trained again.

        Raises:
          ValueError: there are steps, but all of them are damaged.
        """
        warnings: list[str] = []
        while (step := self.latest()) is not None:
            folder = _folder(self.folder.parent, step)
            words = sums.damage(folder) if parallel.is_first_process() else ""
            if not multihost_utils.broadcast_one_to_all(np.int32(bool(words))):
                return step, "".join(warnings)
            aside = folder.with_name(f"{DAMAGED}_{folder.name}")
            if parallel.is_first_process():
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
            multihost_utils.sync_global_devices("put aside")
            self._manager.reload()
            warnings.append(f"WARNING: step {step} is damaged ({words}) and now {aside.name}; ")
        if warnings:
            raise ValueError(
                f"got only damaged checkpoints in {self.folder}, expected a whole one; do restore "
                f"the folder from a copy, or start in another workdir. {''.join(warnings)}"
            )
        return None, ""

    def best(self) -> int | None:
        """The complete step with the best measure."""
        return self._manager.best_step()

    def measure_of(self, step: int) -> float | None:
        """The measure of a complete step; None when it has none."""
        return (self._manager.metrics(step) or {}).get(BEST)

    def restore(self, abstract: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """The state and info of a step (default: the last), bit for bit.

        Args:
          abstract: the state's structure as ShapeDtypeStructs with the wanted sharding.

        Raises:
          ValueError: the checkpoint holds other parameters than this model has.
        """
        step = self.latest() if step is None else step
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), info=ocp.args.JsonRestore()
        )
        try:
            restored = self._manager.restore(step, args=args)
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"got a checkpoint in {self.folder} that does not fit this config "
                f"({_first_line(error)}); do use the config.json beside it, or another workdir"
            ) from error
        return restored["state"], restored["info"]

    def shapes(self, step: int) -> dict[str, Any]:
        """What a step holds, as its metadata with shapes; no array is read."""
        with ocp.StandardCheckpointer() as reader:
            found: Any = reader.metadata(_folder(self.folder.parent, step) / "state")
        return found.item_metadata.tree

    def wait(self) -> None:
        """Returns when every started write is complete.

        Raises:
          ValueError: a full disk; the steps that were complete before stand.
        """
        with self._naming_a_full_disk():
            self._manager.wait_until_finished()

    @contextmanager
    def _naming_a_full_disk(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            if os.strerror(errno.ENOSPC) not in str(error):  # TensorStore's errors have no number
                raise
            raise ValueError(
                f"got a full disk while saving step {self._saving} in {self.folder}, where "
                f"{saved_steps(self.folder.parent)} are complete; do make room and start the same "
                "command again"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wait()
        self._manager.close()


def has_checkpoint(path: str | Path) -> bool:
    """Whether a folder is the workdir of a run with at least one complete checkpoint."""
    return bool(saved_steps(path))


def restore_params(
    path: str | Path, step: int | None = None, only: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and info of a run's checkpoint, without its optimiser state.

    Args:
      path: a workdir.
      step: which step; default the best one when there is one, else the last.
      only: parts to read, such as ("backbone",); default all.

    Returns:
      `({"params": {"backbone": ...}, "batch_stats": ...}, info)` in numpy.

    Raises:
      ValueError: no complete checkpoint there, or no such step.
    """
    chosen = best_step(path) if step is None else step
    if chosen not in (steps := saved_steps(path)):
        raise ValueError(f"got step {chosen} of {path}, expected one of {steps}")
    if words := sums.damage(_folder(path, chosen)):
        raise ValueError(
            f"got step {chosen} of {path}, which is damaged ({words}); do take another of {steps}"
        )
    return _read_variables(_folder(path, chosen) / "state", only), read_info(path, chosen)


def best_step(path: str | Path) -> int:
    """The step of a run's best checkpoint, of the last where none is known to be best.

    Raises:
      ValueError: no complete checkpoint there.
    """
    steps = saved_steps(path)
    if not steps:
        raise ValueError(
            f"got {str(path)!r}, expected a workdir with {FOLDER}/{PREFIX}_*; "
            "do train first or give a PyTorch file"
        )
    with Checkpoints(path, read=True) as checkpoints:
        best = checkpoints.best()
    return steps[-1] if best is None else best


def read_info(path: str | Path, step: int) -> dict[str, Any]:
    """What a saved step of a workdir says about itself."""
    return {**json.loads((_folder(path, step) / "info" / "metadata").read_text()), "step": step}


def check_joints(info: Mapping[str, Any], skeleton: Skeleton, path: str | Path) -> None:
    """Raises ValueError where the info of a checkpoint at `path` is of other joints."""
    found = skeleton_of(info.get("skeleton", H36M17.name))
    if found.names != skeleton.names:
        raise ValueError(
            f"got {path} of the {found.num_joints} joints of {found.name}, expected the "
            f"{skeleton.num_joints} of {skeleton.name}; do set config.skeleton as there"
        )


def _folder(path: str | Path, step: int) -> Path:
    return Path(path).absolute() / FOLDER / f"{PREFIX}_{step:0{DIGITS}}"


def _read_variables(folder: Path, only: tuple[str, ...]) -> dict[str, Any]:
    """Params and batch statistics of a saved state; the optimiser's moments stay on disk."""
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(folder).item_metadata.tree
        params = {k: v for k, v in tree["params"].items() if not only or k in only}
        if missing := [name for name in only if name not in params]:
            raise ValueError(f"got {missing[0]!r}, expected one of {sorted(tree['params'])}")
        wanted = {"params": params}
        if tree.get("batch_stats"):
            wanted["batch_stats"] = tree["batch_stats"]
        abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), wanted)
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract)
        args = ocp.args.PyTreeRestore(item=abstract, restore_args=as_numpy, partial_restore=True)
        restored = reader.restore(folder, args=args)
    return {"batch_stats": {}, **restored}


def saved_steps(path: str | Path) -> list[int]:
    """Complete steps of a workdir in order; unfinished ones carry another name."""
    folders = (Path(path) / FOLDER).glob(f"{PREFIX}_" + "[0-9]" * DIGITS)
    return sorted(int(folder.name.removeprefix(f"{PREFIX}_")) for folder in folders)


def _write_item(path: Path, values: dict[str, Any]) -> None:
    """A JSON item of a saved step, complete or not at all."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values))
    partial.replace(path)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200]
