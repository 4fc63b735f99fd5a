"""Which file formats are known, and telling them apart by what is inside.

A new format is a module with a reader and one row of `FORMATS`, or a writer and one of `WRITERS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dstformer_jax.body.motion import Motion
from dstformer_jax.files import (
    alphapose,
    bvh,
    coco,
    deeplabcut,
    detectron2,
    mediapipe,
    mmpose,
    openpose,
    plain,
    plain_csv,
    rtmlib,
    sleap,
    tfpose,
    ultralytics,
    vitpose,
)
from dstformer_jax.files.angles import write_angles, write_mot
from dstformer_jax.files.bvh_write import write_bvh
from dstformer_jax.files.c3d import write_c3d
from dstformer_jax.files.glb import write_glb
from dstformer_jax.files.probe import Probe, look
from dstformer_jax.files.rigs import read_motion
from dstformer_jax.files.tables import write_csv, write_json, write_npz
from dstformer_jax.files.trc import write_trc


@dataclass(frozen=True)
class Format:
    """A file format.

    name: its key; description: for messages; looks_like: whether a first look at a file is of one;
    read: path -> Motion.
    """

    name: str
    description: str
    looks_like: Callable[[Probe], bool]
    read: Callable[[Path], Motion]


# The first that fits is taken, so what is told by fewer signs comes later.
_ROWS: tuple[tuple[str, str, Callable[[Probe], bool], Callable[..., Motion]], ...] = (
    ("json", "JSON of motion that this package wrote", plain.is_json, plain.read_json),
    (
        "openpose",
        "OpenPose JSON, a folder or zip archive of frames or one",
        openpose.looks_like,
        openpose.read_openpose,
    ),
    ("mmpose", "MMPose or Sapiens predictions", mmpose.looks_like, mmpose.read_mmpose),
    ("detectron2", "Detectron2 pred_keypoints", detectron2.looks_like, detectron2.read_detectron2),
    ("vitpose", "Hugging Face ViTPose results", vitpose.looks_like, vitpose.read_vitpose),
    (
        "ultralytics",
        "Ultralytics JSON or a folder of save_txt files",
        ultralytics.looks_like,
        ultralytics.read_ultralytics,
    ),
    ("alphapose", "AlphaPose results", alphapose.looks_like, alphapose.read_alphapose),
    (
        "coco",
        "COCO keypoint results or annotations, PoseTrack18",
        coco.looks_like,
        coco.read_coco,
    ),
    ("rtmlib", "rtmlib keypoints and scores in .npz", rtmlib.looks_like, rtmlib.read_rtmlib),
    ("npz", ".npz of points with a named skeleton", plain.is_npz, plain.read_npz),
    ("deeplabcut", "DeepLabCut CSV", deeplabcut.looks_like, deeplabcut.read_deeplabcut),
    ("sleap", "SLEAP analysis CSV", sleap.looks_like, sleap.read_sleap),
    ("mediapipe", "MediaPipe CSV or JSON", mediapipe.looks_like, mediapipe.read_mediapipe),
    ("tfpose", "tf-pose CSV", tfpose.looks_like, tfpose.read_tfpose),
    ("csv", "CSV of named joints", plain_csv.looks_like, plain_csv.read_csv),
    ("bvh", "BVH motion", bvh.looks_like, read_motion),
)
FORMATS: dict[str, Format] = {row[0]: Format(*row) for row in _ROWS}


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


WRITERS: dict[str, Writer] = {
    entry.name: entry
    for entry in (
        Writer("npz", "numpy arrays", write_npz),
        Writer("csv", "table of joints", write_csv),
        Writer("json", "JSON", write_json),
        Writer("trc", "markers for OpenSim", write_trc),
        Writer("c3d", "markers for biomechanics (needs ezc3d)", write_c3d),
        Writer("bvh", "skeletal animation", write_bvh),
        Writer("glb", "animated skeleton for Blender and browsers (glTF)", write_glb),
        Writer("mot", "joint angles for OpenSim", write_mot),
        Writer("angles", "joint angles, STEM_angles.csv", write_angles),
    )
}


def sniff(path: str | Path) -> Format:
    """The format of a file or folder by its content; an unknown one raises ValueError."""
    path = _there(path)
    try:
        probe = look(path)
    except OSError as error:
        raise ValueError(f"{path}: got no file that can be read ({error.strerror})") from None
    for entry in FORMATS.values():
        if entry.looks_like(probe):
            return entry
    if probe.broken:
        raise ValueError(f"{path}: {probe.broken}")
    known = "; ".join(entry.description for entry in FORMATS.values())
    empty = not (probe.head or probe.members or probe.arrays)
    found = "nothing inside" if empty else "a file of no known format"
    raise ValueError(f"{path}: got {found}, expected one of: {known}")


def _there(path: str | Path) -> Path:
    """The path of a file or folder; a pipe, which cannot be looked at twice, is neither."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"got {path}, which does not exist; expected a file or folder to read")
    if not (path.is_file() or path.is_dir()):
        raise ValueError(f"got {path}, which is a device or pipe; expected a file or folder")
    return path


def read(path: str | Path, format: str | None = None) -> Motion:
    """Reads a file or folder of keypoints or motion; the format is found by content, or given."""
    if format is not None and format not in FORMATS:
        raise ValueError(f"got format {format!r}, expected one of {', '.join(FORMATS)}")
    path = _there(path)
    entry = sniff(path) if format is None else FORMATS[format]
    try:
        return entry.read(path)
    except ValueError as error:  # what a Motion refuses does not know its file
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path}: got no file that can be read ({error.strerror})") from None


def write(motion: Motion, stem: str | Path, formats: Iterable[str]) -> list[Path]:
    """Writes a motion in several formats; returns the files.

    Raises:
      ValueError: an unknown format, before anything is written.
    """
    chosen = list(formats)
    if unknown := [name for name in chosen if name not in WRITERS]:
        raise ValueError(f"got format {unknown[0]!r}, expected some of {', '.join(WRITERS)}")
    return [path for name in chosen for path in WRITERS[name].write(motion, Path(stem))]
