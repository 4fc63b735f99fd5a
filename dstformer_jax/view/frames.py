"""Draws motion frame by frame, fast: people in 3D on their floor, and the 2D input beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.view import colours, space

GROUND, PANEL, GRID, SHADOW, TEXT = "#ffffff", "#eef1f5", "#cfd6de", "#c3ccd7", "#5b6673"
SMOOTHER = 2  # drawn so many times as large and shrunk, for smooth edges
TURN, HEIGHT = np.radians(28.0), np.radians(12.0)  # where the camera stands
TANGENT = np.tan(np.radians(17.5))  # of half the field of view
FILL = 0.9  # share of the picture that the people take
WIDE = 3.0  # metres of floor beyond which the camera goes with the people
LIMB = 0.062  # metres
_INPUT_SHARE = 0.38  # of the width, for the 2D input
_SMOOTH = 0.5  # seconds of the path of the camera

Line = tuple[float, np.ndarray, float, str]  # depth, ends [2, 2], width, colour


@dataclass(frozen=True)
class Camera:
    """Looks at a target from `distance` metres; `axes` [3, 3] are right, up and back in space."""

    axes: np.ndarray
    distance: float
    focal: float
    centre: np.ndarray

    def project(self, points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [..., 2] and depths [...] in metres of points [..., 3]."""
        local = (points - target) @ self.axes.T
        depth = np.maximum(self.distance - local[..., 2], 0.05)
        flat = local[..., :2] * np.array([1.0, -1.0], np.float32)
        return self.centre + flat * (self.focal / depth)[..., None], depth


def stand(half: np.ndarray, box: tuple[int, int, int, int]) -> Camera:
    """The camera before a box of half sides [3] that fills the rectangle `box` of the picture."""
    back = [np.sin(TURN) * np.cos(HEIGHT), np.sin(HEIGHT), np.cos(TURN) * np.cos(HEIGHT)]
    right = [np.cos(TURN), 0.0, -np.sin(TURN)]
    axes = np.array([right, np.cross(back, right), back], np.float32)
    width, height = box[2] - box[0], box[3] - box[1]
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    corners = (signs * half) @ axes.T
    need = np.abs(corners[:, :2]) / (TANGENT * FILL * np.array([width / height, 1.0]))
    distance = float((need.max(-1) + corners[:, 2]).max())
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], np.float32)
    return Camera(axes, max(distance, 1.0), height / 2 / TANGENT, centre)


class Painter:
    """Draws the frames of a motion as pictures of one size.

    Args:
      pose: 3D; image: its 2D input or None.
      size: width and height in pixels.
    """

    def __init__(self, pose: Motion, image: Motion | None, size: tuple[int, int]) -> None:
        space.check(pose, image)
        self.pose, self.image, self.size = pose, image, size
        self.rate = pose.fps or 30.0
        self.places = {track.id: place for place, track in enumerate(pose)}
        big = (size[0] * SMOOTHER, size[1] * SMOOTHER)
        split = round(big[0] * (1 - _INPUT_SHARE)) if image else big[0]
        self.panel = (split, 0, *big)
        self._stand((0, 0, split, big[1]))
        self._fit_input()
        self.ground = Image.new("RGB", big, PANEL)
        ImageDraw.Draw(self.ground).rectangle(self.panel, fill=GROUND)
        if not self.follows:
            self._draw_grid(self.ground, self.targets[0])
        self.letters = max(12, size[1] // 36)
        self.font = ImageFont.load_default(self.letters)

    def _stand(self, box: tuple[int, int, int, int]) -> None:
        """Places the camera and projects everybody."""
        points = space.placed(self.pose)
        seen = [p[t.confidence > 0] for p, t in zip(points, self.pose, strict=True)]
        every = np.concatenate([np.zeros((0, 3), np.float32), *seen])
        if not len(every):
            every = np.array([[0, 0, 0], [0, space.ADULT, 0]], np.float32)
        low, high = every.min(0), every.max(0)
        self.follows = bool(max(high[0] - low[0], high[2] - low[2]) > WIDE)
        frames = max(self.pose.num_frames, 1)
        self.targets = np.repeat([(low + high) / 2], frames, axis=0).astype(np.float32)
        half = (high - low) / 2
        if self.follows:
            self.targets[:, [0, 2]] = centres(self.pose, points, self.rate)
            half[[0, 2]] = _reach(self.pose, points, self.targets) + 0.1
        self.camera = stand(half, box)
        self.flat: list[tuple[tuple[np.ndarray, np.ndarray], ...]] = []  # and of their shadows
        for track, place in zip(self.pose, points, strict=True):
            target = self.targets[track.start : track.start + len(track), None]
            fallen = place * np.array([1, 0, 1], np.float32)
            self.flat.append(
                (self.camera.project(place, target), self.camera.project(fallen, target))
            )

    def _fit_input(self) -> None:
        """Scale and shift that bring the image into its panel."""
        if self.image is None:
            return
        left, top, right, bottom = self.panel
        margin = 12 * SMOOTHER
        low, high = image_box(self.image)
        room = np.array([right - left - 2 * margin, bottom - top - 2 * margin])
        self.zoom = float((room / (high - low)).min())
        middle = np.array([(left + right) / 2, (top + bottom) / 2])
        self.shift = middle - self.zoom * (low + high) / 2
        self.page = [*(self.zoom * low + self.shift), *(self.zoom * high + self.shift)]
        self.stroke = min(
            max(2.4 * SMOOTHER, 0.03 * self.zoom * space.extent(self.image)), 5 * SMOOTHER
        )

    def draw(self, frame: int) -> Image.Image:
        """The picture of a frame."""
        picture = self.ground.copy()
        if self.follows:
            self._draw_grid(picture, self.targets[min(frame, len(self.targets) - 1)])
        brush = ImageDraw.Draw(picture)
        for _, ends, width, colour in self._shadows(frame):
            _stroke(brush, ends, width, colour)
        for _, ends, width, colour in sorted(self._limbs(frame), key=lambda line: -line[0]):
            _stroke(brush, ends, width + 3 * SMOOTHER, PANEL)  # sets it off from what is behind
            _stroke(brush, ends, width, colour)
        if self.image is not None:
            self._draw_input(brush, frame)
        small = picture.reduce(SMOOTHER)
        text = f"frame {frame}   {frame / self.rate:.2f} s"
        place = (self.letters, self.size[1] - 2 * self.letters)
        ImageDraw.Draw(small).text(place, text, TEXT, self.font)
        return small

    def _limbs(self, frame: int) -> Iterator[Line]:
        alone = len(self.places) == 1
        for (track, row), ((xy, depth), _) in zip(
            present(self.pose, frame), self.flat, strict=True
        ):
            if row is None:
                continue
            for parent, child in self.pose.skeleton.limbs:
                if track.confidence[row, parent] > 0 and track.confidence[row, child] > 0:
                    far = float(depth[row, parent] + depth[row, child]) / 2
                    side = self.pose.skeleton.sides[child]
                    colour = colours.limb(self.places[track.id], side, alone)
                    width = LIMB * self.camera.focal / far
                    yield far, xy[row, [parent, child]], width, colour

    def _shadows(self, frame: int) -> Iterator[Line]:
        for (track, row), (_, (xy, depth)) in zip(
            present(self.pose, frame), self.flat, strict=True
        ):
            if row is None:
                continue
            for parent, child in self.pose.skeleton.limbs:
                if track.confidence[row, parent] > 0 and track.confidence[row, child] > 0:
                    far = float(depth[row, parent])
                    width = 0.8 * LIMB * self.camera.focal / far
                    yield far, xy[row, [parent, child]], width, SHADOW

    def _draw_grid(self, picture: Image.Image, target: np.ndarray) -> None:
        """Half-metre squares of the floor around the target."""
        reach = 0.8 * self.camera.distance
        cell = 0.5 if reach < 8 else 1.0
        middle = target[[0, 2]]
        low, high = (
            np.floor((middle - reach) / cell) * cell,
            np.ceil((middle + reach) / cell) * cell,
        )
        ends = [
            *([(x, 0, low[1]), (x, 0, high[1])] for x in np.arange(low[0], high[0] + 0.1, cell)),
            *([(low[0], 0, z), (high[0], 0, z)] for z in np.arange(low[1], high[1] + 0.1, cell)),
        ]
        lines, _ = self.camera.project(np.array(ends, np.float32), target)
        brush = ImageDraw.Draw(picture)
        for line in lines.tolist():
            brush.line([*line[0], *line[1]], GRID, SMOOTHER)
        if self.image is not None:
            brush.rectangle(self.panel, fill=GROUND)

    def _draw_input(self, brush: ImageDraw.ImageDraw, frame: int) -> None:
        assert self.image is not None
        brush.rectangle(self.page, fill=PANEL)
        alone = len(self.places) == 1
        for track, row in present(self.image, frame):
            if row is None:
                continue
            xy = track.points[row, :, :2] * self.zoom + self.shift
            seen = track.confidence[row] > 0
            for parent, child in self.image.skeleton.limbs:
                if seen[parent] and seen[child]:
                    side = self.image.skeleton.sides[child]
                    colour = colours.limb(self.places.get(track.id), side, alone)
                    _stroke(brush, xy[[parent, child]], self.stroke, colour)


def present(motion: Motion, frame: int) -> list[tuple[Track, int | None]]:
    """Each track with its row of the frame; None where the person is not there."""
    rows = []
    for track in motion:
        row = frame - track.start
        there = 0 <= row < len(track) and bool((track.confidence[row] > 0).any())
        rows.append((track, row if there else None))
    return rows


def image_box(image: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Corners [2] of the image, or of all joints seen where its size is unknown."""
    if min(image.size) > 0 and image.unit == "px":
        return np.zeros(2), np.array(image.size, np.float64)
    seen = [track.points[..., :2][track.confidence > 0] for track in image]
    every = np.concatenate([np.zeros((0, 2)), *seen])
    if not len(every):
        return np.zeros(2), np.ones(2)
    margin = max(0.05 * float(np.ptp(every, axis=0).max()), 1e-6)
    return every.min(0) - margin, every.max(0) + margin


def centres(pose: Motion, points: Sequence[np.ndarray], rate: float) -> np.ndarray:
    """Where the people are on the floor in each frame [T, 2], smoothed over time.

    Frames without anybody take the places around them.
    """
    total = np.zeros((max(pose.num_frames, 1), 2))
    count = np.zeros(len(total))
    for track, place in zip(pose, points, strict=True):
        rows = np.flatnonzero(track.seen)
        seen = (track.confidence[rows] > 0)[..., None]
        total[track.start + rows] += (place[rows][..., [0, 2]] * seen).sum(1) / seen.sum(1)
        count[track.start + rows] += 1
    known = np.flatnonzero(count)
    if not len(known):
        return total
    frames = np.arange(len(total))
    middle = [np.interp(frames, known, total[known, c] / count[known]) for c in range(2)]
    wide = min(2 * int(_SMOOTH * rate) + 1, 2 * len(frames) - 1)
    padded = np.pad(np.stack(middle), ((0, 0), (wide // 2, wide // 2)), mode="edge")
    window = np.full(wide, 1 / wide)
    return np.stack([np.convolve(row, window, "valid") for row in padded], axis=-1)


def _reach(pose: Motion, points: Sequence[np.ndarray], targets: np.ndarray) -> float:
    """How far on the floor joints are from the target, nearly always (95 % of the frames)."""
    far = [np.zeros(1)]
    for track, place in zip(pose, points, strict=True):
        away = (place - targets[track.start : track.start + len(track), None])[..., [0, 2]]
        seen = track.confidence > 0
        far.append((np.abs(away).max(-1) * seen).max(-1))
    return float(np.percentile(np.concatenate(far), 95))


def _stroke(brush: ImageDraw.ImageDraw, ends: np.ndarray, width: float, colour: str) -> None:
    """A line with round ends."""
    half = width / 2
    (ax, ay), (bx, by) = ends.tolist()
    brush.line([ax, ay, bx, by], colour, max(round(width), 1))
    for x, y in ((ax, ay), (bx, by)):
        brush.ellipse([x - half, y - half, x + half, y + half], colour)
