"""The one table between our variables and the official PyTorch files.

A row names a tensor here, the same tensor there, and how the axes of theirs become ours (an einops
pattern). `convert` reads both directions, and the model's sizes, from the same rows.

An axis has one size in the whole table. Digits at the end of its name only tell apart two axes of
one size ("units1 units2"); "(joints rep)" is one axis of joints * rep.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

COUNTER = "counter"
# Axes of a known size: coordinates (in: x, y, confidence; out: x, y, z); query, key and value; two
# streams, or two features, side by side; the frames that a filter of TCN and one of the refiner
# sees; the numbers of a rotation in 6D.
KNOWN = {"coords": 3, "out": 3, "parts": 3, "streams": 2, "pair": 2, "taps": 3, "span": 5, "six": 6}


class Row(NamedTuple):
    """One tensor: its name on both sides and the axes "theirs -> ours".

    `collection` is where it lives here, "params" or "batch_stats". A COUNTER is PyTorch's alone:
    how many batches a batch normalisation has seen, which nothing reads.
    """

    ours: str
    theirs: str
    axes: str
    collection: str = "params"


def linear(ours: str, theirs: str, outputs: str, inputs: str) -> tuple[Row, ...]:
    """Weight and bias of a linear layer."""
    return (
        Row(f"{ours}/kernel", f"{theirs}.weight", f"{outputs} {inputs} -> {inputs} {outputs}"),
        Row(f"{ours}/bias", f"{theirs}.bias", f"{outputs} -> {outputs}"),
    )


def convolution(ours: str, theirs: str, outputs: str, inputs: str) -> tuple[Row, ...]:
    """Weight and bias of a convolution over `span` frames."""
    axes = f"{outputs} {inputs} span -> span {inputs} {outputs}"
    return (
        Row(f"{ours}/kernel", f"{theirs}.weight", axes),
        Row(f"{ours}/bias", f"{theirs}.bias", f"{outputs} -> {outputs}"),
    )


def layer_norm(ours: str, theirs: str, channels: str) -> tuple[Row, ...]:
    """Scale and shift of a normalisation."""
    same = f"{channels} -> {channels}"
    return Row(f"{ours}/scale", f"{theirs}.weight", same), Row(
        f"{ours}/bias", f"{theirs}.bias", same
    )


def batch_norm(ours: str, theirs: str, channels: str) -> tuple[Row, ...]:
    """Scale, shift, running statistics and counter of a batch normalisation."""
    same = f"{channels} -> {channels}"
    return (
        *layer_norm(ours, theirs, channels),
        Row(f"{ours}/mean", f"{theirs}.running_mean", same, "batch_stats"),
        Row(f"{ours}/var", f"{theirs}.running_var", same, "batch_stats"),
        Row(f"{ours}/batches", f"{theirs}.num_batches_tracked", " -> ", COUNTER),
    )


FIRST = (
    Row("backbone/temp_embed", "temp_embed", "1 frames 1 feat -> frames feat"),
    Row("backbone/pos_embed", "pos_embed", "1 joints feat -> joints feat"),
    *linear("backbone/joints_embed", "joints_embed", "feat", "coords"),
)
# `path` is where the half lives in our tree, `block` the block it belongs to in theirs, `h` the
# letter of the half. Official files list each kind of module for both halves before the next.
ATTENTION_NORM = layer_norm("{path}/norm_attention", "{block}.norm1_{h}", "feat")
ATTENTION = (
    *linear("{path}/attention/proj", "{block}.attn_{h}.proj", "feat", "inner"),
    *linear("{path}/attention/qkv", "{block}.attn_{h}.qkv", "(parts inner)", "feat"),
)
MLP_NORM = layer_norm("{path}/norm_mlp", "{block}.norm2_{h}", "feat")
MLP = (
    *linear("{path}/mlp/fc1", "{block}.mlp_{h}.fc1", "hidden", "feat"),
    *linear("{path}/mlp/fc2", "{block}.mlp_{h}.fc2", "feat", "hidden"),
)
LAST = (
    *layer_norm("backbone/norm", "norm", "feat"),
    *linear("backbone/pre_logits", "pre_logits.fc", "rep", "feat"),
)
POSE = linear("head/dense", "head", "out", "rep")
FUSION = linear("backbone/layer_{i}/fusion/weights", "ts_attn.{i}", "streams1", "(streams2 feat)")


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
# The alternative backbones have no official files at all; their keys follow the same naming.
DESIGNS_AND_OTHERS = (*DESIGNS, "tcn", "poseformer")

FC1 = linear("head/fc1", "head.fc1", "units", "(joints rep)")
# The rows of every other head. "action", "embedding", "mesh" and "refiner" are official; "probe"
# (an action head without hidden layer) and "refiner_mlp" have no official counterpart.
HEADS = {
    "pose": POSE,
    "action": (
        *batch_norm("head/bn", "head.bn", "units"),
        *FC1,
        *linear("head/fc2", "head.fc2", "classes", "units"),
    ),
    "probe": linear("head/fc2", "head.fc2", "classes", "(joints rep)"),
    "embedding": FC1,
    "mesh": (
        Row("head/init_pose", "head.init_pose", "1 (bones six) -> 1 (bones six)", "batch_stats"),
        Row("head/init_shape", "head.init_shape", "1 shapes -> 1 shapes", "batch_stats"),
        *FC1,
        *linear("head/fc2", "head.fc2", "units", "(joints rep)"),
        *batch_norm("head/bn1", "head.bn1", "units"),
        *batch_norm("head/bn2", "head.bn2", "units"),
        *linear("head/head_pose", "head.head_pose", "(bones six)", "units"),
        *linear("head/head_shape", "head.head_shape", "shapes", "units"),
    ),
    "refiner": (
        *FC1,
        *convolution("head/fc2", "head.fc2", "units", "(bones six)"),
        *batch_norm("head/bn1", "head.bn1", "units"),
        *batch_norm("head/bn2", "head.bn2", "units"),
        *convolution("head/head_pose", "head.head_pose", "(bones six)", "(pair units)"),
    ),
    "refiner_mlp": (
        *linear("head/fc1", "head.fc1", "units", "inputs"),
        *linear("head/fc2", "head.fc2", "units1", "units2"),
        *batch_norm("head/bn1", "head.bn1", "units"),
        *batch_norm("head/bn2", "head.bn2", "units"),
        *linear("head/residual", "head.residual", "outputs", "units"),
    ),
}
WITH_BODY = ("mesh", "refiner", "refiner_mlp")
# What official files of these heads hold of SMPL itself; here the body is a file of its own.
BODY = "head.smpl."
BODY_KEYS = (
    "betas",
    "global_orient",
    "body_pose",
    "shapedirs",
    "faces_tensor",
    "v_template",
    "J_regressor",
    "posedirs",
    "parents",
    "lbs_weights",
    "J_regressor_extra",
    "J_regressor_h36m",
    "vertex_joint_selector.extra_joints_idxs",
)


def weight_table(design: str, depth: int, head: str = "pose") -> list[Row]:
    """Every tensor of a network, in the order of official files.

    Args:
      design: of DSTformer, or "tcn" or "poseformer".
      depth: levels of the backbone.
      head: one of HEADS. Networks of another head than "pose" have `backbone.` before the names of
        the backbone and keep the pose head of their pretraining as `backbone.head`.

    Returns:
      10 + 50 * depth rows for the adaptive DSTformer with its pose head.
    """
    backbone = [*_backbone(design, depth)]
    return backbone if head == "pose" else [*map(_passenger, backbone), *HEADS[head]]


def _passenger(row: Row) -> Row:
    """A row of the pretrained network inside a network with another head."""
    ours = f"pose{row.ours.removeprefix('head')}" if row.ours.startswith("head/") else row.ours
    return row._replace(ours=ours, theirs=f"backbone.{row.theirs}")


def _backbone(design: str, depth: int) -> Iterator[Row]:
    """The backbone and the pose head, which official files name as a part of it."""
    if design == "tcn":
        yield from _tcn(depth)
    elif design == "poseformer":
        yield from _poseformer(depth)
    else:
        yield from (*FIRST, *_dstformer_blocks(design, depth), *LAST, *POSE)
        if design in WITH_FUSION:
            yield from (_fill(row, {"i": str(i)}) for i in range(depth) for row in FUSION)


def _dstformer_blocks(design: str, depth: int) -> Iterator[Row]:
    for name, halves, with_mlp in DESIGNS[design]:
        for i in range(depth):
            paths, mlps = ([f"backbone/layer_{i}/{x}" for x in xs] for xs in (halves, with_mlp))
            yield from _block(f"blocks_{name}.{i}", paths, mlps)


def _block(name: str, paths: Sequence[str], with_mlp: Sequence[str]) -> Iterator[Row]:
    """One block, whose halves live at `paths` here."""
    for rows in (ATTENTION_NORM, ATTENTION, MLP_NORM, MLP):
        for path in with_mlp if rows in (MLP_NORM, MLP) else paths:
            letter = path.rpartition("/")[2][0]
            names = {"path": path, "block": name, "h": letter}
            yield from (_fill(row, names) for row in rows)


def _tcn(depth: int) -> Iterator[Row]:
    """Filters over three frames, then over one, as convolutions without bias."""
    first = "feat (joints coords) taps -> (taps joints coords) feat"
    yield from _filter("expand", "expand", first)
    for i in range(1, depth):
        wide = "feat1 feat2 taps -> (taps feat2) feat1"
        yield from _filter(f"dilated_{i}", f"levels.{i}.dilated", wide)
        yield from _filter(f"single_{i}", f"levels.{i}.single", "feat1 feat2 1 -> feat2 feat1")
    yield from linear("backbone/pre_logits", "pre_logits.fc", "(joints rep)", "feat")
    yield from POSE


def _filter(ours: str, theirs: str, axes: str) -> Iterator[Row]:
    yield Row(f"backbone/{ours}/dense/kernel", f"{theirs}.conv.weight", axes)
    yield from batch_norm(f"backbone/{ours}/norm", f"{theirs}.bn", "feat")


def _poseformer(depth: int) -> Iterator[Row]:
    """Blocks over joints of `feat` channels, then over frames of joints * feat."""
    wide = {"feat": "(joints feat)", "inner": "inner_t", "hidden": "hidden_t"}
    embedding = "1 frames (joints feat) -> frames (joints feat)"
    yield from (*FIRST[1:], FIRST[0]._replace(axes=embedding))
    for i in range(depth):
        yield from _block(f"blocks_s.{i}", *[[f"backbone/spatial_{i}"]] * 2)
    yield from layer_norm("backbone/norm_spatial", "norm_s", "feat")
    for i in range(depth):
        for row in _block(f"blocks_t.{i}", *[[f"backbone/temporal_{i}"]] * 2):
            axes = row.axes
            for narrow, replacement in wide.items():
                axes = axes.replace(narrow, replacement)
            yield row._replace(axes=axes)
    yield from layer_norm("backbone/norm_temporal", "norm_t", wide["feat"])
    yield from linear("backbone/pre_logits", "pre_logits.fc", "(joints1 rep)", "(joints2 feat)")
    yield from POSE


def _fill(row: Row, names: Mapping[str, str]) -> Row:
    return row._replace(ours=row.ours.format(**names), theirs=row.theirs.format(**names))
