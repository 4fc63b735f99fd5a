"""Trains, evaluates or plans a run: the only reader of the config flags.

    python -m dstformer_jax.main --config=configs/pretrain.py:demo --workdir=runs/demo

Resumes by itself when the workdir holds a run. `--config.a.b=value` sets a value of the config.
DSTFORMER_TRACEBACK=1 shows where in the code an error came from.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    from absl import flags
    from ml_collections import config_flags
except ImportError as error:
    sys.exit(f"error: {error}, expected the packages of training; do pip install -e '.[train]'")

from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.cache import use_compilation_cache
from dstformer_jax.hub import is_hub_path
from dstformer_jax.training import checkpoint, cost, evaluate, logs, loop, parallel, state
from dstformer_jax.training.experiment import Experiment, build, noise_table
from dstformer_jax.training.interrupt import Interrupted

CONFIG, RESULTS = "config.json", "eval.json"


def train(experiment: Experiment, workdir: Path) -> None:
    """Trains to the end of the plan and prints the results."""
    given = None
    if not checkpoint.has_checkpoint(workdir):
        given = load_variables(experiment.config.get("init_from"), experiment.skeleton)
        if given is not None:  # before the workdir is made
            state.transplant(experiment.shapes, given)

    def started() -> None:
        if parallel.is_first_process():
            write_config(experiment.config, workdir / CONFIG)

    print_results(loop.fit(experiment, workdir, given, started), workdir / logs.METRICS)


def evaluate_run(experiment: Experiment, workdir: Path) -> None:
    """Measures the workdir's best checkpoint (or `init_from`) and writes eval.json."""
    path = str(workdir) if checkpoint.has_checkpoint(workdir) else None
    given = load_variables(path or experiment.config.get("init_from"), experiment.skeleton)
    if given is None:
        raise ValueError(f"got {workdir} without a checkpoint; do train, or --config.init_from=...")
    if parallel.is_first_process():
        print(measured(path, experiment.config.get("init_from")))
    variables, _ = state.transplant(experiment.shapes, given)
    head = experiment.shapes["params"]["head"]
    if difference := state.first_difference(head, given["params"].get("head", {})):
        raise ValueError(
            f"got weights with another head ({difference}), expected those of this config; "
            "do set config.task as in the config.json of their run"
        )
    backend = parallel.backend(experiment.config.get("parallel", "auto"))
    settings = experiment.config["eval"]
    evaluator = evaluate.Evaluator(
        experiment.network,
        experiment.task,
        experiment.tests,
        backend,
        flip=settings.get("flip", True),
        seed=experiment.config["seed"],
        groups=settings.get("groups"),
        table=noise_table(experiment.config["data"], experiment.skeleton),
        shared=experiment.config["data"].get("shared", False),
        write=settings.get("write"),
    )
    results = evaluator(backend.replicate(variables)) or {}
    if parallel.is_first_process():
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / RESULTS).write_text(json.dumps(results, indent=2))
    print_results(results, workdir / RESULTS)


def measured(workdir: str | None, init_from: str | None) -> str:
    """Which weights an evaluation measures: those of the workdir go before `init_from`."""
    if workdir is None:
        return f"measuring {init_from}"
    ignored = f"; init_from={init_from} is not used" if init_from else ""
    return f"measuring the best checkpoint of {workdir}{ignored}"


def plan(experiment: Experiment, workdir: Path) -> None:
    """Prints what the run will be and cost, and checks its data; nothing is trained."""
    for item in (*experiment.data, *experiment.tests.values()):
        item.bank.verify()
    if given := load_variables(experiment.config.get("init_from"), experiment.skeleton):
        state.transplant(experiment.shapes, given)
    print(cost.describe(experiment))


MODES: dict[str, Callable[[Experiment, Path], None]] = {
    "train": train,
    "eval": evaluate_run,
    "plan": plan,
}


def load_variables(path: str | None, skeleton: Skeleton | None = None) -> dict[str, Any] | None:
    """Variables of a workdir of ours or of a PyTorch file, here or on the hub; None for no path.

    A workdir of other joints than `skeleton`, where it is given, raises ValueError.
    """
    if not path:
        return None
    if Path(path).is_dir():
        variables, info = checkpoint.restore_params(path)
        if skeleton is not None:
            checkpoint.check_joints(info, skeleton, path)
        return variables
    if not (Path(path).is_file() or is_hub_path(path)):
        raise ValueError(f"got init_from={path!r}, which does not exist")
    from dstformer_jax import convert

    return convert.read_variables(path)


def write_config(config: Mapping[str, Any], path: Path) -> None:
    """Writes the config beside the checkpoints, and says what differs from the last time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2)
    if path.exists():
        old, new = flat(json.loads(path.read_text())), flat(json.loads(text))
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                print(f"config.{key} was {old.get(key)!r} in this workdir, now {new.get(key)!r}")
    path.write_text(text)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `{"a.b": value}`."""
    items: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix + key
        items.update(flat(value, name + ".") if isinstance(value, Mapping) else {name: value})
    return items


def print_results(results: Mapping[str, float], path: Path) -> None:
    """A table of the main metrics, and where all of them are."""
    if parallel.is_first_process():
        print("\n".join([*logs.table(results), f"every metric: {path}"]))


def parse(arguments: Sequence[str]) -> flags.FlagValues:
    """Reads the command line.

    Raises:
      ValueError: an unknown flag or config field, a wrong type, a missing or broken config file.
    """
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    flags.DEFINE_enum("mode", "train", list(MODES), "What to do.", flag_values=values)
    config_flags.DEFINE_config_file(
        "config",
        help_string="configs/NAME.py[:variant]",
        flag_values=values,
        sys_argv=list(arguments),
    )
    flags.DEFINE_bool("help", False, "Shows this help.", flag_values=values)
    try:
        rest = values(list(arguments))
    except Exception as error:  # a config file may raise anything
        raise ValueError(why(error, arguments)) from error
    if values.help:
        print(f"{__doc__}\n{values.main_module_help()}\n{values.get_help()}")
        sys.exit(0)
    if len(rest) > 1:
        raise ValueError(f"got {rest[1]!r}, expected flags that begin with --")
    if values.config is None or (values.workdir is None and values.mode != "plan"):
        raise ValueError("expected --config=configs/NAME.py[:variant] and --workdir=DIR")
    return values


def why(error: BaseException, arguments: Sequence[str]) -> str:
    """Why a command line cannot be read: of a config file that failed, its own error."""
    cause = error
    if isinstance(error, flags.Error) and "Error whilst parsing config file" in str(error):
        while cause.__context__ is not None:
            cause = cause.__context__
    if isinstance(cause, KeyError):
        return f"got a key that the config does not have: {one_line(cause)}"
    if isinstance(cause, (flags.Error, ValueError, AttributeError, OSError)):
        return one_line(cause)
    file = next((each for each in arguments if each.startswith("--config=")), "the config file")
    return f"got {file}, which raises {type(cause).__name__}: {one_line(cause)}"


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split())


def main(arguments: Sequence[str] = sys.argv) -> int:
    """Runs a command line; returns the exit code (2: a mistake to correct, 1: the run failed)."""
    try:
        values = parse(arguments)
        parallel.initialise()
        use_compilation_cache()
        MODES[values.mode](build(values.config), Path(values.workdir or os.curdir))
    except (ValueError, OSError) as error:
        if os.environ.get("DSTFORMER_TRACEBACK"):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except loop.NonFinite as error:
        print(f"stopped: not finite at {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(str(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped at once by a second Ctrl-C; the last checkpoint stands", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
