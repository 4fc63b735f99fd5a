import numpy as np
import pytest

from dstformer_jax.body.contacts import foot_contacts
from dstformer_jax.body.skeleton import COCO17, H36M17, Skeleton
from dstformer_jax.files.rigs import read_motion

FPS = 60.0
ANKLES = [H36M17.index("left_ankle"), H36M17.index("right_ankle")]


def walk(seconds: float = 4.0, fps: float = FPS, speed: float = 1.2, stance: float = 0.6):
    """Joints [T, 17, 3] of a walk along z, and which ankle stands in which frame [T, 2].

    An ankle stands still for `stance` of each stride of 1.1 s, then swings forward in an arc of
    15 cm and lands with the speed of the floor.
    """
    time = np.arange(0, seconds, 1 / fps)
    points = np.zeros((len(time), 17, 3))
    points[..., 1] = 1.0
    points[..., 2] = speed * time[:, None]
    standing = []
    for side, joint in enumerate(ANKLES):
        phase = time / 1.1 + side / 2
        step, part = np.divmod(phase, 1)
        swing = np.clip((part - stance) / (1 - stance), 0, 1)
        eased = swing - np.sin(2 * np.pi * swing) / (2 * np.pi)
        points[:, joint, 0] = 0.1 if side == 0 else -0.1
        points[:, joint, 1] = 0.08 + 0.15 * np.sin(np.pi * swing) ** 2
        points[:, joint, 2] = speed * 1.1 * (step + eased - side / 2)
        standing.append(part <= stance)
    return points, np.stack(standing, axis=1)


def test_contacts_of_a_walk_are_its_stances():
    for fps in (30.0, 60.0, 120.0):
        points, standing = walk(fps=fps)
        contacts = foot_contacts(points, H36M17, fps)
        assert contacts.shape == standing.shape
        assert contacts.dtype == bool
        late = np.abs(contacts.mean(0) - standing.mean(0))
        assert late.max() < 0.09
        assert (contacts == standing).mean() > 0.92
        assert contacts[standing].mean() > 0.97


def test_a_floating_or_noisy_walk_is_the_same():
    points, standing = walk()
    raised = foot_contacts(points + np.array([5, -3, 2]), H36M17, FPS)
    np.testing.assert_array_equal(raised, foot_contacts(points, H36M17, FPS))
    noisy = points + np.random.default_rng(0).normal(0, 0.004, points.shape)
    assert (foot_contacts(noisy, H36M17, FPS) == standing).mean() > 0.88


def test_a_walk_on_the_spot_goes_by_the_vertical():
    """Motion lifted without a place in the world: the standing foot slides back below the body."""
    points, standing = walk()
    spot = points - points[:, :1] * [1, 0, 1]
    contacts = foot_contacts(spot, H36M17, FPS)
    assert (contacts == standing).mean() > 0.85
    assert contacts[standing].mean() > 0.95


def test_standing_jumping_and_sliding():
    points = walk()[0]
    still = np.repeat(points[:1], 60, axis=0)
    still[:, ANKLES, 1] = 0.08
    assert foot_contacts(still, H36M17, FPS).all()
    jump = still.copy()
    jump[20:40, :, 1] += 0.3
    contacts = foot_contacts(jump, H36M17, FPS)
    assert not contacts[20:40].any()
    assert contacts[:16].all()
    assert contacts[44:].all()
    skate = still + np.arange(60)[:, None, None] / FPS * np.array([2.0, 0, 0])
    assert not foot_contacts(skate, H36M17, FPS).any()


def test_between_the_thresholds_nothing_changes():
    """An ankle 6 cm up is in contact when it comes from the floor, and is not when from above."""
    points = np.repeat(walk()[0][:1], 240, axis=0)
    points[:, ANKLES, 1] = np.array([0.08, 0.08])
    slow = np.interp(np.arange(240), [0, 60, 90, 120, 160, 200, 240], [0, 0, 6, 6, 20, 6, 6]) / 100
    points[:, ANKLES[0], 1] += slow
    left = foot_contacts(points, H36M17, FPS)[:, 0]
    assert left[:120].all()
    assert not left[140:].any()


def test_missing_ankles_are_no_contact():
    points, _ = walk()
    scores = np.ones(points.shape[:2])
    scores[30:40, ANKLES[1]] = 0
    scores[100:110] = 0
    broken = np.where(scores[..., None] > 0, points, 0)
    contacts = foot_contacts(broken, H36M17, FPS, scores)
    assert not contacts[30:40, 1].any()
    assert not contacts[100:110].any()
    elsewhere = np.ones(len(points), bool)
    elsewhere[25:45] = elsewhere[95:115] = False
    whole = foot_contacts(points, H36M17, FPS)
    np.testing.assert_array_equal(contacts[elsewhere], whole[elsewhere])
    assert not foot_contacts(broken, H36M17, FPS, np.zeros_like(scores)).any()


def test_a_skeleton_needs_ankles():
    torso = Skeleton("torso", ("root", "neck"), (-1, 0))
    with pytest.raises(ValueError, match="got joint 'left_ankle'"):
        foot_contacts(np.zeros((2, 2, 3)), torso, FPS)
    assert foot_contacts(np.zeros((3, 17, 3)), COCO17, FPS).shape == (3, 2)


@pytest.mark.parametrize("name", ["02_01", "35_01", "38_01"])
def test_recorded_walks_have_plausible_contacts(shared, name):
    """Ankles stand for 40 to 60 % of a walk (feet for about 60 %), and rarely both or none."""
    motion = read_motion(shared / "data" / "cmu_mocap" / "bvh" / f"{name}.bvh")
    points = motion.tracks[0].points
    contacts = foot_contacts(points, H36M17, motion.fps)
    assert (np.abs(contacts.mean(0) - 0.5) < 0.12).all()
    assert contacts.all(1).mean() < 0.15
    assert (~contacts.any(1)).mean() < 0.15
    # A step a second or so: contacts begin and end few times.
    assert np.abs(np.diff(contacts.astype(int), axis=0)).sum(0).max() < 3 * len(points) / motion.fps
    spot = foot_contacts(points - points[:, :1] * np.float32([1, 0, 1]), H36M17, motion.fps)
    assert (np.abs(spot.mean(0) - 0.6) < 0.2).all()
