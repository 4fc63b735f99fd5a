"""The command line of the benchmarks.

python -m dstformer_jax.bench forward --size=full --against=torch --json=FILE
python -m dstformer_jax.bench --suite=h200 --json=FILE
python -m dstformer_jax.bench table FILE... [--readme] [--write PAGE...]
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from dstformer_jax.bench import markdown, process, suites
from dstformer_jax.bench.report import Rows, machine, result, table, versions, write
from dstformer_jax.bench.short import short


class Subject(NamedTuple):
    """Where a subject is, and what it measures. Engines are imported with it, not before."""

    module: str
    function: str
    about: str


SUBJECTS = {
    "forward": Subject("speed", "forward", "forward pass: time, FLOP/s, share of matrix products"),
    "train_step": Subject("speed", "train_step", "train step: losses, gradients and AdamW"),
    "pipeline": Subject("pipeline", "run", "input pipeline: clips per CPU-second"),
    "lift": Subject("lift", "run", "keypoints to 3D: frames a second, time to the first"),
    "compile": Subject("compile", "run", "time to trace and to compile the programs"),
    "startup": Subject("startup", "run", "time from a command to its first step, file or answer"),
    "memory": Subject("memory", "run", "memory that the compiled train step plans; runs nothing"),
}
SUBJECTS["data"] = SUBJECTS["pipeline"]  # its older name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments[:1] == ["table"]:
            return _table(arguments[1:])
        if any(word.startswith("--suite") for word in arguments):
            return _suite(arguments)
        flags = _parser(arguments[:1]).parse_args(arguments)
        return _measure(flags, arguments)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the chosen subject, and what it needs, is imported for its flags."""
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for name, subject in SUBJECTS.items():
        parsed = subjects.add_parser(name, help=subject.about)
        parsed.add_argument("--json", help="write the results to this file")
        if name in chosen:
            _module(subject).add_flags(parsed)
    return parser


def _module(subject: Subject) -> Any:
    return import_module(f"dstformer_jax.bench.{subject.module}")


def _measure(flags: argparse.Namespace, arguments: list[str]) -> int:
    """One subject, in a process that is set up for it."""
    _check_json(flags.json)
    if getattr(flags, "against", None):
        process.share_accelerator()
    threads, allocator = _threads(flags), getattr(flags, "allocator", "system")
    if not process.settled(threads, allocator):
        return process.again(arguments, threads, allocator)
    flags.threads = threads
    subject = SUBJECTS[flags.subject]
    where = machine()
    rows: Rows = getattr(_module(subject), subject.function)(flags)
    where |= _engines(subject)
    print(", ".join(f"{name} {value}" for name, value in where.items() if value))
    print(table(rows))
    if flags.json:
        words = [word for word in arguments if word not in ("--json", flags.json)]
        words = [word for word in words if not word.startswith("--json=")]
        command = f"python -m dstformer_jax.bench {shlex.join(words)}"
        write(flags.json, result(flags.subject, command, rows, where))
    return 0


def _threads(flags: argparse.Namespace) -> int:
    """One where engines are compared on a CPU, unless the flags say otherwise."""
    asked = getattr(flags, "threads", None)
    if asked is not None or not getattr(flags, "against", None):
        return asked or 0
    import jax

    return 1 if jax.default_backend() == "cpu" else 0


def _engines(subject: Subject) -> dict[str, Any]:
    """Versions and the accelerator, of subjects that compute."""
    if subject.module == "pipeline":
        return {}
    import jax

    kind = jax.devices()[0].device_kind
    return {"device": kind if jax.default_backend() != "cpu" else "", **versions()}


def _check_json(path: str | None) -> None:
    """Known before minutes of measuring."""
    if path and not Path(path).parent.is_dir():
        raise ValueError(f"got --json={path}, expected a file in a folder that exists")


def _table(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.bench table",
        description="Markdown tables of measurements that --json wrote.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--readme", action="store_true", help="the short table instead")
    add(
        "--write",
        nargs="+",
        default=[],
        metavar="PAGE",
        help="prints nothing and makes the tables of these pages anew, which stand between "
        "<!-- bench: SUBJECT --> (or `short`, the table of --readme) and <!-- end -->",
    )
    flags = parser.parse_args(arguments)
    results = markdown.read_all(flags.files)
    try:
        parts = {"short": short(results), **markdown.sections(results)}
    except KeyError as error:
        raise ValueError(
            f"got rows without {error}, expected those of --json as it is now"
        ) from error
    pages = {page: markdown.fill(page, Path(page).read_text(), parts) for page in flags.write}
    for page, text in pages.items():  # all of them, or none
        Path(page).write_text(text)
    if not flags.write:
        print("\n".join(parts["short"] if flags.readme else markdown.tables(results)))
    return 0


def _suite(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.bench",
        description="A fixed list of measurements, each in a process of its own.",
    )
    parser.add_argument("--suite", required=True, choices=sorted(suites.SUITES))
    parser.add_argument("--json", required=True, help="written anew after every measurement")
    parser.add_argument("--minutes", type=float, default=suites.MINUTES, help="of all [20]")
    flags = parser.parse_args(arguments)
    _check_json(flags.json)
    return suites.run(flags.suite, flags.json, flags.minutes)


if __name__ == "__main__":
    sys.exit(main())
