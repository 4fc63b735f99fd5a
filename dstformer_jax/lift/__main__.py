"""Lifts 2D keypoints of any detector to 3D motion.

    python -m dstformer_jax.lift INPUT... --output=DIR --formats=npz,bvh

INPUT is a file or folder of one video; its format is found by content. Every input gives
`DIR/<name>.<ending>` for each format. What is assumed (size of people, lens) stands in the files.

    python -m dstformer_jax.lift INPUT... --output=DIR --task=action --weights=runs/ntu --every=3
    python -m dstformer_jax.lift INPUT... --output=DIR --task=mesh --weights=runs/mesh --body=PATH

name the actions that are seen (`.actions.json`, `.actions.csv`), or recover whole bodies
(`.mesh.npz`, `.mesh.glb`), with a network that was trained for it.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from dstformer_jax.body.motion import Motion
from dstformer_jax.body.smoothing import one_euro, savitzky_golay
from dstformer_jax.cache import use_compilation_cache
from dstformer_jax.files.formats import FORMATS, WRITERS, read, write
from dstformer_jax.files.meshes import write_meshes
from dstformer_jax.inference import STARTER, Model, load
from dstformer_jax.lift import Lifter, World, lift
from dstformer_jax.lift.actions import Recogniser, write_actions
from dstformer_jax.lift.meshes import body_of, recover
from dstformer_jax.lift.tracks import prepare
from dstformer_jax.lift.world import SPACES
from dstformer_jax.view.page import write_page
from dstformer_jax.view.video import write_video

Task = Callable[[Motion, Path], tuple[list[Path], Sequence[str]]]  # -> files and notes
NEEDED = {"mp4": ("imageio_ffmpeg", "video"), "c3d": ("ezc3d", "c3d")}  # packages, and their extras
VIEWS = {"html": write_page, "mp4": write_video, "gif": write_video}  # drawn beside the 2D input
DEFAULT = "npz,html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, or 2 when an input could not be lifted."""
    values = _parser().parse_args(arguments)
    use_compilation_cache()
    try:
        return _run(values)
    except KeyboardInterrupt:
        return 130


def _run(values: argparse.Namespace) -> int:
    """Every input; returns the exit code."""
    try:
        _check_options(values)
        task = {"pose": _poses, "action": _actions, "mesh": _meshes}[values.task](values)
        names = _names(values.inputs)
        _make_folder(values.output)
    except (ValueError, OSError) as error:
        return _fail(error)
    code = 0
    for path, name in zip(values.inputs, names, strict=True):
        try:
            files, notes = task(_read(path, values), values.output / name)
            print(*files, sep="\n")
            for note in notes:
                print(f"  {note}")
        except (ValueError, OSError) as error:  # one bad file never stops the others
            code = _fail(error)
    return code


def _check_options(values: argparse.Namespace) -> None:
    """Refuses options that mean nothing to the task, and what cannot be written."""
    if values.fps is not None and not 0 < values.fps < 1e5:
        raise ValueError(f"got --fps={values.fps:g}, expected frames a second above 0")
    smooths = values.smooth != "none"
    given = {
        "pose": {
            "height": values.height,
            "constant-bones": values.constant_bones,
            "smooth": smooths,
        },
        "action": {"every": values.every},
        "mesh": {"body": values.body},
        "pose or mesh": {
            "focal": values.focal,
            "space": values.space,
            "frames": values.frames,
            "no-flip": values.no_flip,
        },
    }
    for tasks, options in given.items():
        for name, value in options.items():
            if value and values.task not in tasks.split(" or "):
                raise ValueError(f"got --{name} with --task={values.task}, expected --task={tasks}")


def _poses(values: argparse.Namespace) -> Task:
    """Lifts joints."""
    formats = _formats(values, DEFAULT, (*WRITERS, *VIEWS))
    world = World(values.height, values.focal, values.space, values.constant_bones)
    lifter = _lifter(values, load(values.weights))

    def run(motion: Motion, stem: Path) -> tuple[list[Path], Sequence[str]]:
        smooth = _smoothing(values.smooth, motion.fps or 30.0)
        lifted = lift(
            motion, lifter, values.person, replace(world, smooth=smooth), not values.quiet
        )
        return _write(lifted, motion, stem, formats), lifted.notes

    return run


def _actions(values: argparse.Namespace) -> Task:
    """Names actions."""
    formats = _formats(values, "json,csv", ("json", "csv"))
    recognise = Recogniser(load(values.weights, head="action"))

    def run(motion: Motion, stem: Path) -> tuple[list[Path], Sequence[str]]:
        seen = prepare(motion, recognise.model.skeleton, values.person)
        found = list(recognise(seen, values.every))
        files = write_actions(found, seen, stem, formats)
        whole = [each for each in found if each.clip.whole]
        return files, [*seen.notes, *map(str, whole)]

    return run


def _meshes(values: argparse.Namespace) -> Task:
    """Recovers bodies."""
    formats = _formats(values, "npz,glb", ("npz", "glb"))
    world = World(focal=values.focal, space=values.space)
    lifter = _lifter(values, load(values.weights, head="mesh"))
    body = body_of(lifter.model, values.body)

    def run(motion: Motion, stem: Path) -> tuple[list[Path], Sequence[str]]:
        seen = prepare(motion, lifter.model.skeleton, values.person)
        people = recover(seen, lifter, body, world, not values.quiet)
        return write_meshes(people, stem, formats), people.motion.notes

    return run


def _lifter(values: argparse.Namespace, model: Model) -> Lifter:
    return Lifter(model, values.frames, values.overlap, not values.no_flip, values.batch)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.lift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ", ".join(f"{each.name} ({each.description})" for each in FORMATS.values())
    endings = ", ".join([*WRITERS, *VIEWS])
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="INPUT", help=f"keypoints: {known}")
    add("--output", type=Path, required=True, help="folder of the results")
    add(
        "--weights",
        default=STARTER,
        help="workdir of ours, PyTorch file, or hf://owner/repo/file [for poses the package's]",
    )
    add("--task", choices=("pose", "action", "mesh"), default="pose", help="what to answer [pose]")
    add(
        "--formats",
        help=f"some of {endings} [{DEFAULT}]; action: json, csv [both]; mesh: npz, glb [both]",
    )
    add("--body", type=Path, help="mesh: the body, .npz or data/mesh [that of the training]")
    add("--every", type=float, metavar="SECONDS", help="action: also windows of so many seconds")
    add("--input-format", choices=list(FORMATS), help="format of the inputs [found by content]")
    add("--person", type=int, action="append", default=[], help="track id; repeat for more [all]")
    add("--fps", type=float, help="frames a second of the input [the file's, else 30]")
    add("--size", type=_size, metavar="WxH", help="pixels of the image [the file's]")
    add("--height", type=float, help="of the people in metres [1.7, noted as assumed]")
    add("--focal", type=float, help="focal length in pixels [1.2 times the longer side, noted]")
    add(
        "--space",
        choices=SPACES,
        help="local: root above the origin, feet on y=0; camera: before the camera; world: people "
        "move over the floor [local of one person, world of several]",
    )
    add("--constant-bones", action="store_true", help="every bone as long as its median")
    add("--smooth", choices=("none", "savgol", "one_euro"), default="none", help="[none]")
    add("--frames", type=int, help="of a window [as trained]")
    add("--overlap", type=float, default=0.5, help="share of a window covered by the next [0.5]")
    add("--no-flip", action="store_true", help="do not average with the mirrored input")
    add("--batch", type=int, default=4, help="windows computed at once [4]")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected WIDTHxHEIGHT such as 1920x1080")
    return int(width), int(height)


def _formats(values: argparse.Namespace, default: str, known: Sequence[str]) -> list[str]:
    text = default if values.formats is None else values.formats
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    if not chosen or not set(chosen) <= set(known):
        raise ValueError(f"got --formats={text!r}, expected some of {', '.join(known)}")
    for name in chosen:  # told now rather than after minutes of lifting
        package, extra = NEEDED.get(name, ("", ""))
        if package and find_spec(package) is None:
            raise ValueError(
                f"got the format {name}, expected the package {package.replace('_', '-')} for it; "
                f"do pip install 'dstformer_jax[{extra}]'"
            )
    return chosen


def _names(inputs: Sequence[Path]) -> list[str]:
    """A name for the files of each input, all different: the folder's before it, then numbers."""
    whole = [Path(os.path.abspath(path)) for path in inputs]  # no links: they are called so
    plain = [path.name.partition(".")[0] or "motion" for path in whole]
    names: list[str] = []
    for path, name in zip(whole, plain, strict=True):
        if plain.count(name) > 1:
            name = f"{path.parent.name}_{name}"
        numbered = (f"{name}_{number}" for number in count(2))
        names.append(name if name not in names else next(n for n in numbered if n not in names))
    return names


def _make_folder(path: Path) -> None:
    """Makes the folder of the results, before hours of lifting that could not be kept."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"got --output={path}, which cannot be made ({error.strerror}), expected a folder"
        ) from None


def _read(path: Path, values: argparse.Namespace) -> Motion:
    """The keypoints of a file, with what the command line knows better."""
    motion = read(path, values.input_format)
    known = {"fps": values.fps, "size": values.size}
    return replace(motion, **{name: value for name, value in known.items() if value}).in_pixels()


def _smoothing(name: str, fps: float):
    filters = {
        "none": None,
        "savgol": partial(savitzky_golay, window=max(5, 2 * int(fps / 8) + 1), order=2),
        "one_euro": partial(one_euro, fps=fps, min_cutoff=1.5, beta=3.0),
    }
    return filters[name]


def _write(lifted: Motion, seen: Motion, stem: Path, formats: Sequence[str]) -> list[Path]:
    files = write(lifted, stem, [name for name in formats if name in WRITERS])
    for name in formats:
        if name in VIEWS:
            path = stem.with_name(f"{stem.name}.{name}")
            files.append(VIEWS[name](lifted, path, image=seen))
    return files


def _fail(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
