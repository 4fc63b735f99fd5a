"""The HTML page: what is inside, read back by a decoder of this test's own."""

import base64
import json
import re
import tomllib
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import people_moving
import pytest

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17, HALPE26
from dstformer_jax.view import page

ROOT = Path(__file__).resolve().parents[2]


def embedded(text: str) -> dict:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(data)


def inflate(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def numbers(block: dict, frames: int) -> np.ndarray:
    """Numbers [T, J, C]: low bytes, then high bytes, of differences that wrap at 2^16."""
    planes = np.frombuffer(inflate(block["data"]), np.uint8).reshape(2, -1).astype(np.int64)
    steps = (planes[0] + 256 * planes[1]).reshape(frames, -1, len(block["offset"]))
    return np.cumsum(steps, axis=0) % 65536 * block["step"] + np.array(block["offset"])


def seen(block: dict) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(inflate(block["seen"]), np.uint8), bitorder="little")
    return bits[: block["frames"] * 17].reshape(-1, 17).astype(bool)


@pytest.mark.parametrize("axes", ["world", "camera"])
def test_the_motion_comes_back(tmp_path, axes):
    pose = people_moving.pair()
    pose = people_moving.to_camera(pose) if axes == "camera" else pose
    image = people_moving.seen_from(people_moving.pair())
    path = page.write_page(pose, tmp_path / "new" / "page.html", image, "Two")
    assert sorted(path.parent.iterdir()) == [path]
    data = embedded(path.read_text())
    steps = {"pose": 1.66 / page.STEPS, "image": 200 / page.IMAGE_STEPS}  # of their extents
    for key, motion in (("pose", pose), ("image", image)):
        block = data[key]
        assert block["names"] == list(H36M17.names)
        assert block["parents"] == list(H36M17.parents)
        assert (block["fps"], block["unit"], block["axes"]) == (30, motion.unit, motion.axes)
        for track, packed in zip(motion, block["tracks"], strict=True):
            assert (packed["id"], packed["start"]) == (track.id, track.start)
            shown = track.confidence > 0
            np.testing.assert_array_equal(seen(packed), shown)
            points = numbers(packed["points"], packed["frames"])
            assert packed["points"]["step"] < 1.2 * steps[key]
            error = np.abs(points - track.points)[shown].max()
            assert error <= 0.51 * packed["points"]["step"]
            if track.uncertainty is not None:
                spread = numbers(packed["uncertainty"], packed["frames"])[..., 0]
                np.testing.assert_allclose(spread[shown], track.uncertainty[shown], atol=1e-4)
    assert data["pose"]["frames"] == 120
    assert data["image"]["size"] == [640, 480]


def test_the_step_grows_with_the_room():
    track = people_moving.walker(0, 50, 0)
    points = track.points.copy()
    points[:, :, 0] += np.linspace(0, 200, 50, dtype=np.float32)[:, None]
    motion = Motion((Track(0, 0, points, track.confidence),), H36M17, 30, "m", "world")
    block = page.packed(motion)["tracks"][0]
    np.testing.assert_allclose(numbers(block["points"], 50), points, atol=200 / 65535)


@pytest.mark.parametrize("frames", [0, 1])
def test_very_short_tracks(tmp_path, frames):
    none = np.zeros((frames, 17), np.float32)
    track = Track(0, 0, np.zeros((frames, 17, 3), np.float32), none, none)
    motion = Motion((track,), H36M17, 0, "unknown", "camera")
    text = page.write_page(motion, tmp_path / "page.html").read_text()
    block = embedded(text)["pose"]["tracks"][0]
    assert not seen(block).any()
    assert "unknown; played at 30 frames/s" in text
    assert "unknown; people are shown as large as adults" in text


def test_all_is_inside_and_nothing_escapes(tmp_path):
    pose = replace(people_moving.pair(), source="</script><b>.json")
    text = page.write_page(pose, tmp_path / "page.html", title="<i>A & B</i>").read_text()
    assert "<title>&lt;i&gt;A &amp; B&lt;/i&gt;</title>" in text
    assert "Height &lt;assumed&gt; &amp; marked." in text
    assert text.count("</script>") == text.count("<script") == 3
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "default-src 'none'" in text
    assert "{{" not in text.replace(page._asset("three.bundle.js"), "")
    for asset in page.SCRIPTS:
        assert page._asset(f"{asset}.js") in text
    assert "three.js authors" in text
    assert "Permission is hereby granted" in text
    assert "image" not in embedded(text)
    unnamed = page.write_page(people_moving.pair(), tmp_path / "page.html").read_text()
    assert "<h1>walk.json</h1>" in unnamed
    assert "2 people · 120 frames · 4.0 s · 30 frames/s · metres" in unnamed


def test_the_input_may_have_another_skeleton_and_be_longer(tmp_path):
    pose = people_moving.pair()
    track = Track(3, 0, np.ones((130, 26, 2), np.float32), np.ones((130, 26), np.float32))
    image = Motion((track,), HALPE26, 30.0)
    data = embedded(page.write_page(pose, tmp_path / "page.html", image).read_text())
    assert data["image"]["names"] == list(HALPE26.names)
    assert data["pose"]["frames"] == 130


def test_two_people_for_10000_frames_are_three_megabytes(tmp_path):
    tracks = (people_moving.walker(0, 10_000, 0), people_moving.walker(1, 10_000, 1, seed=1))
    tracks = tuple(replace(track, uncertainty=None) for track in tracks)
    pose = Motion(tracks, H36M17, 30.0, "m", "world")
    path = page.write_page(pose, tmp_path / "page.html", people_moving.seen_from(pose))
    assert path.stat().st_size < 3.0e6


def test_what_is_not_3d_leaves_no_file(tmp_path):
    flat = people_moving.seen_from(people_moving.pair())
    with pytest.raises(ValueError, match="expected 3D points"):
        page.write_page(flat, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_viewer_is_small_and_goes_into_the_wheel():
    sizes = {path.name: path.stat().st_size for path in page.ASSETS.iterdir()}
    assert sum(sizes.values()) < 0.8e6
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = packed["package-data"]["dstformer_jax"]
    home = ROOT / "dstformer_jax"
    covered = {path for pattern in patterns for path in home.glob(pattern)}
    assert set(page.ASSETS.iterdir()) <= covered


def test_the_bundle_is_the_version_that_the_script_makes():
    script = page._asset("bundle_three.sh")
    version = re.search(r"^three=([\d.]+)$", script, re.MULTILINE)
    assert version
    assert page._asset("three.bundle.js").startswith(f"/* three.js {version[1]}, MIT licence")
    used = {
        name
        for file in page.SCRIPTS
        for name in re.findall(r"THREE\.(\w+)", page._asset(f"{file}.js"))
    }
    offered = set(
        re.findall(r"\b([A-Z]\w+)\b", page._asset("three_entry.js").split("export", 1)[1])
    )
    assert used <= offered
    assert offered - used == set()
