"""The one table between our parameters and the official PyTorch files.

A row names a tensor here, the same tensor there, and how the axes of theirs become ours (an einops
pattern). `convert` reads both directions, and the model's sizes, from the same rows.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple


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
