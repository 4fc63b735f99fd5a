"""Released files against published numbers: what is missing is named, what is there is measured."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data.prepare import prepare
from dstformer_jax.models.network import build_network, variable_shapes
from dstformer_jax.reproduce import __main__ as command
from dstformer_jax.reproduce import official

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def write_pickle(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """The official pickle, from arrays named raw/<split>/<column>."""
    table: dict[str, dict] = {"train": {}, "test": {}}
    for name, array in arrays.items():
        _, split, column = name.split("/")
        text = column in ("camera_name", "source", "action")
        table[split][column] = [str(value) for value in array] if text else array
    path.write_bytes(pickle.dumps(table, protocol=4))
    return path


def test_released_files_that_are_missing_are_named(tmp_path, capsys):
    flags = ["official", f"--weights={tmp_path}", f"--data={tmp_path / 'data'}"]
    assert command.main(flags) == 2
    page = capsys.readouterr().out
    for each in official.CHECKS:
        assert str(tmp_path / each.file) in page
    assert "dataset human36m/default" in page
    assert command.main([*flags[:1], "--weights=/no/where", flags[2]]) == 2
    assert "got --weights=/no/where" in capsys.readouterr().err


@pytest.mark.long
def test_a_released_file_is_measured(tmp_path, golden, capsys):
    torch = pytest.importorskip("torch")
    from dstformer_jax.convert import to_torch

    raw = {k: v for k, v in golden("d_h36m_reader").items() if k.startswith("raw/")}
    path = write_pickle(tmp_path / "h36m_sh_conf_cam_source_final.pkl", raw)
    prepare("human36m", tmp_path / "data", source=path, progress=False)
    sizes = {"dim_feat": 16, "dim_rep": 16, "depth": 1, "num_heads": 2, "maxlen": 27}
    shapes = variable_shapes(build_network({"size": "demo", "num_joints": 17, **sizes}))["params"]
    rng = np.random.default_rng(0)
    params = _filled(shapes, rng)
    state = {f"module.{k}": torch.tensor(v) for k, v in to_torch(params).items()}
    file = tmp_path / official.CHECKS[0].file
    file.parent.mkdir(parents=True)
    torch.save({"epoch": 1, "lr": 1e-4, "model_pos": state, "min_loss": 1.0}, file)
    small = [f"--config.model.{name}={value}" for name, value in sizes.items()]
    for part in ("sources", "eval.sources"):
        small += [
            f"--config.{part}.human36m.{name}" for name in ("frames=27", "stride=3", "batch=8")
        ]
    flags = [f"--weights={tmp_path}", f"--data={tmp_path / 'data'}", f"--workdir={tmp_path / 'w'}"]
    assert command.main(["official", *flags, *small]) == 1  # measured, and far from 39.2 mm
    line = next(row for row in capsys.readouterr().out.splitlines() if "from scratch" in row)
    assert "outside the tolerance" in line
    assert float(line.split("|")[3]) > 50


def _filled(shapes, rng):
    if hasattr(shapes, "items"):
        return {name: _filled(each, rng) for name, each in shapes.items()}
    return rng.normal(0, 0.02, shapes.shape).astype(np.float32)
