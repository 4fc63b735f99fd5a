"""DSTformer in plain PyTorch with the official parameter names: the other side of comparisons.

PyTorch is optional: this module and torch_twin_heads alone need it. Written for reading,
not for training. Axes: B clips, T frames, J joints, C channels, H heads, D channels of a head.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError(
        "got no PyTorch, expected it for the PyTorch twin; do install a CPU build of torch"
    ) from error

LAYER_NORM_EPSILON = 1e-6
# The blocks of each design of the paper's Table 7. A block is named by the halves that it runs,
# in their order: "st" is spatial, then temporal.
BLOCKS = {
    "st": ("st",),
    "ts": ("ts",),
    "parallel": ("s", "t"),
    "one_mlp": ("st",),
    "average": ("st", "ts"),
    "adaptive": ("st", "ts"),
}


class Attention(nn.Module):
    """Self-attention over joints ("s") or over frames ("t"). [B, T, J, C] -> [B, T, J, C].

    `fused`, when set, leaves products and softmax to PyTorch's own kernel (for benchmarks).
    """

    fused = False

    def __init__(self, channels: int, num_heads: int, half: str) -> None:
        super().__init__()
        self.num_heads, self.spatial = num_heads, half == "s"
        inner = num_heads * (channels // num_heads)
        self.proj = nn.Linear(inner, channels)
        self.qkv = nn.Linear(channels, 3 * inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The attended axis comes second to last: [B, T, H, J, D] or [B, J, H, T, D].
        order = (0, 1, 3, 2, 4) if self.spatial else (0, 2, 3, 1, 4)
        back = (0, 1, 3, 2, 4) if self.spatial else (0, 3, 1, 2, 4)
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).permute(order)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        if self.fused:
            # Of four axes: with five it takes no fused kernel, and compiled ones answer wrongly.
            flat = (part.flatten(0, 1) for part in (query, key, value))
            mixed = nn.functional.scaled_dot_product_attention(*flat)
            mixed = mixed.unflatten(0, query.shape[:2])
        else:
            logits = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
            mixed = logits.softmax(dim=-1) @ value
        return self.proj(mixed.permute(back).flatten(-2))


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """One level of one stream: a spatial half, a temporal half, or both in a given order."""

    def __init__(
        self, halves: str, channels: int, num_heads: int, hidden: int, one_mlp: bool, norm: str
    ) -> None:
        super().__init__()
        self.halves, self.pre_norm = halves, norm == "pre"
        self.with_mlp = halves[-1] if one_mlp else halves
        # Sorted ("s" before "t") and by kind, which is the order of keys in official files.
        for half in sorted(halves):
            self.add_module(f"norm1_{half}", nn.LayerNorm(channels, LAYER_NORM_EPSILON))
        for half in sorted(halves):
            self.add_module(f"attn_{half}", Attention(channels, num_heads, half))
        for half in sorted(self.with_mlp):
            self.add_module(f"norm2_{half}", nn.LayerNorm(channels, LAYER_NORM_EPSILON))
        for half in sorted(self.with_mlp):
            self.add_module(f"mlp_{half}", Mlp(channels, hidden))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for half in self.halves:
            x = self._residual(x, f"norm1_{half}", f"attn_{half}")
            if half in self.with_mlp:
                x = self._residual(x, f"norm2_{half}", f"mlp_{half}")
        return x

    def _residual(self, x: torch.Tensor, norm: str, branch: str) -> torch.Tensor:
        normalise, transform = self.get_submodule(norm), self.get_submodule(branch)
        return x + transform(normalise(x)) if self.pre_norm else normalise(x + transform(x))


class PreLogits(nn.Module):
    """Linear and tanh: the motion representation."""

    def __init__(self, channels: int, dim_rep: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, dim_rep)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).tanh()


class DSTformer(nn.Module):
    """Dual-stream spatio-temporal transformer with the pose head, as one module.

    Arguments as `dstformer_jax.models.dstformer.DSTformer`; only what changes the result.

    Source: MotionBERT, ICCV 2023, sec. 3.2; parameter names of the official release.
    """

    def __init__(
        self,
        dim_feat: int = 512,
        dim_rep: int = 512,
        depth: int = 5,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
        num_joints: int = 17,
        maxlen: int = 243,
        design: str = "adaptive",
        norm: str = "pre",
    ) -> None:
        super().__init__()
        self.design, self.depth = design, depth
        self.temp_embed = nn.Parameter(torch.zeros(1, maxlen, 1, dim_feat))
        self.pos_embed = nn.Parameter(torch.zeros(1, num_joints, dim_feat))
        self.joints_embed = nn.Linear(3, dim_feat)
        hidden, one_mlp = int(dim_feat * mlp_ratio), design == "one_mlp"
        for kind in BLOCKS[design]:
            blocks = [Block(kind, dim_feat, num_heads, hidden, one_mlp, norm) for _ in range(depth)]
            self.add_module(f"blocks_{kind}", nn.ModuleList(blocks))
        self.norm = nn.LayerNorm(dim_feat, LAYER_NORM_EPSILON)
        self.pre_logits = PreLogits(dim_feat, dim_rep)
        self.head = nn.Linear(dim_rep, 3)
        if design in ("parallel", "adaptive"):
            self.ts_attn = nn.ModuleList(nn.Linear(2 * dim_feat, 2) for _ in range(depth))
        self._initialise()

    def _initialise(self) -> None:
        """Official: weights and embeddings N(0, 0.02), biases 0, fusion 0 with biases 0.5."""
        for key, parameter in self.named_parameters():
            if key.startswith("ts_attn"):
                nn.init.constant_(parameter, 0.5 if key.endswith("bias") else 0.0)
            elif key.endswith("embed") or parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
            elif "norm" not in key:
                nn.init.zeros_(parameter)

    def forward(self, motion: torch.Tensor) -> torch.Tensor:
        """3D pose [B, T, J, 3] of motion [B, T, J, 3] (x, y, confidence)."""
        return self.head(self.represent(motion))

    def represent(self, motion: torch.Tensor) -> torch.Tensor:
        """Motion representation E [B, T, J, dim_rep] of motion [B, T, J, 3]."""
        x = self.joints_embed(motion) + self.pos_embed[:, None]
        x = x + self.temp_embed[:, : motion.shape[1]]
        for level in range(self.depth):
            x = self._fuse(level, [block(x) for block in self._blocks(level)])
        return self.pre_logits(self.norm(x))

    def _blocks(self, level: int) -> list[nn.Module]:
        return [self.get_submodule(f"blocks_{kind}.{level}") for kind in BLOCKS[self.design]]

    def _fuse(self, level: int, streams: list[torch.Tensor]) -> torch.Tensor:
        """One stream as it is, two averaged or blended by paper eq. 5."""
        if len(streams) == 1:
            return streams[0]
        first, second = streams
        if self.design == "average":
            return (first + second) * 0.5
        alpha = self.ts_attn[level](torch.cat(streams, dim=-1)).softmax(dim=-1)
        return first * alpha[..., :1] + second * alpha[..., 1:]


TWIN_FIELDS = (
    "dim_feat",
    "dim_rep",
    "depth",
    "num_heads",
    "mlp_ratio",
    "num_joints",
    "maxlen",
    "design",
    "norm",
)


def build_twin(model: Mapping[str, Any], state_dict: Mapping[str, np.ndarray]) -> DSTformer:
    """The twin of a model of ours, with given weights.

    Args:
      model: fields of our DSTformer; those that only change execution are ignored.
      state_dict: arrays under official keys, as `convert.to_torch` returns them.

    Raises:
      RuntimeError: from PyTorch, keys or shapes that do not fit.
    """
    return with_weights(DSTformer(**twin_fields(model)), state_dict)


def twin_fields(model: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of our DSTformer that the twin has."""
    return {key: model[key] for key in TWIN_FIELDS if key in model}


Twin = TypeVar("Twin", bound=nn.Module)


def with_weights(twin: Twin, state_dict: Mapping[str, np.ndarray]) -> Twin:
    """The twin with given weights, as in evaluation."""
    twin.load_state_dict({key: torch.from_numpy(np.array(x)) for key, x in state_dict.items()})
    return twin.eval()
