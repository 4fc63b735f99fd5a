"""BVH and GLB as Blender imports them: a `blender` on the path, or the bpy package."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures_motion import HEIGHT, two_people

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.files.formats import write

SCRIPT = Path(__file__).with_name("blender_joints.py")
MOTION = two_people()
FRAMES = (5, 6, 10, 14, 20)


def imported(path: Path, output: Path) -> dict:
    """Joints and vertices in metres, y up, as Blender has them after importing a file."""
    python = os.environ.get("DSTFORMER_BPY_PYTHON")  # of another environment with bpy
    if python is None and importlib.util.find_spec("bpy"):
        python = sys.executable
    if blender := shutil.which("blender"):
        command = [blender, "--background", "--factory-startup", "--python", str(SCRIPT)]
    elif python:
        command = [python, str(SCRIPT)]
    else:
        pytest.skip("no Blender here")
    words = [*command, "--", path, output, f"{MOTION.fps:g}", *map(str, FRAMES)]
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=200, check=False
    )
    assert output.exists(), done.stdout + done.stderr
    return json.loads(output.read_text())


def upright(places) -> np.ndarray:
    """Blender's z up to y up."""
    x, y, z = np.moveaxis(np.array(places), -1, 0)
    return np.stack([x, z, -y], axis=-1)


@pytest.mark.long
def test_blender_imports_the_glb(tmp_path):
    (path,) = write(MOTION, tmp_path / "clip", ["glb"])
    found = imported(path, tmp_path / "joints.json")
    assert len(found["joints"]) == len(found["vertices"]) == 2
    for track in MOTION:
        name = f"person{track.id}"
        (bones,) = [b for b in found["joints"].values() if f"{name}_root" in b]
        rows = np.array(FRAMES) - track.start
        for joint in range(17):
            places = upright(bones[f"{name}_{H36M17.names[joint]}"])
            known = track.confidence[rows, joint] > 0
            error = np.abs(places - track.points[rows, joint])[known]
            assert error.max() < 1e-4 * HEIGHT
        shown = upright(found["vertices"][f"{name}_body"])
        body = track.points[rows[-1]]
        np.testing.assert_allclose(shown.min(0), body.min(0), atol=0.04)
        np.testing.assert_allclose(shown.max(0), body.max(0), atol=0.04)


@pytest.mark.long
def test_blender_imports_the_bvh(tmp_path):
    for path, track in zip(write(MOTION, tmp_path / "clip", ["bvh"]), MOTION, strict=True):
        found = imported(path, tmp_path / f"{path.stem}.json")
        (bones,) = found["joints"].values()
        rows = np.array(FRAMES) - track.start
        for joint, name in enumerate(H36M17.names):
            known = track.confidence[rows, joint] > 0
            error = np.abs(upright(bones[name]) - track.points[rows, joint])[known]
            assert error.max() < 1e-4 * HEIGHT
