"""Tables of our own: 3D pose on free data, clean or corrupted pretraining, narrow networks."""

from dstformer_jax.reproduce.arms import Scale
from dstformer_jax.reproduce.cells import Cell
from dstformer_jax.reproduce.recognition import NO_WEIGHTS, encoder
from dstformer_jax.reproduce.report import Entry, Measure, Study

ARMS = {"clean": "mocap,clean,robust,short", "corrupted": "mocap,robust,short"}
CONDITIONS = {"clean": "", "noisy": "_noisy", "masked": "_masked"}
SETS = ("cmu", "hdm05_actions")
POSE_ERRORS = {
    "MPJPE, mm": "mpjpe_frames",
    "P-MPJPE, mm": "p_mpjpe",
    "velocity error, mm a frame": "mpjve",
}
POSE_CURVE = (("eval.every", 1), ("eval.at_start", True))
_FAN_IN = (("model.init", "fan_in"),)
_ADAMW = (("optim.name", "adamw"), ("optim.learning_rate", 1e-3))
NARROW = {
    "Muon, rate 1e-2, official (the default)": (),
    "Muon, rate 1e-2, fan_in": _FAN_IN,
    "AdamW, rate 1e-3, official": _ADAMW,
    "AdamW, rate 1e-3, fan_in": (*_ADAMW, *_FAN_IN),
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


def pose_study(scale: Scale, seeds: int) -> Study:
    """3D pose from detections of another kind than the pretraining noise, at equal budgets."""
    rows: dict[str, tuple[Entry, ...]] = {}
    for label, how in {"from scratch": "scratch", "finetuned": "finetune"}.items():
        starts = [encoder(scale, seed) if how == "finetune" else None for seed in range(seeds)]
        if how == "finetune" and starts[0] is None:
            rows[label] = (NO_WEIGHTS,) * len(POSE_ERRORS)
            continue
        cells = tuple(
            Cell(f"configs/pose3d.py:{how},mocap", POSE_CURVE, seed, start)
            for seed, start in enumerate(starts)
        )
        rows[label] = tuple(
            Measure(cells, f"eval/detected/{name}") for name in POSE_ERRORS.values()
        )
    about = (
        "People filmed by simulated cameras and detected with jitter that lasts, swapped limbs, "
        "reversals and occlusions (`launch/prepare_detected.sh`); errors of people who were not "
        "trained on. Both arms see the same windows as often; the finetuned one at a lower rate."
    )
    return Study("3D pose from simulated detections", tuple(POSE_ERRORS), rows, about)
