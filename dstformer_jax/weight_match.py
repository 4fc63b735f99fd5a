"""Which network some tensors are: its table by their names, its sizes by their shapes."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from dstformer_jax.weight_table import (
    BODY,
    BODY_KEYS,
    COUNTER,
    DESIGNS_AND_OTHERS,
    HEADS,
    KNOWN,
    WITH_BODY,
    Row,
    weight_table,
)

Side = Literal["ours", "theirs"]
LEVEL = r"(?:layer_|spatial_|temporal_|dilated_|single_|blocks_\w+\.|ts_attn\.|levels\.)(\d+)\b"
OFFICIAL_HEADS = 8  # attention heads of every official model
SMPL_SHAPES = 10  # shape coefficients of the official heads


class Match(NamedTuple):
    """A table that fits: what it is the table of, its rows and the size of each named axis."""

    design: str
    depth: int
    head: str
    rows: list[Row]
    sizes: dict[str, int]


def match(tensors: Mapping[str, Any], side: Side) -> Match:
    """The table of these tensors.

    Args:
      tensors: arrays by official key, or by our path; counters and the body of a mesh head may be
        among the official ones or not.

    Raises:
      ValueError: names every unknown or missing tensor, or the first of a wrong shape.
    """
    names = set(tensors)
    depth = _depth(names)
    head = _nearest(HEADS, lambda head: HEADS[head], _own(names), side)
    if side == "theirs" and head in WITH_BODY:
        names -= {BODY + key for key in BODY_KEYS}
    design = _nearest(
        DESIGNS_AND_OTHERS, lambda design: weight_table(design, depth, head), names, side
    )
    rows = weight_table(design, depth, head)
    if any(unlike := _difference(rows, names, side)):
        raise ValueError(
            f"got {_listed('unknown', unlike[0])}{_listed('missing', unlike[1])}expected the "
            f"weights of a {head} network (nearest backbone: {design}, depth {depth})"
        )
    rows = [row for row in rows if row.collection != COUNTER]
    return Match(design, depth, head, rows, _sizes(rows, side, tensors))


def _own(names: Collection[str]) -> set[str]:
    """The names of the head, on either side."""
    return {n for n in names if n.startswith(("head.", "head/")) and not n.startswith(BODY)}


def _nearest(choices: Iterable[str], rows_of: Any, names: set[str], side: Side) -> str:
    """The choice whose rows differ from these names the least."""
    return min(choices, key=lambda x: sum(map(len, _difference(rows_of(x), names, side))))


def _difference(rows: Iterable[Row], names: set[str], side: Side) -> tuple[set[str], set[str]]:
    """Unknown and missing names. Counters may be in official files or not, and are not ours."""
    needed = {getattr(row, side) for row in rows if row.collection != COUNTER}
    counters = {row.theirs for row in rows if row.collection == COUNTER and side == "theirs"}
    return names - needed - counters, needed - names


def _listed(title: str, names: Collection[str]) -> str:
    return f"{title} keys {', '.join(sorted(names))}; " if names else ""


def _depth(names: set[str]) -> int:
    """Levels, from the numbers in names; more levels than names cannot be right."""
    levels = (re.search(rf"(?:^|[./]){LEVEL}", name) for name in names)
    depth = 1 + max((int(level[1]) for level in levels if level), default=0)
    if depth > len(names):
        raise ValueError(f"got a level {depth - 1} among {len(names)} tensors, expected 0, 1, ...")
    return depth


def _sizes(rows: Iterable[Row], side: Side, tensors: Mapping[str, Any]) -> dict[str, int]:
    """The size of each named axis; an axis has one size in the whole table."""
    sizes = dict(KNOWN)
    for row in rows:
        name, shape = getattr(row, side), tuple(tensors[getattr(row, side)].shape)
        axes = axes_of(row.axes.split(" -> ")[side == "ours"])
        before = dict(sizes)
        if len(axes) != len(shape) or not all(map(_fits, axes, shape, [sizes] * len(axes))):
            raise ValueError(f"got {name} of shape {shape}, expected {_described(axes, before)}")
    return sizes


def axes_of(side: str) -> list[list[str]]:
    """The names of each axis of one side of a pattern: "1 (joints rep)" -> [], [joints, rep]."""
    found = re.findall(r"\(([^)]*)\)|(\w+)", side)
    return [re.findall(r"[a-z]\w*", group or name) for group, name in found]


def size_of(name: str, sizes: Mapping[str, int]) -> int | None:
    """The size of a named axis, whose digits only tell it from another of that size."""
    return sizes.get(name.rstrip("0123456789"))


def _fits(names: list[str], size: int, sizes: dict[str, int]) -> bool:
    """Whether an axis can have this size; a name without a size is given one."""
    known = math.prod(size_of(name, sizes) or 1 for name in names)
    unknown = [name for name in names if size_of(name, sizes) is None]
    if size < 1 or size % known:
        return False
    for name in unknown:  # one at most: the table names no two new axes in one
        sizes[name.rstrip("0123456789")] = size // known
    return bool(unknown) or size == known


def _described(axes: list[list[str]], sizes: Mapping[str, int]) -> str:
    """ "(units, joints * rep) with joints = 17, rep = 512"."""
    shape = ", ".join(" * ".join(names) or "1" for names in axes)
    known = {name: size_of(name, sizes) for names in axes for name in names}
    values = ", ".join(f"{name} = {size}" for name, size in known.items() if size)
    return f"({shape})" + (f" with {values}" if values else "")


def model_of(found: Match, num_heads: int | None = None) -> dict[str, Any]:
    """The fields of `config.model` that the table and the shapes determine.

    Args:
      num_heads: attention heads, which no shape tells; default 8, as every official model.

    Raises:
      ValueError: shapes that `num_heads` does not explain.
    """
    sizes, depth = found.sizes, found.depth
    ends = {"dim_feat": sizes["feat"], "dim_rep": sizes["rep"], "depth": depth}
    if found.design == "tcn":
        return {"backbone": "tcn", **ends, "num_joints": sizes["joints"]}
    attention = {
        "num_heads": _checked_heads(num_heads, sizes),
        "mlp_ratio": _ratio(sizes["feat"], sizes["hidden"]),
        "num_joints": sizes["joints"],
        "maxlen": sizes["frames"],
    }
    if found.design == "poseformer":
        # A frame is wider than a joint, so its MLP tells the ratio more exactly.
        ratio = _ratio(sizes["feat"] * sizes["joints"], sizes["hidden_t"])
        return {"backbone": "poseformer", **ends, **attention, "mlp_ratio": ratio}
    return {**ends, **attention, "design": found.design}


def _checked_heads(num_heads: int | None, sizes: Mapping[str, int]) -> int:
    feat, inner = sizes["feat"], sizes["inner"]
    heads = OFFICIAL_HEADS if num_heads is None else num_heads
    if heads < 1 or heads * (feat // heads) != inner:
        raise ValueError(
            f"got num_heads={heads} for {inner} attention channels at width {feat}, expected "
            "heads * (width // heads) channels; do give num_heads"
        )
    return heads


def _ratio(feat: int, hidden: int) -> float:
    """The MLP's width as a ratio, such that int(feat * ratio) is that width again."""
    ratio = hidden / feat
    return ratio if int(feat * ratio) == hidden else (hidden + 0.5) / feat


def head_of(found: Match) -> dict[str, Any]:
    """The head's name and the settings that shapes tell: see `build_network`.

    Dropout, and how absent people count, are in no file of others.

    Raises:
      ValueError: a refiner of form "mlp" whose shapes are not those of SMPL.
    """
    sizes, name = found.sizes, found.head
    if name == "pose":
        return {"name": "pose"}
    if name in ("action", "probe"):
        return {"name": "action", "classes": sizes["classes"], "hidden": sizes.get("units", 0)}
    if name == "refiner_mlp":
        return _mlp_refiner(sizes)
    settings = {"hidden": sizes["units"]}
    if name == "embedding":
        return {"name": name, **settings}
    body = {"bones": sizes["bones"], "shapes": sizes.get("shapes", SMPL_SHAPES)}
    return {"name": name, **body, **settings, **({"form": "conv"} if name == "refiner" else {})}


def _mlp_refiner(sizes: Mapping[str, int]) -> dict[str, Any]:
    """Bones and frames of a refiner that answers 10 shape coefficients."""
    bones, rest = divmod(sizes["outputs"] - SMPL_SHAPES, sizes["six"])
    seen = sizes["inputs"] - sizes["joints"] * sizes["rep"] - SMPL_SHAPES
    if rest or bones < 1 or seen < 1 or seen % (6 * bones) or seen // (6 * bones) % 2 == 0:
        raise ValueError(
            f"got head.residual with {sizes['outputs']} outputs for {sizes['inputs']} inputs, "
            f"expected 6 * bones + {SMPL_SHAPES}; do keep the settings in the file (no --plain)"
        )
    body = {"bones": bones, "shapes": SMPL_SHAPES, "hidden": sizes["units"]}
    return {"name": "refiner", **body, "form": "mlp", "span": seen // (6 * bones)}
