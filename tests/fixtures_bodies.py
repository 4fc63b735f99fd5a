"""A stick body with the 17 joints as bones, people who move in it, and tiny runs on them."""

from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body import rotations
from dstformer_jax.body.model import BodyModel
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data.bank import write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.files.bodies import read_body

BONES, SHAPES = 17, 2
ACROSS = np.array([-1.0, 1.0, 1.0])


def write_stick(path: Path) -> Path:
    """Two vertices a bone: where it begins, and a little off. Symmetric, y up, metres."""
    rng = np.random.default_rng(0)
    place = rng.normal(0, 0.3, (BONES, 3)) + np.array([0.2, 0, 0])
    place = (place + place[H36M17.mirror] * ACROSS) / 2
    # A point on the plane is its own mirror image.
    template = np.concatenate([place, place + np.array([0, 0.1, 0.05])])
    shapes = np.stack([template * 0.1, template * np.array([0, 0.1, 0])], axis=-1)
    np.savez(
        path,
        v_template=template,
        shapedirs=shapes,
        weights=np.tile(np.eye(BONES), (2, 1)),
        parents=H36M17.parents,
        joint_names=H36M17.names,
        J_template=place,
        J_shapedirs=shapes[:BONES],
        regressor=np.eye(BONES, 2 * BONES),
        mirror=H36M17.mirror,
    )
    return path


def person(body: BodyModel, number: int, frames: int = 14, axes: str = "world", **more: Any):
    """Someone who sways; the initial guess is off by a tenth of a radian."""
    rng = np.random.default_rng(number)
    theta = np.zeros((frames, body.num_bones, 3))
    theta += rng.normal(0, 0.25, (1, body.num_bones, 3))
    theta += np.cumsum(rng.normal(0, 0.03, theta.shape), axis=0)
    beta = np.tile(rng.normal(0, 1, (1, body.num_shapes)), (frames, 1))
    pose = body.joint_body.joints(rotations.to_matrix(theta), beta)
    flat = theta.reshape(frames, -1)
    initial = {"initial_theta": flat + rng.normal(0, 0.1, flat.shape), "initial_beta": beta * 0.5}
    fields = {"pose": pose, "theta": flat, "beta": beta, **initial, **more}
    return Sequence(id=f"p/{number}", fps=30, unit="m", axes=axes, **fields)


def write_people(folder: Path) -> Path:
    """A prepared data set "people" (train, test) and its body, body.npz; returns the folder."""
    body = read_body(write_stick(folder / "body.npz"))
    bank = folder / "people" / "default" / "1.0.0" / "bank"
    write_bank([person(body, number) for number in range(24)], bank / "train")
    write_bank([person(body, 100 + number, 11) for number in range(3)], bank / "test")
    return folder


def config_of(folder: Path, head: str = "mesh", **changes: Any) -> dict[str, Any]:
    """A run of 2 epochs: clips of 6 frames seen from drawn sides, and single frames beside."""
    views = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0)}
    clips = {"dataset": "people", "frames": 6, "stride": 4, "batch": 8, "supervision": "body"}
    drawn = {**clips, "views": views, "crop": (1.0, 1.0), "flip": True, "short": "pad"}
    fixed = {"yaw": (0.0, 90.0), "pitch": (10.0,), "fixed": True}
    test = {**drawn, "split": "test", "flip": False, "views": fixed, "tail": "pad"}
    config: dict[str, Any] = {
        "seed": 0,
        "epochs": 2,
        "parallel": "pmap",
        "log_every": 2,
        "model": {"dim_feat": 8, "dim_rep": 8, "depth": 1, "num_heads": 2, "maxlen": 9},
        "task": {
            "name": "mesh",
            "head": head,
            "body": str(folder / "body.npz"),
            "hidden": 16,
            "dropout": 0.0,
        },
        "weights": {"mpjpe": 0.5, "velocity": 10.0, "pose": 1000.0, "shape": 1.0, "norm": 20.0},
        "optim": {"learning_rate": 1e-2},
        "data": {"path": str(folder), "feed": "numpy"},
        "sources": {"clips": {**drawn, "tail": "pad"}},
        "eval": {"every": 1, "flip": True, "sources": {"unseen": test}},
        "checkpoint": {"every": 0, "keep": 2},
        "profile": {},
    }
    config["model"]["init"] = "fan_in"
    return {**config, **changes}
