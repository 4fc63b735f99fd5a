"""npz, csv and json: read back by numpy, csv and json alone."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from fixtures_motion import two_people

from dstformer_jax.body.contacts import foot_contacts
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.formats import read, write

MOTION = two_people()


def flat() -> Motion:
    """The same in 2D pixels, without frame rate."""
    tracks = [replace(t, points=100 * t.points[..., :2], uncertainty=None) for t in MOTION]
    return replace(MOTION, tracks=tuple(tracks), unit="px", axes="image", fps=0.0)


def test_npz_holds_everything(tmp_path):
    (path,) = write(MOTION, tmp_path / "a.b", ["npz"])
    assert path == tmp_path / "a.b.npz"
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["ids"].tolist() == [0, 7]
        for track in MOTION:
            np.testing.assert_array_equal(arrays[f"points_{track.id}"], track.points)
            np.testing.assert_array_equal(arrays[f"confidence_{track.id}"], track.confidence)
            assert arrays[f"start_{track.id}"] == track.start
            contacts = arrays[f"contacts_{track.id}"]
            assert contacts.dtype == bool
            wanted = foot_contacts(track.points, H36M17, MOTION.fps, track.confidence)
            np.testing.assert_array_equal(contacts, wanted)
        np.testing.assert_array_equal(arrays["uncertainty_0"], MOTION.tracks[0].uncertainty)
        assert "uncertainty_7" not in arrays
        assert arrays["joints"].tolist() == list(H36M17.names)
        assert tuple(arrays["parents"]) == H36M17.parents
        assert (str(arrays["unit"]), str(arrays["axes"])) == ("m", "world")
        assert (str(arrays["skeleton"]), float(arrays["fps"])) == ("h36m17", 30.0)
        assert arrays["size"].tolist() == [640, 480]
        assert arrays["notes"].tolist() == list(MOTION.notes)
        assert str(arrays["source"]) == "clip.json"


def test_csv_is_a_table_with_a_head(tmp_path):
    (path,) = write(MOTION, tmp_path / "a", ["csv"])
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert {"# unit: m", "# axes: world", "# fps: 30", "# skeleton: h36m17"} <= set(head)
    assert "# note: Größe unbekannt." in head
    rows = list(csv.DictReader(lines[len(head) :]))
    assert len(rows) == sum(len(track) * 17 for track in MOTION)
    for track in MOTION:
        mine = [row for row in rows if row["track"] == str(track.id)]
        assert [int(row["frame"]) for row in mine[::17]] == list(
            range(track.start, track.start + len(track))
        )
        scores = np.array([float(row["confidence"]) for row in mine]).reshape(-1, 17)
        np.testing.assert_allclose(scores, track.confidence)
        known = track.confidence.reshape(-1) > 0
        for axis, name in enumerate("xyz"):
            assert {row[name] for row, there in zip(mine, known, strict=True) if not there} <= {""}
            numbers = [float(row[name]) for row, there in zip(mine, known, strict=True) if there]
            wanted = track.points[..., axis].reshape(-1)[known]
            np.testing.assert_allclose(numbers, wanted, atol=1e-6)
    assert rows[17]["time"] == "0.033333"
    assert {row["uncertainty"] for row in rows} == {"0.020000", ""}


def test_json_is_one_object(tmp_path):
    (path,) = write(MOTION, tmp_path / "a", ["json"])
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["unit"], content["axes"], content["fps"]) == ("m", "world", 30.0)
    assert content["joints"] == list(H36M17.names)
    assert content["notes"] == list(MOTION.notes)
    for record, track in zip(content["tracks"], MOTION, strict=True):
        assert (record["id"], record["start"]) == (track.id, track.start)
        known = track.confidence > 0
        places = np.array(
            [[place or [np.nan] * 3 for place in frame] for frame in record["points"]]
        )
        np.testing.assert_array_equal(np.isfinite(places).all(-1), known)
        np.testing.assert_allclose(places[known], track.points[known], atol=1e-6)
        assert np.shape(record["contacts"]) == (len(track), 2)
    assert np.shape(content["tracks"][0]["uncertainty"]) == (24, 17)


def test_tables_also_hold_detections(tmp_path):
    motion = flat()
    npz, table, text = write(motion, tmp_path / "a", ["npz", "csv", "json"])
    with np.load(npz) as arrays:
        assert arrays["points_7"].shape[-1] == 2
        assert not [name for name in arrays if name.startswith("contacts")]
    row = next(line for line in table.read_text().splitlines() if line.startswith("0,"))
    assert row.split(",")[1] == row.split(",")[6] == ""
    assert len(row.split(",")) == 8
    record = json.loads(text.read_text())["tracks"][0]
    assert "contacts" not in record
    assert len(record["points"][0][0]) == 2


def test_a_motion_without_people_is_still_a_table(tmp_path):
    nobody = Motion((), H36M17, 30.0, "m", "world")
    npz, table, text = write(nobody, tmp_path / "a", ["npz", "csv", "json"])
    assert np.load(npz)["ids"].tolist() == []
    assert json.loads(text.read_text())["tracks"] == []
    assert table.read_text().splitlines()[-1].startswith("frame,time")


@pytest.mark.parametrize("unit", ["m", "mm"])
def test_contacts_are_the_same_in_any_unit(tmp_path, unit):
    factor = {"m": 1, "mm": 1000}[unit]
    scaled = [Track(t.id, t.start, np.float32(factor) * t.points, t.confidence) for t in MOTION]
    (path,) = write(replace(MOTION, tracks=tuple(scaled), unit=unit), tmp_path / unit, ["npz"])
    wanted = foot_contacts(MOTION.tracks[0].points, H36M17, 30.0)
    np.testing.assert_array_equal(np.load(path)["contacts_0"], wanted)


@pytest.mark.parametrize("name", ["npz", "csv", "json"])
def test_our_readers_read_it(tmp_path, name):
    (path,) = write(MOTION, tmp_path / "clip", [name])
    back = read(path)
    assert (back.unit, back.axes, back.fps, back.size) == ("m", "world", 30, (640, 480))
    assert back.skeleton == H36M17
    assert back.notes[0] == MOTION.notes[0]
    for found, wanted in zip(back, MOTION, strict=True):
        assert (found.id, found.start) == (wanted.id, wanted.start)
        np.testing.assert_allclose(found.points, wanted.points, atol=1e-6)
        np.testing.assert_array_equal(found.confidence, wanted.confidence)
        assert (found.uncertainty is None) == (wanted.uncertainty is None)
