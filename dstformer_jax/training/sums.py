"""Checksums of a saved step: damage is noticed before anyone trains on it.

They are written into the step's folder before it gets its final name, so a step that has a name
has its sums. Steps of programs that wrote none are taken as they are.
"""

import json
from pathlib import Path

from dstformer_jax.data.bank import crc

FILE = "sums.json"
PART = "state"  # the folder that is summed; the others are JSON, which tells by itself


def write_sums(folder: Path) -> None:
    """Writes the CRC-32 of every file of the state of a step that is about to be complete."""
    sums = {path.relative_to(folder).as_posix(): crc(path) for path in files(folder)}
    (folder / FILE).write_text(json.dumps(sums, indent=0))


def damage(folder: Path) -> str:
    """What is wrong with a complete step, in words; "" where it is as it was written."""
    try:
        json.loads((folder / "info" / "metadata").read_bytes())
        sums = json.loads((folder / FILE).read_bytes()) if (folder / FILE).exists() else {}
    except (ValueError, OSError) as error:
        return f"unreadable JSON: {error}"
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if crc(path) != expected:
            return f"{name} is not what was written"
    return ""


def files(folder: Path) -> list[Path]:
    """All files of the state of a step, whichever process wrote them."""
    return sorted(path for path in (folder / PART).rglob("*") if path.is_file())
