import json
from dataclasses import replace

import numpy as np
import pytest

from dstformer_jax.data.corrupt import SHIPPED, NoiseTable, apply_noise, draw_noise
from dstformer_jax.data.fit_noise import fit, fit_curve, main
from dstformer_jax.data.samplers import NumpySampler


@pytest.fixture(scope="module")
def draws():
    """1e6 draws of the shipped noise, at keyframes and without jitter: true and detected."""
    clips = 2179  # of 27 keyframes and 17 joints
    keys = np.array([[11, 22]], np.uint32)
    true = np.random.default_rng(0).uniform(-0.5, 0.5, (clips, 27, 17, 3)).astype(np.float64)
    noise = draw_noise(NumpySampler(keys, clips), 27, 17)
    detected = apply_noise(true, noise, replace(SHIPPED, jitter=0.0))
    assert detected.size / 3 > 1e6
    return detected, true


@pytest.fixture(scope="module")
def fitted(draws, tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    np.save(folder / "detected.npy", draws[0])
    np.savez(folder / "true.npz", true=draws[1][..., :2])
    status = main(
        [f"--detected={folder}/detected.npy", f"--true={folder}/true.npz",
         f"--output={folder}/noise.json"]
    )  # fmt: skip
    assert status == 0
    return folder / "noise.json"


def test_recovers_the_shipped_mixture(fitted):
    table = json.loads(fitted.read_text())
    error = table["standard_error"]
    for name in ("mean", "std", "weight"):
        z = (np.array(table[name]) - getattr(SHIPPED, name)) / np.array(error[name])
        assert np.abs(z).max() < 3, (name, z)
        assert 0.5 < np.sqrt((z**2).mean()) < 1.5, "standard errors that mean something"
    assert table["left_out"] == 0


def test_recovers_the_shipped_confidence_curve(fitted):
    table = json.loads(fitted.read_text())
    for name, expected in zip("abms", SHIPPED.curve, strict=True):
        error = table["standard_error"]["confidence"][name]
        assert abs(table["confidence"][name] - expected) < 3 * error, name
        assert error < 0.06 * max(abs(expected), 0.01), "a tight fit"


def test_the_file_is_a_noise_table(fitted):
    table = NoiseTable.read(fitted)
    np.testing.assert_allclose(table.mean, SHIPPED.mean, atol=3e-4)
    np.testing.assert_allclose(table.weight, SHIPPED.weight, atol=0.01)
    assert (table.span, table.jitter, table.keyframes) == (0.06, 0.002, 27)


def test_curve_of_another_detector():
    rng = np.random.default_rng(1)
    distance = rng.uniform(0, 0.05, 40000)
    centre = 0.01 / (distance + 0.01) + 2 * distance - 0.1
    curve = fit_curve(distance, np.clip(centre + rng.normal(size=40000) * 0.05, 0, 1))
    z = (np.array(curve[:4]) - [0.01, 2, -0.1, 0.05]) / curve.error
    assert np.abs(z).max() < 4


def test_far_detections_are_left_out_and_counted(draws):
    detected, true = (array[:60].copy() for array in draws)
    detected[:2, ..., 0] += 0.5
    detected[2, ..., 2] = 0
    table = fit(detected, true)
    assert table["left_out"] >= 2 * 27 * 17 - 5
    assert table["samples"] <= 57 * 27 * 17
    np.testing.assert_allclose(table["std"], SHIPPED.std, rtol=0.2)


def test_user_errors_are_one_line(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.zeros((4, 17, 3)))
    np.save(tmp_path / "b.npy", np.zeros((5, 17, 2)))
    output = f"--output={tmp_path}/out.json"
    assert main([f"--detected={tmp_path}/a.npy", f"--true={tmp_path}/b.npy", output]) == 2
    assert "of the same frames" in capsys.readouterr().err
    assert main([f"--detected={tmp_path}/none.npy", f"--true={tmp_path}/b.npy", output]) == 2
    assert "none.npy" in capsys.readouterr().err
    assert main([f"--detected={tmp_path}/a.npy", f"--true={tmp_path}/a.npy", output]) == 2
    assert "0 usable detections" in capsys.readouterr().err
    for odd in (np.float64(3), np.array(["a", "b"]), np.zeros(5)):
        np.save(tmp_path / "odd.npy", odd)
        assert main([f"--detected={tmp_path}/odd.npy", f"--true={tmp_path}/odd.npy", output]) == 2
        assert "of the same frames" in capsys.readouterr().err
    for name, content in (("empty.npy", b""), ("broken.npz", b"PK\x03\x04 no archive")):
        (tmp_path / name).write_bytes(content)
        assert main([f"--detected={tmp_path}/{name}", f"--true={tmp_path}/b.npy", output]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: got ")
        assert name in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out.json").exists()
