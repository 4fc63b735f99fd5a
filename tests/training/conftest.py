"""A tiny experiment: random walks of 17 joints, a network of a few hundred parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.data.bank import write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.models.backbones import backbone_fields
from dstformer_jax.models.dstformer import DSTformer
from dstformer_jax.models.network import Network, build_network
from dstformer_jax.training import experiment
from dstformer_jax.training.experiment import Experiment


@pytest.fixture(scope="session", autouse=True)
def _compilation_cache(tmp_path_factory: pytest.TempPathFactory):
    """Small programs are compiled without optimisation, and each only once a session."""
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_compilation_cache_dir", None)


def walk(name: str, frames: int, seed: int) -> Sequence:
    """A smooth random walk in metres, camera axes."""
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(0, 0.01, (frames, 17, 3)), axis=0)
    pose = steps + rng.normal(0, 0.3, (1, 17, 3))
    return Sequence(id=name, fps=30.0, unit="m", axes="camera", pose=pose, subject=name)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset "walks", six sequences to train and two to test."""
    folder = tmp_path_factory.mktemp("data")
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    write_bank([walk(f"train{i}", 40, i) for i in range(6)], bank / "train")
    write_bank([walk(f"test{i}", 23, 100 + i) for i in range(2)], bank / "test")
    return folder


@pytest.fixture(scope="session")
def make_config(data_dir: Path) -> Callable[..., dict[str, Any]]:
    """The config of a run of 3 epochs: 5, 7 and 7 steps, the second source from epoch 1 on."""

    def make(**changes: Any) -> dict[str, Any]:
        padded = {"short": "pad", "tail": "pad"}
        config: dict[str, Any] = {
            "seed": 0,
            "epochs": 3,
            "parallel": "pmap",
            "log_every": 2,
            "model": {
                "dim_feat": 8,
                "dim_rep": 8,
                "depth": 1,
                "num_heads": 2,
                "mlp_ratio": 2,
                "maxlen": 9,
                "init": "fan_in",
            },
            "task": {"name": "lift3d"},
            "weights": {"mpjpe": 1.0, "velocity": 20.0, "n_mpjpe": 0.5},
            "optim": {"learning_rate": 1e-3, "lr_decay": 0.9},
            "data": {"path": str(data_dir), "feed": "numpy"},
            "sources": {
                "long": {"dataset": "walks", "frames": 9, "stride": 6, "batch": 8, **padded},
                "short": {
                    "dataset": "walks",
                    "frames": 5,
                    "stride": 12,
                    "batch": 8,
                    "epochs": (1, -1),
                },
            },
            "eval": {
                "every": 2,
                "flip": True,
                "sources": {
                    "unseen": {
                        "dataset": "walks",
                        "split": "test",
                        "frames": 9,
                        "stride": 9,
                        "batch": 8,
                        **padded,
                    }
                },
            },
            "checkpoint": {"every": 0, "keep": 2},
            "profile": {},
        }
        for path, value in changes.items():
            section = config
            *parents, last = path.split("__")
            for name in parents:
                section = section[name]
            section[last] = value
        return config

    return make


class Linear(DSTformer):
    """Stands in for the backbone where a test is about the loop: compiles in a second."""

    def setup(self) -> None:
        self.embed = nn.Dense(self.dim_rep, name="embed")

    def __call__(
        self, motion: jax.Array, deterministic: bool = True, axis_name: str | None = None
    ) -> jax.Array:
        return jnp.tanh(self.embed(motion))


def linear_network(model: dict[str, Any], head: str, settings: Any = None) -> Network:
    """As `build_network`, with the stand-in backbone."""
    return build_network(model, head, settings).clone(backbone=Linear(**backbone_fields(model)))


@pytest.fixture(scope="session")
def make_experiment(make_config: Callable[..., dict[str, Any]]) -> Callable[..., Experiment]:
    """`make_experiment(optim__learning_rate=1e-2)` builds the experiment of a changed config.

    Its backbone is the stand-in unless `dstformer=True`.
    """

    def make(dstformer: bool = False, **changes: Any) -> Experiment:
        with pytest.MonkeyPatch.context() as patch:
            if not dstformer:
                patch.setattr(experiment, "build_network", linear_network)
            return experiment.build(make_config(**changes))

    return make
