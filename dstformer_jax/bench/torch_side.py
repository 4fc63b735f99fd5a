"""The programs of the other side: our plain PyTorch network, forward and in training.

The train step has the same losses and optimiser as ours; a test compares them step by step.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dstformer_jax.torch_twin import Attention, build_twin

# How PyTorch runs. "eager": attention by products and softmax, as the official code; "official":
# that in float32 whatever the other arms' type; "sdpa": its fused attention; "compiled": that and
# torch.compile.
WAYS = ("eager", "official", "sdpa", "compiled")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def device() -> str:
    """Where PyTorch runs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def use_one_thread() -> None:
    """Of a comparison on a CPU."""
    torch.set_num_threads(1)


def network(model: Mapping[str, Any], arrays: Mapping[str, np.ndarray], way: str) -> nn.Module:
    """The twin with given weights on the device.

    Args:
      model: fields of our DSTformer.
      arrays: weights under the official keys.
      way: one of WAYS.
    """
    twin = build_twin(model, arrays).to(device())
    for module in twin.modules():
        if isinstance(module, Attention):
            module.fused = way in ("sdpa", "compiled")
    return twin


def _casting(way: str, dtype: str) -> Any:
    if dtype == "float32" or way == "official":
        return nullcontext()
    return torch.autocast(device(), DTYPES[dtype])


def forward(twin: nn.Module, motion: np.ndarray, way: str, dtype: str) -> Callable[[], Tensor]:
    """A forward pass on a batch that is on the device."""
    twin.eval()
    run: Any = torch.compile(twin) if way == "compiled" else twin
    placed = torch.from_numpy(motion).to(device())

    def call() -> Tensor:
        with torch.inference_mode(), _casting(way, dtype):
            return run(placed)

    return call


def pose_loss(pred: Tensor, target: Tensor, weights: Mapping[str, float]) -> Tensor:
    """The losses of pretraining on 3D clips, [B, T, J, 3] each; see `tasks.losses`."""
    target = target - target[..., :1, :]
    square = (pred * pred).sum((-2, -1), keepdim=True)
    scale = (pred * target).sum((-2, -1), keepdim=True) / square
    moved = pred.diff(dim=1) - target.diff(dim=1)
    terms = {"mpjpe": pred - target, "n_mpjpe": scale * pred - target, "velocity": moved}
    parts = [weight * terms[name].norm(dim=-1).mean() for name, weight in weights.items()]
    return torch.stack(parts).sum()


class Training:
    """A train step; each call goes on from the weights that the last one left."""

    def __init__(
        self,
        twin: nn.Module,
        batch: Mapping[str, np.ndarray],
        way: str,
        dtype: str,
        weights: Mapping[str, float],
        optim: Mapping[str, Any],
    ) -> None:
        self.twin = twin.train()
        run: Any = torch.compile(twin) if way == "compiled" else twin
        self._run, self._cast = run, partial(_casting, way, dtype)
        self._motion, self._target = (
            torch.from_numpy(batch[name]).to(device()) for name in ("motion", "target")
        )
        self._weights = weights
        self._optimizer = torch.optim.AdamW(
            twin.parameters(), lr=optim["learning_rate"], weight_decay=optim["weight_decay"]
        )

    def __call__(self) -> Tensor:
        """One step; returns the loss before it."""
        self._optimizer.zero_grad(set_to_none=True)
        with self._cast():
            pred = self._run(self._motion)
        loss = pose_loss(pred.float(), self._target, self._weights)
        loss.backward()
        self._optimizer.step()
        return loss.detach()


def product(size: tuple[int, int, int], dtype: str) -> Callable[[], Tensor]:
    """A matrix product [m, k] x [k, n]."""
    m, k, n = size
    first, second = (
        torch.ones(shape, dtype=DTYPES[dtype], device=device()) for shape in ((m, k), (k, n))
    )
    return partial(torch.matmul, first, second)


def wait(value: Any) -> Any:
    """Returns when the device has computed everything that was started."""
    if device() == "cuda":
        torch.cuda.synchronize()
    return value
