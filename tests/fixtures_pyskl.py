"""PYSKL pickles written field by field from reference 3.10 and formats 4.1, not from our reader."""

import pickle
from pathlib import Path

import numpy as np

COCO_ORDER = [
    *("nose", "leye", "reye", "lear", "rear", "lsho", "rsho", "lelb", "relb", "lwri", "rwri"),
    *("lhip", "rhip", "lkne", "rkne", "lank", "rank"),
]
# Human3.6M joint -> the COCO joints it is the mean of (reference 3.7).
H36M_OF_COCO = [
    *(("lhip", "rhip"), ("rhip",), ("rkne",), ("rank",), ("lhip",), ("lkne",), ("lank",)),
    *(("lhip", "rhip", "lsho", "rsho"), ("lsho", "rsho"), ("nose",), ("leye", "reye")),
    *(("lsho",), ("lelb",), ("lwri",), ("rsho",), ("relb",), ("rwri",)),
]


def record(name: str, label: int, people: int = 1, frames: int = 12, seed: int = 0) -> dict:
    """One annotation as PYSKL writes it: float16 pixels of a 1920 x 1080 video, and scores."""
    rng = np.random.default_rng(seed)
    at = np.stack([rng.uniform(200, 1700, (people, 1, 1)), rng.uniform(300, 800, (people, 1, 1))])
    points = np.moveaxis(at, 0, -1) + rng.uniform(-100, 100, (people, frames, 17, 2))
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": frames,
        "keypoint": points.astype(np.float16),
        "keypoint_score": rng.uniform(0.3, 1, (people, frames, 17)).astype(np.float16),
    }


def to_h36m(record: dict) -> np.ndarray:
    """What the clip should become, joint by joint: float64 [M, T, 17, 3]."""
    pixels, scores = (record[key].astype(np.float64) for key in ("keypoint", "keypoint_score"))
    points = pixels / 1920 * 2 - 1
    joints = [[COCO_ORDER.index(name) for name in names] for names in H36M_OF_COCO]
    return np.stack(
        [
            np.concatenate([points[:, :, j].mean(2), scores[:, :, j].min(2)[..., None]], axis=-1)
            for j in joints
        ],
        axis=2,
    )


def write(path: Path, annotations: list, split: dict | None = None) -> Path:
    """Writes the pickle; the split of all ids is called train unless given."""
    split = split or {"train": [one["frame_dir"] for one in annotations]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"split": split, "annotations": annotations}))
    return path
