"""The files of a folder, or of a zip archive of one: detectors that write a file a frame."""

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from dstformer_jax.body.motion import natural_key

MAX_BYTES = 64 * 2**20  # one file
MAX_FILES = 2_000_000
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class Members:
    """The files of a folder or zip archive by name; use it in a `with`.

    Attributes:
      path: the folder or archive.
      names: relative names of its files in natural order, without hidden ones; those of a folder
        are its own, those of an archive may lie in folders.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._archive = None
        if self.path.is_dir():
            names = [file.name for file in self.path.iterdir() if file.is_file()]
        else:
            try:
                self._archive = zipfile.ZipFile(self.path)
            except _BAD_ZIP as error:
                raise ValueError(
                    f"{path}: got no whole zip archive ({error!s:.80}), expected one"
                ) from None
            names = [info.filename for info in self._archive.infolist() if not info.is_dir()]
        if len(names) > MAX_FILES:
            raise ValueError(f"{path}: got {len(names)} files, expected at most {MAX_FILES}")
        visible = (name for name in names if not _is_hidden(name))
        self.names = sorted(visible, key=natural_key)

    def __enter__(self) -> "Members":
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def read(self, name: str) -> bytes:
        """The content of one file; one that is too large or damaged raises ValueError."""
        try:
            if self._archive is None:
                with (self.path / name).open("rb") as file:
                    data = file.read(MAX_BYTES + 1)
            else:
                with self._archive.open(name) as file:
                    data = file.read(MAX_BYTES + 1)
        except _BAD_ZIP as error:
            raise ValueError(f"{self.where(name)}: got no whole file ({error!s:.80})") from None
        if len(data) > MAX_BYTES:
            raise ValueError(
                f"{self.where(name)}: got more than {MAX_BYTES} bytes, expected one frame"
            )
        return data

    def where(self, name: str) -> str:
        """How messages call a file."""
        return str(self.path / name)

    def of_one_video(self, suffix: str, ending: str = "") -> list[str]:
        """The names that end in `suffix` (in `ending` if any do), which must be of one video."""
        files = [name for name in self.names if name.lower().endswith(suffix)]
        files = [name for name in files if ending and name.endswith(ending)] or files
        videos = {_video(name) for name in files}
        if len(videos) != 1:
            raise ValueError(
                f"{self.path}: got {len(files)} {suffix[1:].upper()} files of {len(videos)} videos "
                f"({', '.join(sorted(videos)[:4])}), expected the frames of one video a folder"
            )
        return files


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is a zip archive."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def first_of(names: Sequence[str], suffix: str) -> str | None:
    """The first name with a suffix."""
    return next((name for name in names if name.lower().endswith(suffix)), None)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _video(name: str) -> str:
    """A frame's name without its number and ending: the same for all frames of a video."""
    return re.sub(r"\d+(_keypoints)?\.\w+$", "", name)
