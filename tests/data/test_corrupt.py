from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.data._tf import tf, tnp
from dstformer_jax.data.corrupt import (
    SHIPPED,
    MaskDraws,
    NoiseDraws,
    NoiseTable,
    apply_mask,
    apply_noise,
    corrupt,
    draw_mask,
    draw_noise,
    interpolate,
)
from dstformer_jax.data.plan import Plan
from dstformer_jax.data.samplers import sampler
from dstformer_jax.data.sources import Source

NAMESPACES = {"np": np, "tnp": tnp, "jnp": jnp}
CLIPS, FRAMES = 3704, 27  # 100,008 keyframes of every joint


@pytest.fixture(params=NAMESPACES)
def xp(request):
    return NAMESPACES[request.param]


def keys_of(number: int) -> np.ndarray:
    return Plan((Source("a", "b"),), (64,), 1, seed=3).keys(0, number)


@cache
def fast(xp, function, clips, *args, **kwargs):
    """`function(sampler, ...)` of keys, or `corrupt(motion, keys, ...)`, compiled once."""

    def run(*arrays):
        if function is corrupt:
            return corrupt(*arrays, xp=xp, **kwargs)
        return function(sampler(*arrays, clips, xp), *args, **kwargs)

    return {"numpy": run, "jax.numpy": jax.jit(run)}.get(xp.__name__) or tf.function(run)


def drawn(xp, draw, keys, clips, *args, **kwargs):
    """The draws of one namespace as numpy arrays."""
    return jax.tree.map(np.asarray, fast(xp, draw, clips, *args, **kwargs)(xp.asarray(keys)))


def corrupted(xp, motion, keys, **kwargs):
    """`corrupt` in one namespace, numpy to numpy."""
    run = fast(xp, corrupt, len(motion), **kwargs)
    return np.asarray(run(xp.asarray(motion), xp.asarray(keys)))


def within(values, expected, error, sigmas=5.0):
    """All statistics within so many standard errors of what is expected."""
    z = (np.asarray(values) - expected) / error
    assert np.abs(z).max() < sigmas, z


@pytest.mark.parametrize("frames", [30, 81, 27, 9])
def test_apply_agrees_with_the_official_code(golden, xp, frames):
    arrays = {k[len(f"T{frames}/") :]: v for k, v in golden("g_augment2d").items()}

    def pair(name):
        return tuple(xp.asarray(np.moveaxis(arrays[name], -1, 0)[axis]) for axis in range(2))

    noise = NoiseDraws(
        select=xp.asarray(arrays["noise_draw0_rand"][..., 0]),
        gauss=pair("noise_draw1_randn"),
        uniform=pair("noise_draw2_rand"),
        jitter=tuple(plane[None] for plane in pair("noise_draw3_randn")),
        confidence=xp.asarray(arrays["noise_draw4_randn"]),
    )
    mask = MaskDraws(
        joint=xp.asarray(arrays["mask_draw0_rand"][..., 0]),
        frame=xp.asarray(arrays["mask_draw1_rand"][..., 0]),
    )
    noised = apply_noise(xp.asarray(arrays["x"]), noise, xp=xp)
    masked = apply_mask(noised, mask, xp=xp)
    assert np.asarray(noised).dtype == np.float32
    np.testing.assert_allclose(noised, arrays["noised"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(masked, arrays["masked"], rtol=0, atol=1e-6)


def test_shipped_table_is_the_official_one(golden):
    params = golden("g_augment2d")
    np.testing.assert_array_equal(SHIPPED.mean, params["params/mean"].astype(np.float32))
    np.testing.assert_array_equal(SHIPPED.std, params["params/std"].astype(np.float32))
    np.testing.assert_array_equal(SHIPPED.weight, params["params/weight"].astype(np.float32))
    np.testing.assert_array_equal(SHIPPED.curve, params["params/d2c_abms"])
    assert (SHIPPED.span, SHIPPED.jitter, SHIPPED.keyframes) == (0.06, 0.002, 27)


@pytest.mark.parametrize("frames", [1, 2, 9, 27, 243])
def test_interpolation_is_linear_with_aligned_ends(xp, frames):
    values = np.random.default_rng(0).normal(size=(2, 27, 3)).astype(np.float32)
    between = np.asarray(interpolate(xp.asarray(values), frames, xp))
    for clip in range(2):
        for joint in range(3):
            path = values[clip, :, joint]
            expected = np.interp(np.linspace(0, 26, frames), np.arange(27), path)
            np.testing.assert_allclose(between[clip, :, joint], expected, atol=4e-5)


def every_kind(random):
    return (random.uniform(27), *random.normals(27), random.normal(27))


def test_uniforms_and_normals_have_their_moments(xp):
    n = CLIPS * 27
    uniform, x, y, z = drawn(xp, every_kind, keys_of(0), CLIPS)
    assert uniform.dtype == np.float32
    assert uniform.min() >= 0
    assert uniform.max() < 1
    within(uniform.mean(), 1 / 2, np.sqrt(1 / 12 / n))
    within(uniform.var(), 1 / 12, np.sqrt(1 / 180 / n))
    for normal in (x, y, z):
        within(normal.mean(), 0, np.sqrt(1 / n))
        within((normal**2).mean(), 1, np.sqrt(2 / n))
        within((normal**3).mean(), 0, np.sqrt(15 / n))
        within((normal**4).mean(), 3, np.sqrt(96 / n))
        within((np.abs(normal) > 2.5).mean(), 0.012419, np.sqrt(0.0123 / n))
    for a, b in ((x, y), (x, z), (x**2, y**2), (x[1:], x[:-1]), (x[:, 1:], z[:, :-1])):
        within(np.corrcoef(a.ravel(), b.ravel())[0, 1], 0, 1 / np.sqrt(n))


def test_mask_rates_and_independence(xp):
    mask = drawn(xp, draw_mask, keys_of(1), CLIPS, FRAMES, 17)
    keep = apply_mask(np.ones((CLIPS, FRAMES, 17, 3), np.float32), mask)[..., 0]
    n = CLIPS * FRAMES
    joint, frame = mask.joint <= 0.05, mask.frame[..., 0] <= 0.1
    within(joint.mean((0, 1)), 0.05, np.sqrt(0.05 * 0.95 / n))
    within(joint.mean(), 0.05, np.sqrt(0.05 * 0.95 / n / 17))
    within(frame.mean(), 0.1, np.sqrt(0.09 / n))
    within(frame.mean(0), 0.1, np.sqrt(0.09 / CLIPS))
    within(keep.mean(), 0.95 * 0.9, 1.5 * np.sqrt(0.855 * 0.145 / n))
    # No joint, frame or clip tells of another.
    flat = joint.reshape(n, 17).astype(float)
    correlation = np.corrcoef(flat.T)[np.triu_indices(17, 1)]
    within(correlation, 0, 1 / np.sqrt(n))
    for a, b in ((frame[1:], frame[:-1]), (frame[:, 1:], frame[:, :-1]), (frame, joint[..., 0])):
        within(np.corrcoef(a.ravel(), b.ravel())[0, 1], 0, 1 / np.sqrt(b.size))


def test_noise_has_the_moments_of_the_table(xp):
    noise = drawn(xp, draw_noise, keys_of(2), CLIPS, FRAMES, 17)
    moved = apply_noise(np.zeros((CLIPS, FRAMES, 17, 3), np.float32), noise)
    n = CLIPS * FRAMES
    weight = SHIPPED.weight[:, None].astype(float)
    mean, second = weight * SHIPPED.mean, weight * (SHIPPED.mean**2.0 + SHIPPED.std**2.0)
    second = second + (1 - weight) * 0.06**2 / 12 + 0.002**2
    delta = moved[..., :2].reshape(n, 17, 2).astype(float)
    within(delta.mean(0), mean, delta.std(0) / np.sqrt(n))
    within((delta**2).mean(0), second, (delta**2).std(0) / np.sqrt(n))
    within((noise.select >= SHIPPED.weight).mean((0, 1)), 1 - SHIPPED.weight,
           np.sqrt(SHIPPED.weight * (1 - SHIPPED.weight) / n))  # fmt: skip
    # x and y come from the same component, else they are independent, and so are the clips.
    centred = (delta - mean)[:, 0]
    within(np.corrcoef(centred.T)[0, 1], 0, 1 / np.sqrt(n))
    clips = (delta - mean).reshape(CLIPS, FRAMES, 17, 2)
    for a, b in ((clips[1:], clips[:-1]), (clips[:, 1:], clips[:, :-1])):
        within(np.corrcoef(a[..., 0].ravel(), b[..., 0].ravel())[0, 1], 0, 1 / np.sqrt(n * 17))


@pytest.mark.parametrize("distance", [0.0, 0.02, 0.06])
def test_confidence_is_a_clipped_normal_about_the_curve(distance):
    still = NoiseTable(
        mean=np.array([[0.6, 0.8]] * 17, np.float32) * np.float32(distance),
        std=np.zeros((17, 2), np.float32), weight=np.ones(17, np.float32),
        jitter=0.0, curve=SHIPPED.curve,
    )  # fmt: skip
    noise = drawn(np, draw_noise, keys_of(4), 64, 100, 17)
    confidence = apply_noise(np.zeros((64, 100, 17, 3), np.float32), noise, still)[..., 2]
    a, b, m, s = SHIPPED.curve
    z = np.linspace(-8, 8, 20001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    values = np.clip(a / (distance + a) + b * distance + m + s * z, 0, 1)
    expected = (values * density).sum()
    within(confidence.mean(), expected, confidence.std() / np.sqrt(confidence.size))
    within((confidence == 1).mean(), density[values == 1].sum(), 0.5 / np.sqrt(confidence.size))


def test_shared_draws_are_one_for_the_batch_and_the_same_on_every_process(xp):
    whole = drawn(xp, draw_mask, keys_of(5), 16, 9, 17, shared=True)
    assert whole.frame.shape == (1, 9, 1)
    part = drawn(xp, draw_mask, keys_of(5)[6:], 4, 9, 17, shared=True)
    np.testing.assert_array_equal(part.frame, whole.frame)
    other = drawn(xp, draw_mask, keys_of(6), 16, 9, 17, shared=True)
    assert (other.frame != whole.frame).any()


def test_shared_jitter_is_one_for_the_batch():
    noise = drawn(np, draw_noise, keys_of(5), 16, 9, 17, shared=True)
    assert noise.jitter[0].shape == (1, 9, 17)
    assert noise.gauss[0].shape == (16, 27, 17)


@pytest.mark.parametrize("processes", [2, 8])
def test_shards_draw_the_same_alone_as_together(xp, processes):
    motion = np.random.default_rng(0).uniform(-1, 1, (8, 12, 17, 3)).astype(np.float32)
    keys = keys_of(7)
    whole = corrupted(xp, motion, keys, noise=True, mask=True)
    for part in (0, processes - 1):
        mine = np.split(motion, processes)[part], np.split(keys, processes)[part]
        expected = np.split(whole, processes)[part]
        np.testing.assert_array_equal(corrupted(xp, *mine, noise=True, mask=True), expected)


def test_corrupt_does_as_it_is_told(xp):
    motion, keys = np.ones((8, 12, 17, 3), np.float32), keys_of(8)
    assert (corrupt(motion, keys, noise=False, mask=False, xp=xp) == 1).all()
    assert set(np.unique(corrupted(xp, motion, keys, noise=False, mask=True))) == {0, 1}
    both = corrupted(xp, motion, keys, noise=True, mask=True)
    masked = (both == 0).all(-1)
    assert 0.05 < masked.mean() < 0.3
    assert ((both == 0).any(-1) & ~masked).mean() < 0.001
    assert (both[~masked][:, :2] != 1).mean() > 0.99


@pytest.mark.parametrize("namespace", ["np", "tnp"])
def test_the_mask_comes_after_the_noise(namespace):
    xp = NAMESPACES[namespace]
    motion, keys = np.ones((8, 12, 17, 3), np.float32), keys_of(8)
    both = corrupted(xp, motion, keys, noise=True, mask=True)
    noised = corrupted(xp, motion, keys, noise=True, mask=False)
    masked = (both == 0).all(-1)
    np.testing.assert_array_equal(both[~masked], noised[~masked])


def test_keys_must_divide_the_clips():
    with pytest.raises(ValueError, match="12 clips for 8 keys"):
        corrupt(np.ones((12, 3, 17, 3), np.float32), keys_of(0), noise=True, mask=False, xp=np)
