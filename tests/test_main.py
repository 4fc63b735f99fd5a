"""The command line: train, eval and plan of a tiny config, and mistakes told in one line."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from dstformer_jax import main
from dstformer_jax.data import corrupt
from dstformer_jax.data.bank import write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.training import checkpoint, experiment

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIG = """
from ml_collections import ConfigDict, config_dict

def get_config(variant=""):
    if variant not in ("", "slow", "group"):
        raise ValueError(f"got variant {{variant!r}}, expected 'slow'")
    source = dict(dataset="walks", frames=5, stride=5, batch=8)
    groups = dict(all=("unseen", "absent")) if variant == "group" else dict()
    optional = config_dict.placeholder
    return ConfigDict(dict(
        seed=0, epochs=2, parallel="auto", log_every=2, peak_tflops=0.001,
        init_from=config_dict.placeholder(str),
        model=dict(dim_feat=8, dim_rep=8, depth=1, num_heads=2, mlp_ratio=2.0, maxlen=5),
        task=dict(name="lift3d"), weights=dict(mpjpe=1.0, velocity=20.0),
        optim=dict(learning_rate=1e-3, freeze=()),
        data=dict(
            path={path!r}, feed="numpy", corrupt_on="host", order="shuffled", noise=optional(str)
        ),
        sources=dict(walks=source),
        eval=dict(
            every=1, flip=False, best=optional(str), groups=groups,
            sources=dict(unseen=dict(source, split="test")),
        ),
        checkpoint=dict(every=0, keep=1),
    ))
"""


def walk(name: str, frames: int) -> Sequence:
    """A random walk of 17 joints in metres."""
    rng = np.random.default_rng(frames)
    pose = rng.normal(0, 0.3, (1, 17, 3)) + np.cumsum(rng.normal(0, 0.01, (frames, 17, 3)), axis=0)
    return Sequence(id=name, fps=30.0, axes="camera", pose=pose)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """A config file beside a prepared dataset."""
    folder = tmp_path_factory.mktemp("project")
    bank = folder / "walks" / "default" / "1.0.0" / "bank"
    write_bank([walk(f"train{i}", 40 + i) for i in range(3)], bank / "train")
    write_bank([walk("test", 20)], bank / "test")
    path = folder / "tiny.py"
    path.write_text(CONFIG.format(path=str(folder)))
    return path


@pytest.fixture(autouse=True, scope="module")
def _quick_compilation(tmp_path_factory):
    """Programs are compiled without optimisation, and once for all commands."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_compilation_cache_dir", before)


def run(*arguments: object) -> int:
    return main.main(["main", *map(str, arguments)])


def test_plan_train_eval_and_fine_tuning(config, tmp_path, capsys):
    """The steps of a project, from a fresh workdir."""
    assert run(f"--config={config}", "--mode=plan") == 0
    told = capsys.readouterr().out
    for words in ("24", "walks", "parameters: ", "epochs: 2, steps: 6", "PFLOP", "expected: "):
        assert words in told

    workdir = tmp_path / "run"
    assert run(f"--config={config}", f"--workdir={workdir}") == 0
    assert "mpjpe" in capsys.readouterr().out
    assert json.loads((workdir / "config.json").read_text())["epochs"] == 2
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["mfu"] > 0
    assert lines[-1]["step"] == 6

    init = f"--config.init_from={tmp_path / 'other'}"
    assert run(f"--config={config}", f"--workdir={workdir}", "--mode=eval", init) == 0
    told = capsys.readouterr().out
    assert f"measuring the best checkpoint of {workdir}; init_from={tmp_path / 'other'}" in told
    results = json.loads((workdir / "eval.json").read_text())
    step = checkpoint.restore_params(workdir)[1]["step"]
    trained = next(x for x in lines if x["step"] == step and "eval/unseen/mpjpe" in x)
    assert results["eval/unseen/mpjpe"] == pytest.approx(trained["eval/unseen/mpjpe"], rel=1e-4)

    capsys.readouterr()
    tuned = tmp_path / "tuned"
    frozen = "--config.optim.freeze=('backbone/*',)"
    init = f"--config.init_from={workdir}"
    assert run(f"--config={config}", f"--workdir={tuned}", init, frozen) == 0
    assert "starting from given backbone, head" in capsys.readouterr().out
    before, after = (checkpoint.restore_params(path)[0]["params"] for path in (workdir, tuned))
    kernel = before["backbone"]["pre_logits"]["kernel"]
    assert (kernel == after["backbone"]["pre_logits"]["kernel"]).all()
    assert (before["head"]["dense"]["kernel"] != after["head"]["dense"]["kernel"]).any()

    # Another size: the run keeps its config, and of a new one nothing is left behind.
    known = (workdir / "config.json").read_bytes()
    capsys.readouterr()
    assert run(f"--config={config}", f"--workdir={workdir}", "--config.model.depth=2") == 2
    told = capsys.readouterr().err
    assert "does not fit this config" in told
    assert "layer_1" in told
    assert (workdir / "config.json").read_bytes() == known
    fresh = tmp_path / "fresh"
    assert run(f"--config={config}", f"--workdir={fresh}", init, "--config.model.depth=2") == 2
    assert "layer_1" in capsys.readouterr().err
    assert not fresh.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--config=", "--workdir="]),
        (["--config={config}"], ["--workdir=DIR"]),
        (["--config={config}", "--workdir={tmp}", "--mode=tarin"], ["tarin", "train"]),
        (["--config={config}", "--workdir={tmp}", "--confg=3"], ["confg"]),
        (["--config={config}", "--workdir={tmp}", "epochs=3"], ["epochs=3", "--"]),
        (["--config={config}", "--workdir={tmp}", "--config.epoch=3"], ["epoch", "epochs"]),
        (["--config={config}", "--workdir={tmp}", "--config.epochs=many"], ["epochs", "many"]),
        (
            ["--config={config}", "--workdir={tmp}", "--config.optim.learing_rate=1"],
            ["learing_rate", "learning_rate"],
        ),
        (["--config={config}:fast", "--workdir={tmp}"], ["got variant 'fast', expected 'slow'"]),
        (["--config=absent.py", "--workdir={tmp}"], ["absent.py"]),
        (["--config={config}", "--mode=plan", "--config.sources.runs=None"], ["'runs'"]),
        (["--config={config}", "--mode=plan", "--config.model.depth=0"], ["model.depth=0"]),
        (["--config={config}", "--mode=plan", "--config.checkpoint.keep=0"], ["checkpoint.keep=0"]),
        (["--config={config}", "--mode=plan", "--config.eval.every=-1"], ["eval.every=-1"]),
        (["--config={config}", "--workdir={tmp}", "--config.init_from=x.bin"], ["x.bin"]),
        (
            ["--config={config}", "--workdir={tmp}", "--config.sources.walks.dataset=runs"],
            ["'runs'", "dstformer_jax.data.prepare --dataset=runs"],
        ),
        (
            ["--config={config}", "--workdir={tmp}", "--config.sources.walks.frames=9"],
            ["'walks'", "model.maxlen=5"],
        ),
        (["--config={config}", "--workdir={tmp}", "--config.task.name=lift"], ["lift3d"]),
        (["--config={config}", "--workdir={tmp}", "--mode=eval"], ["without a checkpoint"]),
        (["--config={config}", "--mode=plan", "--config.init_from=x.bin"], ["x.bin"]),
        (["--config={config}", "--workdir={tmp}", "--config.parallel=threads"], ["threads"]),
        (
            ["--config={config}", "--mode=plan", "--config.eval.best=walks"],
            ["eval.best='walks'", "['unseen']"],
        ),
        (
            ["--config={config}:group", "--mode=plan"],
            ["eval.groups.all=('unseen', 'absent')", "['unseen']"],
        ),
        (["--config={config}", "--mode=plan", "--config.data.feed=tff"], ["data.feed='tff'"]),
        (
            ["--config={config}", "--mode=plan", "--config.data.corrupt_on=gpu"],
            ["data.corrupt_on='gpu'", "'device'"],
        ),
        (["--config={config}", "--mode=plan", "--config.data.order=any"], ["data.order='any'"]),
        (
            ["--config={config}", "--mode=plan", "--config.data.noise=x.json"],
            ["x.json", "expected a noise table", "fit_noise"],
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_2(config, tmp_path, capsys, arguments, words):
    filled = [each.format(config=config, tmp=tmp_path / "run") for each in arguments]
    assert run(*filled) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    for word in words:
        assert word in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no Python", ["SyntaxError", "line 1"]),
        ("import no_such_module", ["ModuleNotFoundError", "no_such_module"]),
        ("def get_config(): return 1 / 0", ["ZeroDivisionError"]),
        ("def get_config(): raise ValueError('got no luck')", ["error: got no luck"]),
        ("def get_config(): pass", ["--config=configs/NAME.py"]),
        (
            "import ml_collections as m\ndef get_config(): return m.ConfigDict({'seed': 0})",
            ["got a config without data, epochs", "configs.common.base()"],
        ),
    ],
)
def test_config_files_that_fail_are_one_line_and_exit_2(tmp_path, capsys, text, words):
    (tmp_path / "mine.py").write_text(text)
    assert run(f"--config={tmp_path / 'mine.py'}", "--mode=plan") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "Traceback" not in told
    assert told.count("\n") == 1
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", ["expected a noise table"]),
        ("{}", ["'confidence'", "expected a noise table"]),
        ("not JSON", ["JSONDecodeError"]),
        ("few", ["of 2 joints, expected 17"]),
    ],
)
def test_a_file_that_is_no_noise_table_is_told_before_training(
    config, tmp_path, capsys, text, words
):
    path = tmp_path / "noise.json"
    if text == "few":
        shipped = json.loads(Path(corrupt.__file__).with_name("noise.json").read_text())
        text = json.dumps({k: v[:2] if isinstance(v, list) else v for k, v in shipped.items()})
    path.write_text(text)
    assert run(f"--config={config}", "--mode=plan", f"--config.data.noise={path}") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    for word in words:
        assert word in told


def test_a_feed_without_tensorflow_says_what_to_do(config, capsys, monkeypatch):
    monkeypatch.setattr(experiment.importlib.util, "find_spec", lambda name: None)
    assert run(f"--config={config}", "--mode=plan", "--config.data.feed=tf") == 2
    told = capsys.readouterr().err
    assert "--config.data.feed=numpy --config.data.corrupt_on=device" in told


def test_help_exits_0(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--help")
    assert not stop.value.code
    assert "--workdir" in capsys.readouterr().out


def test_a_changed_config_is_told(tmp_path, capsys):
    path = tmp_path / "config.json"
    main.write_config({"optim": {"learning_rate": 1.0, "clip": 0.0}}, path)
    main.write_config({"optim": {"learning_rate": 2.0}, "epochs": 3}, path)
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "config.epochs was None in this workdir, now 3",
        "config.optim.clip was 0.0 in this workdir, now None",
        "config.optim.learning_rate was 1.0 in this workdir, now 2.0",
    ]
    assert json.loads(path.read_text())["epochs"] == 3
