"""configs/pose3d.py and configs/small.py: the official columns, the paper's schedule, the arms."""

import pytest

from configs import pose3d, small
from dstformer_jax.data.sources import Source
from dstformer_jax.models.network import build_network, parameter_count
from dstformer_jax.training import experiment, optim
from dstformer_jax.training.experiment import build_task, plain

# Reference 2: columns of MB_train_h36m, MB_ft_h36m, MB_ft_h36m_global, MB_ft_h36m_global_lite.
OFFICIAL = {
    "scratch,official": (False, 120, 32, 2e-4, 512, 2, True),
    "finetune,official": (True, 60, 32, 2e-4, 512, 2, True),
    "finetune,global,official": (True, 60, 32, 2e-4, 512, 2, False),
    "finetune,global,lite,official": (True, 60, 32, 5e-4, 256, 4, False),
}


def config_of(variant: str) -> dict:
    return plain(pose3d.get_config(variant))


def sources_of(settings: dict) -> dict[str, Source]:
    return {name: Source.from_config({"name": name, **each}) for name, each in settings.items()}


@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_columns(variant):
    config = config_of(variant)
    (train,) = sources_of(config["sources"]).values()
    (test,) = sources_of(experiment.tested(config["eval"])).values()
    backbone = build_network(config["model"]).backbone
    task = build_task(config["task"], config["weights"])
    chosen = optim.settings(config["optim"])
    assert OFFICIAL[variant] == (
        config["init_from"] is not None,
        config["epochs"],
        train.batch,
        chosen["learning_rate"],
        backbone.dim_feat,
        backbone.mlp_ratio,
        task.root_relative,
    )
    assert (chosen["name"], chosen["weight_decay"], chosen["lr_decay"]) == ("adamw", 0.01, 0.99)
    assert not chosen["lr_mult"]  # one rate for all parameters
    assert config["checkpoint"]["archive"] == 30
    assert (train.frames, train.stride, train.flip, train.input) == (243, 81, True, "motion")
    assert not any((train.mask, train.noise, train.crop))
    assert (test.frames, test.stride, test.tail, test.input) == (243, 243, "drop", "motion")
    assert config["eval"]["flip"]
    assert config["weights"]["velocity"] == 20


def test_the_papers_schedule():
    scratch, finetune = config_of(""), config_of("finetune")
    assert scratch == config_of("scratch")
    assert (scratch["epochs"], finetune["epochs"]) == (60, 30)
    assert scratch["optim"] == finetune["optim"]
    assert scratch["optim"]["learning_rate"] == 2e-4
    assert parameter_count(build_network(scratch["model"])) == 42_466_317


def test_true_2d_is_input_and_answer():
    config = config_of("gt2d")
    assert build_task(config["task"], config["weights"]).true_2d
    for each in (*config["sources"].values(), *config["eval"]["sources"].values()):
        assert each["input"] == "pose"


def test_tails_are_scored_when_asked():
    settings = config_of("score")["eval"]
    assert {each["tail"] for each in experiment.tested(settings).values()} == {"pad"}
    assert {each["tail"] for each in experiment.tested({**settings, "tail": None}).values()} == {
        "drop"
    }
    with pytest.raises(ValueError, match=r"got eval.tail='keep', expected drop, score or None"):
        experiment.tested({**settings, "tail": "keep"})


def test_both_arms_on_free_motion_have_one_budget():
    scratch, finetune = config_of("mocap"), config_of("mocap,finetune")
    changed = {key for key in scratch if scratch[key] != finetune[key]}
    assert changed == {"init_from", "optim"}
    assert scratch["optim"]["learning_rate"] > finetune["optim"]["learning_rate"]
    for each in sources_of(scratch["sources"]).values():
        assert (each.split, each.input) == ("train", "motion")
    assert set(scratch["eval"]["groups"]["detected"]) == set(scratch["eval"]["sources"])


def test_small_arms_differ_in_the_pretraining_alone():
    stages = ("pretrain", "pretrain,noise", "pretrain,noise,mask", "pretrain,noise,mask,video")
    configs = [plain(small.get_config(stage)) for stage in stages]
    for config in configs[:3]:
        assert list(config["sources"]) == ["motion"]
        assert {k for k in config if config[k] != configs[0][k]} <= {"sources"}
    flags = [(c["sources"]["motion"]["noise"], c["sources"]["motion"]["mask"]) for c in configs]
    assert flags == [(False, False), (True, False), (True, True), (True, True)]
    assert configs[3]["sources"]["video"]["supervision"] == "2d"
    pose = plain(small.get_config("pose"))
    assert pose["eval"]["sources"] == configs[0]["eval"]["sources"]
    assert pose["model"] == configs[0]["model"]


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="got variants scratch and finetune"):
        pose3d.get_config("scratch,finetune")
    with pytest.raises(ValueError, match="expected pose or pretrain"):
        small.get_config("noise")
