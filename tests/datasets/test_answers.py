"""Another method's answers as files: every layout that is read, and every mistake that is named."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_bodies import BONES, SHAPES, person, write_stick
from scipy.spatial.transform import Rotation

from dstformer_jax.body import rotations
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.builder import Unfit
from dstformer_jax.files.bodies import read_body
from dstformer_jax.files.meshes import BodyMotion, write_mesh_npz

FRAMES = 5


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return read_body(write_stick(tmp_path_factory.mktemp("body") / "stick.npz"))


@pytest.fixture(scope="module")
def kind(part):
    """The class of a folder of answers."""
    return part("mesh_h36m.answers").InitialFolder


@pytest.fixture
def sequence(body):
    """ "p/3": five frames in camera axes."""
    return person(body, 3, FRAMES, axes="camera")


def vectors() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.8, (FRAMES, BONES, 3))


def given(kind: type, folder: Path, **arrays) -> Any:
    """A folder with the file of "p/3"."""
    np.savez(folder / "p_3.npz", **arrays)
    return kind(folder)


@pytest.mark.parametrize("shape", ["flat", "apart", "matrices"])
@pytest.mark.parametrize("one_shape", [True, False])
def test_every_layout_is_read(kind, sequence, tmp_path, shape, one_shape):
    """Rotations by SciPy; the id's slash is an underscore in the file's name."""
    theta = vectors()
    matrices = Rotation.from_rotvec(theta.reshape(-1, 3)).as_matrix().reshape(FRAMES, BONES, 3, 3)
    stored = {"flat": theta.reshape(FRAMES, -1), "apart": theta, "matrices": matrices}[shape]
    beta = np.random.default_rng(2).normal(size=(FRAMES, SHAPES))
    beta = beta[0] if one_shape else beta
    found = given(kind, tmp_path, theta=stored, beta=beta, frames=np.arange(FRAMES)).add(sequence)
    np.testing.assert_allclose(found.initial_theta, theta.reshape(FRAMES, -1), atol=1e-6)
    np.testing.assert_allclose(found.initial_beta, np.tile(beta, (5, 1)) if one_shape else beta)
    for name in ("theta", "beta", "pose"):
        np.testing.assert_array_equal(getattr(found, name), getattr(sequence, name))
    assert (found.id, found.axes) == ("p/3", "camera")


def lifted(body, people: int, start: int = 0, axes: str = "camera") -> BodyMotion:
    """What `lift --task=mesh` has to write."""
    tracks = tuple(
        Track(7 + number, start, np.ones((FRAMES, 17, 3)), np.ones((FRAMES, 17)))
        for number in range(people)
    )
    turns = [rotations.to_matrix(vectors()).astype(np.float32)] * people
    shapes, places = [np.array([0.5, -1])] * people, [np.zeros((FRAMES, 3))] * people
    return BodyMotion(Motion(tracks, H36M17, 30, "m", axes), body, turns, shapes, places)


def test_our_own_meshes_are_read(kind, body, sequence, tmp_path):
    """Also beside the joints that `lift` writes under the same stem."""
    np.savez(tmp_path / "p_3.npz", ids=[7], points_7=np.zeros((5, 17, 3)))
    write_mesh_npz(lifted(body, 1), tmp_path / "p_3")
    found = kind(tmp_path).add(sequence)
    np.testing.assert_allclose(found.initial_theta, vectors().reshape(FRAMES, -1), atol=1e-5)
    np.testing.assert_array_equal(found.initial_beta, np.tile([0.5, -1], (FRAMES, 1)))


@pytest.mark.parametrize(
    ("people", "start", "axes", "message"),
    [
        (2, 0, "camera", "got 2 people, expected one; do a file a person"),
        (1, 3, "camera", r"got frames \[3 4\]..., expected all from 0 to 4"),
        (1, 0, "world", "got theta in world axes, expected camera axes; do lift with --space="),
    ],
)
def test_meshes_of_others_are_refused(kind, body, sequence, tmp_path, people, start, axes, message):
    write_mesh_npz(lifted(body, people, start, axes), tmp_path / "p_3")
    with pytest.raises(Unfit, match=rf"p_3\.mesh\.npz: {message}"):
        kind(tmp_path).add(sequence)


GOOD = {"theta": np.zeros((FRAMES, BONES, 3)), "beta": np.zeros(SHAPES)}
HOLE = np.where(np.arange(FRAMES * BONES * 3) == 40, np.nan, 0.0).reshape(FRAMES, BONES, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"theta": None}, "got beta without theta, expected both"),
        ({"beta": None, "theta": None}, "got nothing without theta and beta"),
        ({"theta": np.zeros((4, 51))}, r"theta of shape (4, 51), expected (5, 51), (5, 17, 3) or"),
        ({"theta": np.zeros((5, 24, 3))}, "5 frames of 'p/3', 17 bones"),
        ({"theta": np.zeros((5, 51, 1))}, "got theta of shape (5, 51, 1)"),
        (
            {"theta": np.zeros((5, 17, 3, 3))},
            "got theta of matrices that are no rotations (R R^T is off by 1)",
        ),
        ({"theta": np.tile(-np.eye(3), (5, 17, 1, 1))}, "no rotations (R R^T is off by 0)"),
        ({"theta": HOLE}, "got theta with values that are not finite, expected numbers"),
        ({"theta": np.array(["a"] * 5)}, "got theta of type <U1, expected numbers"),
        ({"theta": np.array(1.0)}, "got theta of shape ()"),
        ({"beta": np.zeros((4, 2))}, "beta of shape (4, 2), expected (5, 2) or (2,)"),
        ({"beta": np.zeros(10)}, "got beta of shape (10,)"),
        ({"beta": np.array([0, np.inf])}, "got beta with values that are not finite"),
        ({"frames": np.arange(5) + 1}, "got frames [1 2]..., expected all from 0 to 4"),
        ({"frames": np.zeros(0)}, "got frames []..., expected all from 0 to 4"),
        ({"axes": "world"}, "got theta in world axes, expected camera axes"),
    ],
)
def test_files_that_do_not_fit_are_named_in_one_line(kind, sequence, tmp_path, changes, message):
    arrays = {name: array for name, array in {**GOOD, **changes}.items() if array is not None}
    folder = given(kind, tmp_path, **arrays)
    with pytest.raises(Unfit, match=re.escape(message)) as refused:
        folder.add(sequence)
    assert str(refused.value).startswith(f"{tmp_path / 'p_3.npz'}: got ")
    assert "\n" not in str(refused.value)


def test_answers_before_a_camera_are_none_of_a_world(kind, body, tmp_path):
    """Files of eval.write have a view, and are as the camera saw people."""
    folder = given(kind, tmp_path, **GOOD, view=[90.0, 10.0])
    with pytest.raises(Unfit, match=r"got theta in camera axes, expected world axes$"):
        folder.add(person(body, 3, FRAMES))


def test_what_is_missing_broken_or_ambiguous_is_named(kind, sequence, body, tmp_path):
    with pytest.raises(ValueError, match=r"got no folder .*absent, expected it"):
        kind(tmp_path / "absent")
    with pytest.raises(Unfit, match=r"got no .*p_3\.npz, expected theta .* here of 'p/3'"):
        kind(tmp_path).add(sequence)
    (tmp_path / "p_3.npz").write_text("words")
    with pytest.raises(Unfit, match=r"p_3\.npz: got no whole \.npz archive"):
        kind(tmp_path).add(sequence)
    folder = given(kind, tmp_path, **GOOD)
    folder.add(sequence)
    twin = sequence.__class__(**{**vars(sequence), "id": "p_3"})
    with pytest.raises(Unfit, match=r"got sequences 'p/3' and 'p_3', whose files would both be"):
        folder.add(twin)
