"""Our variables <-> PyTorch's by the weight table, and the command that converts checkpoints.

python -m dstformer_jax.convert --input=runs/mocap --output=mocap.bin --compare
python -m dstformer_jax.convert --input=official.bin --output=runs/official
python -m dstformer_jax.convert --input=runs/mesh --output=mesh.bin --smpl=data/mesh
python -m dstformer_jax.convert --input=runs/starter --output=starter.safetensors --half
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange

from dstformer_jax.torch_files import is_torch_path, read_torch_file, unwrap, write_torch_file
from dstformer_jax.weight_match import axes_of, head_of, match, model_of, size_of
from dstformer_jax.weight_table import BODY, COUNTER, WITH_BODY, Row, weight_table

Params = dict[str, Any]
Variables = dict[str, Any]
KEPT_INFO = ("model", "head", "task", "classes", "body", "skeleton", "fps", "normaliser", "root")
KEPT_INFO += ("step", "trained_on", "clips")
# How a run computes, which its weights do not depend on: files of half precision go without.
DEPLOYED = {
    "dtype": "float32",
    "scan_layers": False,
    "remat": "none",
    "attention": "auto",
    "temporal_layout": "native",
}
TASKS = {
    "pose": "lift3d",
    "action": "action",
    "embedding": "oneshot",
    "mesh": "mesh",
    "refiner": "mesh",
}


# Clips as the official code has them (its configs of NTU RGB+D, Human3.6M and 3DPW).
CLIPS = {
    "action": {"frames": 243, "persons": 2, "crop": [2.0, 2.0]},
    "mesh": {"frames": 16},
}


def from_torch(state_dict: Mapping[str, Any]) -> Params:
    """Parameters `{"backbone": ..., "head": ...}` from an official state_dict.

    Args:
      state_dict: arrays or tensors by official key; `module.` prefixes and the wrapping keys of
        official files ("model_pos", "model", "state_dict") are taken off.

    Returns:
      Nested float32 numpy arrays. float32 weights are kept bit for bit. Networks with another head
      than the pose head have that one under "pose". See `variables_from_torch` for statistics.

    Raises:
      ValueError: names every unknown or missing key, or the first tensor of the wrong shape.
    """
    return variables_from_torch(state_dict)["params"]


def variables_from_torch(state_dict: Mapping[str, Any]) -> Variables:
    """As `from_torch`, with the statistics of batch normalisations: what a network takes.

    Returns:
      `{"params": ..., "batch_stats": ...}`. Counters of batches and the body of a mesh head
      (`head.smpl.*`) are left out.
    """
    tensors = unwrap(state_dict)
    found = match(tensors, "theirs")
    variables: Variables = {"params": {}, "batch_stats": {}}
    for row in found.rows:
        *parents, leaf = row.ours.split("/")
        node = variables[row.collection]
        for name in parents:
            node = node.setdefault(name, {})
        moved = _moved(row, _as_numpy(tensors[row.theirs]), found.sizes)
        node[leaf] = np.array(moved, np.float32)
    return variables


def to_torch(
    params: Mapping[str, Any], batch_stats: Mapping[str, Any] | None = None, batches: int = 0
) -> dict[str, np.ndarray]:
    """The official state_dict of our variables, keys in official order.

    Args:
      params: `{"backbone": ..., "head": ...}`, nested arrays; "pose" beside another head.
      batch_stats: statistics of networks with batch normalisation.
      batches: what the counters of batch normalisations say; nothing reads them.

    Returns:
      Contiguous float32 arrays (int64 counters); `variables_from_torch` of it gives the same
      variables bit for bit.

    Raises:
      ValueError: names every unknown or missing parameter.
    """
    flat = {**_flatten(params), **_flatten(batch_stats or {})}
    found = match(flat, "ours")
    converted = {}
    for row in weight_table(found.design, found.depth, found.head):
        if row.collection == COUNTER:
            converted[row.theirs] = np.array(batches, np.int64)
        else:
            moved = _moved(row, np.asarray(flat[row.ours]), found.sizes, back=True)
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
    return model_of(match(unwrap(state_dict), "theirs"), num_heads)


def infer_head(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The head of a state_dict: `{"name": "pose" | "action" | "embedding" | "mesh" | "refiner"}`
    and those of its settings that shapes tell (classes, hidden, bones, shapes, ...).
    """
    return head_of(match(unwrap(state_dict), "theirs"))


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The bare state_dict of a PyTorch or safetensors file; nothing in it is executed."""
    return read_torch_file(path)[0]


def read_with_info(
    path: str | Path, num_heads: int | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A PyTorch file's state_dict and what is known about it: `info["model"]`, `info["head"]`...

    Files that we wrote say it themselves; of others the sizes are inferred and the rest is as in
    the official code, whose in-the-wild script crops to the person; `info["inferred"]` says so.
    """
    state_dict, info = read_torch_file(path)
    if "model" not in info:
        info = {
            "model": infer_config(state_dict, num_heads),
            "skeleton": "h36m17",
            "normaliser": {"mode": "crop"},
            "inferred": True,
        }
    if "head" not in info:
        info["head"] = infer_head(state_dict)
    if info.get("inferred") and info["head"]["name"] in CLIPS:
        info["clips"] = CLIPS[info["head"]["name"]]
    info.setdefault("task", {"name": TASKS[info["head"]["name"]]})
    return state_dict, info


def read_any(path: str | Path, num_heads: int | None = None) -> tuple[Variables, dict[str, Any]]:
    """Variables `{"params", "batch_stats"}` and info of a workdir of ours or of a PyTorch file,
    here or on the hub.
    """
    if is_torch_path(path) or Path(path).is_file():
        state_dict, info = read_with_info(path, num_heads)
        return variables_from_torch(state_dict), info
    from dstformer_jax.training.checkpoint import restore_params

    return restore_params(path)


def read_variables(path: str | Path) -> Variables:
    """As `read_any`, without the info, for which some files of others tell too little."""
    if is_torch_path(path) or Path(path).is_file():
        return variables_from_torch(read_torch(path))
    return read_any(path)[0]


def write_any(
    path: str | Path,
    variables: Mapping[str, Any],
    info: Mapping[str, Any],
    plain: bool = False,
    body: Mapping[str, np.ndarray] | None = None,
    half: bool = False,
) -> None:
    """Writes a PyTorch file, or a workdir that `init_from` and `load` take.

    Args:
      path: its ending decides.
      variables: `{"params": ..., "batch_stats": ...}`.
      info: what is kept beside the weights.
      plain: see `write_torch_file`.
      body: further tensors of a PyTorch file by their official key, see `smpl_buffers`.
      half: a PyTorch file of float16, which is computed in float32 wherever it is loaded.

    Raises:
      ValueError: `half` of a workdir, or weights that float16 cannot hold.
    """
    kept = {key: info[key] for key in KEPT_INFO if key in info}
    if half and not is_torch_path(path):
        raise ValueError(f"got half precision for {str(path)!r}, expected it for a PyTorch file")
    if info.get("config") and "trained_on" not in kept:
        kept["trained_on"] = trained_on(info["config"])
    params, batch_stats = variables["params"], variables.get("batch_stats") or {}
    if is_torch_path(path):
        state_dict = {**to_torch(params, batch_stats, int(info.get("step", 0))), **(body or {})}
        if half:
            state_dict = {key: _halved(key, array) for key, array in state_dict.items()}
            kept["model"] = {**kept["model"], **DEPLOYED}
        wrapper = "model" if "pose" in params else "model_pos"
        return write_torch_file(path, state_dict, kept, plain, wrapper)
    from dstformer_jax.training.checkpoint import Checkpoints, has_checkpoint

    if has_checkpoint(path):
        raise ValueError(f"got output {str(path)!r}, which holds a run; do give a new folder")
    state = {"step": np.int32(0), "params": params, "batch_stats": batch_stats}
    with Checkpoints(path) as checkpoints:
        checkpoints.save(0, state, {**kept, "weights_only": True})


def _moved(row: Row, array: np.ndarray, sizes: Mapping[str, int], back: bool = False) -> np.ndarray:
    """A tensor with its axes as ours, or `back` as theirs."""
    theirs, ours = row.axes.split(" -> ")
    start, end = (ours, theirs) if back else (theirs, ours)
    joined = {name for names in axes_of(start) if len(names) > 1 for name in names}
    return rearrange(
        array, f"{start} -> {end}", **{name: size_of(name, sizes) or 0 for name in joined}
    )


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


def trained_on(config: Mapping[str, Any]) -> list[str]:
    """Names of the prepared datasets that a run was trained on, such as "bvh/cmu_mocap"."""
    return sorted({source["dataset"] for source in config.get("sources", {}).values() if source})


def _halved(key: str, array: np.ndarray) -> np.ndarray:
    if array.dtype != np.float32:
        return array
    if not np.abs(array).max(initial=0) <= np.finfo(np.float16).max:
        raise ValueError(f"got {key} with values beyond float16, expected smaller ones")
    return array.astype(np.float16)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code."""
    parser = argparse.ArgumentParser("python -m dstformer_jax.convert", description=__doc__)
    parser.add_argument("--input", required=True, help="folder: ours; .bin .pth .pt .safetensors")
    parser.add_argument("--output", required=True, help="as --input; the ending decides")
    parser.add_argument("--plain", action="store_true", help="bare keys, no model_pos or model")
    parser.add_argument("--half", action="store_true", help="float16 in the PyTorch file")
    parser.add_argument("--compare", action="store_true", help="runs the PyTorch twin beside ours")
    parser.add_argument("--num_heads", type=int, help="of a PyTorch file (default 8)")
    parser.add_argument("--smpl", help="the official data/mesh: adds head.smpl.* to a mesh file")
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
        from dstformer_jax import compare  # without PyTorch it fails before any work
    variables, info = read_any(flags.input, flags.num_heads)
    count = sum(x.size for x in _flatten(variables["params"]).values())
    head = info.get("head", {"name": "pose"})
    settings = {key: x for key, x in head.items() if np.ndim(x) == 0}  # without the mean pose
    print(f"{flags.input}: {count:,} parameters, {info['model']}, head {settings}")
    if info.get("inferred") and flags.num_heads is None:
        print("num_heads = 8 is assumed, since no shape tells it; --num_heads=N changes it")
    if flags.compare:
        compare.check_comparable(info["model"], head)
    body = _body(flags, head["name"])
    write_any(flags.output, variables, info, flags.plain, body, flags.half)
    print(f"wrote {flags.output}")
    if flags.compare:
        written = read_variables(flags.output)
        for name, difference in compare.compare(written, info["model"], head).items():
            print(f"largest difference of {name}: {difference}")


def _body(flags: argparse.Namespace, head: str) -> dict[str, np.ndarray]:
    """The body's tensors that a mesh file is to hold; says so when it goes without."""
    wanted = is_torch_path(flags.output) and head in WITH_BODY
    if flags.smpl and not wanted:
        raise ValueError(
            f"got --smpl for {flags.output!r} with the head {head!r}, expected it for a PyTorch "
            "file of a mesh network alone"
        )
    if not wanted:
        return {}
    if not flags.smpl:
        print(
            f"{flags.output} has no {BODY}* (the body): official code must load it with "
            "strict=False, or give --smpl=DIR of the official data/mesh"
        )
        return {}
    from dstformer_jax.files.bodies import smpl_buffers

    return {BODY + key: array for key, array in smpl_buffers(flags.smpl).items()}


if __name__ == "__main__":
    sys.exit(main())
