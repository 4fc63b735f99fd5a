import numpy as np
import pytest

from dstformer_jax.body.skeleton import (
    BODY25,
    COCO17,
    COCO18,
    H36M17,
    HALPE26,
    INSTAVARIETY15,
    INSTAVARIETY_KEYS,
    MEDIAPIPE33,
    NTU25,
    POSETRACK17,
    SKELETONS,
    Skeleton,
    parse_expression,
)

EVERY = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))


def ramp(skeleton: Skeleton) -> np.ndarray:
    """Points whose only coordinate is the joint's index: a conversion shows where it took them."""
    return np.arange(skeleton.num_joints, dtype=np.float64)[:, None]


def sources(skeleton: Skeleton) -> list[float]:
    return skeleton.convert(ramp(skeleton), None, H36M17)[0][:, 0].tolist()


@EVERY
def test_mirroring_twice_is_the_identity_and_keeps_the_tree(skeleton: Skeleton):
    mirror = skeleton.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(skeleton.num_joints))
    for joint, parent in enumerate(skeleton.parents):
        mirrored = skeleton.parents[mirror[joint]]
        assert mirrored == (mirror[parent] if parent >= 0 else -1)


@EVERY
def test_every_joint_hangs_on_one_root(skeleton: Skeleton):
    assert skeleton.parents.count(-1) == 1
    assert len(skeleton.limbs) == skeleton.num_joints - 1
    for joint in range(skeleton.num_joints):
        for _ in range(skeleton.num_joints):
            joint = skeleton.parents[joint] if joint >= 0 else joint
        assert joint == -1


def test_human36m_is_the_official_order():
    pairs = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
    assert H36M17.mirror.tolist() == pairs
    assert H36M17.mirror.dtype == np.int32
    official = "0-1 1-2 2-3 0-4 4-5 5-6 0-7 7-8 8-9 9-10 8-11 11-12 12-13 8-14 14-15 15-16"
    assert [f"{a}-{b}" for a, b in H36M17.limbs] == official.split()
    assert [H36M17.sides[joint] for joint in (0, 1, 4, 13, 16)] == [
        "middle",
        "right",
        "left",
        "left",
        "right",
    ]
    assert H36M17.index("belly") == 7


def test_mirror_table_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        H36M17.mirror[0] = 1


@pytest.mark.parametrize(
    ("skeleton", "name"), [(COCO17, "coco"), (HALPE26, "halpe"), (POSETRACK17, "posetrack")]
)
def test_conversion_matches_the_official_code(golden, skeleton, name):
    arrays = golden("d_data")
    given, wanted = arrays[name], arrays[f"{name}2h36m"]
    confidence = given[..., 2] if given.shape[-1] == 3 else None
    points, score = skeleton.convert(given[..., :2], confidence, H36M17)
    np.testing.assert_allclose(points, wanted[..., :2], atol=1e-12)
    if confidence is not None:
        np.testing.assert_allclose(score, wanted[..., 2], atol=1e-12)


@pytest.mark.parametrize(
    ("skeleton", "expected"),
    [
        (COCO17, [11.5, 12, 14, 16, 11, 13, 15, 8.5, 5.5, 0, 1.5, 5, 7, 9, 6, 8, 10]),
        (COCO18, [9.5, 8, 9, 10, 11, 12, 13, 5.25, 1, 0, 14.5, 5, 6, 7, 2, 3, 4]),
        (HALPE26, [19, 12, 14, 16, 11, 13, 15, 18.5, 18, 0, 17, 5, 7, 9, 6, 8, 10]),
        (BODY25, [8, 9, 10, 11, 12, 13, 14, 4.5, 1, 0, 15.5, 5, 6, 7, 2, 3, 4]),
        (MEDIAPIPE33, [23.5, 24, 26, 28, 23, 25, 27, 17.5, 11.5, 0, 3.5, 11, 13, 15, 12, 14, 16]),
        (NTU25, [0, 16, 17, 18, 12, 13, 14, 1, 20, 2, 3, 4, 5, 6, 8, 9, 10]),
        (H36M17, list(range(17))),
    ],
    ids=lambda value: value.name if isinstance(value, Skeleton) else "",
)
def test_conversion_tables(skeleton, expected):
    assert sources(skeleton) == expected


def test_conversion_commutes_with_the_mirror():
    rng = np.random.default_rng(0)
    for skeleton in SKELETONS.values():
        points = rng.normal(size=(5, skeleton.num_joints, 2))
        once = skeleton.convert(points, None, H36M17)[0][:, H36M17.mirror]
        other = skeleton.convert(points[:, skeleton.mirror], None, H36M17)[0]
        np.testing.assert_allclose(once, other, atol=1e-12)


def test_confidence_is_the_lowest_of_the_sources_but_halpe_averages_its_belly():
    coco = np.linspace(0.1, 0.9, 17)
    score = COCO17.convert(ramp(COCO17), coco, H36M17)[1]
    assert score[0] == coco[11]  # left and right hip
    assert score[7] == coco[5]  # hips and shoulders
    halpe = np.linspace(0.1, 0.9, 26)
    score = HALPE26.convert(ramp(HALPE26), halpe, H36M17)[1]
    assert score[7] == pytest.approx((halpe[18] + halpe[19]) / 2)


def test_a_missing_joint_spoils_only_what_is_made_of_it():
    points = ramp(BODY25).repeat(2, axis=1)
    confidence = np.ones(25)
    points[15], confidence[15] = np.nan, 0
    out, score = BODY25.convert(points, confidence, H36M17)
    assert np.flatnonzero(score == 0).tolist() == [10]
    assert np.flatnonzero(~np.isfinite(out).all(-1)).tolist() == [10]


def test_instavariety_belly_and_head_are_interpolated_or_zero():
    assert INSTAVARIETY_KEYS[:3] == ("Hip", "R Hip", "R Knee")
    assert INSTAVARIETY_KEYS[-1] == "R Wrist"
    points, confidence = INSTAVARIETY15.convert(ramp(INSTAVARIETY15), None, H36M17)
    assert points[7, 0] == (0 + 7) / 2
    assert points[10, 0] == 8 + (8 - 7)
    assert confidence.min() == 1
    points, confidence = INSTAVARIETY15.convert(
        ramp(INSTAVARIETY15) + 1, None, H36M17, interpolate=False
    )
    assert np.flatnonzero(confidence == 0).tolist() == [7, 10]
    assert np.flatnonzero(points[:, 0] == 0).tolist() == [7, 10]


def test_joints_that_cannot_be_told_have_no_confidence():
    points, confidence = H36M17.convert(ramp(H36M17), None, COCO17)
    assert [name for name, c in zip(COCO17.names, confidence, strict=True) if c == 0] == [
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
    ]
    assert points[COCO17.index("left_knee"), 0] == H36M17.index("left_knee")


def test_conversion_keeps_the_dtype_and_leading_axes():
    points, confidence = COCO17.convert(
        np.zeros((2, 3, 17, 3), np.float32), np.ones((2, 3, 17), np.float32), H36M17
    )
    assert points.shape == (2, 3, 17, 3)
    assert confidence.shape == (2, 3, 17)
    assert points.dtype == confidence.dtype == np.float32


def test_wrong_shapes_and_names_are_refused():
    with pytest.raises(ValueError, match=r"got points of shape \(5, 16, 2\), expected"):
        COCO17.convert(np.zeros((5, 16, 2)), None, H36M17)
    with pytest.raises(ValueError, match="got confidence of shape"):
        COCO17.convert(np.zeros((5, 17, 2)), np.ones(17), H36M17)
    with pytest.raises(ValueError, match="got joint 'tail', expected one of root"):
        H36M17.index("tail")
    with pytest.raises(ValueError, match="shares no joint with h36m17"):
        Skeleton("box", ("corner",), (-1,)).convert(np.zeros((1, 2)), None, H36M17)
    with pytest.raises(ValueError, match="expected one parent for each name"):
        Skeleton("twice", ("a", "a"), (-1, 0))


def test_expressions():
    assert parse_expression("a b:EndSite") == {"a b:EndSite": 1}
    assert parse_expression("mean(a, b)") == {"a": 0.5, "b": 0.5}
    assert parse_expression("A+1.8*(B-A)") == pytest.approx({"A": -0.8, "B": 1.8})
    with pytest.raises(ValueError, match="expected NAME"):
        parse_expression("mean(a,)")
