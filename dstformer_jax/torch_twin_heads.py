"""Twins of the heads in plain PyTorch, with the official parameter names.

Axes: B clips, M people, T frames, J joints, C channels of E, K classes, S shape coefficients.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dstformer_jax.body.smoothing import savitzky_golay
from dstformer_jax.torch_twin import DSTformer, twin_fields, with_weights  # names a missing PyTorch

# isort: split
import torch
from torch import nn

Outputs = dict[str, torch.Tensor]


class ActionHead(nn.Module):
    """Class scores [B, K] of E [B, M, T, J, C]; without a hidden layer a linear probe."""

    def __init__(self, inputs: int, classes: int, hidden: int) -> None:
        super().__init__()
        if hidden:
            self.bn = nn.BatchNorm1d(hidden)
            self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden or inputs, classes)

    def forward(self, representation: torch.Tensor) -> Outputs:
        pooled = pool(representation)
        if hasattr(self, "fc1"):
            pooled = self.bn(self.fc1(pooled)).relu()
        return {"action": self.fc2(pooled)}


class EmbeddingHead(nn.Module):
    """Unit vectors of E [B, M, T, J, C]."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)

    def forward(self, representation: torch.Tensor) -> Outputs:
        return {"embedding": nn.functional.normalize(self.fc1(pool(representation)), dim=-1)}


class MeshHead(nn.Module):
    """Rotations [B, T, bones, 3, 3] and shape [B, T, S] of E [B, T, J, C]."""

    def __init__(self, inputs: int, bones: int, shapes: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("init_pose", torch.zeros(1, 6 * bones))
        self.register_buffer("init_shape", torch.zeros(1, shapes))
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(inputs, hidden)
        self.bn1, self.bn2 = nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)
        self.head_pose = nn.Linear(hidden, 6 * bones)
        self.head_shape = nn.Linear(hidden, shapes)

    def forward(self, representation: torch.Tensor) -> Outputs:
        features = representation.flatten(2)
        pose = self.head_pose(over_rows(self.bn1, self.fc1(features)).relu())
        shape = self.head_shape(self.bn2(self.fc2(features.mean(1))).relu()) + self.init_shape
        shape = shape[:, None].expand(-1, features.shape[1], -1)
        return {"turns": turns_of(pose + self.init_pose), "beta": shape}


class Refiner(nn.Module):
    """A given prediction (6D and shape) and E [B, T, J, C] -> as MeshHead; convolutions."""

    def __init__(self, inputs: int, bones: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Conv1d(6 * bones, hidden, 5, padding=2)
        self.bn1, self.bn2 = nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)
        self.head_pose = nn.Conv1d(2 * hidden, 6 * bones, 5, padding=2)

    def forward(
        self, representation: torch.Tensor, initial: torch.Tensor, initial_beta: torch.Tensor
    ) -> Outputs:
        seen = over_rows(self.bn1, self.fc1(representation.flatten(2))).relu()
        before = self.bn2(self.fc2(initial.mT)).relu()  # [B, channels, T], as PyTorch convolves
        residual = self.head_pose(torch.cat([seen.mT, before], dim=1)).mT
        return {"turns": turns_of(initial + residual), "beta": initial_beta}


class MlpRefiner(nn.Module):
    """As Refiner, by hidden layers that see `span` frames of the given pose; `smooth` follows."""

    def __init__(
        self, inputs: int, bones: int, shapes: int, hidden: int, span: int, smooth: int
    ) -> None:
        super().__init__()
        self.span, self.numbers, self.smooth = span, 6 * bones, smooth
        self.fc1 = nn.Linear(inputs + span * 6 * bones + shapes, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.bn1, self.bn2 = nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)
        self.residual = nn.Linear(hidden, 6 * bones + shapes)

    def forward(
        self, representation: torch.Tensor, initial: torch.Tensor, initial_beta: torch.Tensor
    ) -> Outputs:
        half, frames = self.span // 2, initial.shape[1]
        near = torch.arange(frames)[:, None] + torch.arange(-half, half + 1)
        around = initial[:, near.clamp(0, frames - 1)].flatten(2)
        hidden = torch.cat([representation.flatten(2), around, initial_beta], dim=-1)
        hidden = over_rows(self.bn1, self.fc1(hidden)).relu()
        hidden = over_rows(self.bn2, self.fc2(hidden)).relu()
        pose, shape = self.residual(hidden).tensor_split([self.numbers], dim=-1)
        refined = initial + pose
        if self.smooth:
            filtered = savitzky_golay(np.eye(frames), self.smooth)
            refined = torch.as_tensor(filtered, dtype=refined.dtype) @ refined
        turns = turns_of(refined)
        one = (initial_beta + shape).mean(1, keepdim=True)
        return {"turns": turns, "beta": one.expand_as(initial_beta)}


class Finetuned(nn.Module):
    """A pretrained DSTformer, its pose head unused inside, and a head."""

    def __init__(self, backbone: DSTformer, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, motion: torch.Tensor, **inputs: torch.Tensor) -> Outputs:
        """The head's outputs and "representation" of motion [B, (M,) T, J, 3]."""
        clips = motion.flatten(0, -4)
        representation = self.backbone.represent(clips).unflatten(0, motion.shape[:-3])
        return {**self.head(representation, **inputs), "representation": representation}


def build_head(settings: Mapping[str, Any], inputs: int) -> nn.Module:
    """The twin of a head by its name and settings; `inputs` is joints * channels of E."""
    name, hidden = settings["name"], settings["hidden"]
    if name == "action":
        return ActionHead(inputs, settings["classes"], hidden)
    if name == "embedding":
        return EmbeddingHead(inputs, hidden)
    bones, shapes = settings["bones"], settings["shapes"]
    if name == "mesh":
        return MeshHead(inputs, bones, shapes, hidden)
    if settings["form"] == "conv":
        return Refiner(inputs, bones, hidden)
    return MlpRefiner(inputs, bones, shapes, hidden, settings["span"], settings.get("smooth", 0))


def build_finetuned(
    model: Mapping[str, Any], head: Mapping[str, Any], state_dict: Mapping[str, np.ndarray]
) -> Finetuned:
    """As `build_twin`, of a network with another head than the pose head."""
    backbone = DSTformer(**twin_fields(model))
    inputs = backbone.pos_embed.shape[1] * backbone.head.in_features
    return with_weights(Finetuned(backbone, build_head(head, inputs)), state_dict)


def pool(representation: torch.Tensor) -> torch.Tensor:
    """Mean over frames and people, joints side by side: [B, M, T, J, C] -> [B, J * C]."""
    return representation.mean(2).flatten(2).mean(1)


def over_rows(norm: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """Batch normalisation of every frame of [B, T, C]."""
    return norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def turns_of(six: torch.Tensor) -> torch.Tensor:
    """Rotations of their first two columns, interleaved: [..., 6 * bones] -> [..., bones, 3, 3]."""
    columns = six.unflatten(-1, (-1, 3, 2))
    first = nn.functional.normalize(columns[..., 0], dim=-1, eps=1e-6)
    along = (first * columns[..., 1]).sum(-1, keepdim=True)
    second = nn.functional.normalize(columns[..., 1] - along * first, dim=-1, eps=1e-6)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
