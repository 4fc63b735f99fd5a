"""Reads rtmlib's answers saved with `numpy.savez`: `keypoints` (or `kpts`) and `scores`.

rtmlib answers `keypoints [n, K, 2]` and `scores [n, K]` a frame and has no file of its own; the
layouts read are those of `stacks`, so `np.savez(path, keypoints=np.array(per_frame, object),
scores=np.array(scores, object))` is one, and padded arrays, or `keypoints [N, K, 2]`,
`scores [N, K]` and `frames [N]`, are others.
"""

from pathlib import Path

from dstformer_jax.body.motion import Motion
from dstformer_jax.files.detections import People
from dstformer_jax.files.npz import load_npz
from dstformer_jax.files.probe import Probe
from dstformer_jax.files.stacks import add_stacks

POINTS = ("keypoints", "kpts")
SCORES = ("scores", "keypoint_scores")
MAX_BYTES = 4 * 2**30


def looks_like(probe: Probe) -> bool:
    """An .npz with keypoints and scores."""
    return bool(probe.arrays.intersection(POINTS) and probe.arrays.intersection(SCORES))


def read_rtmlib(path: str | Path, fps: float = 0.0) -> Motion:
    """Reads keypoints and scores of one video; confidence is the score, cut to [0, 1]."""
    arrays = load_npz(path, max_bytes=MAX_BYTES)
    points = next((name for name in POINTS if name in arrays), None)
    scores = next((name for name in SCORES if name in arrays), None)
    if points is None or scores is None:
        raise ValueError(
            f"{path}: got arrays {sorted(arrays)!s:.80}, expected keypoints and scores"
        )
    people = People(str(path))
    add_stacks(people, arrays, points, scores, str(path))
    return people.motion(fps)
