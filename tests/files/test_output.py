"""What writers share: whole files or none, names, metres with y up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_motion import two_people

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.formats import WRITERS, write
from dstformer_jax.files.output import in_metres, whole_file

MOTION = two_people()


def half_written(path: Path) -> None:
    with whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with pytest.raises(RuntimeError):
        half_written(path)
    assert list(path.parent.iterdir()) == []
    with whole_file(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    with pytest.raises(RuntimeError):
        half_written(path)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", WRITERS)
def test_a_failing_writer_leaves_nothing(tmp_path, name, monkeypatch):
    """The rename is the last thing that any writer does to a file."""
    if name == "c3d":
        pytest.importorskip("ezc3d")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(MOTION, tmp_path / "a", [name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_files_are_named_after_people(tmp_path, name):
    if name == "c3d":
        pytest.importorskip("ezc3d")
    stem = tmp_path / "deep" / "clip.v1"
    two = {path.name for path in write(MOTION, stem, [name])}
    one = {path.name for path in write(replace(MOTION, tracks=MOTION.tracks[:1]), stem, [name])}
    ending = "_angles.csv" if name == "angles" else f".{name}"
    assert one == {f"clip.v1{ending}"}
    people = {f"clip.v1_person{id}{ending}" for id in (0, 7)}
    assert two == (one if name in ("npz", "csv", "json", "glb") else people)
    assert {path.name for path in stem.parent.iterdir()} == one | two


def test_metres_with_y_up():
    metric = in_metres(replace(MOTION, unit="mm", axes="camera"), "x")
    assert (metric.unit, metric.axes, len(metric.notes)) == ("m", "world", 3)
    turned = MOTION.tracks[0].points * np.float32([0.001, -0.001, -0.001])
    np.testing.assert_allclose(metric.tracks[0].points, turned, rtol=1e-6)
    np.testing.assert_allclose(metric.tracks[0].uncertainty, 2e-5)
    same = in_metres(MOTION, "x")
    np.testing.assert_array_equal(same.tracks[1].points, MOTION.tracks[1].points)
    assert same.notes == MOTION.notes


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"npz", "csv", "json"}))
def test_what_cannot_be_written_in_metres(tmp_path, name):
    if name == "c3d":
        pytest.importorskip("ezc3d")
    for motion, message in (
        (replace(MOTION, unit="unknown"), "got points in unknown and world axes, expected 3D in m"),
        (replace(MOTION, axes="image"), "got points in m and image axes"),
        (replace(MOTION, fps=0.0), "got no frame rate"),
        (Motion((), H36M17, 30.0, "m", "world"), "got nobody in the motion"),
        (
            Motion(
                (Track(0, 0, np.zeros((3, 17, 3)), np.zeros((3, 17))),), H36M17, 9, "m", "world"
            ),
            "got nobody",
        ),
        (
            Motion((Track(0, 0, np.ones((3, 17, 2)), np.ones((3, 17))),), H36M17, 9, "m", "world"),
            "expected 3D",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            write(motion, tmp_path / "a", [name])
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_are_named_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="got format 'fbx', expected some of npz, csv"):
        write(MOTION, tmp_path / "a", ["npz", "fbx"])
    assert list(tmp_path.iterdir()) == []
