"""Reproduces a table from our own runs.

python -m dstformer_jax.reproduce robustness --data=data/mocap --workdir=runs/robustness
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dstformer_jax.reproduce import tables

TABLES = {"robustness": tables.robustness}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code. Unknown flags go to `dstformer_jax.main`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table", choices=sorted(TABLES), help="which table")
    parser.add_argument("--data", type=Path, required=True, help="prepared data")
    parser.add_argument("--workdir", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm [3]")
    values, extra = parser.parse_known_args(arguments)
    try:
        values.workdir.mkdir(parents=True, exist_ok=True)
        seeds = range(values.seeds)
        print(TABLES[values.table](values.data, values.workdir, seeds, extra))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
