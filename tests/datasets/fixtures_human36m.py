"""Human3.6M files in the three layouts, written from their descriptions, not from our reader.

All are made of the same people: `world(subject, take)` in metres, z up, 32 joints as recorded.
"""

import pickle
from pathlib import Path

import numpy as np

# Calibration of two of the real cameras, and a made-up place in the studio: R is camera to world.
LENSES = {
    "54138969": ((1145.0494384765625, 1143.7811279296875), (512.54150390625, 515.4514770507812)),
    "55011271": ((1149.6756591796875, 1147.5916748046875), (508.8486328125, 508.0649108886719)),
    "58860488": ((1149.1407470703125, 1148.7989501953125), (519.8158569335938, 501.40264892578125)),
    "60457274": ((1145.5113525390625, 1144.77392578125), (514.9682006835938, 501.88201904296875)),
}
HEIGHTS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}
# Of the 32 recorded joints, those of the 17: hip, right leg, left leg, spine, neck, ...
MOVING = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
TAKES = ["Greeting", "Greeting 1", "WalkDog"]


def world(subject: str, take: str, frames: int = 12) -> np.ndarray:
    """[T, 32, 3] metres, z up: noise of a metre around a walk near the middle of the studio."""
    rng = np.random.default_rng(sum(map(ord, subject + take)))
    body = rng.normal(loc=(0, 0, 1), scale=0.3, size=(32, 3))
    walk = np.linspace(0, 0.4, frames)[:, None, None] * rng.normal(size=3)
    return (body + walk + rng.normal(scale=0.02, size=(frames, 32, 3))).astype(np.float32)


def camera_place(camera: str) -> tuple[np.ndarray, np.ndarray]:
    """R (camera to world) and T (metres): 5 m away at 1.5 m height, looking at the middle."""
    angle = 0.3 + 1.5 * sorted(LENSES).index(camera)
    place = np.array([5 * np.cos(angle), 5 * np.sin(angle), 1.5])
    away = -place * [1, 1, 0] / 5
    right = np.cross(away, [0, 0, 1])
    return np.stack([right, [0, 0, -1], away], axis=1), place


def camera_points(points: np.ndarray, camera: str) -> np.ndarray:
    """World metres -> camera metres (x right, y down, z away)."""
    turn, place = camera_place(camera)
    return np.einsum("ij,...i->...j", turn, points - place)


def pixels(points: np.ndarray, camera: str) -> np.ndarray:
    """Camera points -> [..., 2] pixels, written out."""
    (fx, fy), (cx, cy) = LENSES[camera]
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)


def write_official(path: Path, arrays: dict[str, np.ndarray], drop: tuple[str, ...] = ()) -> Path:
    """h36m_sh_conf_cam_source_final.pkl from arrays named raw/<split>/<key> (the golden ones)."""
    table: dict[str, dict] = {"train": {}, "test": {}}
    for name, array in arrays.items():
        _, split, key = name.split("/")
        text = key in ("camera_name", "source", "action")
        table[split][key] = [str(value) for value in array] if text else array
    for split in table.values():
        for key in drop:
            split.pop(key, None)
    with path.open("wb") as file:
        pickle.dump(table, file, protocol=4)
    return path


def write_cameras_pickle(path: Path, subjects: list[str]) -> Path:
    """cameras.pkl of mmpose: column vectors, R camera to world, T in metres."""
    table = {}
    for subject in subjects:
        for number, (camera, (focal, centre)) in enumerate(LENSES.items()):
            turn, place = camera_place(camera)
            table[subject, camera] = {
                "R": turn,
                "T": place[:, None],
                "f": np.array(focal)[:, None],
                "c": np.array(centre)[:, None],
                "k": np.zeros((3, 1)),
                "p": np.zeros((2, 1)),
                "w": 1000,
                "h": HEIGHTS[camera],
                "name": f"camera{number + 1}",
                "id": camera,
            }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(table))
    return path


def write_mmpose(root: Path, gap: int = 1) -> Path:
    """annotation_body3d/{cameras.pkl, fps50/h36m_{train,test}.npz}; `gap` 5 makes fps10."""
    folder = root / "annotation_body3d" / f"fps{50 // gap}"
    folder.mkdir(parents=True)
    write_cameras_pickle(folder.parent / "cameras.pkl", ["S1", "S9"])
    for split, subject in {"train": "S1", "test": "S9"}.items():
        names, parts, poses = [], [], []
        for take in TAKES:
            stem = f"{subject}_{take.replace(' ', '_')}"
            for camera in LENSES:
                points = camera_points(world(subject, take)[::gap, MOVING], camera)
                ones = np.ones((*points.shape[:2], 1))
                parts.append(np.concatenate([pixels(points, camera), ones], axis=-1))
                poses.append(np.concatenate([points, ones], axis=-1))
                video = f"{stem}.{camera}"
                names += [
                    f"{subject}/{video}/{video}_{gap * i + 1:06d}.jpg" for i in range(len(points))
                ]
        part, pose = np.concatenate(parts), np.concatenate(poses)
        np.savez(
            folder / f"h36m_{split}.npz",
            imgname=np.array(names),
            center=part[:, :, :2].mean(1),
            scale=np.ones(len(part)),
            part=part,
            S=pose,
        )
    return root


def write_videopose(
    root: Path, detections: str = "cpn_ft_h36m_dbb", cameras: bool = True, longer: int = 2
) -> Path:
    """data_3d_h36m.npz and data_2d_h36m_*.npz; the 2D goes on a little after the 3D."""
    root.mkdir(parents=True, exist_ok=True)
    subjects = ["S1", "S9"]
    poses = {subject: {take: world(subject, take) for take in TAKES} for subject in subjects}
    np.savez_compressed(root / "data_3d_h36m.npz", positions_3d=np.array(poses, dtype=object))
    if cameras:
        write_cameras_pickle(root / "cameras.pkl", subjects)
    views = {
        subject: {
            take: [
                pixels(
                    camera_points(world(subject, take, 12 + longer)[:, MOVING], camera), camera
                ).astype(np.float32)
                for camera in LENSES
            ]
            for take in TAKES
        }
        for subject in subjects
    }
    metadata = {
        "layout_name": "h36m",
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    }
    np.savez_compressed(
        root / f"data_2d_h36m_{detections}.npz",
        positions_2d=np.array(views, dtype=object),
        metadata=np.array(metadata, dtype=object),
    )
    return root
