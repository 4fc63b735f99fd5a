"""Our parameters <-> PyTorch's, by one table, and the command that converts checkpoints.

A row of the table names a tensor here, the same tensor in the official files, and how the axes of
the official one become ours (an einops pattern). Both directions and the model's sizes are read
from the same row.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from einops import parse_shape, rearrange

Params = dict[str, Any]


class Row(NamedTuple):
    """One tensor: its name on both sides and the axes "theirs -> ours"."""

    ours: str
    theirs: str
    axes: str


FIRST = (
    Row("backbone/temp_embed", "temp_embed", "1 frames 1 feat -> frames feat"),
    Row("backbone/pos_embed", "pos_embed", "1 joints feat -> joints feat"),
    Row("backbone/joints_embed/kernel", "joints_embed.weight", "feat coords -> coords feat"),
    Row("backbone/joints_embed/bias", "joints_embed.bias", "feat -> feat"),
)
# `path` is where the half lives in our tree, `block` the list it belongs to in theirs, `h` the
# letter of the half. Official files list each kind of module for both halves before the next.
ATTENTION_NORM = (
    Row("{path}/norm_attention/scale", "{block}.norm1_{h}.weight", "feat -> feat"),
    Row("{path}/norm_attention/bias", "{block}.norm1_{h}.bias", "feat -> feat"),
)
ATTENTION = (
    Row("{path}/attention/proj/kernel", "{block}.attn_{h}.proj.weight", "feat inner -> inner feat"),
    Row("{path}/attention/proj/bias", "{block}.attn_{h}.proj.bias", "feat -> feat"),
    Row("{path}/attention/qkv/kernel", "{block}.attn_{h}.qkv.weight", "qkv feat -> feat qkv"),
    Row("{path}/attention/qkv/bias", "{block}.attn_{h}.qkv.bias", "qkv -> qkv"),
)
MLP_NORM = (
    Row("{path}/norm_mlp/scale", "{block}.norm2_{h}.weight", "feat -> feat"),
    Row("{path}/norm_mlp/bias", "{block}.norm2_{h}.bias", "feat -> feat"),
)
MLP = (
    Row("{path}/mlp/fc1/kernel", "{block}.mlp_{h}.fc1.weight", "hidden feat -> feat hidden"),
    Row("{path}/mlp/fc1/bias", "{block}.mlp_{h}.fc1.bias", "hidden -> hidden"),
    Row("{path}/mlp/fc2/kernel", "{block}.mlp_{h}.fc2.weight", "feat hidden -> hidden feat"),
    Row("{path}/mlp/fc2/bias", "{block}.mlp_{h}.fc2.bias", "feat -> feat"),
)
LAST = (
    Row("backbone/norm/scale", "norm.weight", "feat -> feat"),
    Row("backbone/norm/bias", "norm.bias", "feat -> feat"),
    Row("backbone/pre_logits/kernel", "pre_logits.fc.weight", "rep feat -> feat rep"),
    Row("backbone/pre_logits/bias", "pre_logits.fc.bias", "rep -> rep"),
    Row("head/dense/kernel", "head.weight", "out rep -> rep out"),
    Row("head/dense/bias", "head.bias", "out -> out"),
)
FUSION = (
    Row("{path}/fusion/weights/kernel", "ts_attn.{i}.weight", "streams both -> both streams"),
    Row("{path}/fusion/weights/bias", "ts_attn.{i}.bias", "streams -> streams"),
)


class Block(NamedTuple):
    """A list of blocks: its official name, where its halves live here, and which have an MLP."""

    name: str
    halves: tuple[str, ...]
    with_mlp: tuple[str, ...]


# Only "adaptive" and "average" exist in the official code; the others follow its naming, with
# `blocks_s` and `blocks_t` for blocks that hold one half alone.
BOTH = ("spatial", "temporal")
ST = Block("st", ("st/spatial", "st/temporal"), ("st/spatial", "st/temporal"))
TS = Block("ts", ("ts/spatial", "ts/temporal"), ("ts/spatial", "ts/temporal"))
DESIGNS = {
    "adaptive": (ST, TS),
    "average": (ST, TS),
    "st": (ST,),
    "ts": (TS,),
    "parallel": (Block("s", BOTH[:1], BOTH[:1]), Block("t", BOTH[1:], BOTH[1:])),
    "one_mlp": (ST._replace(with_mlp=("st/temporal",)),),
}
WITH_FUSION = ("adaptive", "parallel")
WRAPPERS = ("model_pos", "model", "state_dict")


def weight_table(design: str, depth: int) -> list[Row]:
    """Every tensor of a model, in the order of official files: 10 + 50 * depth rows if adaptive."""
    return [*FIRST, *_block_rows(design, depth), *LAST, *_fusion_rows(design, depth)]


def _block_rows(design: str, depth: int) -> Iterator[Row]:
    for block in DESIGNS[design]:
        for i in range(depth):
            for rows in (ATTENTION_NORM, ATTENTION, MLP_NORM, MLP):
                halves = block.with_mlp if rows in (MLP_NORM, MLP) else block.halves
                for half in halves:
                    letter = half.rpartition("/")[2][0]
                    names = {
                        "path": f"backbone/layer_{i}/{half}",
                        "block": f"blocks_{block.name}.{i}",
                        "h": letter,
                    }
                    yield from (_fill(row, names) for row in rows)


def _fusion_rows(design: str, depth: int) -> Iterator[Row]:
    if design in WITH_FUSION:
        for i in range(depth):
            names = {"path": f"backbone/layer_{i}", "i": str(i)}
            yield from (_fill(row, names) for row in FUSION)


def _fill(row: Row, names: Mapping[str, str]) -> Row:
    return Row(row.ours.format(**names), row.theirs.format(**names), row.axes)


def from_torch(state_dict: Mapping[str, Any]) -> Params:
    """Parameters `{"backbone": ..., "head": ...}` from an official state_dict.

    Args:
      state_dict: arrays or tensors by official key; `module.` prefixes and the wrapping keys of
        official files ("model_pos", "model", "state_dict") are taken off.

    Returns:
      Nested float32 numpy arrays. float32 weights are kept bit for bit.

    Raises:
      ValueError: names every unknown or missing key, or the first tensor of the wrong shape.
    """
    tensors = unwrap(state_dict)
    rows = _matching_table(set(tensors), "theirs")
    _check_shapes(rows, "theirs", tensors)
    nested: Params = {}
    for row in rows:
        *parents, leaf = row.ours.split("/")
        node = nested
        for name in parents:
            node = node.setdefault(name, {})
        node[leaf] = np.array(rearrange(_as_numpy(tensors[row.theirs]), row.axes), np.float32)
    return nested


def to_torch(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The official state_dict of our parameters, keys in official order.

    Args:
      params: `{"backbone": ..., "head": ...}`, nested arrays.

    Returns:
      Contiguous float32 arrays; `from_torch` of it gives the same parameters bit for bit.

    Raises:
      ValueError: names every unknown or missing parameter.
    """
    flat = _flatten(params)
    rows = _matching_table(set(flat), "ours")
    _check_shapes(rows, "ours", flat)
    converted = {}
    for row in rows:
        theirs, ours = row.axes.split(" -> ")
        moved = rearrange(np.asarray(flat[row.ours]), f"{ours} -> {theirs}")
        converted[row.theirs] = np.array(moved, np.float32, order="C")
    return converted


def infer_config(state_dict: Mapping[str, Any], num_heads: int | None = None) -> dict[str, Any]:
    """The fields of `config.model` that a state_dict determines.

    Args:
      state_dict: as for `from_torch`.
      num_heads: attention heads; no shape tells them. Default 8, as every official model.

    Raises:
      ValueError: unknown or missing keys, or shapes that `num_heads` does not explain.
    """
    tensors = unwrap(state_dict)
    rows = _matching_table(set(tensors), "theirs")
    sizes = _check_shapes(rows, "theirs", tensors)
    feat, hidden, inner = sizes["feat"], sizes["hidden"], sizes["inner"]
    heads = 8 if num_heads is None else num_heads
    if heads < 1 or heads * (feat // heads) != inner:
        raise ValueError(
            f"got num_heads={heads} for {inner} attention channels at width {feat}, expected "
            "heads * (width // heads) channels; do give num_heads"
        )
    ratio = hidden / feat if int(feat * (hidden / feat)) == hidden else (hidden + 0.5) / feat
    return {
        "dim_feat": feat,
        "dim_rep": sizes["rep"],
        "depth": _depth(set(tensors)),
        "num_heads": heads,
        "mlp_ratio": ratio,
        "num_joints": sizes["joints"],
        "maxlen": sizes["frames"],
        "design": _design_of(rows),
    }


def unwrap(content: Mapping[str, Any]) -> dict[str, Any]:
    """The bare state_dict inside what an official file holds."""
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            return unwrap(content[name])
    if content and all(key.startswith("module.") for key in content):
        return unwrap({key.removeprefix("module."): value for key, value in content.items()})
    return dict(content)


def _matching_table(names: set[str], side: str) -> list[Row]:
    """The table of the design whose names these are; it says what differs from the nearest one."""
    depth = _depth(names)
    tables = [weight_table(design, depth) for design in DESIGNS]
    differences = [{getattr(row, side) for row in table} ^ names for table in tables]
    nearest = min(range(len(tables)), key=lambda k: len(differences[k]))
    if not differences[nearest]:
        return tables[nearest]
    unknown = sorted(differences[nearest] & names)
    missing = sorted(differences[nearest] - names)
    raise ValueError(
        f"got {_listed('unknown', unknown)}{_listed('missing', missing)}expected the weights of a "
        f"DSTformer with a pose head (nearest design: {list(DESIGNS)[nearest]}, depth {depth})"
    )


def _listed(title: str, names: list[str]) -> str:
    return f"{title} keys {', '.join(names)}; " if names else ""


def _depth(names: set[str]) -> int:
    """Levels, from the numbers in names; more levels than names cannot be right."""
    levels = (re.match(r"(?:backbone/layer_|blocks_\w+\.|ts_attn\.)(\d+)\b", n) for n in names)
    depth = 1 + max((int(level[1]) for level in levels if level), default=0)
    if depth > len(names):
        raise ValueError(f"got a level {depth - 1} among {len(names)} tensors, expected 0, 1, ...")
    return depth


def _design_of(rows: list[Row]) -> str:
    return next(d for d in DESIGNS if weight_table(d, _depth({r.ours for r in rows})) == rows)


def _check_shapes(rows: list[Row], side: str, tensors: Mapping[str, Any]) -> dict[str, int]:
    """The size of each named axis; an axis has one size in the whole table."""
    sizes = {"coords": 3, "out": 3}
    for row in rows:
        name, shape = getattr(row, side), tuple(tensors[getattr(row, side)].shape)
        axes = row.axes.split(" -> ")[side == "ours"]
        try:
            found = parse_shape(np.broadcast_to(False, shape), axes)
        except RuntimeError as error:
            raise ValueError(f"got {name} of shape {shape}, expected ({axes})") from error
        for axis, size in found.items():
            if sizes.setdefault(axis, size) != size:
                raise ValueError(
                    f"got {name} of shape {shape}, expected ({axes}) with {axis} = {sizes[axis]}"
                )
        sizes.update({"both": 2 * sizes["feat"], "streams": 2})
        if "qkv" in sizes and "inner" in sizes and sizes["qkv"] != 3 * sizes["inner"]:
            raise ValueError(f"got {name} of shape {shape}, expected 3 * {sizes['inner']} rows")
    return sizes


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        flat |= (
            _flatten(value, f"{prefix}{name}/")
            if isinstance(value, Mapping)
            else {prefix + name: value}
        )
    return flat


def _as_numpy(tensor: Any) -> np.ndarray:
    """An array of a numpy array or of a torch tensor of any device and float type."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return np.asarray(tensor)
