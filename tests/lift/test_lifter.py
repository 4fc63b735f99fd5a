"""Tracks of any length through windows: against a network whose answer is known."""

import json

import jax
import numpy as np
import pytest
from fixtures_lift import Leaning, wander

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import COCO17, H36M17
from dstformer_jax.inference import Model
from dstformer_jax.lift import Lifter, World, lift
from dstformer_jax.models.network import build_network, variable_shapes


def people(*lengths: int, size: tuple[int, int] = (0, 0)) -> Motion:
    motions = [wander(length, seed) for seed, length in enumerate(lengths)]
    tracks = [
        Track(number, 3 * number, motion[..., :2], motion[..., 2])
        for number, motion in enumerate(motions)
    ]
    return Motion(tuple(tracks), H36M17, fps=30, size=size)


@pytest.mark.parametrize("mode", ["crop", "image"])
@pytest.mark.parametrize("flip", [True, False])
def test_the_answer_comes_back_in_pixels_whatever_the_window(mode, flip):
    model, motion = Leaning(mode), people(40, 5, 9, 1, size=(640, 480))
    lifted = Lifter(model, flip=flip, batch=3)(motion)
    for before, after in zip(motion, lifted, strict=True):
        place = before.points - before.points[:, :1]
        expected = np.concatenate([place, place[..., 1:] / 2], axis=-1)
        np.testing.assert_allclose(after.points, expected, atol=1e-3)
        np.testing.assert_allclose(after.uncertainty, 0, atol=2e-2)
        assert (after.id, after.start) == (before.id, before.start)
    assert model.shapes == {(6 if flip else 3, 9, 17, 3)}
    assert (lifted.axes, lifted.unit) == ("camera", "px")


def test_missing_joints_enter_as_masks_or_long_lines_and_leave_marked():
    model, motion = Leaning(), people(9)
    confidence = motion.tracks[0].confidence
    confidence[4, 5] = confidence[6] = confidence[:2, 3] = confidence[:, 9] = 0
    confidence[1:8, 2] = 0  # longer than the masks of training
    (track,) = Lifter(model, flip=False, batch=1)(motion)
    (clip,) = model.inputs[0]
    for missing in (clip[4, 5], clip[6, 3:], clip[:2, 3], clip[:, 9]):
        assert not missing.any()
    np.testing.assert_allclose(clip[4, 2], (clip[0, 2] + clip[8, 2]) / 2, atol=1e-6)
    np.testing.assert_allclose(track.confidence[4, [2, 5]], 0.05)
    assert track.confidence[5, 3:9].min() == 1


def test_answers_that_differ_are_uncertain():
    class Random(Leaning):
        def lift(self, motion: np.ndarray) -> np.ndarray:
            return np.random.default_rng(0).normal(size=motion.shape)

    (track,) = Lifter(Random(), batch=2)(people(30))
    assert track.uncertainty[:, 1:].min() > 0
    np.testing.assert_allclose(track.uncertainty[:, 0], 0, atol=1e-6)  # the root is where it is


def test_settings_that_cannot_work_are_told():
    for settings in ({"frames": 10}, {"frames": 0}, {"batch": 0}, {"overlap": 1.0}):
        with pytest.raises(ValueError, match="expected"):
            Lifter(Leaning(), **settings)


def test_windows_are_as_long_as_the_training_clips():
    sources = {"one": {"frames": 5}, "two": {"frames": 7}, "gone": None}
    model = Leaning()
    model.info = {"config": {"sources": sources}}
    assert Lifter(model).window == 7
    assert Lifter(Leaning()).window == 9
    assert Lifter(model, frames=4).window == 4


def test_the_whole_way_says_what_it_assumed():
    model = Leaning()
    lifter = Lifter(model, batch=2)
    motion = people(20)
    out = lift(motion, lifter, world=World(height=1.8, space="camera"))
    assert (out.unit, out.axes, out.skeleton) == ("m", "camera", H36M17)
    assert any("focal length" in note for note in out.notes)
    assert not any("1.7" in note for note in out.notes)
    assert any("1.7 m" in note for note in lift(motion, lifter).notes)
    flat = Motion((Track(0, 0, np.ones((4, 17, 3)), np.ones((4, 17))),), COCO17)
    with pytest.raises(ValueError, match="got 3D motion"):
        lift(flat, lifter)


def test_a_network_of_ours_lifts_a_file(tmp_path):
    settings = {"dim_feat": 8, "dim_rep": 8, "depth": 1, "num_heads": 2, "maxlen": 9}
    network = build_network(settings)
    rng = np.random.default_rng(0)
    shapes = variable_shapes(network)["params"]
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32), shapes)
    model = Model(network, params, {"model": settings, "normaliser": {"mode": "crop"}})
    records = [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "score": 2.0,
            "idx": 1,
            "keypoints": np.append(rng.uniform(0, 90, (17, 2)), np.ones((17, 1)), 1)
            .ravel()
            .tolist(),
        }
        for frame in range(12)
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(records))
    (track,) = lift(path, model)
    assert track.points.shape == (12, 17, 3)
    assert np.isfinite(track.points).all()
