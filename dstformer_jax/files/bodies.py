"""Body model files: SMPL as official pickles or .npz, and any linear-blend body in .npz.

The official pickles hold chumpy and scipy objects. Neither library is imported and nothing in a
pickle runs: stand-ins keep the numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.model import BodyModel, mirrored_bones
from dstformer_jax.body.skeleton import SMPL24, parse_expression
from dstformer_jax.files.bvh import END_SITE
from dstformer_jax.files.npz import load_npz
from dstformer_jax.files.pickles import load_pickle
from dstformer_jax.files.rigs import load_rigs

SMPL_FILES = ("SMPL_NEUTRAL.pkl", "SMPL_NEUTRAL.npz", "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl")
REGRESSOR = "J_regressor_h36m_correct.npy"
MEANS = "smpl_mean_params.npz"
EXTRA_REGRESSOR = "J_regressor_extra.npy"
NUM_BETAS = 10  # SMPL files may carry 300; the official head answers 10
END_VERTICES = 20  # so many vertices, farthest from the bone, are the end of a bone
# What the official head saves of its body model: the pose of a batch of 64, all zeros, and the
# vertices of nose, eyes, ears, feet and fingertips (numbers of SMPL's mesh).
SAVED_BATCH, SAVED_POSE = 64, {"betas": 10, "global_orient": 3, "body_pose": 69}
EXTRA_VERTICES = (332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787)
EXTRA_VERTICES += (2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133)
_SMPL = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_OWN = ("v_template", "shapedirs", "weights", "parents")
_OWN_MORE = ("posedirs", "J_template", "J_shapedirs", "J_regressor", "joint_names", "faces")
_OWN_MORE += ("regressor", "mirror")


def read_body(path: str | Path) -> BodyModel:
    """The body of a file or folder.

    A folder is the official data/mesh: SMPL_NEUTRAL.pkl (or .npz), J_regressor_h36m_correct.npy.
    An .npz of another body holds v_template [V, 3] metres, shapedirs [V, 3, S], weights [V, B],
    parents [B], joint_names [B], J_template [B, 3] and J_shapedirs [B, 3, S] (or J_regressor
    [B, V]); optional posedirs [V, 3, 9 (B - 1)], faces, mirror [B], and regressor [17, V or
    V + B]. Without a regressor the bones need the names of a known rig.

    Raises:
      ValueError: naming the file and what it lacks.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"got no body at {path}, expected an .npz, .pkl or the folder data/mesh")
    stamp = path.stat().st_mtime_ns
    return _read(path.resolve(), stamp)


@lru_cache(maxsize=4)
def _read(path: Path, stamp: int) -> BodyModel:
    if path.is_dir():
        return _smpl(_in_folder(path))
    if path.suffix == ".npz" and "parents" in load_npz(path, ("parents",)):
        return _own(path)
    return _smpl(path)


def _in_folder(path: Path) -> Path:
    found = [path / name for name in SMPL_FILES if (path / name).is_file()]
    if not found:
        raise ValueError(f"{path}: got no body, expected one of {', '.join(SMPL_FILES)}")
    return found[0]


def read_means(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean pose in 6D [144] and mean shape [10] of smpl_mean_params.npz (file or its folder)."""
    path = Path(path) / MEANS if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise ValueError(f"got no {path}, expected {MEANS} of the official data/mesh")
    arrays = load_npz(path, ("pose", "shape"))
    if set(arrays) != {"pose", "shape"}:
        raise ValueError(f"{path}: got {sorted(arrays)}, expected pose (144,) and shape (10,)")
    return arrays["pose"].reshape(-1), arrays["shape"].reshape(-1)


def _smpl(path: Path) -> BodyModel:
    """SMPL in its official arrays, with the Human3.6M regressor beside it."""
    arrays = read_arrays(path, _SMPL)
    regressor = path.parent / REGRESSOR
    if not regressor.is_file():
        raise ValueError(f"got no {regressor}, expected {REGRESSOR} of the official data/mesh")
    template, shapes = arrays["v_template"], arrays["shapedirs"][..., :NUM_BETAS]
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1  # the files say 2**32 - 1
    if len(parents) != SMPL24.num_joints:
        raise ValueError(f"{path}: got {len(parents)} bones, expected SMPL's {SMPL24.num_joints}")
    return BodyModel(
        name=path.stem,
        bone_names=SMPL24.names,
        parents=parents,
        template=template,
        shapes=shapes,
        bends=arrays["posedirs"],
        weights=arrays["weights"],
        bone_template=arrays["J_regressor"] @ template,
        bone_shapes=np.tensordot(arrays["J_regressor"], shapes, axes=1),
        regressor=np.load(regressor, allow_pickle=False).astype(np.float64),
        faces=arrays["f"].astype(np.int64),
        mirror=SMPL24.mirror,
    )


def _own(path: Path) -> BodyModel:
    """A body of our own .npz layout."""
    arrays = load_npz(path, (*_OWN, *_OWN_MORE))
    if missing := [name for name in _OWN if name not in arrays]:
        raise ValueError(f"{path}: got no {', '.join(missing)}, expected a linear-blend body")
    template, shapes, weights = (
        np.asarray(arrays[name], np.float64) for name in ("v_template", "shapedirs", "weights")
    )
    bones = weights.shape[1]
    if "J_regressor" in arrays:
        rest = arrays["J_regressor"] @ template
        rest_shapes = np.tensordot(arrays["J_regressor"], shapes, axes=1)
    elif {"J_template", "J_shapedirs"} <= arrays.keys():
        rest, rest_shapes = arrays["J_template"], arrays["J_shapedirs"]
    else:
        raise ValueError(f"{path}: got no bones, expected J_template, J_shapedirs or J_regressor")
    named = arrays["joint_names"] if "joint_names" in arrays else np.arange(bones)
    names = tuple(str(name) for name in named)
    if len(names) != bones:
        raise ValueError(f"{path}: got {len(names)} joint_names, expected {bones}")
    regressor = arrays.get("regressor")
    if regressor is None:
        regressor = named_regressor(names, template, weights, rest, str(path))
    return BodyModel(
        name=path.stem,
        bone_names=names,
        parents=np.asarray(arrays["parents"], np.int64),
        template=template,
        shapes=shapes,
        bends=np.asarray(arrays.get("posedirs", np.zeros((*template.shape, 0))), np.float64),
        weights=weights,
        bone_template=np.asarray(rest, np.float64),
        bone_shapes=np.asarray(rest_shapes, np.float64),
        regressor=np.asarray(regressor, np.float64),
        faces=np.asarray(arrays.get("faces", np.zeros((0, 3))), np.int64),
        mirror=np.asarray(arrays.get("mirror", mirrored_bones(names)), np.int32),
    )


def smpl_buffers(folder: str | Path) -> dict[str, np.ndarray]:
    """SMPL's tensors as the official mesh head keeps them, from the official data/mesh.

    Args:
      folder: with the body, J_regressor_h36m_correct.npy and J_regressor_extra.npy.

    Returns:
      float32 and int64 arrays by the key that follows `head.smpl.`, in official order. V vertices:
      shapedirs [V, 3, 10], posedirs [207, 3 V], J_regressor [24, V], lbs_weights [V, 24], ...

    Raises:
      ValueError: naming the file that is missing or does not fit the body.
    """
    folder = Path(folder)
    if not (folder / EXTRA_REGRESSOR).is_file():
        raise ValueError(f"got no {folder / EXTRA_REGRESSOR}, expected the official data/mesh")
    body = read_body(folder)
    extra = np.load(folder / EXTRA_REGRESSOR, allow_pickle=False)
    if extra.shape != (9, len(body.template)):
        raise ValueError(
            f"{folder / EXTRA_REGRESSOR}: got shape {extra.shape}, expected "
            f"{(9, len(body.template))} as the body beside it has vertices"
        )
    buffers = {
        **{name: np.zeros((SAVED_BATCH, width)) for name, width in SAVED_POSE.items()},
        "shapedirs": body.shapes,
        "faces_tensor": body.faces,
        "v_template": body.template,
        "J_regressor": read_arrays(_in_folder(folder), ("J_regressor",))["J_regressor"],
        "posedirs": body.bends.reshape(3 * len(body.template), -1).T,
        "parents": body.parents,
        "lbs_weights": body.weights,
        "J_regressor_extra": extra,
        "J_regressor_h36m": body.regressor,
        "vertex_joint_selector.extra_joints_idxs": np.array(EXTRA_VERTICES),
    }
    return {
        name: np.array(x, np.int64 if x.dtype.kind == "i" else np.float32, order="C")
        for name, x in buffers.items()
    }


def named_regressor(
    names: tuple[str, ...],
    template: np.ndarray,
    weights: np.ndarray,
    rest: np.ndarray,
    where: str,
) -> np.ndarray:
    """The 17 joints by the bones' names: [17, V + B] over posed vertices and posed bones.

    The rig is one of files/rigs.json. The end site of a bone is the mean of the vertices it
    carries that lie farthest from it.
    """
    known = set(names)
    fitting = [
        rig
        for rig in load_rigs().values()
        if {bone.removesuffix(END_SITE) for bone in rig.missing(())} <= known
    ]
    if not fitting:
        raise ValueError(
            f"{where}: got bones {', '.join(names[:6])}... and no regressor, expected the names "
            "of a rig in files/rigs.json; do add an array regressor [17, V]"
        )
    matrix = np.zeros((17, len(template) + len(names)))
    for row, expression in enumerate(max(fitting, key=lambda rig: len(set(rig.joints))).joints):
        for node, weight in parse_expression(expression).items():
            bone = names.index(node.removesuffix(END_SITE))
            if node.endswith(END_SITE):
                ends = _end(template, weights[:, bone], rest[bone])
                matrix[row, ends] += weight / len(ends)
            else:
                matrix[row, len(template) + bone] += weight
    return matrix


def _end(template: np.ndarray, weight: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The vertices at the end of a bone."""
    far = np.where(weight > 0.5, np.linalg.norm(template - place, axis=-1), -1)
    return np.argsort(-far)[: max(1, min(END_VERTICES, int((far >= 0).sum())))]


def read_arrays(path: Path, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """The wanted arrays of an official model file (.npz or .pkl) in float64.

    Raises:
      ValueError: not such a file, or without one of the arrays.
    """
    pickled = path.suffix == ".pkl"
    found = load_pickle(path, extra=_STANDINS) if pickled else load_npz(path, wanted)
    missing = [name for name in wanted if not isinstance(found, Mapping) or name not in found]
    if missing:
        raise ValueError(f"{path}: got no {', '.join(missing)}, expected a model of the SMPL kind")
    return {name: _array(found[name]) for name in wanted}


def _array(value: Any) -> np.ndarray:
    value = value.array() if isinstance(value, _Chumpy | _Sparse) else value
    return np.asarray(value, np.float64)


class _Chumpy:
    """Stands in for chumpy.ch.Ch (an array x) and chumpy.reordering.Select (elements of a)."""

    def array(self) -> np.ndarray:
        """The numbers of the object."""
        state = self.__dict__
        if "idxs" not in state:
            return np.asarray(state["x"], np.float64)
        whole = _array(state["a"]).ravel()[np.asarray(state["idxs"], np.int64)]
        return whole.reshape(state.get("preferred_shape", whole.shape))


class _Sparse:
    """Stands in for scipy's compressed sparse column matrix."""

    def array(self) -> np.ndarray:
        """The matrix with its zeros."""
        state = self.__dict__
        shape = state.get("_shape") or state["shape"]
        out = np.zeros(shape)
        columns = np.repeat(np.arange(shape[1]), np.diff(state["indptr"]))
        np.add.at(out, (state["indices"], columns), state["data"])
        return out


def _new(kind: type, base: type, state: Any) -> Any:
    """How old pickles make an object; only the stand-ins can be made."""
    if kind not in (_Chumpy, _Sparse):
        raise ValueError(f"got an object of {kind}, expected arrays")
    return kind()


_STANDINS = {
    ("copy_reg", "_reconstructor"): _new,
    ("copyreg", "_reconstructor"): _new,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _Chumpy,
    ("scipy.sparse.csc", "csc_matrix"): _Sparse,
    ("scipy.sparse._csc", "csc_matrix"): _Sparse,
}
