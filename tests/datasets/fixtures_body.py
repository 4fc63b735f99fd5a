"""A small body with CMU's bone names, in the layout of files/bodies.py."""

from pathlib import Path

import numpy as np

# name, parent, place at rest in metres: CMU's names, arms half down and a little bent, as a body's.
BONES = [
    ("Hips", "", (0, 0.9, 0)),
    ("LeftUpLeg", "Hips", (0.1, 0.88, 0)),
    ("LeftLeg", "LeftUpLeg", (0.12, 0.48, 0.03)),
    ("LeftFoot", "LeftLeg", (0.13, 0.08, 0)),
    ("LeftToeBase", "LeftFoot", (0.14, 0.02, 0.12)),
    ("RightUpLeg", "Hips", (-0.1, 0.88, 0)),
    ("RightLeg", "RightUpLeg", (-0.12, 0.48, 0.03)),
    ("RightFoot", "RightLeg", (-0.13, 0.08, 0)),
    ("RightToeBase", "RightFoot", (-0.14, 0.02, 0.12)),
    ("Spine", "Hips", (0, 1.1, -0.02)),
    ("Neck", "Spine", (0, 1.4, 0.01)),
    ("Head", "Neck", (0, 1.52, 0.04)),
    ("LeftArm", "Neck", (0.17, 1.35, 0)),
    ("LeftForeArm", "LeftArm", (0.35, 1.17, 0)),
    ("LeftHand", "LeftForeArm", (0.5, 1.05, 0.1)),
    ("RightArm", "Neck", (-0.17, 1.35, 0)),
    ("RightForeArm", "RightArm", (-0.35, 1.17, 0)),
    ("RightHand", "RightForeArm", (-0.5, 1.05, 0.1)),
]
NAMES = [name for name, _, _ in BONES]
JOINTS = ["Hips", "RightUpLeg", "RightLeg", "RightFoot", "LeftUpLeg", "LeftLeg", "LeftFoot"]
JOINTS += ["Spine", "Neck", "Head", "Head", "LeftArm", "LeftForeArm", "LeftHand"]
JOINTS += ["RightArm", "RightForeArm", "RightHand"]


def write_body(path: Path) -> Path:
    """A body of 36 vertices whose shapes make bones longer; joints are its bones."""
    rng = np.random.default_rng(0)
    rest = np.array([place for _, _, place in BONES])
    template = np.concatenate([rest, rest + rng.normal(0, 0.03, rest.shape)])
    shapes = np.stack([0.05 * template, template * [0.1, 0, 0]], axis=-1)
    regressor = np.zeros((17, 3 * len(BONES)))
    regressor[np.arange(17), 2 * len(BONES) + np.array([NAMES.index(name) for name in JOINTS])] = 1
    np.savez(
        path,
        v_template=template,
        shapedirs=shapes,
        weights=np.tile(np.eye(len(BONES)), (2, 1)),
        parents=[NAMES.index(parent) if parent else -1 for _, parent, _ in BONES],
        joint_names=NAMES,
        J_template=rest,
        J_shapedirs=shapes[: len(BONES)],
        regressor=regressor,
    )
    return path
