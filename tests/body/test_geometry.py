import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.body.geometry import (
    Box,
    Camera,
    Normaliser,
    align,
    crop_box,
    crop_scale,
    crop_scale_3d,
    flip,
    image_box,
    make_cam,
    resample_indices,
    similarity,
    view,
)
from dstformer_jax.body.skeleton import COCO17


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    """float32 [4, 9, 17, 3] with some joints missing."""
    rng = np.random.default_rng(0)
    clips = rng.uniform(-1, 1, (4, 9, 17, 3)).astype(np.float32)
    clips[..., 2] = np.maximum(clips[..., 2], 0)
    return clips


def test_flip_matches_the_official_code_and_undoes_itself(golden):
    arrays = golden("d_data")
    np.testing.assert_array_equal(flip(arrays["x"]), arrays["flip_data"])
    np.testing.assert_array_equal(flip(flip(arrays["x"])), arrays["x"])
    assert flip(np.ones((17, 2)), COCO17)[0].tolist() == [-1, 1]


@pytest.mark.parametrize("name", ["r11", "r22", "r13", "r025_1"])
def test_crop_scale_matches_the_official_code(golden, name):
    arrays = golden("d_data")
    cropped = crop_scale(arrays["x"][0], arrays[f"crop_scale/ratio_{name}"])
    np.testing.assert_allclose(cropped, arrays[f"crop_scale/{name}"], atol=1e-12)


def test_crop_scale_of_two_people_and_of_nobody(golden):
    arrays = golden("d_data")
    both = crop_scale(arrays["x"], axes=(-4, -3, -2))
    np.testing.assert_allclose(both, arrays["crop_scale/M2_r11"], atol=1e-12)
    unseen = np.concatenate([arrays["x"][0, ..., :2], np.zeros((6, 17, 1))], axis=-1)
    np.testing.assert_array_equal(crop_scale(unseen), arrays["crop_scale/allzeroconf"])
    np.testing.assert_array_equal(crop_scale(unseen.astype(np.float32)), 0)
    three = np.zeros((1, 17, 3), np.float32)
    three[0, :3] = np.eye(3) + 1  # three visible joints are too few
    np.testing.assert_array_equal(crop_scale(three), 0)


@pytest.mark.parametrize("name", ["r11", "r05_1"])
def test_crop_scale_3d_matches_the_official_code(golden, name):
    arrays = golden("d_data")
    cropped = crop_scale_3d(arrays["m3"], arrays[f"crop_scale_3d/ratio_{name}"])
    np.testing.assert_allclose(cropped, arrays[f"crop_scale_3d/{name}"], atol=1e-12)


def test_make_cam_matches_the_official_code(golden):
    arrays = golden("d_data")
    np.testing.assert_array_equal(make_cam(arrays["coco"], (1920, 1080)), arrays["make_cam/wide"])
    np.testing.assert_array_equal(make_cam(arrays["coco"], (1080, 1920)), arrays["make_cam/tall"])


FUNCTIONS = {
    "flip": lambda x, xp: flip(x, xp=xp),
    "crop_scale": lambda x, xp: crop_scale(x, np.full((4, 1, 1, 1), 0.7, np.float32), xp),
    "crop_scale_3d": lambda x, xp: crop_scale_3d(x, 0.7, xp),
    "view": lambda x, xp: view(x, np.arange(4, dtype=np.float32), 0.2, xp),
    "align": lambda x, xp: align(x, x[::-1], xp),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpy_and_jax_agree_clip_by_clip(clips, name):
    function = FUNCTIONS[name]
    expected = function(clips, np)
    assert expected.dtype == np.float32
    computed = jax.jit(lambda x: function(x, jnp))(clips)
    np.testing.assert_allclose(computed, expected, atol=2e-6)


def test_view_turns_about_the_vertical_and_looks_down():
    pose = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])  # right, up and towards the camera
    straight = view(pose, 0.0, 0.0)
    np.testing.assert_allclose(straight[0], np.diag([1, -1, -1]), atol=1e-12)
    turned = view(pose, np.pi / 2, 0.0)  # what was near is now at the right
    np.testing.assert_allclose(turned[0, 2], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(turned[0, 0], [0, 0, 1], atol=1e-12)
    raised = view(pose, 0.0, 0.1)
    assert raised[0, 1, 2] < 0  # the head comes nearer
    assert raised[0, 2, 1] > 0  # ground in front of the person sinks in the image


def test_view_is_a_rotation(clips):
    for yaw, pitch in ((0.3, 0.2), (2.0, -0.4)):
        seen = view(clips.astype(np.float64), yaw, pitch)
        gram = np.einsum("btjc,btkc->btjk", seen, seen)
        np.testing.assert_allclose(gram, np.einsum("btjc,btkc->btjk", clips, clips), atol=1e-6)
    axes = view(np.eye(3)[None], 0.7, 0.3)[0]
    assert np.linalg.det(axes) == pytest.approx(1)


def test_normalisers_follow_their_formulas():
    motion = np.array([[[960.0, 540.0, 1.0], [0, 0, 1], [1920, 1080, 0.5]]], np.float32)
    image, _ = Normaliser("image").encode(motion, (1920, 1080))
    np.testing.assert_allclose(image[0, :, 0], [0, -1, 1], atol=1e-6)
    np.testing.assert_allclose(image[0, :, 1], motion[0, :, 1] / 1920 * 2 - 1080 / 1920, atol=1e-6)
    pixel, _ = Normaliser("pixel").encode(motion, (1920, 1080))
    np.testing.assert_allclose(pixel[0, 1], [-960 / 540, -1, 1], atol=1e-6)
    np.testing.assert_array_equal(pixel[..., 2], motion[..., 2])


@pytest.mark.parametrize("mode", ["image", "crop", "pixel"])
def test_decoding_undoes_encoding(mode):
    rng = np.random.default_rng(1)
    motion = rng.uniform(100, 900, (5, 17, 3)).astype(np.float32)
    motion[..., 2] = 1
    encoded, box = Normaliser(mode, ratio=1.3).encode(motion, (1000, 1002))
    depth = rng.normal(size=(5, 17, 1)).astype(np.float32)
    decoded = Normaliser(mode).decode(np.concatenate([encoded[..., :2], depth], axis=-1), box)
    np.testing.assert_allclose(decoded[..., :2], motion[..., :2], rtol=1e-5)
    np.testing.assert_allclose(decoded[..., 2:], depth * box.half, rtol=1e-6)
    np.testing.assert_allclose(box.encode(decoded)[..., 2:], depth, rtol=1e-5)


def test_crop_normaliser_is_crop_scale(clips):
    encoded, _ = Normaliser("crop").encode(clips[0])
    np.testing.assert_array_equal(encoded, crop_scale(clips[0]))


def test_crop_box_holds_all_visible_joints(clips):
    box, valid = crop_box(clips)
    assert valid.all()
    seen = clips[..., 2:] > 0
    moved = np.where(seen, Box(*box).encode(clips)[..., :2], 0)
    np.testing.assert_allclose(np.abs(moved).max((1, 2, 3)), 1, atol=1e-5)


def test_bad_normalisers_are_refused():
    with pytest.raises(ValueError, match="got normaliser 'zoom'"):
        Normaliser("zoom")
    with pytest.raises(ValueError, match="ratio above 0"):
        Normaliser("crop", ratio=0)
    with pytest.raises(ValueError, match=r"got image size \(0, 0\)"):
        Normaliser("image").encode(np.zeros((1, 17, 3)))
    assert image_box((4, 2), short_side=True).half.tolist() == [1]


def test_camera_matches_opencvs_formula_and_projects_back():
    camera = Camera((1145.0, 1143.0), (512.5, 515.4), radial=(-0.2, 0.24, -0.002),
                    tangential=(-0.0009, -0.0016))  # fmt: skip
    rng = np.random.default_rng(2)
    points = rng.uniform([-1, -1, 3], [1, 1, 6], (50, 3))
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r2 = x * x + y * y
    radial = 1 - 0.2 * r2 + 0.24 * r2**2 - 0.002 * r2**3
    u = x * radial + 2 * -0.0009 * x * y - 0.0016 * (r2 + 2 * x * x)
    v = y * radial - 0.0009 * (r2 + 2 * y * y) + 2 * -0.0016 * x * y
    pixels = camera.project(points)
    np.testing.assert_allclose(pixels, np.stack([1145 * u + 512.5, 1143 * v + 515.4], -1))
    np.testing.assert_allclose(camera.back_project(pixels, points[:, 2]), points, atol=1e-9)


def test_similarity_matches_the_official_code(golden):
    arrays = golden("c_mesh_loss_rot")
    fit = similarity(arrays["rigid/A"], arrays["rigid/B"])
    np.testing.assert_allclose(fit.scale, arrays["rigid/c"], rtol=1e-10)
    np.testing.assert_allclose(fit.rotation, arrays["rigid/R"], atol=1e-10)
    np.testing.assert_allclose(fit.translation, arrays["rigid/t"], atol=1e-10)
    for name in ("", "_mirror"):
        moved = align(arrays[f"rigid/A{name}"], arrays["rigid/B"])
        np.testing.assert_allclose(moved, arrays[f"rigid/aligned{name}"], atol=1e-9)


def test_similarity_recovers_a_known_transform(clips):
    source = clips.astype(np.float64)
    turned = 1.7 * view(source, 0.8, 0.3) + np.array([0.1, -2.0, 3.0])
    np.testing.assert_allclose(align(source, turned), turned, atol=1e-9)


def test_a_point_like_source_lands_on_the_targets_centre(clips):
    landed = align(np.zeros_like(clips[0]), clips[0])
    centre = clips[0].mean(1, keepdims=True)
    np.testing.assert_allclose(landed, np.broadcast_to(centre, landed.shape), atol=1e-6)


LENGTHS = [(10, 27), (27, 27), (60, 27), (100, 27), (300, 243), (50, 243)]


@pytest.mark.parametrize(("length", "target"), LENGTHS)
def test_resampling_matches_the_official_code(golden, length, target):
    arrays = golden("d_data")
    key = f"{length}_{target}"
    np.testing.assert_array_equal(resample_indices(length, target), arrays[f"resample/det_{key}"])
    draws = np.random.RandomState(3)  # the official code's generator
    drawn = draws.randint(2, size=target) if length < target else draws.random_sample(target)
    np.testing.assert_array_equal(
        resample_indices(length, target, "random", drawn), arrays[f"resample/rand_{key}"]
    )
    draws = np.random.RandomState(3)
    start = draws.randint(length - target) if length > target else None
    np.testing.assert_array_equal(
        resample_indices(length, target, "replay", start), arrays[f"resample/replay_{key}"]
    )


def test_resampling_needs_frames_and_draws():
    with pytest.raises(ValueError, match="got 0 frames"):
        resample_indices(0, 5)
    with pytest.raises(ValueError, match=r"expected even, replay, or random with draws"):
        resample_indices(3, 5, "random")
    with pytest.raises(ValueError, match="got mode 'odd'"):
        resample_indices(3, 5, "odd")
