"""The layout of mmpose: annotation_body3d/{cameras.pkl, fps50/h36m_{train,test}.npz}."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dstformer_jax.body.geometry import Camera
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.npz import load_npz

from .cameras import image_pose, load_cameras, normalise
from .names import FPS, plain_action, video_name

_READ = ("imgname", "part", "S")
# .../S1_Directions_1.54138969_000001.jpg
_IMAGE = re.compile(r"(?:.*/)?(S\d+)_(.+)\.(\d+)_(\d+)\.\w+")


def read_mmpose(path: Path, source: Path) -> Iterator[Sequence]:
    """One sequence a video; the motion is the 2D truth (`part`), with its visibility.

    Args:
      path: h36m_train.npz or h36m_test.npz.
      source: the folder of cameras.pkl or cameras.json (else the shipped calibration counts).
    """
    arrays = load_npz(path, names=_READ)
    if missing := [name for name in _READ if name not in arrays]:
        raise ValueError(f"{path}: got no {', '.join(missing)}, expected them")
    images, part, pose = (arrays[name] for name in _READ)
    if part.shape != (len(images), 17, 3) or pose.shape != (len(images), 17, 4):
        raise ValueError(
            f"{path}: got part {part.shape} and S {pose.shape}, "
            f"expected {(len(images), 17, 3)} and {(len(images), 17, 4)}"
        )
    cameras = load_cameras(source)
    videos = _videos(path, images)
    takes: dict[str, list[str]] = {}
    for subject, take, _ in videos:
        takes.setdefault(subject, [])
        if take not in takes[subject]:
            takes[subject].append(take)
    for (subject, take, name), frames in videos.items():
        rows = np.array([row for _, row in sorted(frames)])
        if (subject, name) not in cameras:
            raise ValueError(f"{path}: got camera {name} of {subject}, expected it in cameras.pkl")
        yield _sequence(
            video_name(subject, take, takes[subject], name),
            (subject, plain_action(take), name),
            FPS / _gap(frames),
            cameras[subject, name].lens,
            part[rows],
            pose[rows, :, :3],
        )


def _videos(path: Path, images: np.ndarray) -> dict[tuple[str, str, str], list[tuple[int, int]]]:
    """(subject, take, camera) -> (frame number, row) of its images."""
    videos: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for row, image in enumerate(images):
        text = image.decode() if isinstance(image, bytes) else str(image)
        match = _IMAGE.fullmatch(text)
        if not match:
            raise ValueError(
                f"{path}: got image {text!r}, expected .../S1_Directions_1.54138969_000001.jpg"
            )
        key = (match[1], match[2], match[3])
        videos.setdefault(key, []).append((int(match[4]), row))
    return videos


def _gap(frames: list[tuple[int, int]]) -> float:
    """Original frames from one image to the next: 1 at 50 fps, 5 at 10 fps."""
    numbers = sorted(number for number, _ in frames)
    return float(np.median(np.diff(numbers))) if len(numbers) > 1 else 1.0


def _sequence(
    key: str,
    facts: tuple[str, str, str],
    fps: float,
    lens: Camera,
    part: np.ndarray,
    pose: np.ndarray,
) -> Sequence:
    subject, action, name = facts
    image, factor = image_pose(pose.astype(np.float64) * 1000, lens)
    xy = normalise(part[..., :2], lens.size)
    return Sequence(
        id=key,
        subject=subject,
        action=action,
        camera=name,
        fps=fps,
        unit="normalised",
        axes="camera",
        size=lens.size,
        motion=np.concatenate([xy, np.clip(part[..., 2:], 0, 1)], axis=-1),
        pose=normalise(image, lens.size),
        factor=factor,
        pose_mm=image * factor[:, None, None],
    )
