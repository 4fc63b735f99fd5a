import csv
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.files.bvh import read_bvh
from dstformer_jax.files.rigs import load_rigs

ARM = """HIERARCHY
ROOT hip
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT upper arm
  {
    OFFSET 0 10 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
  JOINT slide {
    OFFSET 7 7 7
    CHANNELS 4 Yposition Xrotation Zrotation Xrotation
    JOINT tip
    {
      OFFSET 1 0 0
      CHANNELS 3 Xrotation Yrotation Zrotation
      End Site
      {
        OFFSET 0 0 0
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
"""
ROWS = [
    [4, 5, 6, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0],
    [4, 5, 6, 10, 20, 30, 40, 50, 60, -1, 70, 80, 90, 15, 25, 35],
]


def text_of(rows) -> str:
    return ARM + "\n".join(" ".join(str(number) for number in row) for row in rows) + "\n"


def write(folder: Path, text: str, **options) -> Path:
    path = folder / "clip.bvh"
    path.write_text(text, **options)
    return path


def turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation matrix about one axis, written out."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def test_forward_kinematics_by_hand(tmp_path):
    bvh = read_bvh(write(tmp_path, text_of(ROWS)))
    assert bvh.names == ("hip", "upper arm", "upper arm:EndSite", "slide", "tip", "tip:EndSite")
    assert bvh.parents == (-1, 0, 1, 0, 3, 4)
    assert bvh.fps == 30
    x, y, z = 0, 1, 2
    row = ROWS[1]
    hip = np.array([4, 5, 6.0])  # the position channels replace the offset
    hip_turn = turn(z, row[3]) @ turn(x, row[4]) @ turn(y, row[5])
    arm = hip + hip_turn @ [0, 10, 0]
    arm_turn = hip_turn @ turn(y, row[6]) @ turn(z, row[7]) @ turn(x, row[8])
    hand = arm + arm_turn @ [0, 5, 0]
    slide = hip + hip_turn @ [7, -1, 7]  # only y is replaced
    slide_turn = hip_turn @ turn(x, row[10]) @ turn(z, row[11]) @ turn(x, row[12])
    tip = slide + slide_turn @ [1, 0, 0]
    expected = np.stack([hip, arm, hand, slide, tip, tip])
    np.testing.assert_allclose(bvh.positions[1], expected, atol=1e-5)
    np.testing.assert_allclose(bvh.positions[0, 1], [4, 15, 6])
    assert bvh.positions.dtype == np.float32


def test_line_ends_byte_marks_and_case_do_not_matter(tmp_path):
    plain = read_bvh(write(tmp_path, text_of(ROWS))).positions
    for variant in (
        "\ufeff" + text_of(ROWS).replace("\n", "\r\n"),
        text_of(ROWS).replace("  ", "\t"),
        text_of(ROWS).replace("rotation", "Rotation").replace("Frames: 2", "Frames:  2 "),
        text_of(ROWS).replace("OFFSET 1 2 3\n", "OFFSET 1 2 3\n\n"),
    ):
        path = write(tmp_path, variant, encoding="utf-8", newline="")
        np.testing.assert_array_equal(read_bvh(path).positions, plain)


def test_no_frames_is_an_empty_motion(tmp_path):
    bvh = read_bvh(write(tmp_path, ARM.replace("Frames: 2", "Frames: 0")))
    assert bvh.positions.shape == (0, 6, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MOTION", "", "line 3[0-9]: got no MOTION section"),
        ("OFFSET 1 2 3", "OFFSET 1 2", r"line 4: got OFFSET 1 2, expected three numbers"),
        ("OFFSET 1 2 3", "OFFSET 1 2 x", "line 4: got OFFSET"),
        ("OFFSET 1 2 3", "OFFSET 1 2 nan", "line 4: got OFFSET"),
        ("  OFFSET 1 2 3\n", "", "got no OFFSET for hip"),
        ("CHANNELS 6", "CHANNELS 5", "line 5: got CHANNELS 5"),
        ("Xposition Y", "Wposition Y", "line 5: got CHANNELS 6 Wposition"),
        ("CHANNELS 6", "CHANNELS six", "line 5: got CHANNELS six"),
        ("ROOT hip\n{", "ROOT hip", "line 3: got OFFSET"),
        ("ROOT hip", "JOINT hip", "line 2: got JOINT hip, expected braces that nest"),
        ("ROOT hip", "BONE hip", "line 2: got 'BONE hip', expected ROOT"),
        ("}\nMOTION", "MOTION", "got the end of the hierarchy"),
        ("}\nMOTION", "}\n}\nMOTION", "got '}', expected an open brace"),
        ("{\n  OFFSET 1", "{\n{\n  OFFSET 1", "line 4: got '{', expected ROOT, JOINT or End"),
        ("Frames: 2", "Frames: many", "line 3[0-9]: got 'Frames: many"),
        ("0.0333333", "0", "got frame time '0'"),
        ("0.0333333", "fast", "got frame time 'fast'"),
        ("Frames: 2", "Frames: 3", "got 2 frames of 16 numbers, expected 3"),
        ("35", "abc", r"line LAST: got '4 5 6.*expected 16 numbers"),
        ("35", "inf", "line LAST: got"),
        (" 35", "", r"line LAST: got .* \(15 words\), expected 16 numbers"),
    ],
)
def test_malformed_files_name_the_file_and_the_line(tmp_path, old, new, message):
    text = text_of(ROWS)
    assert old in text
    message = message.replace("LAST", str(text.count("\n")))
    path = write(tmp_path, text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as error:
        read_bvh(path)
    assert str(error.value).startswith(str(path))


def test_every_truncation_is_refused_or_named(tmp_path):
    text = text_of(ROWS)
    for length in range(0, text.rindex("35"), 7):
        path = write(tmp_path, text[:length])
        with pytest.raises(ValueError, match=r"clip\.bvh, line"):
            read_bvh(path)


def test_hostile_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected at most 10"):
        read_bvh(write(tmp_path, text_of(ROWS)), max_bytes=10)
    joints = "JOINT a\n{\nOFFSET 0 0 0\n" * 5000
    with pytest.raises(ValueError, match="got more than 4096 joints"):
        read_bvh(write(tmp_path, ARM.replace("  JOINT upper arm", joints + "JOINT upper arm")))
    with pytest.raises(ValueError, match=r"line 3: got '\{'"):
        read_bvh(write(tmp_path, ARM.replace("ROOT hip", "ROOT hip" + "{" * 5000)))
    frames = text_of(ROWS).replace("Frames: 2", f"Frames: {'9' * 5000}")
    with pytest.raises(ValueError, match="expected 'Frames: N'"):
        read_bvh(write(tmp_path, frames))


def test_real_files_keep_their_bones_and_speeds(shared):
    with (shared / "data" / "cmu_mocap" / "index.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["file"] in ("bvh/02_01.bvh",)]
    bvh = read_bvh(shared / "data" / "cmu_mocap" / rows[0]["file"])
    assert bvh.fps == float(rows[0]["fps"])
    assert len(bvh.positions) == int(rows[0]["frames"])
    for node, parent in enumerate(bvh.parents):
        if parent >= 0:
            length = np.linalg.norm(bvh.positions[:, node] - bvh.positions[:, parent], axis=-1)
            np.testing.assert_allclose(length, np.linalg.norm(bvh.offsets[node]), atol=1e-3)
    joints = bvh.positions[:, [bvh.names.index(name) for name in load_rigs()["asf31"].joints]]
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * bvh.fps / 100
    assert speed == pytest.approx(float(rows[0]["max_joint_speed_mps"]), abs=0.15)


def test_six_channel_and_stripped_files_agree(shared):
    """The same take with position channels on every joint, and without (0.003 cm apart)."""
    folder = shared / "data" / "bandai_namco"
    name = "dataset-1_bow_active_001.bvh"
    full = read_bvh(folder / "unmodified_6channel" / name)
    stripped = read_bvh(folder / "dataset-1" / name)
    assert full.values.shape[1] > stripped.values.shape[1]
    np.testing.assert_allclose(full.positions, stripped.positions, atol=4e-3)
