"""JSON of bounded size and depth, read part by part when the file is large.

Detector files of hours of video have gigabytes. Their outermost list (or the lists of an outermost
object) is walked with ijson, one part at a time, so that memory holds one part and not the file.
"""

import codecs
import json
import reprlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import ijson

MAX_BYTES = 512 * 2**20  # of a file read whole
STREAM_ABOVE = 16 * 2**20  # larger files are read part by part
MAX_STREAMED = 32 * 2**30  # of a file read part by part
MAX_PART = 32 * 2**20  # bytes in which no list or object ends
MAX_VALUES = 12_000_000  # of one part: our own JSON holds an hour of one person in one
MAX_DEPTH = 64
SAMPLE_VALUES = 20_000

Event = tuple[str, Any]


def shown(value: Any) -> str:
    """A value in messages: its beginning, however long or deep it is."""
    return reprlib.repr(value)[:60]


def load_json(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Reads a JSON file of bounded size; anything wrong is a ValueError that names the file."""
    path = Path(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: got {size} bytes, expected at most {max_bytes}")
    return parse_json(path.read_bytes(), str(path))


def parse_json(data: bytes, where: str) -> Any:
    """The content of a JSON text; anything wrong is a ValueError that begins with `where`."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: got no valid JSON ({error!s:.120}), expected a whole file"
        ) from None


def parts(path: str | Path, lists: Collection[str] = ()) -> Iterator[tuple[int | str, Any]]:
    """The parts of a JSON file, one at a time: (position, item) of a list, else (key, value).

    Lists of an object whose keys are in `lists` are taken apart too: (key, item) for each item.

    Raises:
      ValueError: naming the file: no valid JSON, neither list nor object, too large or too deep.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_STREAMED:
        raise ValueError(f"{path}: got {size} bytes, expected at most {MAX_STREAMED}")
    if size <= STREAM_ABOVE:
        yield from taken_apart(load_json(path), lists, str(path))
        return
    with path.open("rb") as file:
        try:
            yield from _Stream(file).parts(lists, str(path))
        except (ijson.JSONError, ValueError) as error:
            if str(error).startswith(str(path)):
                raise
            raise ValueError(f"{path}: {_reason(error)}, expected a whole file") from None


def sample(path: str | Path) -> tuple[Any, str]:
    """The beginning of a JSON file (all of a small one), and what is wrong with it or ""."""
    path = Path(path)
    reason = ""
    if path.stat().st_size <= STREAM_ABOVE:
        try:
            return parse_json(path.read_bytes(), str(path)), ""
        except ValueError as error:
            reason = str(error).removeprefix(f"{path}: ")
    content: list[Any] = []
    with path.open("rb") as file:
        try:
            stream = _Stream(file)
            stream.value(next(stream.events), content)
        except _Enough:
            pass
        except (ijson.JSONError, ValueError) as error:
            reason = reason or _reason(error)
    return (content[0] if content else None), reason


def taken_apart(
    content: Any, lists: Collection[str], where: str
) -> Iterator[tuple[int | str, Any]]:
    """As `parts`, of content in memory; `where` names it in messages."""
    if isinstance(content, list):
        yield from enumerate(content)
        return
    if not isinstance(content, dict):
        raise ValueError(f"{where}: got {type(content).__name__}, expected a list or an object")
    for key, value in content.items():
        if key in lists and isinstance(value, list):
            yield from ((key, item) for item in value)
        else:
            yield key, value


class _Enough(Exception):
    """A sample is full."""


class _Gauge:
    """A binary file that refuses to be read on and on while no list or object ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.since = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.since += len(data)
        if self.since > MAX_PART:
            raise ValueError(f"got a value of more than {MAX_PART} bytes")
        return data


def _reason(error: Exception) -> str:
    """One line of ijson's message, which draws the place on three."""
    text = str(error)
    return text if text.startswith("got ") else f"got no valid JSON ({text.splitlines()[0]:.120})"


class _Stream:
    """A JSON file that is being read; `events` are ijson's."""

    def __init__(self, file: IO[bytes]) -> None:
        if file.read(3) != codecs.BOM_UTF8:
            file.seek(0)
        self._gauge = _Gauge(file)
        self.events: Iterator[Event] = iter(ijson.basic_parse(self._gauge, use_float=True))

    def parts(self, lists: Collection[str], where: str) -> Iterator[tuple[int | str, Any]]:
        """As the function `parts`."""
        event, value = next(self.events)
        if event == "start_array":
            yield from enumerate(self._items())
        elif event == "start_map":
            for event, key in self.events:
                if event == "end_map":
                    break
                first = next(self.events)
                if key in lists and first[0] == "start_array":
                    yield from ((key, item) for item in self._items())
                else:
                    yield key, self.value(first)
        else:
            raise ValueError(f"{where}: got {type(value).__name__}, expected a list or an object")
        for _ in self.events:  # whatever follows the end is an error, which ijson raises
            pass

    def _items(self) -> Iterator[Any]:
        """The items of a list that has begun, up to its end."""
        for event in self.events:
            if event[0] == "end_array":
                return
            yield self.value(event)

    def value(self, first: Event, sampled: list[Any] | None = None) -> Any:
        """The value that begins with `first`; into `sampled`, as far as it comes, if given."""
        event, value = first
        if event not in ("start_map", "start_array"):
            return value
        whole: Any = {} if event == "start_map" else []
        if sampled is not None:
            sampled.append(whole)
        most = MAX_VALUES if sampled is None else SAMPLE_VALUES
        outer: list[tuple[Any, str]] = []  # what is open around the innermost, and their keys
        inner, key, count = whole, "", 0
        for event, value in self.events:
            if event == "map_key":
                key = value
                continue
            if event in ("end_map", "end_array"):
                self._gauge.since = 0
                if not outer:
                    break
                inner, key = outer.pop()
                continue
            opens = event in ("start_map", "start_array")
            if opens:
                value = {} if event == "start_map" else []
            if isinstance(inner, list):
                inner.append(value)
            else:
                inner[key] = value
            if opens:
                outer.append((inner, key))
                inner = value
                if len(outer) >= MAX_DEPTH:
                    raise ValueError(f"got more than {MAX_DEPTH} lists inside each other")
            count += 1
            if count > most:
                if sampled is not None:
                    raise _Enough
                raise ValueError(f"got a part of more than {MAX_VALUES} values")
        return whole
