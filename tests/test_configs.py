"""Every variant of the configurations, against the tables of the paper and the official code."""

import inspect

import numpy as np
import pytest

from configs import common, pretrain
from dstformer_jax.data.corrupt import SHIPPED
from dstformer_jax.data.plan import Plan
from dstformer_jax.data.sources import Source
from dstformer_jax.models.network import build_network, parameter_count
from dstformer_jax.training import optim
from dstformer_jax.training.evaluate import check_groups
from dstformer_jax.training.experiment import build_task, plain

WITH_MOCAP = ("layouts", "lens", "tilted", "as_seen", "shipped", "starter", "streaming")
ALONE = tuple(name for name in pretrain.VARIANTS if name not in WITH_MOCAP)
VARIANTS = (
    *ALONE,
    "mocap,layouts,lens,shipped",
    "mocap,starter,layouts,lens",
    "mocap,short,lens,tilted",
    "mocap,streaming,layouts,lens",
    "mocap,shipped,short,as_seen",
    "",
    "lite,official",
    "mocap,clean,robust",
    "mocap,robust,short",
)

# The pretraining columns of the official configuration files, configs/pretrain/MB_pretrain.yaml and
# MB_lite.yaml of Walter0807/MotionBERT at commit dccfe7b. Left out are what names files (data_root,
# dt_file, noise_path, d2c_params_path), and sample_stride 1: nothing is skipped.
BOTH = {
    "train_2d": True,
    "finetune": False,
    "no_eval": False,
    "partial_train": None,
    "epochs": 90,
    "checkpoint_frequency": 30,
    "batch_size": 64,
    "learning_rate": 5e-4,
    "weight_decay": 0.01,
    "lr_decay": 0.99,
    "dropout": 0.0,
    "pretrain_3d_curriculum": 30,
    "maxlen": 243,
    "depth": 5,
    "dim_rep": 512,
    "num_heads": 8,
    "att_fuse": True,
    "subset_list": ["AMASS", "H36M-SH"],
    "clip_len": 243,
    "data_stride": 81,
    "num_joints": 17,
    "rootrel": True,
    "no_conf": False,
    "gt_2d": False,
    "lambda_3d_velocity": 20.0,
    "lambda_scale": 0.5,
    "lambda_lv": 0.0,
    "lambda_lg": 0.0,
    "lambda_a": 0.0,
    "lambda_av": 0.0,
    "synthetic": True,
    "flip": True,
    "mask_ratio": 0.05,
    "mask_T_ratio": 0.1,
    "noise": True,
}
OFFICIAL = {
    "official": {**BOTH, "dim_feat": 512, "mlp_ratio": 2},
    "lite,official": {**BOTH, "dim_feat": 256, "mlp_ratio": 4},
}
SUBSETS = {"amass": "AMASS", "human36m": "H36M-SH"}


def config_of(variant: str) -> dict:
    return plain(pretrain.get_config(variant))


def sources_of(config: dict) -> dict[str, Source]:
    return {n: Source.from_config({"name": n, **s}) for n, s in config["sources"].items()}


def evaluations_of(config: dict) -> dict[str, Source]:
    settings = config["eval"]["sources"]
    return {n: Source.from_config({"name": n, **s}) for n, s in settings.items()}


def only(values):
    """The one value that all of them are."""
    (value,) = set(values)
    return value


def in_official_words(config: dict) -> dict:
    """What a config of ours is in the keys of the official files, read off the built objects."""
    sources = sources_of(config)
    in_3d = {name: each for name, each in sources.items() if each.supervision == "3d"}
    in_2d = {name: each for name, each in sources.items() if each.supervision == "2d"}
    chosen = optim.settings(config["optim"])
    network = build_network(config["model"])
    backbone, weights = network.backbone, config["weights"]
    task = build_task(config["task"], weights)
    rates = [backbone.dropout, backbone.attention_dropout, backbone.drop_path]
    assert chosen["name"] == "adamw"
    assert chosen["schedule"] == "epoch"
    return {
        "train_2d": bool(in_2d),
        "finetune": config["init_from"] is not None,
        "no_eval": not config["eval"]["every"],
        "partial_train": chosen["freeze"] or None,
        "epochs": config["epochs"],
        "checkpoint_frequency": config["checkpoint"]["archive"],
        "batch_size": only(each.batch for each in sources.values()),
        "learning_rate": chosen["learning_rate"],
        "weight_decay": chosen["weight_decay"],
        "lr_decay": chosen["lr_decay"],
        "dropout": only(rates),
        "pretrain_3d_curriculum": only(each.epochs[0] for each in in_2d.values()),
        "dim_feat": backbone.dim_feat,
        "mlp_ratio": backbone.mlp_ratio,
        "maxlen": backbone.maxlen,
        "depth": backbone.depth,
        "dim_rep": backbone.dim_rep,
        "num_heads": backbone.num_heads,
        "att_fuse": backbone.design == "adaptive",
        "subset_list": sorted(SUBSETS[name] for name in in_3d),
        "clip_len": only(each.frames for each in in_3d.values()),
        "data_stride": only(each.stride for each in in_3d.values()),
        "num_joints": backbone.num_joints,
        "rootrel": task.root_relative,
        "no_conf": False,  # the input always has three channels
        "gt_2d": only(each.input for each in evaluations_of(config).values()) == "pose",
        "lambda_3d_velocity": weights["velocity"],
        "lambda_scale": weights["n_mpjpe"],
        "lambda_lv": weights["limb_variance"],
        "lambda_lg": weights["limb_length"],
        "lambda_a": weights["angle"],
        "lambda_av": weights["angle_velocity"],
        "synthetic": only(each.input for each in in_3d.values()) == "pose",
        "flip": only(each.flip for each in sources.values()) and config["eval"]["flip"],
        "mask_ratio": SHIPPED.joint_mask * only(each.mask for each in sources.values()),
        "mask_T_ratio": SHIPPED.frame_mask * only(each.mask for each in sources.values()),
        "noise": only(each.noise for each in in_3d.values()),
    }


@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_is_every_value_of_the_official_files(variant):
    assert in_official_words(config_of(variant)) == OFFICIAL[variant]


def test_official_does_what_the_code_does_beyond_its_files():
    """Facts of the official code that stand in no configuration file."""
    config = config_of("official")
    task = build_task(config["task"], config["weights"])
    assert (task.reduction, task.head) == ("mean", "pose")
    assert set(task.terms) == {"mpjpe", "velocity", "n_mpjpe", "reprojection"}
    assert (config["weights"]["mpjpe"], config["weights"]["reprojection"]) == (1.0, 1.0)
    assert (config["model"]["norm"], config["model"]["init"]) == ("pre", "official")
    assert config["data"]["shared"]  # one frame mask and jitter for the whole batch
    assert config["data"]["order"] == "posetrack,instavariety"  # pass after pass, then 3D
    assert config["optim"]["warmup"] == config["optim"]["clip"] == 0
    sources = sources_of(config)
    assert sources["amass"].scale == 0.298
    assert sources["human36m"].scale == 1.0
    assert (sources["posetrack"].frames, sources["posetrack"].noise) == (30, True)
    video = sources["instavariety"]
    assert (video.frames, video.stride, video.noise, video.mask) == (81, 27, False, True)
    assert video.dataset == "instavariety/official"  # belly and head are zeros
    assert only(sources[name].crop for name in ("posetrack", "instavariety")) == (0.25, 1.0)
    (test,) = evaluations_of(config).values()
    assert (test.split, test.frames, test.stride, test.tail) == ("test", 243, 243, "drop")
    assert not any((test.mask, test.noise, test.flip))


def test_official_passes_come_in_the_official_order():
    """From epoch 30 on: PoseTrack, then InstaVariety, then the 3D sources shuffled together."""
    config = config_of("official")
    sources = sources_of(config)
    plan = Plan(tuple(sources.values()), (64 * 3,) * len(sources), 31, 0, config["data"]["order"])
    names = [plan.sources[plan.step(step).source].name for step in range(plan.total_steps)]
    assert set(names[: 30 * 6]) == {"amass", "human36m"}
    last = names[30 * 6 :]
    assert last[:6] == ["posetrack"] * 3 + ["instavariety"] * 3
    assert len(last) == 12
    assert set(last[6:]) == {"amass", "human36m"}
    assert config_of("mocap,official")["data"]["order"] == "sequential"


def test_defaults_are_those_of_the_paper():
    """Section 4.1 and appendix A.1: sizes, schedule, curriculum, clips, corruption."""
    config = config_of("")
    assert parameter_count(build_network(config["model"])) == 42_466_317
    assert (config["epochs"], config["data"]["shared"]) == (90, False)
    assert config["data"]["order"] == "shuffled"
    chosen = optim.settings(config["optim"])
    settings = ("name", "learning_rate", "lr_decay", "weight_decay", "schedule")
    assert [chosen[key] for key in settings] == ["adamw", 5e-4, 0.99, 0.01, "epoch"]
    assert config["weights"] == {
        "mpjpe": 1.0, "velocity": 20.0, "n_mpjpe": 0.5, "reprojection": 1.0,
        "limb_variance": 0.0, "limb_length": 0.0, "angle": 0.0, "angle_velocity": 0.0,
    }  # fmt: skip
    clips = {
        name: (each.frames, each.stride, each.batch, each.epochs, each.mask, each.noise, each.flip)
        for name, each in sources_of(config).items()
    }
    assert clips == {
        "human36m": (243, 81, 64, (0, -1), True, True, True),
        "amass": (243, 81, 64, (0, -1), True, True, True),
        "posetrack": (30, 30, 64, (30, -1), True, True, True),
        "instavariety": (81, 27, 64, (30, -1), True, False, True),
    }
    assert (SHIPPED.joint_mask, SHIPPED.frame_mask, SHIPPED.keyframes) == (0.05, 0.1, 27)
    assert config["checkpoint"]["archive"] == 0
    assert sources_of(config)["instavariety"].dataset == "instavariety/default"


def test_paper_is_the_equations_to_the_letter():
    config = config_of("paper")
    task = build_task(config["task"], config["weights"])
    assert task.reduction == "sum"
    assert set(task.terms) == {"mpjpe", "velocity", "reprojection"}
    chosen = optim.settings(config["optim"])
    assert (chosen["name"], chosen["weight_decay"], chosen["learning_rate"]) == ("adam", 0.0, 5e-4)
    assert build_network(config["model"]).backbone.norm == "post"
    changed = {("task", "reduction"), ("weights", "n_mpjpe"), ("optim", "name"),
               ("optim", "weight_decay"), ("model", "norm")}  # fmt: skip
    default = config_of("")
    assert changed == {
        (part, key)
        for part in default
        if isinstance(default[part], dict)
        for key in default[part]
        if config[part][key] != default[part][key]
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_builds(variant):
    config = config_of(variant)
    network = build_network(config["model"])
    build_task(config["task"], config["weights"])
    optim.settings(config["optim"])
    sources, tests = sources_of(config), evaluations_of(config)
    assert sources
    assert tests
    for each in (*sources.values(), *tests.values()):
        assert each.frames <= network.backbone.maxlen, each.name
    check_groups(config["eval"]["groups"], tests)
    windows = [each.batch for each in sources.values()]
    order = config["data"]["order"]
    plan = Plan(tuple(sources.values()), tuple(windows), config["epochs"], 0, order)
    assert plan.total_steps > 0


def test_clean_trains_without_corruption_and_changes_nothing_else():
    noisy, clean = config_of("mocap"), config_of("mocap,clean")
    assert any(each["noise"] for each in noisy["sources"].values())
    for each in noisy["sources"].values():
        each["mask"] = each["noise"] = False
    assert clean == noisy


def test_mocap_is_measured_by_the_protocol():
    """Unseen people from four sides and 10 degrees above, every frame once, uncorrupted."""
    config = config_of("mocap")
    tests = evaluations_of(config)
    assert set(pretrain.MOCAP) < set(tests)
    for name in pretrain.MOCAP:
        test = tests[name]
        np.testing.assert_array_equal(
            test.views.angles(), [[0, 10], [90, 10], [180, 10], [270, 10]]
        )
        assert (test.split, test.input, test.crop) == ("test", "pose", (1.0, 1.0))
        assert (test.stride, test.short, test.tail) == (test.frames, "pad", "pad")
        assert not any((test.mask, test.noise, test.flip))
    assert config["eval"]["groups"] == {"cmu": ["cmu_mocap", "cmu_mocap_more"]}
    assert config["eval"]["flip"]
    assert tests["openpose"].supervision == "2d"
    sources = sources_of(config)
    assert any(each.supervision == "2d" and each.epochs[0] > 0 for each in sources.values())


def test_layouts_and_lenses_are_trained_and_measured_apart():
    config = config_of("mocap,layouts,lens,shipped")
    assert {source.dataset for source in sources_of(config).values()} == {
        "bvh/cmu_mocap",
        "bvh/cmu_mocap_more",
    }
    assert {(s.input, s.lens) for s in sources_of(config).values()} == {("layouts", (20.0, 90.0))}
    tests = evaluations_of(config)
    assert tests["cmu_mocap"].input == "pose"
    assert tests["cmu_mocap_coco17"].input == "coco17"
    assert tests["cmu_mocap_coco17"].lens is None
    assert tests["cmu_mocap_fov60"].lens == (60.0, 60.0)
    assert config["eval"]["groups"]["cmu_fov60"] == ["cmu_mocap_fov60", "cmu_mocap_more_fov60"]
    with pytest.raises(ValueError, match="with mocap"):
        pretrain.get_config("layouts")


def test_tilted_looks_up_and_down_and_is_measured_there():
    config = config_of("mocap,shipped,short,lens,tilted")
    assert {s.views.pitch for s in sources_of(config).values() if s.views} == {(-30.0, 30.0)}
    tests = evaluations_of(config)
    pitches = {name: tests[f"cmu_mocap{name}"].views.pitch for name in ("", "_up30", "_down30")}
    assert pitches == {"": (10.0,), "_up30": (-30.0,), "_down30": (30.0,)}
    assert config["eval"]["groups"]["cmu_up30"] == ["cmu_mocap_up30", "cmu_mocap_more_up30"]


def test_as_seen_measures_what_it_does_not_train_on():
    config = config_of("mocap,shipped,short,as_seen")
    assert {(s.input, s.lens) for s in sources_of(config).values()} == {("pose", None)}
    measured = config_of("mocap,shipped,short,layouts,lens")["eval"]
    assert config["eval"] == measured


def test_shipped_weights_come_from_motion_that_is_free_to_use():
    for variant, frames in (("starter", {27, 81}), ("streaming", {9, 27})):
        sources = sources_of(config_of(f"mocap,{variant},layouts,lens")).values()
        datasets = {source.dataset for source in sources}
        assert datasets == {f"bvh/{name}" for name in pretrain.SHIPPED}
        assert {source.frames for source in sources} == frames


def test_robust_adds_noisy_and_masked_copies():
    clean, robust = config_of("mocap"), config_of("mocap,robust")
    tests, copies = clean["eval"]["sources"], robust["eval"]["sources"]
    expected = dict(tests)
    for name in pretrain.MOCAP:
        expected[f"{name}_noisy"] = {**tests[name], "noise": True, "mask": False}
        expected[f"{name}_masked"] = {**tests[name], "noise": False, "mask": True}
    assert copies == expected
    assert robust["eval"]["groups"] == {
        "cmu": ["cmu_mocap", "cmu_mocap_more"],
        "cmu_noisy": ["cmu_mocap_noisy", "cmu_mocap_more_noisy"],
        "cmu_masked": ["cmu_mocap_masked", "cmu_mocap_more_masked"],
    }
    assert robust["sources"] == clean["sources"]


# Width, representation, depth, heads, MLP ratio; parameters where they are known: the official
# MotionBERT and MotionBERT-Lite have 42,466,317 and 16,001,549.
SIZES = {
    "full": (512, 512, 5, 8, 2, 42_466_317),
    "lite": (256, 512, 5, 8, 4, 16_001_549),
    "starter": (192, 192, 5, 6, 2, None),
    "small": (128, 128, 4, 8, 2, None),
    "demo": (64, 64, 2, 8, 2, None),
}


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size):
    assert getattr(common, size.upper()) == size
    model = plain(common.base())["model"]
    network = build_network({**model, "size": size})
    backbone = network.backbone
    got = (backbone.dim_feat, backbone.dim_rep, backbone.depth, backbone.num_heads)
    *expected, ratio, parameters = SIZES[size]
    assert got == tuple(expected)
    assert backbone.mlp_ratio == ratio
    assert parameters in (None, parameter_count(network))
    wider = build_network({**model, "size": size, "dim_feat": 2 * expected[0]}).backbone
    assert (wider.dim_feat, wider.depth) == (2 * expected[0], expected[2])


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="got variant 'tiny', expected some of lite, official"):
        pretrain.get_config("lite,tiny")
    with pytest.raises(ValueError, match=r"got source fields \['length'\], expected \["):
        common.source("a/b", length=3)


def test_the_fields_of_a_source_are_those_of_the_configuration():
    fields = set(plain(common.source("a/b")))
    assert fields == set(inspect.signature(Source).parameters) - {"name"}
    written = Source.from_config({"name": "a", **plain(common.source("a/b"))})
    assert written == Source("a", "a/b")


def test_the_optimiser_of_the_configuration_has_every_setting():
    assert set(plain(common.base())["optim"]) == set(optim.DEFAULTS)
    assert optim.settings({}) == optim.settings(common.base().optim.to_dict())
