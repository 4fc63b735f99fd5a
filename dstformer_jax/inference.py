"""A trained network ready for use: arrays in, arrays out.

model = load()                        # the weights that come with the package
model = load("runs/mocap")            # a workdir of ours, or a PyTorch file
pose = model.lift(motion)             # [B, T, J, 3] -> [B, T, J, 3]
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.body import geometry
from dstformer_jax.body.declared import skeleton_of
from dstformer_jax.body.geometry import Normaliser
from dstformer_jax.body.skeleton import H36M17, Skeleton
from dstformer_jax.convert import read_any
from dstformer_jax.models.dstformer import fusion_weights
from dstformer_jax.models.network import Network, build_network, variable_shapes
from dstformer_jax.torch_files import is_torch_path

# Weights that come with the package (docs/model_card.md): for whole motion, and frame by frame.
STARTER, STREAMING = (
    Path(__file__).with_name("weights") / f"{name}.safetensors" for name in ("starter", "streaming")
)

Function = Callable[[Any, Any], jax.Array]


class Model:
    """A network with its weights and what they were trained on.

    Attributes:
      network, params: the Flax module and its parameters.
      batch_stats: its running statistics, {} where it has none.
      info: JSON values saved beside the weights.
      skeleton: joints of input and output.
      normaliser: how pixels become the network's input.
      fps: frames a second of the training motion; None where unknown or mixed.
    """

    def __init__(
        self,
        network: Network,
        params: Mapping[str, Any],
        info: Mapping[str, Any] | None = None,
        batch_size: int = 16,
        batch_stats: Mapping[str, Any] | None = None,
    ) -> None:
        """Wraps a network.

        Args:
          network: see `build_network`.
          params: `{"backbone": ..., "head": ...}`; of a network for another task its backbone and
            its passenger pose head are meant.
          info: what the checkpoint says about itself.
          batch_size: most clips computed at once; more are cut into batches.
          batch_stats: running statistics of backbones with batch normalisation.

        Raises:
          ValueError: parameters of another network, or a batch size below 1.
        """
        if batch_size < 1:
            raise ValueError(f"got batch_size={batch_size}, expected 1 or more")
        variables = {"params": dict(params), "batch_stats": dict(batch_stats or {})}
        _check_variables(network, variables)
        self.network, self._variables = network, jax.device_put(variables)
        self.params, self.batch_stats = self._variables["params"], self._variables["batch_stats"]
        self.info, self.batch_size = dict(info or {}), batch_size
        self.skeleton = skeleton_of(self.info.get("skeleton", H36M17.name))
        joints = network.backbone.num_joints  # pyright: ignore[reportAttributeAccessIssue]
        if joints != self.skeleton.num_joints:
            raise ValueError(
                f"got a network of {joints} joints, expected the {self.skeleton.num_joints} of "
                f"{self.skeleton.name}, which its weights are said to be of"
            )
        self.normaliser = Normaliser(**self.info.get("normaliser", {}))
        fps = self.info.get("fps")
        self.fps: float | None = None if fps is None or isinstance(fps, list) else float(fps)
        self._represent = jax.jit(partial(_represent, network))
        self._lift = jax.jit(partial(_lift, network))
        self._lift_flipped = jax.jit(partial(_lift_flipped, network, self.skeleton))
        self._fusion = jax.jit(partial(_fusion, network))

    @property
    def maxlen(self) -> int:
        """Most frames of a clip."""
        return self.network.backbone.maxlen  # pyright: ignore[reportAttributeAccessIssue]

    def represent(self, motion: np.ndarray) -> np.ndarray:
        """Motion representation E, after tanh.

        Args:
          motion: [B, T, J, 3] (or any leading axes) normalised x, y, confidence; T <= maxlen.

        Returns:
          [B, T, J, dim_rep] float32.

        Raises:
          ValueError: a shape this model cannot take, or values that are not finite.
        """
        return self.run(self._represent, motion)

    def lift(self, motion: np.ndarray, flip: bool = False) -> np.ndarray:
        """3D pose of 2D motion.

        Args:
          motion: as for `represent`.
          flip: averages with the un-mirrored pose of the mirrored motion, as the official
            evaluation does; twice the time.

        Returns:
          [B, T, J, 3] float32, root-relative as trained, in the input's normalised unit.
        """
        return self.run(self._lift_flipped if flip else self._lift, motion)

    def fusion_weights(self, motion: np.ndarray) -> np.ndarray:
        """How much of each stream every level takes (paper eq. 5).

        Returns:
          [depth, B, T, J, 2], index 0 the spatial-first stream; the last axis sums to one.

        Raises:
          ValueError: a design without fusion.
        """
        design: str = self.network.backbone.design  # pyright: ignore[reportAttributeAccessIssue]
        if design not in ("adaptive", "parallel"):
            raise ValueError(f"got design {design!r}, expected one with fusion weights")
        # The levels ride behind the batch axis, which is the one that is cut into batches.
        return np.moveaxis(self.run(self._fusion, motion), -4, 0)

    def run(self, function: Function, motion: np.ndarray, axes: int = 3) -> np.ndarray:
        """Applies a jitted function in batches of few different sizes.

        Args:
          function: of the network's variables and clips [B, ...], giving one array [B, ...].
          motion: as for `represent`; [B, M, T, J, 3] for heads that see M people.
          axes: of a clip: 3, or 4 with people.
        """
        motion = np.asarray(motion, np.float32)
        if motion.ndim < axes:
            raise ValueError(f"got motion of shape {motion.shape}, expected [B, T, J, 3]")
        if not np.isfinite(motion).all():
            raise ValueError(
                "got NaN or infinity in motion, expected numbers; do set x, y and confidence of "
                "missing joints to 0"
            )
        clips = motion.reshape(-1, *motion.shape[-axes:])
        rows = list(self._batches(function, clips)) or [self._nothing(function, clips)]
        joined = np.concatenate(rows)
        return joined.reshape(*motion.shape[:-axes], *joined.shape[1:])

    def _batches(self, function: Function, clips: np.ndarray) -> Iterator[np.ndarray]:
        """Results in order; one batch is fetched while the device computes the next."""
        waiting = deque()
        for start in range(0, len(clips), self.batch_size):
            batch = clips[start : start + self.batch_size]
            waiting.append((function(self._variables, self._padded(batch)), len(batch)))
            if len(waiting) > 1:
                yield _fetch(*waiting.popleft())
        while waiting:
            yield _fetch(*waiting.popleft())

    def _padded(self, batch: np.ndarray) -> np.ndarray:
        """Rounds a batch up to 1, 2, 4, ... clips, so that few programs are compiled."""
        size = min(1 << (len(batch) - 1).bit_length(), self.batch_size)
        return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.float32)])

    def _nothing(self, function: Function, clips: np.ndarray) -> np.ndarray:
        shape = jax.eval_shape(function, self._variables, clips[:0]).shape
        return np.zeros(shape, np.float32)


def load(
    path: str | Path = STARTER, batch_size: int = 16, head: str = "pose", **overrides: Any
) -> Model:
    """Loads a model.

    Args:
      path: a workdir of ours (its best checkpoint, else its last), or a PyTorch or safetensors
        file, whose sizes are read from its shapes, which may lie on the hub
        (`hf://owner/repo/file`); by default the weights in the package. A file
        `<its stem>.calibration.json` beside it (`lift.calibration`) becomes `info["calibration"]`.
      batch_size: most clips computed at once.
      head: "pose", which networks for other tasks carry along; else the checkpoint's own ("action",
        "mesh", ...), whose answers `Model.run` gives.
      **overrides: fields of `config.model` that do not change the parameters: `dtype`,
        `attention`, `scan_layers`. `num_heads` (default 8) and `norm` (default "pre") of PyTorch
        files of others, which no shape tells.

    Raises:
      ValueError: no weights there, weights of something else, or overrides that do not fit them.
    """
    if not (Path(path).exists() or is_torch_path(path)):
        raise ValueError(f"got {str(path)!r}, expected a workdir or a PyTorch file; do check it")
    variables, info = read_any(path, overrides.get("num_heads"))
    params, batch_stats = dict(variables["params"]), dict(variables["batch_stats"])
    settings = {}
    if head != "pose":
        settings = dict(info.get("head") or {"name": "pose"})
        if (own := settings.pop("name")) != head:
            raise ValueError(f"{path}: got a network with the head {own!r}, expected {head!r}")
    elif "pose" in params:  # of another task: with the pose head that it was pretrained with
        params["head"] = params.pop("pose")
        batch_stats.pop("head", None)
    model = {**info["model"], **overrides}
    info = {**info, "model": model}
    beside = Path(path).with_suffix(".calibration.json")
    if beside.is_file():
        info["calibration"] = json.loads(beside.read_text())
    network = build_network(model, head, settings)
    return Model(network, params, info, batch_size, batch_stats)


def _represent(network: Network, variables: Any, motion: jax.Array) -> jax.Array:
    outputs: Any = network.apply(variables, motion, method=network.represent)
    return outputs.astype(jnp.float32)


def _lift(network: Network, variables: Any, motion: jax.Array) -> jax.Array:
    outputs: Any = network.apply(variables, motion)
    return outputs["pose"].astype(jnp.float32)


def _lift_flipped(
    network: Network, skeleton: Skeleton, variables: Any, motion: jax.Array
) -> jax.Array:
    run = jax.jit(partial(_lift, network))  # traced once for both, which saves a start its time
    mirrored = run(variables, geometry.flip(motion, skeleton, jnp))
    return (run(variables, motion) + geometry.flip(mirrored, skeleton, jnp)) / 2


def _fusion(network: Network, variables: Any, motion: jax.Array) -> jax.Array:
    _, seen = network.apply(variables, motion, mutable="intermediates", method=network.represent)
    seen = dict(seen)
    return jnp.moveaxis(fusion_weights(seen["intermediates"]["backbone"]), 0, 1)


def _fetch(result: jax.Array, clips: int) -> np.ndarray:
    return np.asarray(result)[:clips]


def _check_variables(network: Network, variables: Mapping[str, Any]) -> None:
    """Raises ValueError naming the first variable that this network has otherwise."""
    shapes = variable_shapes(network)
    for collection in ("params", "batch_stats"):
        expected, got = _shapes(shapes[collection]), _shapes(variables[collection])
        for name in sorted(expected.keys() | got.keys()):
            want, have = expected.get(name, "nothing"), got.get(name, "nothing")
            if want != have:
                raise ValueError(
                    f"got weights with {have} at {name}, expected {want}; "
                    "do check the model's options"
                )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree.leaves_with_path(dict(tree))
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(x) for path, x in leaves
    }
