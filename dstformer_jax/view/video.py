"""Writes motion as a video: people in 3D on their floor and the 2D input beside them."""

import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from dstformer_jax.body.motion import Motion
from dstformer_jax.view.frames import Painter

SIZES = {".mp4": (1280, 720), ".gif": (800, 450)}
GIF_RATE = 25.0  # frames a second by default; viewers slow down faster ones
GIF_FRAMES = 2000  # Pillow holds all of them in memory
_BAR_FROM = 200  # frames from which a progress bar is worth it


def write_video(
    pose: Motion,
    path: str | Path,
    image: Motion | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Path:
    """Writes an MP4 or a GIF, by the ending of `path`.

    Args:
      pose: 3D, axes `camera` or `world`.
      path: the file to write; it is there complete or not at all.
      image: the 2D input, drawn beside the people; frame numbers and ids as in `pose`.
      size: width and height in pixels, made even; by default 1280 x 720 (GIF: 800 x 450).
      fps: frames a second of the video, which keeps the speed of the motion; by default that of
        `pose` (30 where it is unknown; for GIF at most 25).

    Raises:
      ValueError: another ending, a pose that is not 3D or has no frames, a GIF of over 2000
        frames, or an MP4 without the package imageio-ffmpeg.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in SIZES:
        raise ValueError(f"got {path.name}, expected a name that ends in .mp4 or .gif")
    width, height = size or SIZES[ending]
    if min(width, height) < 64 or (fps is not None and not 0 < fps <= 1000):
        raise ValueError(
            f"got size {size} and fps {fps}, expected 64 pixels or more, fps 0 to 1000"
        )
    rate = fps or (min(pose.fps or 30.0, GIF_RATE) if ending == ".gif" else pose.fps or 30.0)
    shown = timeline(pose, image, rate)
    if not len(shown):
        raise ValueError(f"got a motion without frames from {pose.source!r}, expected some to draw")
    if ending == ".gif" and len(shown) > GIF_FRAMES:
        raise ValueError(
            f"got {len(shown)} frames for {path.name}, expected at most {GIF_FRAMES} in a GIF; "
            "write .mp4, or give a lower fps"
        )
    ffmpeg = _ffmpeg(path) if ending == ".mp4" else None
    painter = Painter(pose, image, (width // 2 * 2, height // 2 * 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    bar = tqdm(shown.tolist(), path.name, unit="frame", disable=len(shown) < _BAR_FROM or None)
    frames = (painter.draw(frame) for frame in bar)
    try:
        if ffmpeg:
            with warnings.catch_warnings():
                # jax warns of any fork where it is loaded; what is forked here is ffmpeg at once.
                warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                _write_mp4(ffmpeg, frames, partial, painter.size, rate)
        else:
            _write_gif(frames, partial, _palette(painter, shown), rate)
        return partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def timeline(pose: Motion, image: Motion | None, rate: float) -> np.ndarray:
    """int `[K]`: the frame of the motion that each frame of a video of `rate` shows."""
    frames = max(pose.num_frames, image.num_frames if image else 0)
    step = (pose.fps or 30.0) / rate
    return np.floor(np.arange(int(np.ceil(frames / step - 1e-9))) * step + 1e-6).astype(int)


def _ffmpeg(path: Path) -> Any:
    """The package imageio_ffmpeg, which brings the encoder."""
    try:
        return import_module("imageio_ffmpeg")
    except ImportError:
        raise ValueError(
            f"got {path.name}, expected the package imageio-ffmpeg to write MP4; "
            "do pip install 'dstformer_jax[video]', or write .gif"
        ) from None


def _write_mp4(
    ffmpeg: Any, frames: Iterable[Image.Image], path: Path, size: tuple[int, int], rate: float
) -> None:
    """H.264 as every player reads it, the index in front."""
    settings = ["-preset", "veryfast", "-crf", "20", "-movflags", "+faststart", "-f", "mp4"]
    writer = ffmpeg.write_frames(
        str(path), size, fps=rate, quality=None, macro_block_size=2, output_params=settings
    )
    writer.send(None)  # starts the encoder
    try:
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()


def _write_gif(
    frames: Iterator[Image.Image], path: Path, palette: Image.Image, rate: float
) -> None:
    """GIF with one palette; its times are hundredths of a second, rounded so that they add up."""
    reduced = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    first = next(reduced)
    ends = np.rint(np.arange(GIF_FRAMES + 1) * 100 / rate).astype(int)
    times = (np.diff(ends) * 10).tolist()
    rest = list(reduced)
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=times[: len(rest) + 1],
        loop=0,
        optimize=False,
    )


def _palette(painter: Painter, shown: np.ndarray, count: int = 8) -> Image.Image:
    """256 colours for all frames, from some of them."""
    chosen = shown[np.linspace(0, len(shown) - 1, min(count, len(shown))).astype(int)].tolist()
    width, height = painter.size
    mosaic = Image.new("RGB", (width, height * len(chosen)))
    for place, frame in enumerate(chosen):
        mosaic.paste(painter.draw(frame), (0, height * place))
    return mosaic.quantize(256, Image.Quantize.MEDIANCUT)
