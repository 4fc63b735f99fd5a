"""What every test shares: 8 simulated devices, strict shapes, the optional shared data."""

import os
import pickle
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="session", autouse=True)
def _cache_of_programs(tmp_path_factory: pytest.TempPathFactory):
    """Commands that tests run keep compiled programs with the tests, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSTFORMER_CACHE", str(tmp_path_factory.mktemp("xla")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared reference arrays and motion beside the checkout; skips when absent."""
    path = Path(os.environ.get("DSTFORMER_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}")
    return path


@pytest.fixture(scope="session")
def golden():
    """Loads a frozen array file of tests/golden by name."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    return load


@pytest.fixture(scope="session")
def smpl_folder(tmp_path_factory: pytest.TempPathFactory, golden) -> Path:
    """The official data/mesh folder of a random 150-vertex body."""
    folder = tmp_path_factory.mktemp("smpl")
    arrays = golden("synthetic_smpl")
    np.save(folder / "J_regressor_h36m_correct.npy", arrays.pop("J_regressor_h36m_correct"))
    means = {name: arrays.pop(f"mean_{name}") for name in ("pose", "shape")}
    np.savez(folder / "smpl_mean_params.npz", **means)
    (folder / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    return folder
