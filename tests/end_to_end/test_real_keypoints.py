"""Real files of five detectors, as a new user lifts them: one command, no options of a file."""

import subprocess
import sys
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from fixtures_glb import Reader

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.formats import read
from dstformer_jax.inference import load
from dstformer_jax.lift import Lifter
from dstformer_jax.lift.tracks import prepare
from dstformer_jax.lift.windows import seam_ratio, window_rows

pytestmark = pytest.mark.long

# people, frames of the longest track, and whether they stand or walk
FILES = {
    "alphapose": ("alphapose_coco17_video/alphapose-results.json", 1, 50, False),
    "openpose": ("openpose_body25_v1.3/treadmill_27", 1, 90, True),
    "mediapipe": ("mediapipe_wide_csv/pose_landmarks.csv", 1, 176, True),
    "posetrack": ("mmpose_posetrack18/val/012834_mpii_test.json", None, 1, False),
    "tfpose": ("tfpose_coco18_csv_actions/skeleton_raw.csv", 1, 60, True),
}
FEET = [H36M17.index(f"{side}_ankle") for side in ("left", "right")]


@pytest.fixture(scope="module")
def lifted(shared, tmp_path_factory) -> Path:
    """A folder of results, of inputs that are called as their detectors."""
    folder = tmp_path_factory.mktemp("real")
    for name, (file, *_) in FILES.items():
        source = shared / "data" / "detections2d" / file
        link = folder / f"{name}{source.suffix}"
        if name == "tfpose":
            with source.open() as lines:
                link.write_text("".join(islice(lines, 61)))
        else:
            link.symlink_to(source)
    inputs = sorted(folder.iterdir())
    words = [*inputs, f"--output={folder / 'out'}", "--formats=npz,html,bvh,glb,trc"]
    command = [sys.executable, "-m", "dstformer_jax.lift", *words, "--constant-bones", "--quiet"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "out"


def motion(lifted: Path, name: str) -> Motion:
    return read(lifted / f"{name}.npz")


def named(lifted: Path, name: str, ending: str, number: int) -> Path:
    """The file of a person."""
    several = len(motion(lifted, name).tracks) > 1
    return lifted / f"{name}{f'_person{number}' if several else ''}.{ending}"


@pytest.mark.parametrize("name", FILES)
def test_people_are_people(lifted, name):
    _, people, frames, stands = FILES[name]
    found = motion(lifted, name)
    assert people is None or len(found.tracks) == people
    assert max(map(len, found)) == frames
    assert (found.unit, found.skeleton) == ("m", H36M17)
    assert any("1.7 m" in note for note in found.notes)
    if stands:
        (track,) = found
        up = track.points[..., 1]
        assert 1.4 < np.median(up[:, H36M17.index("head")]) < 1.9
        assert abs(np.median(up[:, FEET].min(1)) - 0.066) < 0.03
        assert (up[:, 0] > up[:, FEET].max(1)).mean() > 0.9
    assert min(track.points[..., 1].min() for track in found) > -1.0
    assert "<canvas" in (lifted / f"{name}.html").read_text()


@pytest.mark.parametrize("name", FILES)
def test_other_programs_read_the_same_joints(lifted, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        bvhio = pytest.importorskip("bvhio")
    found = motion(lifted, name)
    glb = Reader(lifted / f"{name}.glb")
    for track in found.tracks[:2]:
        markers = np.loadtxt(named(lifted, name, "trc", track.id), skiprows=6, ndmin=2)
        places = markers[:, 2:].reshape(len(track), 17, 3)
        np.testing.assert_allclose(places, track.points, atol=2e-6)
        root = bvhio.readAsHierarchy(str(named(lifted, name, "bvh", track.id)))
        for row in {0, len(track) // 2, len(track) - 1}:
            root.loadPose(track.start + row)
            bones = {joint.Name: joint.PositionWorld for joint, _, _ in root.layout()}
            nodes = glb.worlds((track.start + row) / found.fps)
            who = f"person{track.id}_" if len(found.tracks) > 1 else ""
            for joint, place in zip(H36M17.names, track.points[row], strict=True):
                assert np.abs(np.array(bones[joint].to_tuple()) / 100 - place).max() < 2e-3
                node = nodes[glb.names.index(f"{who}{joint}")]
                assert np.abs(node[:3, 3] - place).max() < 2e-3


def test_no_seams_in_the_file_of_809_frames(shared):
    path = shared / "data" / "detections2d" / "alphapose_halpe26_video" / "alphapose-results.json"
    model = load()
    seen = prepare(read(path), model.skeleton)
    ratios = {}
    for overlap in (0.0, 0.5):
        lifter = Lifter(model, overlap=overlap, batch=8)
        (track,) = lifter(seen)
        rows = window_rows(len(track), lifter.window, overlap)
        ratios[overlap] = seam_ratio(track.points, rows)
    assert ratios[0.5] == pytest.approx(1, abs=0.05)
    assert ratios[0.0] > 2
