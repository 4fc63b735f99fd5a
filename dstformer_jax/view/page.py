"""Writes motion as one HTML page that shows it in 3D, offline; `docs/viewer.md` has the format."""

import base64
import html
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.view import colours, space

ASSETS = Path(__file__).with_name("viewer")
SCRIPTS = ("data", "colours", "bodies", "stage", "flat", "chart", "player")
# Steps of the stored numbers in the extent of a person: 0.2 mm of an adult, 1/4 pixel of 500.
STEPS, IMAGE_STEPS = 10_000, 2_000
_UNITS = {"m": "metres", "mm": "millimetres", "px": "pixels", "normalised": "normalised units"}
_AXES = {
    "world": "world (y up)",
    "camera": "camera (x right, y down, z away); shown upright, floor under the lowest joints",
}


def write_page(
    pose: Motion, path: str | Path, image: Motion | None = None, title: str = ""
) -> Path:
    """Writes a self-contained HTML page: people in 3D, their 2D input beside, joints over time.

    The page needs no network and no server: the viewer (three.js) and the motion are inside.

    Args:
      pose: 3D, axes `camera` or `world`, any unit; rows of confidence 0 hide the person.
      path: the file to write; it is there complete or not at all.
      image: the 2D input; its frame numbers and track ids are those of `pose`, its skeleton may
        be another.
      title: heading; by default the name of the source.

    Raises:
      ValueError: a pose that is not 3D, an input that does not lie in an image.
    """
    space.check(pose, image)
    frames = max(pose.num_frames, image.num_frames if image else 0)
    blocks = {"pose": {**packed(pose), **_shown(pose), "frames": frames}}
    if image is not None:
        blocks["image"] = packed(image, IMAGE_STEPS)
    fields = {
        "title": html.escape(title or Path(pose.source).name or "Motion"),
        "facts": html.escape(_facts(pose, frames)),
        "notes": _notes(pose),
        "last": str(max(frames - 1, 0)),
        # `<` would end the script element inside a string.
        "data": json.dumps(blocks, separators=(",", ":")).replace("<", "\\u003c"),
        "style": _asset("page.css"),
        "licence": _asset("three.LICENSE.txt").strip(),
        "three": _asset("three.bundle.js"),
        "script": "\n".join(_asset(f"{name}.js") for name in SCRIPTS),
    }
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], _asset("page.html"))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        return partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def packed(motion: Motion, steps: int = STEPS) -> dict[str, Any]:
    """A motion as JSON: what the joints are, and the numbers of each track as base64.

    steps: how finely numbers are kept, in steps in the extent of a person.
    """
    step = space.extent(motion) / steps
    return {
        "names": motion.skeleton.names,
        "parents": motion.skeleton.parents,
        "sides": motion.skeleton.sides,
        "fps": motion.fps,
        "unit": motion.unit,
        "axes": motion.axes,
        "size": motion.size,
        "extent": space.extent(motion),
        "tracks": [_packed_track(track, step) for track in motion],
    }


def _packed_track(track: Track, step: float) -> dict[str, Any]:
    seen = track.confidence > 0
    block: dict[str, Any] = {
        "id": track.id,
        "start": track.start,
        "frames": len(track),
        "points": _numbers(_held(track.points, seen), step),
        "seen": _base64(np.packbits(seen, bitorder="little")),
    }
    if track.uncertainty is not None:
        spread = _held(track.uncertainty[..., None], seen)
        block["uncertainty"] = _numbers(spread, step)
    return block


def _held(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Values [T, J, C] where a missing joint stays at its last place, which packs well."""
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(seen, rows, 0), axis=0)
    held = np.take_along_axis(values, last[..., None], axis=0)
    return np.where(np.maximum.accumulate(seen, axis=0)[..., None], held, 0)


def _numbers(values: np.ndarray, step: float) -> dict[str, Any]:
    """Numbers [T, J, C] in 16 bits: offset of the channel + step * whole number.

    The step grows where 16 bits would not reach. Stored are the differences to the frame before,
    modulo 2^16, first all low bytes and then all high bytes, compressed by zlib.
    """
    channels = values.shape[-1]
    offset = values.min((0, 1)).astype(np.float64) if values.size else np.zeros(channels)
    reach = float((values - offset).max(initial=0.0))
    step = max(step, reach / 65535, 1e-12)
    whole = np.rint((values - offset) / step).astype(np.int64)
    steps = np.diff(whole, axis=0, prepend=np.zeros_like(whole[:1])).astype(np.uint16).ravel()
    planes = np.concatenate([steps & 255, steps >> 8]).astype(np.uint8)
    return {"data": _base64(planes), "offset": offset.tolist(), "step": step}


def _base64(data: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(data.tobytes())).decode("ascii")


def _shown(pose: Motion) -> dict[str, Any]:
    """What the viewer needs to place and paint people."""
    return {
        "low": space.floor(pose),
        "people": colours.PEOPLE,
        "colours": colours.SIDES,
    }


def _facts(pose: Motion, frames: int) -> str:
    """The line under the title."""
    people = len(pose.tracks)
    words = [
        f"{people} {'person' if people == 1 else 'people'}",
        f"{frames} {'frame' if frames == 1 else 'frames'}",
    ]
    if pose.fps:
        words += [f"{frames / pose.fps:.1f} s", f"{pose.fps:g} frames/s"]
    return " · ".join([*words, _UNITS.get(pose.unit, "unknown unit")])


def _notes(pose: Motion) -> str:
    """Unit, axes, rate, joints and what was assumed, as HTML."""
    rate = f"{pose.fps:g} frames/s" if pose.fps else "unknown; played at 30 frames/s"
    rows = {
        "Unit": _UNITS.get(pose.unit, "unknown; people are shown as large as adults"),
        "Axes": _AXES[pose.axes],
        "Rate": rate,
        "Joints": f"{pose.skeleton.num_joints} ({pose.skeleton.name})",
        "Source": pose.source,
    }
    table = "".join(
        f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in rows.items() if text
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in pose.notes)
    return f"<dl>{table}</dl>" + (f'<ul class="notes">{notes}</ul>' if notes else "")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
