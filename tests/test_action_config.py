"""configs/action.py and configs/oneshot.py: the official columns and the paper's schedule."""

from typing import Any

import pytest

from configs import action, oneshot
from dstformer_jax.data.sources import Source
from dstformer_jax.models.network import build_network
from dstformer_jax.training import optim
from dstformer_jax.training.experiment import build_task, plain

# Reference 2, columns train_NTU60_* , ft_NTU60_*, train and ft_NTU120_oneshot: finetune, epochs,
# batch, rates of backbone and head, hidden_dim, dropout_ratio, clip_len, n_views.
OFFICIAL = {
    ("action", "scratch,official"): (False, 300, 32, 1e-4, 1e-4, 2048, 0.5, 243, 0),
    ("action", "finetune,official"): (True, 300, 32, 1e-4, 1e-3, 2048, 0.5, 243, 0),
    ("oneshot", "scratch,official"): (False, 50, 32, 1e-4, 1e-3, 2048, 0.1, 100, 2),
    ("oneshot", "finetune,official"): (True, 50, 32, 1e-4, 1e-3, 2048, 0.1, 100, 2),
}
# Paper A.3: 200 epochs at 1e-3 from scratch, 1e-4 and 1e-3 finetuned; 8 pairs a batch at T = 243.
PAPER = {
    ("action", "scratch"): (False, 200, 32, 1e-3, 1e-3, 2048, 0.5, 243, 0),
    ("action", "finetune"): (True, 200, 32, 1e-4, 1e-3, 2048, 0.5, 243, 0),
    ("oneshot", "finetune"): (True, 50, 16, 1e-4, 1e-3, 2048, 0.1, 243, 2),
}
MODULES = {"action": action, "oneshot": oneshot}


def config_of(name: str, variant: str) -> dict[str, Any]:
    return plain(MODULES[name].get_config(variant))


def only_source(settings: dict[str, Any]) -> Source:
    ((name, fields),) = settings.items()
    return Source.from_config({"name": name, **fields})


@pytest.mark.parametrize(("name", "variant"), [*OFFICIAL, *PAPER])
def test_columns(name, variant):
    config = config_of(name, variant)
    train, test = only_source(config["sources"]), only_source(config["eval"]["sources"])
    task, chosen = build_task(config["task"], config["weights"]), optim.settings(config["optim"])
    rate = chosen["learning_rate"]
    backbone = dict(chosen["lr_mult"]).get("backbone/*", 1.0) * rate
    assert (OFFICIAL | PAPER)[name, variant] == (
        config["init_from"] is not None,
        config["epochs"],
        train.batch,
        pytest.approx(backbone),
        rate,
        task.hidden,
        task.dropout,
        train.frames,
        train.per_class,
    )
    assert (chosen["name"], chosen["weight_decay"], chosen["lr_decay"]) == ("adamw", 0.01, 0.99)
    assert test.frames == train.frames
    assert (train.crop, test.crop) == ((1.0, 3.0), (2.0, 2.0))  # scale_range_train and _test
    assert (train.move, test.move) == (True, False)
    assert (train.persons, train.window, train.input) == (2, "whole", "motion")
    assert not any((train.flip, train.mask, train.noise, config["eval"]["flip"]))
    network = build_network(config["model"]).backbone
    assert (network.dim_feat, network.depth, network.mlp_ratio) == (512, 5, 2)
    if name == "oneshot":
        assert (task.temperature, task.base_temperature) == (0.1, 0.07)


@pytest.mark.parametrize(
    ("variant", "dataset", "splits", "classes"),
    [
        ("xsub", "ntu/ntu60", ("xsub_train", "xsub_val"), 60),
        ("xview", "ntu/ntu60", ("xview_train", "xview_val"), 60),
        ("ntu120", "ntu/ntu120", ("xsub_train", "xsub_val"), 120),
    ],
)
def test_protocols(variant, dataset, splits, classes):
    config = config_of("action", variant)
    train, test = only_source(config["sources"]), only_source(config["eval"]["sources"])
    assert (train.dataset, test.dataset) == (dataset, dataset)
    assert (train.split, test.split) == splits
    assert config["task"]["num_classes"] == classes


@pytest.mark.parametrize("how", ["finetune", "frozen", "probe"])
@pytest.mark.parametrize(
    ("where", "start"), [("xsub", "runs/pretrain"), ("mine", "runs/mocap"), ("utd", "runs/mocap")]
)
def test_what_is_pretrained_starts_from_weights(how, where, start):
    assert config_of("action", f"{how},{where}")["init_from"] == start
    assert config_of("action", f"scratch,{where}")["init_from"] is None


def test_one_shot_starts_from_weights():
    assert config_of("oneshot", "frozen,utd")["init_from"] == "runs/mocap"
    assert config_of("oneshot", "")["init_from"] == "runs/pretrain"
    assert config_of("oneshot", "scratch")["init_from"] is None
