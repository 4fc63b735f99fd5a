"""BVH: read back by our reader and by the bvhio package."""

import warnings

import numpy as np
import pytest
from fixtures_motion import HEIGHT, moving, two_people
from scipy.spatial.transform import Rotation

from dstformer_jax.body.kinematics import articulate
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.rotations import to_zxy
from dstformer_jax.body.skeleton import COCO17, H36M17, HALPE26
from dstformer_jax.files.bvh import read_bvh
from dstformer_jax.files.bvh_write import continuous
from dstformer_jax.files.formats import read, write

MOTION = two_people()
CLOSE = 1e-4 * HEIGHT


def test_our_reader_gives_the_joints_back(tmp_path):
    paths = write(MOTION, tmp_path / "clip", ["bvh"])
    for path, track in zip(paths, MOTION, strict=True):
        bvh = read_bvh(path)
        assert bvh.fps == 30
        assert len(bvh.values) == track.start + len(track)
        nodes = [bvh.names.index(name) for name in H36M17.names]
        places = bvh.positions[track.start :, nodes] / 100
        whole = (track.confidence > 0).all(1)
        assert np.abs(places[whole] - track.points[whole]).max() < CLOSE
        # Held before the first frame.
        np.testing.assert_allclose(
            bvh.positions[: track.start, nodes] / 100, places[:1].repeat(track.start, 0), atol=1e-5
        )


def test_a_written_bvh_is_motion_again(tmp_path):
    path = write(MOTION, tmp_path / "clip", ["bvh"])[0]
    back = read(path)
    assert (back.unit, back.axes, back.fps, back.skeleton) == ("m", "world", 30, H36M17)
    assert np.abs(back.tracks[0].points - MOTION.tracks[0].points).max() < CLOSE


def test_bvhio_gives_the_joints_back(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        bvhio = pytest.importorskip("bvhio")
    paths = write(MOTION, tmp_path / "clip", ["bvh"])
    for path, track in zip(paths, MOTION, strict=True):
        root = bvhio.readAsHierarchy(str(path))
        for row in (0, 4, len(track) - 1):
            root.loadPose(track.start + row)
            found = {joint.Name: joint.PositionWorld for joint, _, _ in root.layout()}
            for joint, name in enumerate(H36M17.names):
                if track.confidence[row, joint] > 0:
                    place = np.array(found[name].to_tuple()) / 100
                    assert np.abs(place - track.points[row, joint]).max() < CLOSE, name


def test_the_hierarchy_is_plain(tmp_path):
    path = write(MOTION, tmp_path / "clip", ["bvh"])[0]
    head, _, tail = path.read_text().partition("MOTION\n")
    assert head.startswith("HIERARCHY\nROOT root\n{\n  OFFSET 0.00000 0.00000 0.00000\n")
    assert head.count("CHANNELS 3 Zrotation Xrotation Yrotation") == 22
    assert "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation" in head
    assert head.count("End Site") == 5
    assert head.count("{") == head.count("}")
    assert tail.startswith("Frames: 24\nFrame Time: 0.0333333333\n")
    # Rest pose: legs down, spine up, left arm to +x.
    bvh = read_bvh(path)
    offset = {name: bvh.offsets[index] for index, name in enumerate(bvh.names)}
    np.testing.assert_allclose(offset["left_knee"], [0, -44, 0], atol=1e-3)
    np.testing.assert_allclose(offset["left_elbow"], [29, 0, 0], atol=1e-3)
    assert offset["belly"][1] > 20
    assert offset["left_hip"][0] > 10


@pytest.mark.parametrize("skeleton", [COCO17, HALPE26], ids=lambda s: s.name)
def test_other_skeletons(tmp_path, skeleton):
    rng = np.random.default_rng(0)
    pose = np.repeat(rng.normal(size=(1, skeleton.num_joints, 3)), 6, axis=0)
    turned = pose @ Rotation.from_rotvec([0.1, 0.5, 0.2]).as_matrix()
    track = Track(0, 0, turned, np.ones(turned.shape[:2]))
    (path,) = write(Motion((track,), skeleton, 25, "m", "world"), tmp_path / "clip", ["bvh"])
    bvh = read_bvh(path)
    nodes = [bvh.names.index(name) for name in skeleton.names]
    assert np.abs(bvh.positions[:, nodes] / 100 - turned).max() < 1e-4


def test_channels_do_not_jump():
    """Somersaults: direct angles jump past 90 degrees, the continued ones go on turning."""
    time = np.linspace(0, 1, 201)
    wanted = np.stack([0.3 + 0.2 * np.sin(9 * time), 14 * time, 0.2 - 8 * time], -1)
    turns = Rotation.from_euler("ZXY", wanted).as_matrix()
    direct = to_zxy(turns)
    assert np.abs(np.diff(direct, axis=0)).max() > 2
    np.testing.assert_allclose(continuous(direct), wanted, atol=1e-6)
    body = articulate(moving(np.arange(0, 4, 1 / 120), seed=1), H36M17)
    angles = continuous(to_zxy(body.turns))
    back = Rotation.from_euler("ZXY", angles.reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(back, body.turns.reshape(-1, 3, 3), atol=1e-9)


def test_one_frame(tmp_path):
    track = Track(0, 0, MOTION.tracks[0].points[:1], np.ones((1, 17)))
    (path,) = write(Motion((track,), H36M17, 30, "m", "world"), tmp_path / "clip", ["bvh"])
    assert np.abs(read(path).tracks[0].points - track.points).max() < CLOSE
