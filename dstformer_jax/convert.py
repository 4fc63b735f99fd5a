"""Our parameters <-> PyTorch's by the weight table, and the command that converts checkpoints.

python -m dstformer_jax.convert --input=runs/mocap --output=mocap.bin --compare
python -m dstformer_jax.convert --input=official.bin --output=runs/official
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from einops import parse_shape, rearrange

from dstformer_jax.torch_files import is_torch_path, read_torch_file, unwrap, write_torch_file
from dstformer_jax.weight_table import DESIGNS, Row, weight_table

Params = dict[str, Any]
KEPT_INFO = ("model", "task", "skeleton", "fps", "normaliser", "root", "step")


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


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The bare state_dict of a PyTorch or safetensors file; nothing in it is executed."""
    return read_torch_file(path)[0]


def read_with_info(
    path: str | Path, num_heads: int | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A PyTorch file's state_dict and what is known about it: `info["model"]` and more.

    Files that we wrote say it themselves; of others the sizes are inferred and the rest is as in
    the official code, whose in-the-wild script crops to the person; `info["inferred"]` says so.
    """
    state_dict, info = read_torch_file(path)
    if "model" not in info:
        info = {
            "model": infer_config(state_dict, num_heads),
            "task": {"name": "lift3d"},
            "skeleton": "h36m17",
            "normaliser": {"mode": "crop"},
            "inferred": True,
        }
    return state_dict, info


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


def read_any(path: str, num_heads: int | None = None) -> tuple[Params, dict[str, Any]]:
    """Parameters and info of a workdir of ours or of a PyTorch file."""
    if is_torch_path(path):
        state_dict, info = read_with_info(path, num_heads)
        return from_torch(state_dict), info
    from dstformer_jax.training.checkpoint import restore_params

    variables, info = restore_params(path)
    return variables["params"], info


def write_any(path: str, params: Params, info: Mapping[str, Any], plain: bool = False) -> None:
    """Writes a PyTorch file, or a workdir that `init_from` and `load` take."""
    kept = {key: info[key] for key in KEPT_INFO if key in info}
    if is_torch_path(path):
        return write_torch_file(path, to_torch(params), kept, plain)
    from dstformer_jax.training.checkpoint import Checkpoints, has_checkpoint

    if has_checkpoint(path):
        raise ValueError(f"got output {path!r}, which holds a run; do give a new folder")
    state = {"step": np.int32(0), "params": params, "batch_stats": {}}
    with Checkpoints(path) as checkpoints:
        checkpoints.save(0, state, {**kept, "weights_only": True})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code."""
    parser = argparse.ArgumentParser("python -m dstformer_jax.convert", description=__doc__)
    parser.add_argument("--input", required=True, help="folder: ours; .bin .pth .pt .safetensors")
    parser.add_argument("--output", required=True, help="as --input; the ending decides")
    parser.add_argument("--plain", action="store_true", help="bare keys instead of model_pos")
    parser.add_argument("--compare", action="store_true", help="runs the PyTorch twin beside ours")
    parser.add_argument("--num_heads", type=int, help="of a PyTorch file (default 8)")
    flags = parser.parse_args(arguments)
    try:
        convert(flags)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def convert(flags: argparse.Namespace) -> None:
    """Reads, says what it found, writes, and compares when asked to."""
    if not is_torch_path(flags.input) and not is_torch_path(flags.output):
        raise ValueError("got two folders, expected a .bin, .pth, .pt or .safetensors on one side")
    if flags.compare:
        from dstformer_jax.compare import compare  # without PyTorch it fails before any work
    params, info = read_any(flags.input, flags.num_heads)
    count = sum(x.size for x in _flatten(params).values())
    print(f"{flags.input}: {count:,} parameters, {info['model']}")
    if info.get("inferred") and flags.num_heads is None:
        print("num_heads = 8 is assumed, since no shape tells it; --num_heads=N changes it")
    write_any(flags.output, params, info, flags.plain)
    print(f"wrote {flags.output}")
    if flags.compare:
        written, _ = read_any(flags.output, info["model"].get("num_heads"))
        for name, difference in compare(written, info["model"]).items():
            print(f"largest difference of {name}: {difference}")


if __name__ == "__main__":
    sys.exit(main())
