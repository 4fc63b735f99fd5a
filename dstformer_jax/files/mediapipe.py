"""Reads MediaPipe Pose landmarks: wide and long tables, and JSON of landmarks.

Wide: a row a frame, `x0,y0,z0,v0,...` and its kin (see `wide`). Long: `frame,landmark,x,y,z,
visibility`, the landmark by number or name. JSON: a list of frames (or an object of them), each
with `pose_landmarks` of one person or several, or the landmarks alone; a landmark is an object with
x, y and visibility, or a list [x, y, z, visibility]. x and y are parts of the image; z is left out.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import MEDIAPIPE33
from dstformer_jax.files.detections import MAX_NUMBER, People
from dstformer_jax.files.frames import frames
from dstformer_jax.files.joint_names import skeleton_of_names
from dstformer_jax.files.long import is_long, read_long
from dstformer_jax.files.probe import Probe, is_single
from dstformer_jax.files.records import shown
from dstformer_jax.files.rows import column
from dstformer_jax.files.wide import read_wide, wide_layout

KEYS = ("pose_landmarks", "poseLandmarks", "landmarks", "landmark")
LANDMARKS = 33
FAR = 8  # image sizes; landmarks beyond are no parts of an image


def looks_like(probe: Probe) -> bool:
    """33 landmarks by number or name, or JSON with their words."""
    if probe.rows:
        return _is_wide(probe.rows[0]) or _is_long(probe)
    if probe.members:
        return False
    content = probe.json
    for _ in range(3):
        if isinstance(content, dict) and any(key in content for key in KEYS):
            return True
        inner = content if isinstance(content, list) else ()
        inner = content.values() if isinstance(content, dict) else inner
        content = next((one for one in inner if one and isinstance(one, dict | list)), None)
    person = probe.first_person
    return {"x", "y", "visibility"} <= set(person)


def _is_wide(header: tuple[str, ...]) -> bool:
    layout = wide_layout(header)
    if layout is None or "bodyparts" in header:
        return False
    try:
        return layout.skeleton("")[0] is MEDIAPIPE33
    except ValueError:
        return False


def _is_long(probe: Probe) -> bool:
    """Landmarks by that word, or joints by the number of a row."""
    header = probe.rows[0]
    if not is_long(header) or column(header, ("time",)) >= 0:
        return False
    return any("landmark" in cell for cell in probe.header)


def read_mediapipe(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads the landmarks of one video; confidence is the visibility, 1 where none is saved."""
    path = Path(path)
    if not is_single(path):
        raise ValueError(f"{path}: got a folder or archive, expected a table or JSON of landmarks")
    with path.open("rb") as file:
        head = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] in (b"[", b"{"):
        return _read_json(path, fps)
    first = head.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    if is_long(re.split(r"[,;\t]", first.strip())):
        return _read_long(path, fps)
    motion = read_wide(path, fps, "normalised")
    return _in_pixels_if_far(motion)


def _in_pixels_if_far(motion: Motion) -> Motion:
    """Some people multiply by the size of the image before they save."""
    far = max(float(np.abs(track.points).max()) for track in motion)
    if far <= FAR:
        return motion
    return Motion(
        motion.tracks, motion.skeleton, motion.fps, "px", source=motion.source, notes=motion.notes
    )


def _read_long(path: Path, fps: float) -> Motion:
    """A row a landmark: by number from 0, or by name."""
    table = read_long(path)
    if all(re.fullmatch(r"\d{1,3}", name) for name in table.joints):
        count = max(int(name) for name in table.joints) + 1
        places = np.array([int(name) for name in table.joints])
        skeleton, order = MEDIAPIPE33, np.arange(LANDMARKS)
    else:
        count, places = len(table.joints), np.arange(len(table.joints))
        skeleton, order = skeleton_of_names(table.joints, str(path))
    people = People(str(path), skeleton, order)
    for frame, track, rows in table.groups():
        points = np.zeros((max(count, LANDMARKS), 3), np.float32)
        values = table.values[rows][:, [0, 1, 3]]
        unscored = np.isnan(values[:, 2])
        values[:, 2] = np.where(unscored, (values[:, :2] != 0).any(-1), values[:, 2])
        values[np.isnan(values).any(-1)] = 0
        points[places[table.joint[rows]]] = values
        if (points[:, 2] > 0).any():
            where = f"{path}, frame {frame}"
            people.add(frame, points, where, None if track < 0 else track)
    alone = bool((table.track < 0).all())
    return _in_pixels_if_far(people.motion(fps, unit="normalised", alone=alone))


def _read_json(path: Path, fps: float) -> Motion:
    people = People(str(path), MEDIAPIPE33, np.arange(LANDMARKS))
    for frame, content, where in frames(path):
        if isinstance(frame, str) and frame in KEYS:  # the object is one frame
            content, frame = {frame: content}, 0
        elif isinstance(content, dict) and {"x", "y"} <= set(content):
            raise ValueError(
                f"{where}: got one landmark, expected a list of frames; put the landmarks of one "
                "frame into a list"
            )
        for place, person in enumerate(_persons(content, where)):
            record = f"{where}, person {place}"
            people.add(frame, _landmarks(person, record), record)
    return _in_pixels_if_far(people.motion(fps, unit="normalised", alone=True))


def _persons(content: Any, where: str, around: int = 0) -> list[Any]:
    """The lists of landmarks of a frame, however many objects stand around them."""
    for _ in range(4):
        if content is None or content in ([], {}):
            return []
        if isinstance(content, dict):
            keys = [key for key in KEYS if key in content]
            if not keys:
                raise ValueError(f"{where}: got {shown(content)}, expected pose_landmarks")
            content = content[keys[0]]
        elif isinstance(content, list):
            first = content[0]
            if isinstance(first, dict) and {"x", "y"} <= set(first):
                return [content]
            if isinstance(first, list) and first and isinstance(first[0], int | float):
                return [content]
            if around < 4:
                return [one for part in content for one in _persons(part, where, around + 1)]
            break
    raise ValueError(f"{where}: got {shown(content)}, expected a list of {LANDMARKS} landmarks")


def _landmarks(person: Any, where: str) -> np.ndarray:
    """float32 `[33, 3]` x, y, visibility."""
    if not isinstance(person, list) or len(person) < LANDMARKS:
        count = len(person) if isinstance(person, list) else 0
        raise ValueError(f"{where}: got {count} landmarks, expected {LANDMARKS}")
    rows = []
    for number, landmark in enumerate(person[:LANDMARKS]):
        if isinstance(landmark, dict):
            landmark = [landmark.get("x"), landmark.get("y"), 0, landmark.get("visibility", 1)]
        row = landmark if isinstance(landmark, list) and len(landmark) >= 2 else [None, None]
        row = [row[0], row[1], row[3] if len(row) > 3 else 1]
        plain = all(isinstance(x, int | float) and not isinstance(x, bool) for x in row)
        if not plain or not all(abs(x) <= MAX_NUMBER for x in row):
            raise ValueError(f"{where}, landmark {number}: got {shown(landmark)}, expected numbers")
        rows.append(row)
    return np.array(rows, np.float32)
