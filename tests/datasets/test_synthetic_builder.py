"""The synthetic builder: bodies, actions, floor contact, determinism, splits."""

from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import prepare

ASKED = "walk run jump squat sit wave reach turn kick throw"


def banks(path: Path, **options) -> dict[str, Bank]:
    prepare("synthetic", path, options=options, progress=False)
    return {split: Bank.open(path, "synthetic", split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def people(part):
    """Simulates: (action, seed) -> positions by joint, six seconds at 30 fps."""

    def simulate(action: str, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([seed, 1])
        body = part("synthetic.body").random_body(rng)
        return part("synthetic.people").simulate(body, action, rng, 180, 30.0)

    return simulate


@pytest.fixture(scope="module")
def actions(part) -> list[str]:
    return list(part("synthetic.actions").ACTIONS)


def test_the_actions_are_many(actions):
    assert len(actions) >= 12
    assert set(ASKED.split()) <= set(actions)


def test_splits_and_actions(tmp_path):
    found = banks(tmp_path, seconds=1.0)
    subjects = {split: {row["subject"] for row in bank.sequences} for split, bank in found.items()}
    assert (len(subjects["train"]), len(subjects["test"])) == (20, 4)
    assert not subjects["train"] & subjects["test"]
    rows = [*found["train"].sequences, *found["test"].sequences]
    assert len(rows) == 264
    assert {(row["fps"], row["frames"], row["unit"], row["axes"]) for row in rows} == {
        (30.0, 30, "m", "world")
    }
    labels = {(row["action"], row["label"]) for row in rows}
    assert len(labels) == len(dict(labels)) == len({label for _, label in labels}) >= 12
    for bank in found.values():
        assert np.isfinite(bank.pose).all()
        assert {row["action"] for row in bank.sequences} == {action for action, _ in labels}


def test_every_pose_is_a_body(people, actions):
    """Bones keep their lengths, left is left, knees and elbows bend one way."""
    for action in actions:
        places = people(action)
        pose = np.stack([places[name] for name in H36M17.names], 1)
        for parent, child in H36M17.limbs:
            length = np.linalg.norm(pose[:, child] - pose[:, parent], axis=-1)
            assert np.ptp(length) < 1e-9
        across = places["left_hip"] - places["right_hip"]
        for side in ("left", "right"):
            hip, knee, ankle = (places[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
            # Knees bend about the axis to the person's left, shin behind thigh.
            bend = (np.cross(knee - hip, ankle - knee) * across).sum(-1)
            assert bend.min() > -1e-3, (action, side)


@pytest.mark.parametrize("action", ["walk", "run", "march"])
def test_people_walk_forward_on_the_floor(people, action):
    for seed in range(4):
        places = people(action, seed)
        across = places["left_hip"] - places["right_hip"]
        forward = np.cross(across, [0.0, 1.0, 0.0])  # left x up
        toes = sum(places[f"{side}_toe"] - places[f"{side}_heel"] for side in ("left", "right"))
        assert np.mean((toes * forward).sum(-1) > 0) > 0.95
        step = np.diff(places["root"], axis=0) * 30
        ahead = (step * forward[1:]).sum(-1) / np.linalg.norm(forward[1:], axis=-1)
        assert ahead.mean() > {"walk": 0.6, "run": 2.0, "march": 0.05}[action]
        assert ahead.mean() < 5.0


def test_feet_touch_the_floor(people, actions):
    flying = {"jump", "run", "jumping_jack"}
    for action in actions:
        places = people(action)
        lowest = np.min([places[name][:, 1] for name in places], axis=0)
        assert lowest.min() > -0.08, action
        if action not in flying:
            assert np.abs(lowest).max() < 0.15, action
    assert np.ptp(people("jump")["left_heel"][:, 1]) > 0.1


def test_feet_do_not_skate(people):
    """Half of the time the lowest point of the feet moves slower than a fifth of the walk."""
    places = people("walk")
    names = [f"{side}_{joint}" for side in ("left", "right") for joint in ("toe", "ball", "heel")]
    points = np.stack([places[name] for name in names], 1)
    lowest = points[:-1, :, 1].argmin(1)
    slide = np.linalg.norm(np.diff(points, axis=0)[np.arange(len(lowest)), lowest], axis=-1) * 30
    speed = np.linalg.norm(np.diff(places["root"], axis=0), axis=-1).mean() * 30
    assert np.median(slide) < 0.2 * speed


def test_motion_is_smooth_and_human(people, actions):
    for action in actions:
        places = people(action, seed=3)
        pose = np.stack([places[name] for name in H36M17.names], 1)
        speed = np.linalg.norm(np.diff(pose, axis=0), axis=-1) * 30
        assert speed.max() < 15.0, action
        limbs = np.diff(pose - pose[:, :1], n=2, axis=0) * 900
        assert np.linalg.norm(limbs, axis=-1).max() < 400, action


def test_bodies_differ_and_are_people(part):
    bodies = [part("synthetic.body").random_body(np.random.default_rng(s)) for s in range(200)]
    legs = np.array([body.thigh + body.shin for body in bodies])
    assert legs.min() > 0.65
    assert legs.max() < 1.1
    assert legs.std() > 0.03
    ratios = np.array([body.thigh / body.shin for body in bodies])
    assert ratios.std() > 0.02


def test_same_seed_same_bytes_and_longer_runs_begin_alike(tmp_path):
    small = {"sequences": 12, "subjects": 6, "test_subjects": 2, "seconds": 2.0}
    one = banks(tmp_path / "one", **small)
    two = banks(tmp_path / "two", **small)
    for split in one:
        path = one[split].path / "pose.npy"
        assert path.read_bytes() == (two[split].path / "pose.npy").read_bytes()
    more = banks(tmp_path / "more", **(small | {"sequences": 18}))["train"]
    known = {row["id"]: more.pose[row["start"] :][:60] for row in more.sequences}
    for row in one["train"].sequences:
        start = row["start"]
        np.testing.assert_array_equal(one["train"].pose[start : start + 60], known[row["id"]])
    other = banks(tmp_path / "other", **small, seed=1)["train"]
    assert np.abs(other.pose - one["train"].pose).max() > 0.1


@pytest.mark.parametrize(
    "options",
    [{"subjects": 4}, {"sequences": 5}, {"seconds": 0.0}, {"fps": -1.0}, {"seed": -1}],
)
def test_wrong_sizes_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="expected"):
        prepare("synthetic", tmp_path, options=options, progress=False)
    assert not list(tmp_path.iterdir())


def test_curves(part):
    curves = part("synthetic.curves")
    keys, values = np.array([0.1, 0.4, 0.7]), np.array([0.0, 10.0, 10.0])
    phase = np.linspace(-1, 2, 3001)
    found = curves.spline(phase, keys, values)
    np.testing.assert_allclose(curves.spline(keys, keys, values), values, atol=1e-12)
    assert found.min() >= -1e-9
    assert found.max() <= 10 + 1e-9
    np.testing.assert_allclose(found[:1001], found[1000:2001], atol=1e-9)
    np.testing.assert_allclose(found[(phase > 0.4) & (phase < 0.7)], 10.0)
    time = np.arange(20000) / 30
    noise = [curves.slow_noise(np.random.default_rng(s), time, 3.0).std() for s in range(5)]
    np.testing.assert_allclose(noise, 3.0, rtol=0.1)
    line = np.arange(50.0)
    np.testing.assert_allclose(curves.smooth(line, 1.5)[8:-8], line[8:-8])
