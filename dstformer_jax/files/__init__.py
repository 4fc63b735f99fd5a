"""One module a file format; `read(path)` finds the right one by content."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstformer_jax.body.motion import Motion


def read(path: str | Path, format: str | None = None) -> "Motion":
    """Reads any supported file or folder of keypoints or motion; see `files.formats`."""
    from dstformer_jax.files import formats

    return formats.read(path, format)
