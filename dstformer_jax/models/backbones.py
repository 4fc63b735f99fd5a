"""The backbones by name, and how `config.model` becomes one of them.

All have the same interface: `x [..., T, J, 3] -> E [..., T, J, dim_rep]`, called as
`backbone(x, deterministic=True, axis_name=None)`, with the attributes num_joints, maxlen,
dim_rep, dtype and initialiser.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from dstformer_jax.models import dstformer, poseformer, tcn

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
DEFAULT = "dstformer"
POSITIVE = ("dim_feat", "dim_rep", "depth", "num_heads", "mlp_ratio", "num_joints", "maxlen")
RATES = ("dropout", "attention_dropout", "drop_path")


class Kind(NamedTuple):
    """One architecture: its module, its fields by size name, its operations for T frames."""

    module: type[nn.Module]
    sizes: Mapping[str, Mapping[str, Any]]
    flops: Callable[[Any, int], int]


BACKBONES = {
    DEFAULT: Kind(
        dstformer.DSTformer,
        {name: dataclasses.asdict(size) for name, size in dstformer.SIZES.items()},
        dstformer.encoder_flops,
    ),
    "tcn": Kind(tcn.TCN, tcn.SIZES, tcn.encoder_flops),
    "poseformer": Kind(poseformer.PoseFormer, poseformer.SIZES, poseformer.encoder_flops),
}


def build_backbone(model: Mapping[str, Any]) -> nn.Module:
    """The backbone of `config.model`.

    Args:
      model: `backbone` (default "dstformer"), a `size` name (full, lite, starter, small, demo)
        and any field of that backbone, which overrides the size; `dtype` is "float32" or
        "bfloat16". None means: as the size or the backbone says.

    Raises:
      ValueError: an unknown key, backbone or size, or a field of another backbone.
    """
    return BACKBONES[_name(model)].module(**backbone_fields(model))


def backbone_fields(model: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the backbone's module that `config.model` means."""
    name = _name(model)
    kind, fields = BACKBONES[name], _given(model)
    size = fields.pop("size", None)
    if size is not None and size not in kind.sizes:
        raise ValueError(f"got model.size={size!r}, expected one of {sorted(kind.sizes)}")
    if "init" in fields:  # Flax modules have a method of that name
        fields["initialiser"] = fields.pop("init")
    valid = _fields_of(kind.module)
    for field in sorted(set(fields) - valid.keys()):
        _check_foreign(name, field, fields.pop(field), sorted(valid))
    dtype = fields.get("dtype", "float32")
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise ValueError(f"got model.dtype={dtype!r}, expected one of {sorted(DTYPES)}")
        fields["dtype"] = DTYPES[dtype]
    fields = {**(kind.sizes[size] if size else {}), **fields}
    _check_numbers(fields)
    return fields


def forward_flops(backbone: Any, frames: int, dim_out: int = 3) -> int:
    """Floating-point operations of one forward pass of one clip (multiply-add counts two).

    Backbone and a linear head of every joint. The closed formulas count matrix products: linear
    layers and the two products of attention. Element-wise work (about 2 %) is left out, as in
    usual MFU figures.
    """
    kind = next(kind for kind in BACKBONES.values() if isinstance(backbone, kind.module))
    head = 2 * frames * backbone.num_joints * backbone.dim_rep * dim_out
    return kind.flops(backbone, frames) + head


def _name(model: Mapping[str, Any]) -> str:
    name = model.get("backbone") or DEFAULT
    if name not in BACKBONES:
        raise ValueError(f"got model.backbone={name!r}, expected one of {sorted(BACKBONES)}")
    return name


def _given(model: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with a value; placeholders left at None mean: as the size or the backbone says."""
    return {key: x for key, x in model.items() if x is not None and key != "backbone"}


def _fields_of(module: type[nn.Module]) -> dict[str, Any]:
    """Names and defaults of a module's fields."""
    fields = dataclasses.fields(module)  # pyright: ignore[reportArgumentType]
    return {f.name: f.default for f in fields if f.name not in ("parent", "name")}


def _check_numbers(fields: Mapping[str, Any]) -> None:
    """Raises ValueError for sizes that make no network and rates that are none."""
    for name in POSITIVE:
        if not fields.get(name, 1) > 0:
            raise ValueError(f"got model.{name}={fields[name]}, expected more than 0")
    for name in RATES:
        if not 0 <= fields.get(name, 0) < 1:
            raise ValueError(f"got model.{name}={fields[name]}, expected 0 <= rate < 1")


def _check_foreign(backbone: str, field: str, value: Any, valid: list[str]) -> None:
    """Lets a field of DSTformer pass only at the value that every config starts with."""
    standard = _fields_of(dstformer.DSTformer)
    if field not in standard:
        raise ValueError(f"got model.{field}, expected one of {valid}")
    if value != standard[field]:
        raise ValueError(
            f"got model.{field}={value!r} for the backbone {backbone!r}, which has no such "
            f"option, expected some of {valid}; do leave it out, or name the backbone as a "
            f"variant of the config file (`pretrain.py:mocap,{backbone}`)"
        )
