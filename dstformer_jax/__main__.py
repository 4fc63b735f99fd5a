"""The command `dstformer`: the commands of this package under one name.

dstformer lift keypoints.json --output=out --weights=runs/mocap
"""

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {  # name -> module and what it does; each explains itself with --help
    "lift": ("dstformer_jax.lift.__main__", "2D keypoints of any detector to 3D motion files"),
    "stream": ("dstformer_jax.lift.stream", "2D keypoints to 3D frame by frame, JSON lines or UDP"),
    "export": ("dstformer_jax.export.__main__", "checkpoints to StableHLO and ONNX files"),
    "convert": ("dstformer_jax.convert", "checkpoints to PyTorch files and back"),
    "show": ("dstformer_jax.show", "learning curve and pictures of a run"),
    "bench": ("dstformer_jax.bench.__main__", "speed and memory, beside PyTorch where asked"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code of the command, 2 for none of that name."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        listed = "\n".join(f"  {key:{width}}  {about}" for key, (_, about) in COMMANDS.items())
        print(f"usage: dstformer COMMAND ...\n\n{listed}\n\ndstformer COMMAND --help says more.")
        return 0
    if name not in COMMANDS:
        print(f"error: got {name!r}, expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return import_module(COMMANDS[name][0]).main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
