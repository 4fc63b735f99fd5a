"""Videos and their frames: who is drawn where, read back by Pillow and ffmpeg."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import people_moving
import pytest
from PIL import Image, ImageColor

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.view import colours, frames, video

SIZE = (480, 270)


def of_colour(picture: Image.Image, colour: str) -> np.ndarray:
    """(row, column) of the pixels of exactly a colour."""
    wanted = ImageColor.getrgb(colour)
    return np.argwhere((np.asarray(picture) == wanted).all(-1))


def test_two_people_have_their_colours_light_left_and_dark_right():
    pose = people_moving.pair()
    drawn = frames.Painter(pose, None, SIZE).draw(30)
    assert drawn.size == SIZE
    for place in range(2):
        for side in ("left", "right", "middle"):
            assert len(of_colour(drawn, colours.limb(place, side, False))) > 15
    # The camera sees them from the front: the left hand is on the right of the picture.
    left, right = (of_colour(drawn, colours.limb(0, side, False)) for side in ("left", "right"))
    assert left[:, 1].mean() > right[:, 1].mean() + 5
    assert (
        of_colour(drawn, colours.PEOPLE[0])[:, 1].mean()
        < of_colour(drawn, colours.PEOPLE[1])[:, 1].mean()
    )


def test_one_person_is_painted_by_side_and_gaps_are_empty():
    pose = people_moving.pair()
    painter = frames.Painter(pose, people_moving.seen_from(pose), SIZE)
    orange = colours.PEOPLE[1]
    assert len(of_colour(painter.draw(30), orange)) > 15
    for away in (people_moving.GAP[0], people_moving.GAP[1] - 1, 5):
        assert len(of_colour(painter.draw(away), orange)) == 0
    alone = frames.Painter(replace(pose, tracks=pose.tracks[:1]), None, SIZE).draw(30)
    for colour in colours.SIDES.values():
        assert len(of_colour(alone, colour)) > 15


def test_the_nearer_limb_covers_the_farther():
    """The same person twice, one a metre behind the other in the line of sight."""
    pose = people_moving.pair()
    still = Track(0, 0, people_moving.STANDING[None], np.ones((1, 17), np.float32))
    direction = frames.Painter(replace(pose, tracks=(still,)), None, SIZE).camera.axes[2]
    behind = replace(still, id=1, points=still.points - direction.astype(np.float32))
    for order in ((still, behind), (behind, still)):
        drawn = frames.Painter(replace(pose, tracks=order), None, SIZE).draw(0)
        counts = [len(of_colour(drawn, colours.PEOPLE[place])) for place in range(2)]
        front = order.index(still)
        assert counts[front] > 3 * counts[1 - front]


def test_projection_against_a_pinhole_by_hand():
    camera = frames.stand(np.array([1.0, 1.0, 1.0]), (0, 0, 800, 600))
    target = np.array([1.0, 2.0, 3.0])
    xy, depth = camera.project(
        np.stack([target, target + camera.axes[0], target + camera.axes[2]]), target
    )
    np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(camera.axes) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(xy[0], [400, 300])
    np.testing.assert_allclose(depth, [camera.distance, camera.distance, camera.distance - 1])
    half = np.degrees(np.arctan(300 / camera.focal))
    assert half == pytest.approx(17.5)
    np.testing.assert_allclose(xy[1], [400 + camera.focal / camera.distance, 300], rtol=1e-6)


def test_the_box_of_the_motion_just_fits():
    half, box = np.array([1.0, 0.9, 2.0]), (0, 0, 800, 600)
    camera = frames.stand(half, box)
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    xy, _ = camera.project(signs * half, np.zeros(3))
    reach = np.abs(xy - camera.centre).max(0) / camera.centre
    assert reach.max() == pytest.approx(frames.FILL, rel=1e-5)


def test_the_camera_follows_a_long_walk():
    track = people_moving.walker(0, 90, 0)
    walk = track.points + np.linspace(0, 12, 90, dtype=np.float32)[:, None, None] * [[[1, 0, 0]]]
    pose = Motion((replace(track, points=walk),), H36M17, 30.0, "m", "world")
    painter = frames.Painter(pose, None, SIZE)
    assert painter.follows
    places = [
        of_colour(painter.draw(frame), colours.SIDES["left"])[:, 1].mean() for frame in (20, 70)
    ]
    assert abs(places[0] - places[1]) < 0.1 * SIZE[0]
    assert not frames.Painter(people_moving.pair(), None, SIZE).follows


def test_the_input_is_drawn_in_its_image_without_missing_joints():
    pose = people_moving.pair()
    image = people_moving.seen_from(pose)
    stranger = replace(image.tracks[0], id=99)
    painter = frames.Painter(pose, replace(image, tracks=(*image.tracks, stranger)), SIZE)
    drawn = painter.draw(30)
    found = of_colour(drawn, colours.limb(None, "left", False))
    split = painter.panel[0] / frames.SMOOTHER
    assert (found[:, 1] > split).all()
    xy = image.tracks[0].points[30] * painter.zoom + painter.shift
    top, bottom = xy[10, 1] / frames.SMOOTHER, xy[6, 1] / frames.SMOOTHER
    assert found[:, 0].min() > top - 5
    assert found[:, 0].max() < bottom + 5
    # The left wrist is missing, the elbow is there.
    wrist, elbow = (xy[joint] / frames.SMOOTHER for joint in (13, 12))
    away = np.abs(found[:, ::-1] - wrist).max(-1)
    assert away.min() > 3
    assert np.abs(found[:, ::-1] - elbow).max(-1).min() < 2


def test_the_image_box_is_that_of_people_where_its_size_is_unknown():
    image = people_moving.seen_from(people_moving.pair())
    low, high = frames.image_box(image)
    np.testing.assert_array_equal([low, high], [[0, 0], [640, 480]])
    low, high = frames.image_box(replace(image, size=(0, 0)))
    seen = np.concatenate([track.points[track.confidence > 0] for track in image])
    assert (low < seen.min(0)).all()
    assert (high > seen.max(0)).all()
    np.testing.assert_array_equal(frames.image_box(replace(image, tracks=()))[1], [640, 480])


@pytest.mark.parametrize(
    ("fps", "rate", "frames_out", "shown"),
    [
        (60.0, 25.0, 42, [0, 2, 4, 7, 9, 12]),
        (30.0, 30.0, 100, [0, 1, 2, 3, 4, 5]),
        (15.0, 30.0, 200, [0, 0, 1, 1, 2, 2]),
        (0.0, 30.0, 100, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_the_video_keeps_the_speed_of_the_motion(fps, rate, frames_out, shown):
    pose = replace(people_moving.pair(100), fps=fps)
    line = video.timeline(pose, None, rate)
    assert len(line) == frames_out
    assert line[:6].tolist() == shown
    assert line[-1] < 100


def test_a_gif_has_the_frames_and_the_time(tmp_path):
    pose = people_moving.pair(45)
    path = video.write_video(pose, tmp_path / "new" / "walk.gif", size=(161, 120), fps=12)
    assert sorted(path.parent.iterdir()) == [path]
    with Image.open(path) as gif:
        assert gif.size == (160, 120)
        times = []
        for number in range(gif.n_frames):
            gif.seek(number)
            times.append(gif.info["duration"])
        assert gif.info["loop"] == 0
        last = gif.convert("RGB")
    assert sum(times) == pytest.approx(45 / 30 * 1000, abs=10)
    expected = frames.Painter(pose, None, (160, 120)).draw(int(video.timeline(pose, None, 12)[-1]))
    away = np.abs(np.asarray(last, int) - np.asarray(expected, int)).max(-1)
    assert np.mean(away > 40) < 0.005


@pytest.mark.filterwarnings(r"ignore:os\.fork:RuntimeWarning")  # where jax is loaded
def test_an_mp4_has_the_frames_and_the_pictures(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    pose = people_moving.pair(40)
    image = people_moving.seen_from(pose)
    path = video.write_video(pose, tmp_path / "walk.mp4", image, SIZE)
    assert sorted(tmp_path.iterdir()) == [path]
    told = subprocess.run(
        [ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True
    ).stderr
    assert re.search(r"Video: h264.* yuv420p.* 480x270.* 30 fps", told)
    decode = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo"]
    raw = subprocess.run([*decode, "-pix_fmt", "rgb24", "-"], capture_output=True).stdout
    pictures = np.frombuffer(raw, np.uint8).reshape(-1, 270, 480, 3)
    assert len(pictures) == 40
    painter = frames.Painter(pose, image, SIZE)
    for number in (0, 39):
        away = np.abs(pictures[number].astype(int) - np.asarray(painter.draw(number), int))
        assert away.mean() < 4
    assert np.abs(pictures[0].astype(int) - pictures[39]).max() > 100


def test_mp4_without_its_package_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(
        ValueError, match=r"imageio-ffmpeg .* do pip install 'dstformer_jax\[video\]'"
    ):
        video.write_video(people_moving.pair(20), tmp_path / "walk.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("walk.avi", {}, "ends in .mp4 or .gif"),
        ("walk.gif", {"fps": 0}, "fps 0 to 1000"),
        ("walk.gif", {"size": (10, 10)}, "64 pixels or more"),
        ("walk.gif", {"fps": 900}, "at most 2000 in a GIF; write .mp4"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(tmp_path, name, settings, message):
    with pytest.raises(ValueError, match=message):
        video.write_video(people_moving.pair(), tmp_path / name, **settings)
    empty = Motion((), H36M17, 30.0, "m", "world")
    with pytest.raises(ValueError, match="without frames"):
        video.write_video(empty, tmp_path / "walk.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_half_file(tmp_path, monkeypatch):
    def fail(painter, frame):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(frames.Painter, "draw", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        video.write_video(people_moving.pair(20), tmp_path / "walk.gif")
    assert list(tmp_path.iterdir()) == []
