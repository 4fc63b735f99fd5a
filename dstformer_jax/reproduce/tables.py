"""Tables of our own: clean or corrupted pretraining, and the defaults of narrow networks."""

from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.report import Measure, Study

ARMS = {"clean": "mocap,clean,robust,short", "corrupted": "mocap,robust,short"}
CONDITIONS = {"clean": "", "noisy": "_noisy", "masked": "_masked"}
SETS = ("cmu", "hdm05_actions")
_OFFICIAL = (("model.init", "official"),)
_ADAMW = (("optim.name", "adamw"), ("optim.learning_rate", 1e-3))
NARROW = {
    "Muon, rate 1e-2, fan_in (the default)": (),
    "Muon, rate 1e-2, official": _OFFICIAL,
    "AdamW, rate 1e-3, fan_in": _ADAMW,
    "AdamW, rate 1e-3, official": (*_ADAMW, *_OFFICIAL),
}


def robustness_study(seeds: int) -> Study:
    """Equal small budgets; MPJPE in mm."""
    rows = {}
    for arm, variant in ARMS.items():
        cells = tuple(Cell(f"configs/pretrain.py:{variant}", (), seed) for seed in range(seeds))
        rows[arm] = tuple(
            Measure(cells, f"eval/{name}{suffix}/mpjpe")
            for name in SETS
            for suffix in CONDITIONS.values()
        )
    columns = tuple(f"{name}, {condition}" for name in SETS for condition in CONDITIONS)
    about = "One epoch of nine-frame windows; MPJPE in mm on people who were not trained on."
    return Study("Robustness: trained (down) and tested (across)", columns, rows, about)


def narrow_study(seeds: int) -> Study:
    """Optimisers and initialisations of a network of 64 channels, at equal small budgets."""
    rows = {}
    for label, overrides in NARROW.items():
        config = "configs/pretrain.py:mocap,clean,short"
        cells = tuple(Cell(config, overrides, seed) for seed in range(seeds))
        rows[label] = tuple(
            Measure(cells, f"eval/{name}/{metric}")
            for metric in ("mpjpe", "depth_error")
            for name in SETS
        )
    columns = tuple(f"{name}, {error}" for error in ("MPJPE", "depth error") for name in SETS)
    about = (
        "One epoch of nine-frame windows without corruption, cosine schedule; errors in mm on "
        "people who were not trained on. The official initialisation is normal 0.02."
    )
    return Study("Narrow networks: optimiser and initialisation", columns, rows, about)
