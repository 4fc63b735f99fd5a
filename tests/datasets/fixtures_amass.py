"""AMASS files in their official layouts: motions, bodies, regressor, joints pickle, clips.

Bodies are small and random but have the shape of SMPL+H: 52 bones, 16 betas, 459 pose directions.
"""

import pickle
from pathlib import Path

import numpy as np

VERTICES, BONES = 60, 52
# Of SMPL+H: 22 body joints, then three joints for each of five fingers of both hands.
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
PARENTS += [20, 22, 23, 20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35]
PARENTS += [21, 37, 38, 21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50]


def body(seed: int) -> dict[str, np.ndarray]:
    """The arrays of model.npz, by their official names."""
    rng = np.random.default_rng(seed)
    weights = rng.random((VERTICES, BONES)) ** 8
    regressor = rng.random((BONES, VERTICES)) ** 8
    parents = np.array(PARENTS, np.int64)
    parents[0] = 2**32 - 1  # as the official files mark the root
    return {
        "v_template": rng.normal(size=(VERTICES, 3)),
        "shapedirs": rng.normal(scale=0.02, size=(VERTICES, 3, 16)),
        "posedirs": rng.normal(scale=0.01, size=(VERTICES, 3, 9 * (BONES - 1))),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(BONES)]).astype(np.uint32),
        "f": np.zeros((10, 3), np.uint32),
    }


def tissue(seed: int) -> np.ndarray:
    """The directions of a DMPL model, more than are used."""
    return np.random.default_rng(seed + 50).normal(scale=0.02, size=(VERTICES, 3, 20))


def regressor() -> np.ndarray:
    """A sparse (17, V) joint regressor."""
    rng = np.random.default_rng(99)
    matrix = rng.random((17, VERTICES)) * (rng.random((17, VERTICES)) < 0.1)
    matrix[:, 0] += 0.1
    return matrix / matrix.sum(1, keepdims=True)


GENDERS = {"female": 1, "male": 2}


def write_bodies(root: Path, dmpls: bool = True) -> Path:
    """body_models/{smplh,dmpls}/<gender>/model.npz and the regressor."""
    for gender, seed in GENDERS.items():
        folder = root / "body_models" / "smplh" / gender
        folder.mkdir(parents=True)
        np.savez(folder / "model.npz", **body(seed))
        if dmpls:
            folder = root / "body_models" / "dmpls" / gender
            folder.mkdir(parents=True)
            np.savez(folder / "model.npz", eigvec=tissue(seed))
    np.save(root / "J_regressor_h36m_correct.npy", regressor())
    return root


def motion(seed: int, frames: int, fps: float = 120.0, gender: object = "male") -> dict:
    """The arrays of one recording; np.savez makes a text array of the gender."""
    rng = np.random.default_rng(seed)
    return {
        "poses": rng.normal(scale=0.4, size=(frames, 3 * BONES)),
        "trans": rng.normal(size=(frames, 3)),
        "betas": rng.normal(size=16),
        "dmpls": rng.normal(size=(frames, 8)),
        "gender": gender,
        "mocap_framerate": fps,
    }


def write_motion(path: Path, arrays: dict, **changes: object) -> Path:
    """One .npz; a change to None leaves the array out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    merged = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(path, **merged)
    return path


def rotation(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula, for one vector."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def posed_joints(arrays: dict, gender: str, frame: int, dmpls: bool = True) -> np.ndarray:
    """regressor @ vertices of one frame, vertex by vertex as SMPL says: [17, 3], z up."""
    model = body(GENDERS[gender])
    turns = np.stack([rotation(v) for v in arrays["poses"][frame].reshape(BONES, 3)])
    rest = model["v_template"] + model["shapedirs"] @ arrays["betas"]
    if dmpls:
        rest = rest + tissue(GENDERS[gender])[..., :8] @ arrays["dmpls"][frame]
    bones = model["J_regressor"] @ rest
    bent = rest + model["posedirs"] @ (turns[1:] - np.eye(3)).ravel()
    chain = []
    for bone, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = turns[bone]
        local[:3, 3] = bones[bone] - (bones[parent] if bone else 0)
        chain.append(chain[parent] @ local if bone else local)
    moved = np.zeros((VERTICES, 3))
    for bone, place in enumerate(chain):
        points = (bent - bones[bone]) @ place[:3, :3].T + place[:3, 3]
        moved += model["weights"][:, bone : bone + 1] * points
    return regressor() @ (moved + arrays["trans"][frame])


def write_joints(path: Path, poses: list[np.ndarray]) -> Path:
    """amass_joints_h36m_60.pkl of [T, 17, 3] poses: a list of (17, T, 3)."""
    path.write_bytes(pickle.dumps([pose.transpose(1, 0, 2) for pose in poses]))
    return path


def write_clips(root: Path, poses: list[np.ndarray]) -> Path:
    """MB3D_f243s81/AMASS/train/%08d.pkl of poses in metres, z up; an empty test folder."""
    (root / "test").mkdir(parents=True)
    (root / "train").mkdir()
    for number, pose in enumerate(poses):
        label = np.stack([pose[..., 0], -pose[..., 2], pose[..., 1]], axis=-1) * 0.298
        clip = {"data_input": None, "data_label": label.astype(np.float32)}
        (root / "train" / f"{number:08d}.pkl").write_bytes(pickle.dumps(clip))
    return root
