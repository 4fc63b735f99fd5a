"""Tables as text (CSV): rows of cells of bounded length, numbers in them, what the columns are."""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dstformer_jax.files.detections import MAX_NUMBER
from dstformer_jax.files.frames import FRAME_KEYS, ID_KEYS
from dstformer_jax.files.probe import delimiter
from dstformer_jax.files.records import shown

MAX_LINE = 2**20
MAX_ROWS = 50_000_000
_EMPTY = frozenset(("", "na", "n/a", "nan", "none", "null", "-nan"))
FRAME_COLUMNS = (*FRAME_KEYS, "frame_no", "framenumber", "image", "image_name", "image_id")
TRACK_COLUMNS = (*ID_KEYS, "person", "idx", "individual", "pose_id", "pose_idx")
LABEL_COLUMNS = ("class", "label", "action", "pose", "activity")
_SCORES = ("v", "c", "p", "vis", "visibility", "conf", "confidence", "score", "likelihood", "prob")
_SCORES += ("acc", "accu")
_WORDS = "|".join(("x", "y", "z", "presence", *_SCORES))
_COLUMN = (
    re.compile(rf"(?P<what>{_WORDS})[_ .-]?(?P<joint>\d+)", re.IGNORECASE),  # x0, v_12
    re.compile(rf"(?P<joint>.*?\w)[_ .:-]+(?P<what>{_WORDS})", re.IGNORECASE),  # L0_x, nose.score
    re.compile(r"(?P<joint>\w*[a-z0-9])(?P<what>[XYZV])"),  # leftHipX
    re.compile(rf"(?P<what>{_WORDS})[_ .-](?P<joint>\w+)", re.IGNORECASE),  # x_left_hip
)


def read_rows(path: str | Path) -> Iterator[tuple[list[str], str]]:
    """(cells, how messages call the line) of each line that is neither empty nor a `#` comment.

    Commas, semicolons or tabs separate cells, as the first line says. Raises ValueError for what is
    no UTF-8 text, a line of more than 1 MiB, or a line with more or fewer cells than the first.
    """
    separator, width = "", 0
    for count, (line, where) in enumerate(_lines(Path(path))):
        separator = separator or delimiter(line)
        try:
            cells = next(csv.reader([line], delimiter=separator, strict=True), [])
        except csv.Error as error:
            raise ValueError(f"{where}: got no row of a table ({error})") from None
        width = width or len(cells)
        if len(cells) != width:
            raise ValueError(f"{where}: got {len(cells)} cells, expected {width} as in the first")
        if count > MAX_ROWS:
            raise ValueError(f"{where}: got more than {MAX_ROWS} rows, expected fewer")
        yield [cell.strip() for cell in cells], where


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        number = 0
        while True:
            number += 1
            where = f"{path}, line {number}"
            try:
                line = file.readline(MAX_LINE)
            except UnicodeDecodeError as error:
                raise ValueError(f"{where}: got no UTF-8 text ({error.reason})") from None
            if not line:
                return
            if len(line) >= MAX_LINE:
                raise ValueError(f"{where}: got more than {MAX_LINE} characters, expected a row")
            text = line.rstrip("\r\n")
            if "\0" in text:
                raise ValueError(f"{where}: got a zero byte, expected text")
            if text.strip() and not text.startswith("#"):
                yield text, where


def comments(path: str | Path) -> dict[str, list[str]]:
    """The `# key: value` lines at the beginning of a table: key -> its values in order."""
    found: dict[str, list[str]] = {}
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        for _ in range(200):
            line = file.readline(MAX_LINE)
            if not line.startswith("#"):
                break
            key, _, value = line[1:].partition(":")
            found.setdefault(key.strip(), []).append(value.strip())
    return found


def numbers(cells: Sequence[str], columns: np.ndarray, where: str) -> np.ndarray:
    """float32 array of the shape of `columns`: the numbers there, NaN for empty cells and -1."""
    places: list[int] = columns.ravel().tolist()
    values = [float_of(cells[at], where) if at >= 0 else math.nan for at in places]
    return np.array(values, np.float32).reshape(columns.shape)


def float_of(cell: str, where: str) -> float:
    """A cell's number; NaN for an empty one."""
    try:
        value = float(cell)
    except ValueError:
        if cell.lower() in _EMPTY:
            return math.nan
        raise ValueError(f"{where}: got {shown(cell)}, expected a number") from None
    if abs(value) > MAX_NUMBER:
        raise ValueError(f"{where}: got {shown(cell)}, expected a number below {MAX_NUMBER:g}")
    return value


def column(header: Sequence[str], names: Sequence[str]) -> int:
    """The place of the first of these names (small letters) in a header, -1 without."""
    small = [cell.strip().lower().replace(" ", "_") for cell in header]
    return next((small.index(name) for name in names if name in small), -1)


def split_column(name: str) -> tuple[str, str] | None:
    """(joint, `x` | `y` | `z` | `score` | `presence`) of a column's name; None for another one."""
    for pattern in _COLUMN:
        if match := pattern.fullmatch(name.strip()):
            what = match["what"].lower()
            return match["joint"], "score" if what in _SCORES else what
    return None
