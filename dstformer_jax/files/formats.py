"""Which file formats are known, and telling them apart by what is inside.

A new format is a module with a reader and one row of `FORMATS`, or a writer and one of `WRITERS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.alphapose import read_alphapose
from dstformer_jax.files.coco import read_coco
from dstformer_jax.files.detections import load_json
from dstformer_jax.files.openpose import LISTS, frame_files, read_openpose
from dstformer_jax.files.rigs import read_motion


@dataclass(frozen=True)
class Format:
    """A file format.

    name: its key; description: for messages; looks_like: (path, JSON content or None) -> bool;
    read: path -> Motion.
    """

    name: str
    description: str
    looks_like: Callable[[Path, Any], bool]
    read: Callable[[Path], Motion]


def _is_openpose(path: Path, content: Any) -> bool:
    return isinstance(content, dict) and any(key in content for key in LISTS)


def _is_alphapose(path: Path, content: Any) -> bool:
    """A list with image names or person numbers, or an object of frames by image name."""
    if isinstance(content, dict):
        frames: Iterable[Any] = content.values()
        first = next(iter(frames), None)
        return _is_openpose(path, first)
    record = _first_record(content)
    return "keypoints" in record and ("idx" in record or isinstance(record.get("image_id"), str))


def _is_coco(path: Path, content: Any) -> bool:
    if isinstance(content, dict):
        return isinstance(content.get("annotations"), list) and "images" in content
    record = _first_record(content)
    return "keypoints" in record and isinstance(record.get("image_id"), int)


def _is_bvh(path: Path, content: Any) -> bool:
    if content is not None or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"HIERARCHY")


def _first_record(content: Any) -> dict[str, Any]:
    first = content[0] if isinstance(content, list) and content else None
    return first if isinstance(first, dict) else {}


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("openpose", "OpenPose JSON, a folder of frames or one", _is_openpose, read_openpose),
        Format("alphapose", "AlphaPose results", _is_alphapose, read_alphapose),
        Format("coco", "COCO keypoint results or annotations, PoseTrack18", _is_coco, read_coco),
        Format("bvh", "BVH motion", _is_bvh, read_motion),
    )
}


@dataclass(frozen=True)
class Writer:
    """A file format that motion is written in.

    name: its key and the ending of its files; description: for help texts; write: (motion, stem)
    -> the files written, `stem` being their path without ending. Formats that hold one person write
    a file for each (`<stem>_person<id>.<ending>`). Every file is written complete or not at all and
    says unit, axes, fps, joints and notes, as far as the format can.
    """

    name: str
    description: str
    write: Callable[[Motion, Path], list[Path]]


WRITERS: dict[str, Writer] = {}


def sniff(path: str | Path) -> Format:
    """The format of a file or folder by its content; an unknown one raises ValueError."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"got {path}, which does not exist; expected a file or folder to read")
    content = _content(path)
    for entry in FORMATS.values():
        if entry.looks_like(path, content):
            return entry
    known = "; ".join(entry.description for entry in FORMATS.values())
    raise ValueError(f"{path}: got a file of no known format, expected one of: {known}")


def read(path: str | Path, format: str | None = None) -> Motion:
    """Reads a file or folder of keypoints or motion; the format is found by content, or given."""
    if format is not None and format not in FORMATS:
        raise ValueError(f"got format {format!r}, expected one of {', '.join(FORMATS)}")
    entry = sniff(path) if format is None else FORMATS[format]
    return entry.read(Path(path))


def _content(path: Path) -> Any:
    """The JSON content to judge by: the file's, or that of a folder's first frame; else None."""
    file = frame_files(path)[0] if path.is_dir() else path
    with file.open("rb") as start:
        head = start.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return load_json(file) if head[:1] in (b"{", b"[") else None


def write(motion: Motion, stem: str | Path, formats: Iterable[str]) -> list[Path]:
    """Writes a motion in several formats; returns the files.

    Raises:
      ValueError: an unknown format, before anything is written.
    """
    chosen = list(formats)
    if unknown := [name for name in chosen if name not in WRITERS]:
        raise ValueError(f"got format {unknown[0]!r}, expected some of {', '.join(WRITERS)}")
    return [path for name in chosen for path in WRITERS[name].write(motion, Path(stem))]
