"""Markdown tables of measurements, from the JSON files that `--json` wrote."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from dstformer_jax.bench.report import markdown

# What a page shows of these subjects' rows, and under which heading; others are shown whole.
_SPEED = ("size", "T", "batch", "dtype", "arm", "time (lowest to highest)", "GFLOP/s", "ceiling")
_SPEED += ("share of its ceiling", "times ours (range)")
_DEVICE = ("by device events", "share by device events")
MEASURED = frozenset(("subject", "command", "date", "commit", "machine", "rows"))
PLACE = re.compile(r"<!-- bench: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def tables(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines of one section a kind of measurement, of all results together."""
    for kind, lines in sections(results).items():
        yield from (f"### {kind}", "", *lines, "")
    for each in results:
        if "error" in each:
            yield f"Not measured: `{each['command']}`: {each['error']}."


def read_all(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """The measurements of all files, which are taken in the order of their names.

    Raises:
      ValueError: a file that `--json` did not write.
    """
    return [each for path in sorted(map(str, paths)) for each in read(path)]


def sections(results: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Kind of measurement -> lines of its tables and where they come from."""
    kinds = sorted({each["subject"] for each in results if "rows" in each})
    return {
        kind: list(_section(kind, [each for each in results if each.get("subject") == kind]))
        for kind in kinds
    }


def fill(name: str, page: str, parts: Mapping[str, Sequence[str]]) -> str:
    """A page with its tables made anew: what stands between `<!-- bench: NAME -->` and the end.

    Args:
      name: of the page, for errors.
      page: text of a Markdown file.
      parts: name -> lines.

    Raises:
      ValueError: no such place in the page, one that has no table, or one without its end.
    """

    def made(found: re.Match[str]) -> str:
        if found[1] not in parts:
            raise ValueError(f"{name}: got a table {found[1]!r}, expected some of {sorted(parts)}")
        if "<!-- bench:" in found[0][1:]:  # it would take the text up to the next table with it
            raise ValueError(f"{name}: got {found[1]!r} without an end, expected <!-- end -->")
        return "\n".join([f"<!-- bench: {found[1]} -->", "", *parts[found[1]], "", "<!-- end -->"])

    filled, count = PLACE.subn(made, page)
    if not count:
        raise ValueError(f"{name}: got no table, expected <!-- bench: NAME --> and <!-- end -->")
    return filled


def read(path: str | Path) -> list[dict[str, Any]]:
    """The measurements of a file: one, or a suite's."""
    try:
        value = json.loads(Path(path).read_text())
        found = value.get("results", [value])
        for each in found:
            names = {"command", "error"} if "error" in each else MEASURED
            if not names <= each.keys():
                raise KeyError(names)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: got no measurement, expected a file of --json") from error
    return found


def _section(kind: str, results: list[dict[str, Any]]) -> Iterator[str]:
    rows = [row for each in results for row in each["rows"]]
    if kind in ("forward", "train_step"):
        traced = any(row.get("device_ms") for row in rows)
        header = (*_SPEED, *_DEVICE * traced)
        yield from markdown(header, ([*_speed(row), *_device(row) * traced] for row in rows))
        yield ""
    else:  # rows of one subject have equal keys, unless the command changed between the files
        for _, group in groupby(rows, key=lambda row: tuple(row)):
            same = list(group)
            yield from markdown(list(same[0]), ([str(v) for v in row.values()] for row in same))
            yield ""
    for each in results:
        yield f"- {_origin(each)}"


def _speed(row: dict[str, Any]) -> list[str]:
    arm = row["arm"]
    if arm == "jax":
        arm = "**jax**" if row["levels"] == "unrolled" else f"**jax** {row['levels']}"
    share = f"{100 * row['share']:.0f} %" if row["share"] != "" else ""
    times = f"{row['to_jax']} ({row['least']} to {row['most']})" if row["arm"] != "jax" else ""
    return [
        row["size"],
        str(row["T"]),
        str(row["batch"]),
        row["dtype"],
        arm,
        f"{row['ms']:g} ms ({row['low']:g} to {row['high']:g})",
        f"{row['gflops_s']:g}",
        f"{row['ceiling']:g}",
        share,
        times,
    ]


def _device(row: dict[str, Any]) -> list[str]:
    """What device events say, of rows that have any."""
    if not row.get("device_ms"):
        return ["", ""]
    share = f"{100 * row['device_share']:.0f} %" if row["device_share"] != "" else ""
    return [f"{row['device_ms']:g} ms ({100 * row['busy']:.0f} % busy)", share]


def _origin(result: dict[str, Any]) -> str:
    """Command, machine, commit and date of one measurement."""
    where = result["machine"]
    device = where.get("device") or f"{where['cpu']}, load {where['load']}"
    engines = ", ".join(f"{name} {where[name]}" for name in ("jax", "torch") if where.get(name))
    return (
        f"`{result['command']}`: {device}{', ' * bool(engines)}{engines}, "
        f"commit {result['commit'] or 'unknown'}, {result['date']}"
    )
