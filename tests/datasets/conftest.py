"""Small files in the layouts the builders read, and a builder's parts by name."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data.prepare import load_builder

# name, parent, offset in centimetres: the asf31 joints that the map needs, arms out to the sides.
_NODES = [
    ("root", "", (0, 0, 0)),
    ("lfemur", "root", (10, 0, 0)),
    ("ltibia", "lfemur", (0, -42, 0)),
    ("lfoot", "ltibia", (0, -41, 0)),
    ("ltoes", "lfoot", (0, -6, 14)),
    ("rfemur", "root", (-10, 0, 0)),
    ("rtibia", "rfemur", (0, -42, 0)),
    ("rfoot", "rtibia", (0, -41, 0)),
    ("upperback", "root", (0, 22, 0)),
    ("lowerneck", "upperback", (0, 26, 0)),
    ("head", "lowerneck", (0, 12, 3)),
    ("lhumerus", "lowerneck", (17, 0, 0)),
    ("lradius", "lhumerus", (29, 0, 0)),
    ("lwrist", "lradius", (25, 0, 0)),
    ("rhumerus", "lowerneck", (-17, 0, 0)),
    ("rradius", "rhumerus", (-29, 0, 0)),
    ("rwrist", "rradius", (-25, 0, 0)),
]
_ENDS = {"head": (0, 14, 0), "ltoes": (0, 0, 5)}


def _lines(name: str, depth: int) -> list[str]:
    indent = "\t" * depth
    offset = next(offset for node, _, offset in _NODES if node == name)
    place = "" if depth else "Xposition Yposition Zposition "
    lines = [
        f"{indent}{'JOINT' if depth else 'ROOT'} {name}",
        indent + "{",
        f"{indent}\tOFFSET {offset[0]} {offset[1]} {offset[2]}",
        f"{indent}\tCHANNELS {3 if depth else 6} {place}Zrotation Yrotation Xrotation",
    ]
    for node, parent, _ in _NODES:
        if parent == name:
            lines += _lines(node, depth + 1)
    if name in _ENDS:
        x, y, z = _ENDS[name]
        lines += [f"{indent}\tEnd Site", indent + "\t{", f"{indent}\t\tOFFSET {x} {y} {z}"]
        lines += [indent + "\t}"]
    return [*lines, indent + "}"]


def _order() -> list[str]:
    return [line.split()[1] for line in _lines("root", 0) if line.split()[0] in ("ROOT", "JOINT")]


@pytest.fixture
def write_bvh() -> Callable[..., Path]:
    """write_bvh(path, root [T, 3] in cm, fps, turns={joint: [T] degrees about z}, rename=...)."""

    def write(
        path: Path,
        root: np.ndarray,
        fps: float = 30.0,
        turns: dict[str, np.ndarray] | None = None,
        rename: Callable[[str], str] = str,
        scale: float = 1.0,
    ) -> Path:
        order = _order()
        values = np.zeros((len(root), 6 + 3 * (len(order) - 1)))
        values[:, :3] = root * scale
        for joint, angle in (turns or {}).items():
            values[:, 3 + 3 * order.index(joint)] = angle
        head = "\n".join(_lines("root", 0))
        for name in order:
            head = head.replace(f" {name}\n", f" {rename(name)}\n")
        if scale != 1.0:
            head = "\n".join(
                "OFFSET " + " ".join(str(float(x) * scale) for x in line.split()[1:])
                if line.strip().startswith("OFFSET")
                else line
                for line in head.splitlines()
            )
        numbers = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in values)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"HIERARCHY\n{head}\nMOTION\nFrames: {len(root)}\n"
            f"Frame Time: {1 / fps:.7f}\n{numbers}\n"
        )
        return path

    return write


@pytest.fixture(scope="session")
def part() -> Callable[[str], object]:
    """part("bvh.cleaning"): a module of a builder's folder."""

    def load(name: str):
        load_builder(name.split(".")[0])
        return importlib.import_module(name)

    return load
