"""Checkpoint -> one StableHLO or ONNX file, checked against the model before it is written.

python -m dstformer_jax.export --input=runs/mocap --output=pose.stablehlo
python -m dstformer_jax.export --input=action.bin --output=action.onnx --part=action
"""

import argparse
import sys
from collections.abc import Sequence

from dstformer_jax.export.files import export
from dstformer_jax.export.parts import PARTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code."""
    parser = argparse.ArgumentParser("python -m dstformer_jax.export", description=__doc__)
    parser.add_argument("--input", required=True, help="folder: ours; .bin .pth .pt .safetensors")
    parser.add_argument("--output", required=True, help="FILE.stablehlo or FILE.onnx")
    parser.add_argument("--part", choices=PARTS, help="default: what the checkpoint predicts")
    parser.add_argument("--num_heads", type=int, help="of a PyTorch file (default 8)")
    flags = parser.parse_args(arguments)
    try:
        metadata = export(flags.input, flags.output, flags.part, flags.num_heads)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    checked = metadata["checked"]
    print(
        f"wrote {flags.output}: {metadata['part']}, motion {metadata['input']['shape']} -> "
        f"{metadata['output']['shape']}, at most {checked['largest_difference']:.2g} from the "
        f"model for motion {', '.join(map(str, checked['shapes']))}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
