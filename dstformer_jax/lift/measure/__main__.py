"""Measures `lift` on real files and on unseen people.

    python -m dstformer_jax.lift.measure seams --files alphapose-results.json --output=docs/lift

Prints a table and writes NAME.md, NAME.csv and, of some subjects, NAME.png.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dstformer_jax.inference import STARTER, STREAMING, load
from dstformer_jax.lift.lifter import Lifter
from dstformer_jax.lift.measure import gaps, seams, streaming, uncertainty
from dstformer_jax.lift.measure.report import Report, write

Run = Callable[[argparse.Namespace, Lifter], Report]
SUBJECTS: dict[str, tuple[Run, Callable[[argparse.ArgumentParser], None]]] = {
    "seams": (seams.run, seams.flags),
    "gaps": (gaps.run, gaps.flags),
    "streaming": (streaming.run, streaming.flags),
    "uncertainty": (uncertainty.run, uncertainty.flags),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, or 2 when nothing could be measured."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    values = _parser().parse_args(arguments)
    try:
        model = load(values.weights)
        lifter = Lifter(model, values.frames, values.overlap, not values.no_flip, values.batch)
        report = SUBJECTS[values.subject][0](values, lifter)
        command = f"python -m dstformer_jax.lift.measure {shlex.join(arguments)}"
        print(write(report, values.name or values.subject, values.output, command))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.lift.measure",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for name, (run, add_flags) in SUBJECTS.items():
        about = (sys.modules[run.__module__].__doc__ or "").splitlines()[0]
        subject = subjects.add_parser(name, help=about)
        add = subject.add_argument
        add("--output", type=Path, required=True, help="folder of the results")
        add("--name", help="of the files there [the subject's]")
        weights = STREAMING if name == "streaming" else STARTER
        add("--weights", default=weights, help="as of the command [the package's]")
        add("--frames", type=int, help="of a window [as trained]")
        add("--overlap", type=float, default=0.5, help="of windows [0.5]")
        add("--no-flip", action="store_true", help="do not average with the mirrored input")
        add("--batch", type=int, default=8, help="windows computed at once [8]")
        add_flags(subject)
    return parser


if __name__ == "__main__":
    sys.exit(main())
