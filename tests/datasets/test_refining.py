"""Another method's files are refined, and so is our own answer, by the commands of docs/mesh.md."""

from pathlib import Path

import fixtures_mesh as layout
import jax
import numpy as np
import pytest

from dstformer_jax import main
from dstformer_jax.body import rotations
from dstformer_jax.data import prepare
from dstformer_jax.data.bank import Bank
from dstformer_jax.training import checkpoint

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "model.dim_feat": 8,
    "model.dim_rep": 8,
    "model.depth": 1,
    "model.num_heads": 2,
    "model.maxlen": 16,
    "task.hidden": 16,
    "sources.h36m.batch": 8,
    "eval.sources.h36m.batch": 8,
    "data.feed": "numpy",
    "epochs": 1,
    "log_every": 1,
}
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture(autouse=True)
def _quick_compilation(tmp_path):
    """Programs are compiled without optimisation, and once for all commands."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_compilation_cache_dir", before)


def videos(subject: int, count: int) -> layout.Rows:
    """Videos of 24 frames of one subject."""
    people = []
    for number in range(count):
        name = f"s_{subject:02}_act_{2 + number:02}_subact_01_ca_01"
        rows = layout.person(name, 24, seed=100 * subject + number)
        people.append(rows | {"camera_name": np.array(["54138969"] * 24)})
    return layout.join(people)


def write_answers(folder: Path, rows: layout.Rows) -> dict[str, np.ndarray]:
    """Files of another method, which knows nothing of the truth; their theta by name."""
    folder.mkdir(exist_ok=True)
    answers = {}
    for number, name in enumerate(dict.fromkeys(rows["source"].tolist())):
        guess = layout.person(name, (rows["source"] == name).sum(), seed=7000 + number)
        answers[name] = guess["smpl_pose"]
        np.savez(folder / f"{name}.npz", theta=answers[name], beta=guess["smpl_shape"][0])
    return answers


def run(workdir: Path, data: Path, body: Path, **changes) -> None:
    """The command on configs/mesh.py:scratch,h36m,refine, of a tiny network."""
    settings = TINY | {"data.path": data, "task.body": body}
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    mode = settings.pop("mode", "train")
    flags = [f"--config.{name}={value}" for name, value in settings.items()]
    config = f"--config={ROOT / 'configs/mesh.py'}:scratch,h36m,refine"
    assert main.main(["main", config, f"--workdir={workdir}", f"--mode={mode}", *flags]) == 0


def degrees_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[N, 24] between axis-angles [N, 72]."""
    one, other = (rotations.to_matrix(each.reshape(-1, 24, 3)) for each in (first, second))
    return np.degrees(np.linalg.norm(rotations.to_vector(one.swapaxes(-1, -2) @ other), axis=-1))


@pytest.mark.long
def test_another_methods_files_are_refined_and_so_are_our_own(smpl_folder, tmp_path):
    """After two steps what comes out is still near what the files hold, not near the truth."""
    train, test = videos(1, 9), videos(9, 2)
    pickle = layout.write(tmp_path / "in" / "mesh_det_h36m.pkl", train, test)
    write_answers(tmp_path / "other", train)
    answers = write_answers(tmp_path / "other", test)
    data, workdir, ours = tmp_path / "data", tmp_path / "run", tmp_path / "ours"
    common = ["--dataset=mesh_h36m", f"--data_dir={data}", "--quiet"]
    given = f"--initial_from={tmp_path / 'other'}"
    assert prepare.main([*common, f"--source={pickle}", given]) == 0

    run(workdir, data, smpl_folder)
    assert checkpoint.saved_steps(workdir)[-1] == 2
    settings = {"eval__write": ours, "eval__tail": "score", "eval__flip": False}
    run(workdir, data, smpl_folder, mode="eval", **settings)
    files = sorted((ours / "h36m").iterdir())
    assert [file.stem for file in files] == sorted(answers)
    refined = {file.stem: np.load(file)["theta"] for file in files}
    for name, theta in refined.items():
        truth = test["smpl_pose"][test["source"] == name]
        near = degrees_apart(theta, answers[name]).mean()
        assert near < 20 < 40 < degrees_apart(answers[name], truth).mean()

    pickle = layout.write(tmp_path / "again" / "mesh_det_h36m.pkl", test, test)
    given = f"--initial_from={ours / 'h36m'}"
    assert prepare.main([*common, "--name=again", f"--source={pickle}", given]) == 0
    bank = Bank.open(data, "mesh_h36m/again", "test")
    wanted = np.concatenate([refined[row["id"]] for row in bank.sequences])
    np.testing.assert_allclose(bank.initial_theta, wanted, atol=1e-6)
