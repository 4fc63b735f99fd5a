"""The short table of a first page, from JSON files that `--json` wrote and nothing else."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from dstformer_jax.bench.report import markdown

KINDS = ("forward", "train_step", "memory", "startup")
HEADER = ("", "here", "PyTorch eager", "PyTorch / here")
SPEED = {"forward": "forward pass", "train_step": "train step"}
Result = dict[str, Any]


def short(results: Sequence[Result]) -> list[str]:
    """Lines of a table a machine: what was timed beside PyTorch, memory, and start-up.

    Args:
      results: measurements of whatever kind; those with nothing for the table are left out.
    """
    told = [(each, rows) for each in results if (rows := list(_rows(each)))]
    # Stable: in the order of the files else.
    told.sort(key=lambda pair: (_device(pair[0]), KINDS.index(pair[0]["subject"])))
    lines = []
    for device, group in groupby(told, key=lambda pair: _device(pair[0])):
        pairs = list(group)
        lines += markdown(HEADER, (row for _, rows in pairs for row in rows))
        dates = sorted({each["date"] for each, _ in pairs})
        commits = list(dict.fromkeys(each["commit"] or "unknown" for each, _ in pairs))
        days = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        single = any(row.get("clock") == "cpu" for each, _ in pairs for row in each["rows"])
        where = device + "; beside PyTorch one pinned thread of each" * single
        plural = "s" * (len(commits) > 1)
        lines += ["", f"{where}; {days}, commit{plural} {', '.join(commits)}.", ""]
    return lines[:-1]


def _device(result: Result) -> str:
    return result["machine"].get("device") or result["machine"]["cpu"]


def _rows(result: Result) -> Iterator[list[str]]:
    kind = result.get("subject")
    if kind in SPEED:
        yield from _beside_torch(SPEED[kind], result)
    elif kind == "memory":
        yield _memory(result["rows"])
    elif kind == "startup":
        yield from _starts(result["rows"])


def _beside_torch(what: str, result: Result) -> Iterator[list[str]]:
    """Of measurements with an arm of PyTorch as the official code runs it."""
    arms = {row["arm"]: row for row in result["rows"]}
    if not {"jax", "torch eager"} <= arms.keys():
        return
    ours, theirs = arms["jax"], arms["torch eager"]
    name = f"{what}, {_clips(ours)}"
    if ours["levels"] != "unrolled":
        name += f", {ours['levels']}"
    if "--allocator=hugepages" in result["command"]:
        name += ", huge pages"
    ratio = f"{theirs['to_jax']:g} ({theirs['least']:g} to {theirs['most']:g})"
    yield [name, _time(ours), _time(theirs), ratio]


def _memory(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The least temporary memory beside the first row's, or the peak where there is one row."""
    least = min(rows, key=lambda row: row["temporary_gb"])
    name = f"memory of a train step, {_clips(least)}, {least['levels']}"
    if len(rows) == 1:
        return [f"{name}, planned peak", f"{least['peak_gb']:g} GB", "", ""]
    told = f"{least['temporary_gb']:g} GB instead of {rows[0]['temporary_gb']:g} GB"
    return [f"{name}, temporary", told, "", ""]


def _starts(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """With compiled programs kept from the last start, and without; on one core it is the time."""
    for command, group in groupby(rows, key=lambda row: row["command"]):
        caches = {row["cache"]: row for row in group}
        told = f"{caches['filled']['cpu_s']:g} s ({caches['empty']['cpu_s']:g} s at first)"
        event = caches["filled"]["until"]
        yield [f"`{command}`, from the start to the {event}, processor time", told, "", ""]


def _clips(row: dict[str, Any]) -> str:
    clips = "clip" if row["batch"] == 1 else "clips"
    dtype = "" if row["dtype"] == "float32" else f", {row['dtype']}"
    return f"{row['size']}, {row['batch']} {clips} of {row['T']} frames{dtype}"


def _time(row: dict[str, Any]) -> str:
    return f"{row['ms'] / 1000:.2f} s" if row["ms"] >= 1000 else f"{row['ms']:.0f} ms"
