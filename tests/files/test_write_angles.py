"""Joint angles: the table by csv, the motion by a parser of OpenSim's storage format."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_motion import posed, smooth_noise, two_people
from scipy.spatial.transform import Rotation

from dstformer_jax.body.angles import ANGLES, joint_angles
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.formats import WRITERS, write

MOTION = two_people()


def parse_mot(path: Path) -> dict[str, np.ndarray]:
    """Columns by label; asserts that the header counts them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["Coordinates", "version=1"]
    end = lines.index("endheader")
    header = dict(line.split("=", 1) for line in lines[:end] if "=" in line)
    assert header["inDegrees"] == "yes"
    labels = lines[end + 1].split("\t")
    values = np.array([[float(cell) for cell in line.split("\t")] for line in lines[end + 2 :]])
    assert values.shape == (int(header["nRows"]), int(header["nColumns"]))
    assert np.isfinite(values).all()
    return dict(zip(labels, values.T, strict=True))


def test_the_table_holds_the_angles(tmp_path):
    paths = write(MOTION, tmp_path / "clip", ["angles"])
    for path, track in zip(paths, MOTION, strict=True):
        lines = path.read_text(encoding="utf-8").splitlines()
        head = [line for line in lines if line.startswith("#")]
        rows = list(csv.DictReader(lines[len(head) :]))
        wanted = joint_angles(track.points, H36M17, track.confidence)
        assert list(rows[0]) == ["frame", "time", *wanted]
        assert int(rows[0]["frame"]) == track.start
        for name, values in wanted.items():
            found = np.array([float(row[name] or "nan") for row in rows])
            np.testing.assert_allclose(found, values, atol=6e-4)
            assert any(line.startswith(f"# positive {name}: ") for line in head)
        assert {"# unit: m", "# angles: degrees", "# fps: 30"} <= set(head)


def test_the_motion_has_opensims_names_and_signs(tmp_path):
    path = write(replace(MOTION, tracks=MOTION.tracks[:1]), tmp_path / "clip", ["mot"])[0]
    columns = parse_mot(path)
    track = MOTION.tracks[0]
    np.testing.assert_allclose(columns["time"], np.arange(24) / 30, atol=1e-7)
    wanted = joint_angles(track.points, H36M17)
    for angle in ANGLES:
        if angle.name in wanted:
            off = columns[angle.opensim] - angle.sign * wanted[angle.name]
            np.testing.assert_allclose(off - 360 * np.round(off / 360), 0, atol=1e-5)
            assert np.abs(np.diff(columns[angle.opensim])).max() < 180
    root = np.stack([columns[f"pelvis_t{axis}"] for axis in "xyz"], -1)
    np.testing.assert_allclose(root, track.points[:, 0], atol=1e-6)
    assert "lumbar_extension" in columns
    assert "ankle_angle_r" not in columns
    assert "Scale: people of 1.7 m are assumed." in path.read_text(encoding="utf-8")


def test_the_pelvis_turns_as_opensim_turns_it(tmp_path):
    """Ground x forward: tilt about z, then list about x, then rotation about y."""
    times = np.arange(60) / 20
    tilt, sway, spin = 20 * smooth_noise(times, 3, np.random.default_rng(0)).T
    spin = spin + np.linspace(0, 500, 60)  # a turn and more: continuous in the file
    turn = Rotation.from_euler("ZXY", np.stack([tilt, sway, spin], -1), degrees=True).as_matrix()
    # A body that faces +z is turned to face +x first.
    to_x = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], float)
    points = posed({"root": turn @ to_x}, np.zeros((60, 3)))
    track = Track(0, 0, points, np.ones((60, 17)))
    (path,) = write(Motion((track,), H36M17, 20, "m", "world"), tmp_path / "clip", ["mot"])
    columns = parse_mot(path)
    for name, values in (("tilt", tilt), ("list", sway), ("rotation", spin)):
        off = columns[f"pelvis_{name}"] - values
        np.testing.assert_allclose(off - 360 * np.round(off[0] / 360), 0, atol=1e-3)


def test_gaps_of_the_motion_are_bridged(tmp_path):
    path = write(MOTION, tmp_path / "clip", ["mot"])[1]
    columns = parse_mot(path)
    assert columns["time"][0] == np.round(5 / 30, 8)
    for values in columns.values():
        np.testing.assert_allclose(np.diff(values[5:10], 2), 0, atol=1e-4)  # rows 6 to 8 are gone
    scores = MOTION.tracks[0].confidence.copy()
    scores[:, H36M17.index("left_elbow")] = 0
    armless = replace(MOTION, tracks=(replace(MOTION.tracks[0], confidence=scores),))
    (path,) = write(armless, tmp_path / "arm", ["mot"])
    names = set(parse_mot(path))
    assert "elbow_flex_l" not in names
    assert "elbow_flex_r" in names


def test_a_body_without_any_angle(tmp_path):
    scores = np.zeros((3, 17))
    scores[:, H36M17.index("head")] = 1
    head = Motion((Track(0, 0, np.ones((3, 17, 3)), scores),), H36M17, 30, "m", "world")
    with pytest.raises(ValueError, match="got person 0 of whom no angle is known"):
        write(head, tmp_path / "clip", ["mot"])
    assert list(tmp_path.iterdir()) == []
    (path,) = write(head, tmp_path / "clip", ["angles"])
    assert set(path.read_text().splitlines()[-1].split(",")[2:]) == {""}


def test_the_page_names_every_format_and_angle():
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    written = text[text.index("## Written") :]
    for name in WRITERS:
        assert f"\n| {name} |" in written
    for angle in ANGLES:
        stem = angle.name.removesuffix("_right").removesuffix("_left")
        (row,) = [line for line in written.splitlines() if line.startswith(f"| {stem} |")]
        assert angle.positive in row
        assert angle.opensim.removesuffix("_l").removesuffix("_r") in row
        assert ("sign changed" in row) == (angle.sign < 0)
