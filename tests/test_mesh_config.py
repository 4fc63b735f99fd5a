"""configs/mesh.py: the official columns, the paper's recipe, the refiner, a free body."""

import pytest

from configs import mesh
from dstformer_jax.data.plan import Plan
from dstformer_jax.data.sources import Source
from dstformer_jax.models.network import build_network
from dstformer_jax.training import experiment, optim
from dstformer_jax.training.experiment import build_task, plain

# The four files configs/mesh/MB_{train,ft}_{h36m,pw3d}.yaml of Walter0807/MotionBERT at commit
# dccfe7b: finetune, train_pw3d, warm-ups, epochs, learning rates of backbone and head.
OFFICIAL = {
    "scratch,h36m,official": (False, False, None, 100, 1e-4, 1e-4),
    "finetune,h36m,official": (True, False, None, 60, 5e-5, 5e-4),
    "scratch,3dpw,official": (False, True, (20, 100), 60, 1e-4, 1e-4),
    "finetune,3dpw,official": (True, True, (20, 100), 60, 5e-5, 5e-4),
}
# lambda_3d, scale, 3dv, lv, lg, a, av, pose, shape, norm in all four.
WEIGHTS = {
    "mpjpe": 0.5,
    "n_mpjpe": 0,
    "velocity": 10,
    "limb_variance": 0,
    "limb_length": 0,
    "angle": 0,
    "angle_velocity": 0,
    "pose": 1000,
    "shape": 1,
    "norm": 20,
}
PAPER = {"joints_l1": 0, "theta": 0, "norms": 0}  # terms that the official code has not


def config_of(variant: str) -> dict:
    return plain(mesh.get_config(variant))


def sources_of(settings: dict) -> dict[str, Source]:
    return {name: Source.from_config({"name": name, **each}) for name, each in settings.items()}


def rates(config: dict) -> tuple[float, float]:
    """Learning rates of backbone and head, as the optimiser reads them."""
    chosen = optim.settings(config["optim"])
    multiples = optim.path_values({"backbone": {"x": 0}, "head": {"x": 0}}, chosen["lr_mult"], 1.0)
    return tuple(chosen["learning_rate"] * multiples[part]["x"] for part in ("backbone", "head"))


@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_columns(variant):
    config = config_of(variant)
    sources, tests = sources_of(config["sources"]), sources_of(config["eval"]["sources"])
    warm_up = None
    if "coco" in sources:
        warm_up = tuple(sources[name].epochs[1] for name in ("h36m", "coco"))
    found = (
        config["init_from"] is not None,
        "pw3d" in sources,
        warm_up,
        config["epochs"],
        *(float(f"{rate:.6g}") for rate in rates(config)),
    )
    assert found == OFFICIAL[variant]
    task = build_task(config["task"], config["weights"])
    assert (task.head, task.hidden, task.dropout, task.compare) == ("mesh", 1024, 0.1, "l1")
    assert config["weights"] == WEIGHTS | PAPER
    chosen = optim.settings(config["optim"])
    assert (chosen["name"], chosen["weight_decay"], chosen["lr_decay"]) == ("adamw", 0.01, 0.98)
    assert not chosen["freeze"]
    assert config["checkpoint"]["archive"] == 20
    for name, each in sources.items():
        image = name == "coco"
        shape = (each.frames, each.stride, each.batch)
        assert shape == ((1, 1, 512) if image else (16, 8, 128))
        assert (each.flip, each.input, each.supervision) == (True, "motion", "body")
    for each in tests.values():
        assert (each.frames, each.stride, each.flip, each.split) == (16, 16, False, "test")
    assert config["eval"]["flip"]
    if "pw3d" in sources:
        assert config["eval"]["best"] == "pw3d"
        windows = tuple(2 * each.batch for each in sources.values())
        plan = Plan(tuple(sources.values()), windows, 22, order=config["data"]["order"])
        passes = [plan.sources[plan.step(step).source].name for step in range(6)]
        assert passes == ["h36m", "h36m", "coco", "coco", "pw3d", "pw3d"]  # one after the other
        late = {plan.sources[plan.step(plan.total_steps - back).source].name for back in (1, 4)}
        assert late == {"coco", "pw3d"}  # the first 20 epochs alone have Human3.6M


def test_the_papers_recipe():
    config = config_of("")
    assert config == config_of("finetune,h36m")
    assert (config["epochs"], config["task"]["hidden"]) == (60, 512)
    assert rates(config) == pytest.approx((5e-5, 5e-4))
    letter = config_of("paper")
    weighed = {name: weight for name, weight in letter["weights"].items() if weight}
    assert weighed == {
        "joints_l1": 0.5,
        "velocity": 10,
        "theta": 1000,
        "shape": 1,
        "norms": 20,
    }
    assert set(build_task(letter["task"], letter["weights"]).terms) == set(weighed)
    assert (letter["optim"]["name"], letter["optim"]["weight_decay"]) == ("adam", 0)


def test_a_frozen_backbone_learns_the_head_alone():
    config = config_of("frozen,3dpw")
    assert config["optim"]["freeze"] == ["backbone/*"]
    assert rates(config)[1] == 5e-4
    assert config["init_from"] == "runs/pretrain"


@pytest.mark.parametrize(("variant", "form"), [("refine", "mlp"), ("refine,official", "conv")])
def test_refiners(variant, form):
    config = config_of(f"{variant},3dpw")
    task = build_task(config["task"], config["weights"])
    assert (task.head, task.form, task.hidden, task.dropout) == ("refiner", form, 512, 0.5)
    batches = {name: each["batch"] for name, each in config["sources"].items()}
    assert batches == {"h36m": 64, "coco": 512, "pw3d": 64}


@pytest.mark.parametrize("how", ["scratch", "finetune", "frozen", "scratch,refine"])
def test_a_free_body_on_the_small_network(how):
    config = config_of(f"{how},body")
    backbone = build_network(config["model"]).backbone
    assert (backbone.dim_feat, backbone.depth, backbone.maxlen) == (64, 3, 81)
    assert (config["init_from"] is None) == how.startswith("scratch")
    tests = experiment.tested(config["eval"])
    for each in (*sources_of(config["sources"]).values(), *sources_of(tests).values()):
        assert (each.dataset, each.input, each.frames) == ("body_bvh/default", "pose", 16)
        assert each.views is not None


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="got variants h36m, 3dpw, expected one of"):
        mesh.get_config("h36m,3dpw")
    with pytest.raises(ValueError, match="got variant 'pw3d'"):
        mesh.get_config("pw3d")
