"""Mesh recovery on the loop: official numbers, devices, freezing, resuming, results, mistakes."""

import dataclasses
import json
import os
import signal
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixtures_bodies import ACROSS, BONES, SHAPES, config_of, person, write_people, write_stick
from flax.traverse_util import flatten_dict

from dstformer_jax import main
from dstformer_jax.body import rotations
from dstformer_jax.body.geometry import view
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.data import pipeline
from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.files.bodies import read_body
from dstformer_jax.tasks import bodies, metrics
from dstformer_jax.tasks.mesh import Mesh
from dstformer_jax.training import checkpoint, experiment, loop, parallel
from dstformer_jax.training.evaluate import RESULTS, Evaluator, measure_rows
from dstformer_jax.training.experiment import initial_variables
from dstformer_jax.training.interrupt import Interrupted
from dstformer_jax.training.state import new_state
from dstformer_jax.training.step import example, make_step


@pytest.fixture(scope="module", autouse=True)
def _quick_compilation(tmp_path_factory):
    """What is compiled here runs for a moment: it is not optimised, and compiled only once."""
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def body(folder):
    return read_body(folder / "body.npz")


def flat(tree) -> dict[str, np.ndarray]:
    return {"/".join(path): np.asarray(leaf) for path, leaf in flatten_dict(tree).items()}


# Against the official code ------------------------------------------------------------------------


class Answers:
    """Stands in for a network: one answer to motion with x above 0, another to its mirror image."""

    def apply(self, variables, motion, train, **inputs):
        assert not train
        assert not inputs
        plain, mirrored = variables["plain"], variables["mirrored"]
        pairs = {name: (plain[name], mirrored[name]) for name in plain}
        return {name: jnp.where(motion.mean() > 0, *pair) for name, pair in pairs.items()}


def test_measured_bodies_are_the_official_with_and_without_flip_averaging(golden, smpl_folder):
    """The official answers to a motion and to its mirror image, through every evaluation's code."""
    arrays, body = golden("e_mesh_head"), read_body(smpl_folder)
    single = arrays["net/single/theta"]
    # Their mean holds the other answer, brought back; mirroring it again gives what was answered.
    back = 2 * arrays["net/flip_tta/theta"] - single
    answered = np.concatenate([np.asarray(body.flip_theta(back[..., :72])), back[..., 72:]], -1)
    variables = {
        name: {"turns": body.turns(jnp.asarray(theta[..., :72])), "beta": theta[..., 72:]}
        for name, theta in (("plain", single), ("mirrored", answered))
    }
    clips, frames = single.shape[:2]
    batch = {
        "motion": jnp.zeros((clips, frames, 17, 3)).at[..., 0].set(1),
        "theta": jnp.zeros((clips, frames, 72)),
        "beta": jnp.zeros((clips, frames, 10)),
        "camera": jnp.broadcast_to(jnp.eye(3), (clips, 3, 3)),
        "mirrored": jnp.zeros(clips, bool),
        "valid": jnp.ones((clips, frames), bool),
    }
    for flip, name in ((False, "single"), (True, "flip_tta")):
        measure = measure_rows(Answers(), Mesh(model=body), flip, write=True)
        rows = jax.jit(measure)(variables, batch)
        for ours, theirs in (("vertices", "verts"), ("joints", "kp_3d")):
            found = 1000 * rows[f"{RESULTS}{ours}"]
            np.testing.assert_allclose(found, arrays[f"net/{name}/{theirs}"], atol=5e-3)
        expected = arrays[f"net/{name}/theta"]
        np.testing.assert_allclose(rows[f"{RESULTS}beta"], expected[..., 72:], atol=1e-6)
        found = rotations.to_matrix(np.asarray(rows[f"{RESULTS}theta"]).reshape(-1, 3))
        wanted = rotations.to_matrix(expected[..., :72].reshape(-1, 3))
        # Theirs are means of axis-angles, ours of matrices: near where both answers are near.
        np.testing.assert_allclose(found, wanted, atol=0.05 if flip else 1e-5)


# Errors -------------------------------------------------------------------------------------------


def test_errors_of_joints_are_the_official(golden):
    """Fourteen and seventeen joints, and the error after the official similarity."""
    arrays = golden("c_mesh_loss_rot")
    for ending in ("", "_mirror"):
        source, target = arrays[f"rigid/A{ending}"], arrays["rigid/B"]
        errors = metrics.body_errors(source[None], target[None])
        left = np.linalg.norm(arrays[f"rigid/aligned{ending}"] - target, axis=-1).mean()
        np.testing.assert_allclose(errors["p_mpjpe_17"], left, rtol=1e-9)
    fourteen = [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16]  # official evaluate_mesh
    apart = np.linalg.norm((source - source[:1]) - (target - target[:1]), axis=-1)
    np.testing.assert_allclose(errors["mpjpe"], apart[fourteen].mean(), rtol=1e-12)
    np.testing.assert_allclose(errors["mpjpe_17"], apart.mean(), rtol=1e-12)
    np.testing.assert_allclose(
        errors["p_mpjpe"],
        metrics.p_mpjpe(source[None, fourteen], target[None, fourteen]),
        rtol=1e-12,
    )


def test_measured_and_summarised_errors(body):
    """Against numpy, on frames that count; where the whole body is matters nothing."""
    task = Mesh(model=body)
    rng = np.random.default_rng(0)
    theta, beta = rng.normal(0, 0.3, (2, 3, 4, 3 * BONES)), rng.normal(size=(2, 3, 4, SHAPES))
    theta, beta = theta.astype(np.float32), beta.astype(np.float32)
    valid = np.ones((3, 4), bool)
    valid[1, 2:] = False
    batch = {"theta": theta[1], "beta": beta[1], "valid": valid, "mirrored": np.zeros(3, bool)}
    batch["camera"] = np.tile(np.eye(3, dtype=np.float32), (3, 1, 1))

    @jax.jit
    def measure(batch, theta, beta):
        outputs = task.finish({"turns": body.turns(theta), "beta": beta})
        return task.measure({**outputs, "vertices": outputs["vertices"] + 7}, batch), outputs

    moved, outputs = measure(batch, theta[0], beta[0])
    rows = {name: np.asarray(row) for name, row in moved.items()}
    found = task.summarise(rows, {})
    posed = []
    for each, shape in zip(theta, beta, strict=True):
        turns = rotations.to_matrix(each.reshape(3, 4, BONES, 3).astype(np.float64))
        posed.append(1000 * body.joint_body.joints(turns, shape.astype(np.float64)))
    apart = np.linalg.norm(metrics.centre(posed[0]) - metrics.centre(posed[1]), axis=-1)
    np.testing.assert_allclose(found["mpjpe_17"], apart[valid].mean(), rtol=1e-5)
    assert found["frames"] == 10
    assert found["p_mpjpe"] < found["mpjpe"]
    # The vertices of the stick body begin with its joints; the others stick to them.
    vertices = np.asarray(outputs["vertices"])
    np.testing.assert_allclose(vertices[..., :BONES, :], posed[0], atol=2e-3)


def test_vertex_errors_are_relative_to_the_root(body):
    """The answer turned about its root: every vertex is off by its own chord."""
    task = Mesh(model=body)
    turns = jnp.broadcast_to(jnp.eye(3), (1, 1, BONES, 3, 3))
    turn = rotations.to_matrix(np.array([0.0, 0.4, 0.0], np.float32))
    batch = {
        "theta": np.zeros((1, 1, 3 * BONES), np.float32),
        "beta": np.zeros((1, 1, SHAPES), np.float32),
        "camera": np.eye(3, dtype=np.float32)[None],
        "mirrored": np.zeros(1, bool),
        "valid": np.ones((1, 1), bool),
    }
    answer = {"turns": turns.at[:, :, 0].set(turn), "beta": batch["beta"]}
    rows = jax.jit(lambda a, b: task.measure(task.finish(a), b))(answer, batch)
    from_axis = (body.template - body.bone_template[0])[:, [0, 2]]
    chords = 2 * np.sin(0.2) * np.linalg.norm(from_axis, axis=-1)
    np.testing.assert_allclose(rows["mpve"], 1000 * chords.mean(), rtol=1e-4)


# The camera and the mirror ------------------------------------------------------------------------


def test_targets_are_the_body_that_the_input_shows(folder, body):
    """x and y of the posed target, up to the crop, are the input motion: views and mirrors too."""
    built = experiment.build(config_of(folder))
    assert built.info["clips"] == {"frames": 6}
    _, batch = next(iter(pipeline.batches(built.plan, built.data, feed="numpy")))
    assert 0 < batch["mirrored"].sum() < 8
    turns, shape = jax.jit(lambda b: bodies.seen(body, b))(
        {k: jnp.asarray(batch[k]) for k in ("theta", "beta", "camera", "mirrored")}
    )
    shown = metrics.centre(np.asarray(body.joints(turns, shape)))[..., :2]
    motion = metrics.centre(batch["motion"])[..., :2]
    scale = (shown * motion).sum((1, 2, 3)) / (motion * motion).sum((1, 2, 3))
    np.testing.assert_allclose(shown, motion * scale[:, None, None, None], atol=2e-5)


def test_the_mirrored_batch_mirrors_what_a_refiner_starts_from(body):
    rng = np.random.default_rng(0)
    task = dataclasses.replace(Mesh(head="refiner"), model=body)
    initial = rng.normal(0, 0.5, (2, 3, 3 * BONES)).astype(np.float32)
    batch = {
        "motion": jnp.asarray(rng.normal(size=(2, 3, 17, 3)).astype(np.float32)),
        "initial_theta": jnp.asarray(initial),
        "initial_beta": jnp.zeros((2, 3, SHAPES)),
        "camera": jnp.asarray(np.linalg.qr(rng.normal(size=(2, 3, 3)))[0].astype(np.float32)),
        "mirrored": jnp.array([False, True]),
    }

    def joints(inputs):
        turns = rotations.from_six(inputs["initial"].reshape(2, 3, BONES, 6), jnp)
        return metrics.centre(body.joints(turns, inputs["initial_beta"]))

    plain, mirrored = task.inputs(batch), task.inputs(task.mirror_input(batch))
    image = np.asarray(joints(plain))[..., H36M17.mirror, :] * ACROSS
    np.testing.assert_allclose(joints(mirrored), image, atol=2e-6)


def test_the_mirror_brings_back_an_answer(body):
    task = Mesh(model=body)
    theta = np.random.default_rng(2).normal(0, 0.5, (1, 2, 3 * BONES)).astype(np.float32)
    answer = {"turns": body.turns(jnp.asarray(theta)), "beta": jnp.zeros((1, 2, SHAPES))}
    back = task.mirror(task.mirror(answer))
    np.testing.assert_allclose(back["turns"], answer["turns"], atol=1e-6)


def test_a_mean_of_half_turns_is_written_as_a_rotation(body):
    """The mean of axis-angles of opposite sign would be no turn at all."""
    task = Mesh(model=body)
    rest = np.tile(np.eye(3, dtype=np.float32), (1, 1, BONES, 1, 1))
    pair = []
    for angle in (np.pi - 0.1, -(np.pi - 0.1)):
        turns = rest.copy()
        turns[0, 0, 0] = rotations.to_matrix(np.array([angle, 0, 0], np.float32))
        pair.append(turns)
    outputs = {"turns": jnp.asarray(sum(pair) / 2), "beta": jnp.zeros((1, 1, SHAPES))}
    outputs |= {name: jnp.zeros((1, 1, 1, 3)) for name in ("vertices", "joints")}
    theta = np.asarray(jax.jit(task.results)(outputs)["theta"])
    np.testing.assert_allclose(np.abs(theta[0, 0, 0]), np.pi, atol=1e-3)
    np.testing.assert_allclose(theta[0, 0, 1:], 0, atol=1e-5)


# On the loop --------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("head", ["mesh", "refiner", "conv"])
def test_eight_devices_are_one_device_under_pmap_and_jit(folder, head):
    """Losses, parameters, batch statistics; padded frames are not the same number in each shard."""
    config = config_of(folder, "mesh" if head == "mesh" else "refiner")
    config["task"]["form"] = "conv" if head == "conv" else "mlp"
    config["weights"] |= {"joints_l1": 0.5, "theta": 1000.0, "norms": 20.0, "limb_length": 1.0}
    built = experiment.build(config)
    batch = {k: v for k, v in example(built.data[0]).items() if k != "keys"}
    batch["mirrored"] = np.arange(8) % 3 == 0
    batch["valid"][::3, 4:] = False
    results, variables = [], initial_variables(built)
    for backend in (
        parallel.backend("jit", jax.devices()[:1]),
        parallel.backend("pmap"),
        parallel.backend("jit"),
    ):
        step = backend.compile_step(make_step(built, backend.reduce, "body"))
        state = new_state(built, backend, variables)
        losses, first = [], {}
        for _ in range(3):
            state, found = step(state, backend.place(batch))
            losses.append(jax.device_get(found))
            first = first or flat(jax.device_get(state.batch_stats))
        params = flat(jax.device_get(state.params))
        # Softmax and normalisation take these biases out: Adam scales up the rounding of their 0.
        idle = ("qkv/bias", "fc1/bias", "fc2/bias")
        kept = {path: value for path, value in params.items() if not path.endswith(idle)}
        results.append((losses, {**first, **kept}))
    for losses, arrays in results[1:]:
        for mine, theirs in zip(losses, results[0][0], strict=True):
            for name, value in mine.items():
                np.testing.assert_allclose(value, theirs[name], rtol=3e-5, err_msg=name)
        for path, value in arrays.items():
            np.testing.assert_allclose(value, results[0][1][path], atol=1e-4, err_msg=path)
    assert len({float(each["loss"]) for each in results[0][0]}) == 3


@dataclasses.dataclass(frozen=True)
class Interrupting(Mesh):
    """Sends this process SIGTERM when it looks at the metrics of step 5."""

    def alarm(self, step, values):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """An uninterrupted run: its folder, config and results."""
    workdir = tmp_path_factory.mktemp("whole")
    config = config_of(folder, epochs=6)
    config["eval"] |= {"every": 3, "at_start": True}
    return workdir, config, loop.fit(experiment.build(config), workdir)


def test_a_run_learns_bodies(whole):
    workdir, _, results = whole
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    measured = [line for line in lines if "eval/unseen/mpjpe" in line]
    names = ("mpve", "mpjpe", "p_mpjpe", "mpjpe_17", "p_mpjpe_17", "acceleration_error", "frames")
    assert set(results) == {f"eval/unseen/{name}" for name in names}
    assert results["eval/unseen/frames"] == 3 * 2 * (6 + 6 + 3)  # two views; overlaps count
    for name in ("mpve", "mpjpe"):  # six short epochs with people who face everywhere
        assert measured[-1][f"eval/unseen/{name}"] < 0.92 * measured[0][f"eval/unseen/{name}"]
    assert {"mpjpe", "velocity", "pose", "shape", "norm"} <= set(lines[1])


def test_an_interrupted_run_goes_on_bit_for_bit(whole, tmp_path):
    workdir, config, results = whole
    built = experiment.build(config)
    fields = {f.name: getattr(built.task, f.name) for f in dataclasses.fields(built.task)}
    stopping = dataclasses.replace(built, task=Interrupting(**fields))
    with pytest.raises(Interrupted):
        loop.fit(stopping, tmp_path)
    assert loop.fit(built, tmp_path) == results
    last = checkpoint.saved_steps(workdir)[-1]
    pair = [checkpoint.restore_params(each, last)[0] for each in (workdir, tmp_path)]
    jax.tree.map(np.testing.assert_array_equal, *pair)


def test_written_frames_are_those_that_are_measured(whole, folder, body, tmp_path, capsys):
    """eval.write: a file of every sequence and view, from which the errors follow."""
    workdir, config, _ = whole
    config = {**config, "eval": {**config["eval"], "write": str(tmp_path), "flip": False}}
    config["eval"]["sources"] = {"unseen": {**config["eval"]["sources"]["unseen"], "stride": 6}}
    main.evaluate_run(experiment.build(config), workdir)
    results = json.loads((workdir / "eval.json").read_text())
    files = sorted((tmp_path / "unseen").iterdir())
    assert [file.name for file in files] == [
        f"p_{number}_yaw{yaw}_pitch10.npz" for number in (100, 101, 102) for yaw in (0, 90)
    ]
    errors, pose_vertices = {"mpve": [], "mpjpe_17": []}, jax.jit(body.vertices)
    for file in files:
        with np.load(file) as found:
            answer = {name: found[name] for name in found.files}
        np.testing.assert_array_equal(answer["frames"], np.arange(11))
        assert (str(answer["sequence"]).replace("/", "_"), answer["fps"]) == (file.name[:5], 30)
        turns, shape = rotations.to_matrix(answer["theta"].reshape(11, BONES, 3)), answer["beta"]
        np.testing.assert_allclose(
            body.joint_body.joints(turns, shape), answer["joints"], atol=2e-5
        )
        truth = person(body, int(str(answer["sequence"])[2:]), 11)
        true = rotations.to_matrix(truth.theta.reshape(11, BONES, 3))
        yaw, pitch = np.radians(answer["view"])
        eye = np.eye(3, dtype=np.float32)
        true[:, 0] = view(eye[:, None], yaw, pitch)[:, 0].T @ true[:, 0]
        vertices = np.asarray(pose_vertices(true, truth.beta))
        joints = body.joint_body.joints(true, truth.beta)
        apart = [answer[name] - answer["joints"][:, :1] for name in ("vertices", "joints")]
        apart = [
            np.linalg.norm(mine - (theirs - joints[:, :1]), axis=-1)
            for mine, theirs in zip(apart, (vertices, joints), strict=True)
        ]
        errors["mpve"].append(1000 * apart[0].mean())
        errors["mpjpe_17"].append(1000 * apart[1].mean())
    for name, values in errors.items():
        np.testing.assert_allclose(results[f"eval/unseen/{name}"], np.mean(values), rtol=1e-4)


@pytest.mark.long
def test_a_refiner_improves_its_start(folder, tmp_path):
    config = config_of(folder, "refiner", epochs=8)
    config["weights"]["velocity"] = 0.0  # of white noise it would drown the other terms
    config["eval"] |= {"every": 8, "at_start": True}
    loop.fit(experiment.build(config), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    errors = [line["eval/unseen/mpve"] for line in lines if "eval/unseen/mpve" in line]
    assert errors[-1] < 0.9 * errors[0]


@pytest.mark.parametrize("part", ["backbone", "head"])
def test_frozen_parts_are_bit_equal_after_training(folder, part):
    """No gradient, no weight decay, no new batch statistics."""
    optim = {"learning_rate": 0.1, "weight_decay": 0.5, "freeze": (f"{part}/*",)}
    built = experiment.build(config_of(folder, optim=optim))
    backend = parallel.backend("jit", jax.devices()[:1])
    state = new_state(built, backend, initial_variables(built))
    before = flat(jax.device_get(state.variables))
    step = backend.compile_step(make_step(built, backend.reduce, "body"))
    batch = {k: v for k, v in example(built.data[0]).items() if k != "keys"}
    for _ in range(2):
        state, _ = step(state, backend.place(batch))
    for path, value in flat(jax.device_get(state.variables)).items():
        kept = f"/{part}/" in path or path.startswith("params/pose/") or "/init_" in path
        assert np.array_equal(value, before[path]) == kept, path


def test_a_head_begins_at_the_mean_of_the_data(folder, body):
    """Bodies in world axes stand upright before a level camera."""
    built = experiment.build(config_of(folder))
    bank = built.data[0].bank
    shape = np.asarray(bank.beta, np.float64).mean(0)
    np.testing.assert_allclose(built.task.mean_shape, shape, atol=1e-6)
    turns = rotations.from_six(np.array(built.task.mean_pose).reshape(BONES, 6))
    stored = rotations.to_matrix(np.asarray(bank.theta, np.float64).reshape(-1, BONES, 3))
    off = [np.trace(turns[bone].T @ stored[:, bone].mean(0)) for bone in range(1, BONES)]
    assert min(off) > 2.5  # 3 is the same rotation
    upright = turns[0] @ np.array([0.0, 1.0, 0.0])
    assert upright[1] < -0.9  # camera axes: y down


def test_the_official_means_are_read_beside_the_body(smpl_folder, golden):
    means = golden("synthetic_smpl")
    pose, shape = bodies.means_of(read_body(smpl_folder), str(smpl_folder), "", [])
    np.testing.assert_array_equal(pose, means["mean_pose"])
    np.testing.assert_array_equal(shape, means["mean_shape"])


# Mistakes -----------------------------------------------------------------------------------------


def opened(tmp_path, sequences, **settings):
    bank = Bank.read(write_bank(sequences, tmp_path / "bank"))
    about = {"supervision": "body", "frames": 4, "batch": 8, **settings}
    return SourceData.of(Source("mine", "people", **about), bank)


def test_data_of_another_body_are_named(tmp_path, folder, body, smpl_folder):
    data = opened(tmp_path, [person(body, 0)])
    with pytest.raises(
        ValueError, match=r"got theta of 51 numbers in source 'mine', expected 72 .*24 bones"
    ):
        Mesh(body=str(smpl_folder)).with_data([data], [])
    path = str(folder / "body.npz")
    slim = opened(tmp_path, [person(body, 0, beta=np.zeros((14, 5)))])
    with pytest.raises(ValueError, match="got beta of 5 numbers in source 'mine', expected 2"):
        Mesh(body=path).with_data([], [slim])
    bare = {"initial_theta": np.zeros((0, 0)), "initial_beta": np.zeros((0, 0))}
    unguessed = opened(tmp_path, [person(body, 0, **bare)])
    assert Mesh(body=path).with_data([unguessed], []).model is not None
    with pytest.raises(ValueError, match="got source 'mine' without initial_theta"):
        Mesh(body=path, head="refiner").with_data([unguessed], [])
    other = opened(tmp_path, [person(body, 0)], supervision="3d")
    with pytest.raises(ValueError, match="with supervision '3d', expected 'body'"):
        Mesh(body=path).with_data([data, other], [])


def test_bodies_and_means_that_do_not_fit_are_named(tmp_path, folder, body):
    data = opened(tmp_path, [person(body, 0)])
    with pytest.raises(ValueError, match="got no body at"):
        Mesh(body=str(tmp_path / "absent")).with_data([data], [])
    with np.load(folder / "body.npz") as arrays:
        cut = {**arrays, "regressor": arrays["regressor"][:14]}
    np.savez(tmp_path / "cut.npz", **cut)
    with pytest.raises(ValueError, match="with a regressor of 14 joints, expected the 17"):
        Mesh(body=str(tmp_path / "cut.npz")).with_data([data], [])
    np.savez(tmp_path / "means.npz", pose=np.zeros(144), shape=np.zeros(10))
    task = Mesh(body=str(folder / "body.npz"), means=str(tmp_path / "means.npz"))
    with pytest.raises(ValueError, match=r"got means of 144 pose and 10 .*expected 102 and 2"):
        task.with_data([data], [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": ("mpjpe", "colour")}, r"got weights.colour, expected one of \['angle'"),
        ({"head": "pose"}, "got task.head='pose', expected one of"),
        ({"compare": "huber"}, "got task.compare='huber'"),
        ({"form": "rnn"}, "got task.form='rnn'"),
        ({"span": 2}, "span=2, expected a positive width, dropout"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(ValueError, match=message):
        Mesh(**settings)


def test_a_checkpoint_of_another_size_is_refused(whole, tmp_path):
    """Evaluating and resuming; and nothing is written."""
    workdir, config, _ = whole
    wide = {**config, "task": {**config["task"], "hidden": 24}}
    before = sorted(path.name for path in workdir.iterdir())
    (workdir / "eval.json").unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"another head \(.*got \(.*16.*expected those of this"):
        main.evaluate_run(experiment.build(wide), workdir)
    assert not (workdir / "eval.json").exists()
    with pytest.raises(ValueError, match="does not fit this config"):
        loop.fit(experiment.build(wide), workdir)
    assert sorted(path.name for path in workdir.iterdir()) in (
        before,
        sorted({*before} - {"eval.json"}),
    )
    deep = {**config, "model": {**config["model"], "dim_feat": 16}}
    with pytest.raises(ValueError, match="another backbone"):
        main.evaluate_run(experiment.build(deep), workdir)


def test_only_tasks_with_results_write_them(folder):
    with pytest.raises(ValueError, match=r"got eval.write='out' for a task without results"):
        Evaluator(None, SimpleNamespace(), {}, parallel.backend("jit"), write="out")


def test_the_stick_body_is_symmetric(tmp_path):
    body = read_body(write_stick(tmp_path / "body.npz"))
    np.testing.assert_allclose(
        body.bone_template[H36M17.mirror] * ACROSS, body.bone_template, atol=1e-12
    )
