"""TRC by a parser written from the format, C3D by ezc3d and by the c3d package."""

import builtins
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_motion import two_people

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.formats import write

MOTION = two_people()
KEYS = (
    "DataRate CameraRate NumFrames NumMarkers Units OrigDataRate OrigDataStartFrame OrigNumFrames"
)


def parse_trc(path: Path) -> tuple[dict[str, str], list[str], np.ndarray, np.ndarray]:
    """Header, markers, times [T] and places [T, M, 3]; asserts what OpenSim's reader demands."""
    lines = path.read_text().split("\n")
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    keys, values = lines[1].split("\t"), lines[2].split("\t")
    assert keys == KEYS.split()
    assert len(values) == len(keys)
    header = dict(zip(keys, values, strict=True))
    labels = [word for word in lines[3].split("\t") if word]
    assert labels[:2] == ["Frame#", "Time"]
    assert len(labels) == int(header["NumMarkers"]) + 2
    axes = [word for word in lines[4].split("\t") if word]
    assert axes == [f"{a}{n}" for n in range(1, len(labels) - 1) for a in "XYZ"]
    assert lines[3].split("\t").index(labels[3]) == lines[4].split("\t").index("X2")
    assert lines[5] == lines[-1] == ""
    rows = [line.split("\t") for line in lines[6:-1]]
    assert len(rows) == int(header["NumFrames"])
    numbers = np.array([[float(cell) for cell in row] for row in rows])
    assert numbers.shape[1] == 2 + 3 * int(header["NumMarkers"])
    start = int(header["OrigDataStartFrame"])
    np.testing.assert_array_equal(numbers[:, 0], start + np.arange(len(rows)))
    return header, labels[2:], numbers[:, 1], numbers[:, 2:].reshape(len(rows), -1, 3)


def test_trc_is_read_by_its_rules(tmp_path):
    paths = write(MOTION, tmp_path / "clip", ["trc"])
    for path, track in zip(paths, MOTION, strict=True):
        header, markers, times, places = parse_trc(path)
        assert (header["Units"], header["DataRate"], markers) == ("m", "30", list(H36M17.names))
        np.testing.assert_allclose(times, (track.start + np.arange(len(track))) / 30, atol=1e-7)
        known = track.confidence > 0
        np.testing.assert_array_equal(np.isfinite(places).all(-1), known)
        np.testing.assert_array_equal(np.isnan(places).all(-1), ~known)
        np.testing.assert_allclose(places[known], track.points[known], atol=1e-6)


def test_trc_of_a_camera_in_millimetres_is_metres_with_y_up(tmp_path):
    track = replace(
        MOTION.tracks[0], points=MOTION.tracks[0].points * np.float32([1e3, -1e3, -1e3])
    )
    camera = replace(MOTION, tracks=(track,), unit="mm", axes="camera", fps=29.97)
    (path,) = write(camera, tmp_path / "clip", ["trc"])
    header, _, times, places = parse_trc(path)
    assert header["DataRate"] == "29.97"
    np.testing.assert_allclose(times[-1], 23 / 29.97, atol=1e-7)
    np.testing.assert_allclose(places, MOTION.tracks[0].points, atol=2e-6)


def test_c3d_is_read_by_ezc3d(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    paths = write(MOTION, tmp_path / "clip", ["c3d"])
    for path, track in zip(paths, MOTION, strict=True):
        file = ezc3d.c3d(str(path))
        point = file["parameters"]["POINT"]
        assert point["UNITS"]["value"] == ["mm"]
        assert point["RATE"]["value"][0] == 30
        assert point["LABELS"]["value"] == list(H36M17.names)
        assert (point["X_SCREEN"]["value"], point["Y_SCREEN"]["value"]) == (["+X"], ["+Y"])
        assert file["parameters"]["DSTFORMER"]["NOTES"]["value"] == list(MOTION.notes)
        places = file["data"]["points"][:3].T / 1000
        residuals = file["data"]["meta_points"]["residuals"][0].T
        assert len(places) == track.start + len(track)
        assert (residuals[: track.start] == -1).all()
        known = track.confidence > 0
        np.testing.assert_array_equal(residuals[track.start :] == -1, ~known)
        np.testing.assert_allclose(places[track.start :][known], track.points[known], atol=1e-6)
        error = 20 if track.uncertainty is not None else 0
        np.testing.assert_allclose(residuals[track.start :][known], error, atol=1e-3)


def test_c3d_is_read_by_another_reader(tmp_path):
    pytest.importorskip("ezc3d")
    c3d = pytest.importorskip("c3d")
    path = write(MOTION, tmp_path / "clip", ["c3d"])[1]
    track = MOTION.tracks[1]
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it misses analog data
        reader = c3d.Reader(file)
        frames = [points for _, points, _ in reader.read_frames()]
        assert [label.strip() for label in reader.point_labels] == list(H36M17.names)
        assert reader.point_rate == 30
    frames = np.stack(frames)
    known = track.confidence > 0
    np.testing.assert_array_equal(frames[5:, :, 3] == -1, ~known)
    np.testing.assert_allclose(frames[5:][known][:, :3] / 1000, track.points[known], atol=1e-6)


def test_c3d_says_what_it_needs(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "ezc3d":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"got no ezc3d.*pip install 'dstformer_jax\[c3d\]'"):
        write(MOTION, tmp_path / "clip", ["c3d"])


def test_c3d_of_too_many_frames(tmp_path):
    pytest.importorskip("ezc3d")
    late = Track(0, 65535, np.ones((1, 17, 3)), np.ones((1, 17)))
    with pytest.raises(ValueError, match="got 65536 frames, expected at most 65535"):
        write(Motion((late,), H36M17, 30, "m", "world"), tmp_path / "clip", ["c3d"])
