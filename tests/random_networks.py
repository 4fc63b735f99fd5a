"""Random networks of every head and backbone, which tests of conversion share."""

import jax
import numpy as np

from dstformer_jax import convert
from dstformer_jax.models.network import build_network, variable_shapes

SIZES = {"dim_feat": 8, "dim_rep": 6, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "maxlen": 5}
BODY = {"bones": 24, "shapes": 10, "hidden": 7}
CASES = {
    "action": {"name": "action", "classes": 5, "hidden": 7},
    "probe": {"name": "action", "classes": 5, "hidden": 0},
    "embedding": {"name": "embedding", "hidden": 7},
    "mesh": {"name": "mesh", **BODY},
    "refiner": {"name": "refiner", **BODY, "form": "conv"},
    "refiner_mlp": {"name": "refiner", **BODY, "form": "mlp", "span": 3},
}
BACKBONES = {
    "tcn": {"backbone": "tcn", "dim_feat": 8, "dim_rep": 6, "depth": 3, "num_joints": 17},
    "poseformer": {"backbone": "poseformer", **SIZES, "depth": 2, "num_joints": 17},
}


def random_variables(model: dict, head: dict, seed: int = 0) -> convert.Variables:
    """Variables without zeros of a network; running variances are positive."""
    settings = dict(head)
    shapes = variable_shapes(build_network(model, settings.pop("name"), settings))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        low = 0.5 if path[-1].key == "var" else -0.5
        return rng.uniform(low, low + 1, leaf.shape).astype(np.float32)

    return jax.tree.map_with_path(draw, shapes)


def to_torch(variables: convert.Variables) -> dict[str, np.ndarray]:
    return convert.to_torch(variables["params"], variables["batch_stats"])


def same(found, expected) -> None:
    jax.tree.map(np.testing.assert_array_equal, found, expected)
