"""Subject `memory`: what the compiler plans for one train step. Compiles; runs nothing."""

import argparse
import dataclasses
from typing import Any

from dstformer_jax.bench import network
from dstformer_jax.bench.network import Setting
from dstformer_jax.bench.report import Rows

WAYS = {"none": (False, "none"), "scan": (True, "none"), "dots": (True, "dots")}
WAYS |= {"layer": (True, "layer")}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    network.add_flags(parser)
    parser.add_argument(
        "--ways",
        default=",".join(WAYS),
        help="by comma: none (unrolled), scan, dots and layer (scan with that remat) [all]; "
        "they replace --scan and --remat",
    )


def run(flags: argparse.Namespace) -> Rows:
    """GB of temporary memory, of arguments and at the peak; and how much less than the first."""
    ways = flags.ways.split(",")
    if unknown := sorted(set(ways) - WAYS.keys()):
        raise ValueError(f"got --ways={unknown[0]!r}, expected some of {sorted(WAYS)}")
    rows: Rows = []
    for way in ways:
        scan, remat = WAYS[way]
        setting = dataclasses.replace(Setting.of(flags), scan=scan, remat=remat)
        rows.append({**setting.columns, **planned(setting)})
    for row in rows:
        row["times_less"] = round(rows[0]["temporary_gb"] / row["temporary_gb"], 2)
    return rows


def planned(setting: Setting) -> dict[str, Any]:
    """Memory of the compiled step in GB (1e9 bytes)."""
    plan = network.lower_step(setting).compile().memory_analysis()
    held = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    temporary = plan.temp_size_in_bytes
    return {
        "temporary_gb": round(temporary / 1e9, 3),
        "arguments_gb": round(plan.argument_size_in_bytes / 1e9, 3),
        "peak_gb": round((temporary + held) / 1e9, 3),
    }
