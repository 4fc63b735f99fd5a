"""A network whose answer is known, and people who wander over the image."""

import numpy as np

from dstformer_jax.body.geometry import Normaliser
from dstformer_jax.body.skeleton import H36M17


class Leaning:
    """Stands in for a model: z is half of y, as if people leaned. Remembers what it saw."""

    skeleton, maxlen, info = H36M17, 9, {}

    def __init__(self, mode: str = "crop", fps: float | None = None):
        self.normaliser, self.shapes, self.inputs = Normaliser(mode), set(), []
        self.fps = fps

    def lift(self, motion: np.ndarray) -> np.ndarray:
        self.shapes.add(motion.shape)
        self.inputs.append(motion)
        return np.stack([motion[..., 0], motion[..., 1], motion[..., 1] / 2], -1)


def wander(frames: int, seed: int = 0) -> np.ndarray:
    """Someone all of whose joints are seen: [frames, 17, 3], pixels and confidence 1."""
    rng = np.random.default_rng(seed)
    still = rng.uniform(100, 400, (1, 17, 2))
    points = still + np.cumsum(rng.normal(0, 2, (frames, 17, 2)), axis=0)
    return np.concatenate([points, np.ones((frames, 17, 1))], axis=-1)
