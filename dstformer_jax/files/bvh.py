"""Reads BVH motion files: hierarchy, channels and forward kinematics.

Any rotation order, 3- or 6-channel joints, several roots, names with spaces. Where a joint has
position channels they REPLACE its offset (reference: the Bandai Namco and cgspeed files; adding
them would count the offset twice). Angles are degrees, applied in channel order:
R = R_first R_second R_third.
"""

import re
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from dstformer_jax.files.probe import Probe

MAX_BYTES = 512 * 2**20
MAX_NODES = 4096
END_SITE = ":EndSite"
_AXES = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True)
class Bvh:
    """One BVH file. Nodes are joints and end sites (`NAME:EndSite`) in file order.

    Attributes:
      names: N node names.
      parents: N parent indices, -1 for roots; parents come before children.
      offsets: float64 `[N, 3]` in file units.
      channels: for each node its channels as (kind, axis): kind `position` or `rotation`, axis 0-2.
      values: float64 `[T, K]`, one row a frame: file units and degrees.
      frame_time: seconds.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[tuple[str, int], ...], ...]
    values: np.ndarray
    frame_time: float

    @property
    def fps(self) -> float:
        """Frames a second; frame times are rounded in most files, so whole rates are restored."""
        rate = 1.0 / self.frame_time
        return float(round(rate)) if abs(rate - round(rate)) < 2e-3 * rate else rate

    @cached_property
    def positions(self) -> np.ndarray:
        """float32 `[T, N, 3]`: world positions of all nodes in file units."""
        world = np.stack(self._placed[0])
        return np.ascontiguousarray(world.transpose(2, 0, 1), np.float32)

    @property
    def turns(self) -> np.ndarray:
        """float64 `[T, N, 3, 3]`: rotations of all nodes in the world (identity at rest)."""
        return np.ascontiguousarray(np.stack(self._placed[1]).transpose(3, 0, 2, 1))

    @cached_property
    def _placed(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Forward kinematics: of each node its place [3, T] and rotation [column, row, T]."""
        frames = len(self.values)
        world, turns = [], []
        column = 0
        for node, parent in enumerate(self.parents):
            turn = turns[parent].copy() if parent >= 0 else _identity(frames)
            place = [np.full(frames, x) for x in self.offsets[node]]
            rotations = []
            for kind, axis in self.channels[node]:
                track = self.values[:, column]
                column += 1
                if kind == "position":
                    place[axis] = track
                else:
                    rotations.append((axis, np.deg2rad(track)))
            here = sum(turn[axis] * place[axis] for axis in range(3))
            world.append(here + world[parent] if parent >= 0 else here)
            for axis, angle in rotations:
                _rotate(turn, axis, angle)
            turns.append(turn)
        return world, turns


def _identity(frames: int) -> np.ndarray:
    """The identity rotation for each frame, `[3 columns, 3 rows, T]`."""
    return np.repeat(np.eye(3)[:, :, None], frames, axis=2)


def _rotate(turn: np.ndarray, axis: int, angle: np.ndarray) -> None:
    """Multiplies `turn` from the right by a rotation about one axis, in place: two columns turn."""
    first, second = turn[(axis + 1) % 3], turn[(axis + 2) % 3]
    cos, sin = np.cos(angle), np.sin(angle)
    turned = cos * first + sin * second
    second[:] = cos * second - sin * first
    first[:] = turned


def looks_like(probe: Probe) -> bool:
    """A text that begins with its hierarchy."""
    return probe.head.lstrip().startswith(b"HIERARCHY")


def read_bvh(path: str | Path, max_bytes: int = MAX_BYTES) -> Bvh:
    """Reads one BVH file; a malformed one raises ValueError naming the file and the line."""
    path = Path(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path}: got {size} bytes, expected at most {max_bytes}; split the file")
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    head, found, tail = _split(text)
    if not found:
        raise ValueError(f"{path}, line {_lines(text)}: got no MOTION section, expected a BVH file")
    tree = _Hierarchy(str(path))
    for number, line in enumerate(head.splitlines(), start=1):
        tree.read_line(number, line)
    tree.close(_lines(head))
    values, frame_time = _read_frames(path, tail, _lines(head) + 1, tree.num_channels)
    return Bvh(
        tuple(tree.names),
        tuple(tree.parents),
        np.array(tree.offsets, np.float64).reshape(-1, 3),
        tuple(tree.channels),
        values,
        frame_time,
    )


def _split(text: str) -> tuple[str, bool, str]:
    """The text before and after the line that says MOTION."""
    match = re.search(r"^\s*MOTION[ \t]*\r?$", text, flags=re.MULTILINE)
    if not match:
        return text, False, ""
    start = match.start() + (len(match[0]) - len(match[0].lstrip()))
    return text[:start], True, text[match.end() :].removeprefix("\n")


def _lines(text: str) -> int:
    """Number of line breaks in the text, counted as splitlines does for ordinary files."""
    return len(text.splitlines())


@dataclass
class _Hierarchy:
    """Collects the nodes of the HIERARCHY section line by line."""

    path: str
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float] | None] = field(default_factory=list)
    channels: list[tuple[tuple[str, int], ...]] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    waiting: bool = False  # a node was named and its brace has not come yet

    @property
    def num_channels(self) -> int:
        return sum(len(channels) for channels in self.channels)

    def error(self, number: int, got: str, expected: str) -> ValueError:
        return ValueError(f"{self.path}, line {number}: got {got}, expected {expected}")

    def read_line(self, number: int, line: str) -> None:
        """Reads one line; an opening brace may share it with the node's name."""
        text = line.strip()
        brace = text.endswith("{")
        self.read_words(number, text.removesuffix("{").strip())
        if brace:
            self.enter(number)

    def read_words(self, number: int, text: str) -> None:
        word, rest = (*text.split(None, 1), "", "")[:2]
        if word in ("ROOT", "JOINT", "End"):
            self.add(number, word, rest)
        elif text == "}":
            self.leave(number)
        elif word == "OFFSET":
            self.set_offset(number, rest)
        elif word == "CHANNELS":
            self.set_channels(number, rest)
        elif text and text != "HIERARCHY":
            raise self.error(number, repr(text[:60]), "ROOT, JOINT, OFFSET, CHANNELS or a brace")

    def add(self, number: int, word: str, rest: str) -> None:
        if self.waiting or (word == "ROOT") != (not self.open):
            raise self.error(
                number, f"{word} {rest[:60]}", "braces that nest every joint in a ROOT"
            )
        if len(self.names) == MAX_NODES:
            raise self.error(number, f"more than {MAX_NODES} joints", "one person's hierarchy")
        parent = self.open[-1] if self.open else -1
        self.names.append(self.names[parent] + END_SITE if word == "End" else rest)
        self.parents.append(parent)
        self.offsets.append(None)
        self.channels.append(())
        self.waiting = True

    def enter(self, number: int) -> None:
        if not self.waiting:
            raise self.error(number, "'{'", "ROOT, JOINT or End Site before it")
        self.open.append(len(self.names) - 1)
        self.waiting = False

    def leave(self, number: int) -> None:
        if self.waiting or not self.open:
            raise self.error(number, "'}'", "an open brace before it")
        node = self.open.pop()
        if self.offsets[node] is None:
            raise self.error(number, f"no OFFSET for {self.names[node]}", "OFFSET x y z")

    def set_offset(self, number: int, rest: str) -> None:
        try:
            offset = [float(word) for word in rest.split()]
        except ValueError:
            offset = []
        if len(offset) != 3 or not np.isfinite(offset).all() or not self.open or self.waiting:
            raise self.error(number, f"OFFSET {rest[:60]}", "three numbers inside a joint's braces")
        self.offsets[self.open[-1]] = offset

    def set_channels(self, number: int, rest: str) -> None:
        count, *words = rest.split() or [""]
        pairs = [(word[1:].lower(), _AXES.get(word[:1].upper(), -1)) for word in words]
        known = all(kind in ("position", "rotation") and axis >= 0 for kind, axis in pairs)
        if count != str(len(words)) or not known or not self.open or self.waiting:
            raise self.error(
                number,
                f"CHANNELS {rest[:80]}",
                "a count and as many of [XYZ]position, [XYZ]rotation",
            )
        self.channels[self.open[-1]] = tuple(pairs)

    def close(self, number: int) -> None:
        if self.open or self.waiting or not self.names:
            raise self.error(number, "the end of the hierarchy", "ROOT and as many '}' as '{'")


def _read_frames(path: Path, text: str, start: int, width: int) -> tuple[np.ndarray, float]:
    """Reads `Frames:`, `Frame Time:` and the numbers; `start` is the line number before `text`."""
    head = re.match(r"\s*Frames\s*:\s*(\d{1,9})\s*Frame Time\s*:\s*(\S+)[ \t]*\r?\n?", text)
    if not head:
        raise ValueError(
            f"{path}, line {start + 1}: got {text[:60]!r}, expected 'Frames: N' and 'Frame Time: S'"
        )
    frames = int(head[1])
    try:
        frame_time = float(head[2])
    except ValueError:
        frame_time = 0.0
    if not 0 < frame_time < 1e6:
        raise ValueError(
            f"{path}, line {start + 2}: got frame time {head[2][:40]!r}, expected seconds above 0"
        )
    body = text[head.end() :]
    first = start + _lines(text[: head.end()]) + 1
    values = _numbers(body)
    if values.size != frames * width or not np.isfinite(values).all():
        raise ValueError(f"{path}, {_bad_frame(body, first, frames, width)}")
    return values.reshape(frames, width), frame_time


def _numbers(text: str) -> np.ndarray:
    """The numbers of a text, up to the first word that is none (numpy warns of it, or raises)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return np.fromstring(text, np.float64, sep=" ") if text.strip() else np.zeros(0)
        except ValueError:
            return np.zeros(0)


def _bad_frame(body: str, first: int, frames: int, width: int) -> str:
    """Says which line of the numbers is wrong, and how."""
    rows = 0
    number = first
    for number, line in enumerate(body.splitlines(), start=first):
        words = line.split()
        if not words:
            continue
        try:
            good = len(words) == width and np.isfinite([float(word) for word in words]).all()
        except ValueError:
            good = False
        if not good:
            return (
                f"line {number}: got {line[:60]!r} ({len(words)} words), expected {width} numbers"
            )
        rows += 1
    return f"line {number}: got {rows} frames of {width} numbers, expected {frames}"
