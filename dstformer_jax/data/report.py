"""What a preparation did: sizes of the splits, skipped files with reasons, and what was counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPORT = "report.json"


@dataclass(frozen=True)
class Report:
    """The content of report.json beside a prepared dataset."""

    dataset: str
    version: str
    path: str
    source: str
    options: Mapping[str, Any]
    files: int  # units of work found
    skipped: Mapping[str, str]  # bad file -> reason
    notes: Mapping[str, int]  # e.g. {"cuts at glitches": 3}
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Writes the report as JSON, complete or not at all."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1, sort_keys=True, default=str) + "\n")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Report:
        """The report of a finished preparation."""
        return cls(**json.loads(path.read_text()))

    def lines(self) -> Iterable[str]:
        """The report in words."""
        yield f"prepared {self.dataset} in {self.path}"
        for split, size in sorted(self.splits.items()):
            parts = [f"{rig or 'no rig'} {frames:,}" for rig, frames in size["rigs"].items()]
            yield (
                f"  {split}: {size['sequences']:,} sequences, {size['frames']:,} frames, "
                f"{size['seconds']:,.0f} s, {size['subjects']} subjects "
                f"(frames by skeleton: {', '.join(parts)})"
            )
        for note, count in sorted(self.notes.items()):
            yield f"  {note}: {count:,}"
        if self.skipped:
            yield f"  skipped {len(self.skipped):,} of {self.files:,} files:"
            yield from (f"    {key}: {reason}" for key, reason in sorted(self.skipped.items()))


def split_size(sequences: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of one split from the rows of its frame bank."""
    rows = list(sequences)
    rigs: Counter[str] = Counter()
    for row in rows:
        rigs[row["rig"]] += row["frames"]
    return {
        "sequences": len(rows),
        "frames": sum(row["frames"] for row in rows),
        "seconds": round(sum(row["frames"] / row["fps"] for row in rows), 2),
        "subjects": len({row["subject"] for row in rows}),
        "rigs": dict(rigs.most_common()),
    }
