"""Pretraining: lift corrupted 2D skeletons to 3D (paper sec. 3.3, appendix A.1).

    python -m dstformer_jax.main --config=configs/pretrain.py --workdir=runs/pretrain

Variants, joined by commas (`configs/pretrain.py:lite,official`):
  (none)    the paper's recipe on Human3.6M, AMASS, PoseTrack and InstaVariety; means as losses
  lite      MotionBERT-Lite
  official  what the official code does where it differs from the paper
  paper     the paper's equations to the letter: sums, Adam, no scale term, post-norm
  mocap     a free run on the BVH motion that `make mocap-data` prepares, for a small machine
  clean     without masks and noise, the other arm of the comparison
  settle    mocap's last stage, from a trained run (--config.init_from=runs/mocap): a lower rate
            and every third clip from HDM05, which is a tenth of the frames
  short     mocap for a few minutes, on nine-frame windows alone (for comparisons)
  demo      the three-minute run of `make demo` on synthetic people
  layouts   mocap as detectors see it: each training clip in one of five layouts; every 3D test
            source and group also in each (cmu_coco17, ...). Data prepared with --layouts
  lens      mocap before pinhole cameras of 20 to 90 degrees; every 3D test source and group also at
            30, 60 and 90 (cmu_fov60, ...)
  tilted    mocap before cameras that look up or down by up to 30 degrees (0 to 20 down without);
            every 3D test source and group also at 30 up and 30 down (cmu_up30, cmu_down30)
  shipped   mocap's CMU sets alone: what weights may be given away from
  starter   shipped motion and deepmimic_clips for size starter on one GPU, minutes; how the weights
            that come with the package were trained (docs/model_card.md)
  streaming shipped motion for the small network that `lift.stream` uses, about an hour of one core;
            how its weights were trained (docs/model_card.md)
  as_seen   every 3D test source and group also as layouts and lens measure them, whatever the
            network is trained on (for comparisons)
  robust    for --mode=eval: every 3D test source also with noise (<name>_noisy) and with masks
            (<name>_masked), and every group likewise (cmu_noisy, cmu_masked)

    python -m dstformer_jax.main --config=configs/pretrain.py:mocap,robust --workdir=runs/mocap \
      --mode=eval
"""

from typing import Any

from ml_collections import ConfigDict

from configs import common
from configs.common import source
from dstformer_jax.body.landmarks import LAYOUTS

Settings = Any  # a ConfigDict, of whose values no type checker knows
MOCAP = ("cmu_mocap", "cmu_mocap_more", "hdm05_actions")
SHIPPED = ("cmu_mocap", "cmu_mocap_more", "deepmimic_clips")  # free to give away what is learned
RECIPES = ("lite", "official", "paper", "mocap", "clean", "demo", "short", "settle")
SEEN_AS = ("layouts", "lens", "tilted")
VARIANTS = (*RECIPES, *SEEN_AS, "as_seen", "shipped", "starter", "streaming", "robust")
FIELDS_OF_VIEW = (30.0, 60.0, 90.0)  # degrees, that perspective is measured at
TILT = 30.0  # degrees


def get_config(variant: str = "") -> ConfigDict:
    """The pretraining configuration of a variant."""
    names = common.variant_of(variant, VARIANTS)
    config: Settings = common.base()
    on_mocap = {*SEEN_AS, "as_seen", "shipped", "starter", "streaming"} & set(names)
    if on_mocap and "mocap" not in names:
        raise ValueError(f"got variant {variant!r}, expected {sorted(on_mocap)} with mocap")
    if "demo" in names:
        _demo(config)
    elif "mocap" in names:
        _mocap(config)
        if "short" in names:
            _short(config)
        if "settle" in names:
            _settle(config)
    else:
        _paper_data(config)
    if "lite" in names:
        config.model.size = common.LITE
    if "official" in names:
        _official(config)
    if "paper" in names:
        _letter(config)
    if "clean" in names:
        for settings in config.sources.values():
            settings.mask = settings.noise = False
    if "starter" in names:
        _starter(config)
    elif "streaming" in names:
        _streaming(config)
    elif "shipped" in names:
        _shipped(config)
    seen = _seen(config, names)
    if "robust" in names:
        seen |= {"noisy": {"noise": True, "mask": False}, "masked": {"noise": False, "mask": True}}
    _copy_tests(config.eval, seen)
    return config


def _paper_data(config: Settings) -> None:
    """The paper's sources: 3D for 30 epochs, then 3D and 2D for 60."""
    corrupted = {"mask": True, "noise": True, "flip": True}
    joined = {"supervision": "2d", "input": "motion", "epochs": (30, -1), "flip": True}
    config.sources.human36m = source("human36m/default", **corrupted)
    config.sources.amass = source("amass/default", scale=0.298, **corrupted)
    config.sources.posetrack = source(
        "posetrack18/default",
        frames=30,
        stride=30,
        crop=(0.25, 1.0),
        mask=True,
        noise=True,
        **joined,
    )
    config.sources.instavariety = source(
        "instavariety/default",
        frames=81,
        stride=27,
        crop=(0.25, 1.0),
        mask=True,
        root_seen=True,
        **joined,
    )
    config.eval.sources.human36m = source(
        "human36m/default", split="test", stride=243, input="motion"
    )


def _official(config: Settings) -> None:
    """Where the official code differs from the paper.

    Frame masks and jitter are one for a batch; an epoch passes over PoseTrack, then InstaVariety,
    then the 3D sources; every 30th epoch's checkpoint is kept. InstaVariety's belly and head are
    zeros, as prepared by --dataset=instavariety --name=official --official_zeros.
    """
    config.data.shared = True
    config.data.order = "sequential"
    if {"posetrack", "instavariety"} <= set(config.sources):
        config.data.order = "posetrack,instavariety"  # a configuration sorts its sources by name
    config.checkpoint.archive = 30
    if "instavariety" in config.sources:
        config.sources.instavariety.dataset = "instavariety/official"


def _letter(config: Settings) -> None:
    """The paper's equations: sums over frames and joints, Adam, no n_mpjpe, post-norm."""
    config.task.reduction = "sum"
    config.weights.n_mpjpe = 0.0
    config.optim.name = "adam"
    config.optim.weight_decay = 0.0
    config.model.norm = "post"


def _mocap(config: Settings) -> None:
    """Real motion on two CPU cores: narrow network, short windows first, a schedule that ends.

    Nine-frame windows come first: many independent poses a step leave the zero-depth plateau.
    Expected numbers and the commands that print them: docs/results.md.
    """
    config.epochs = 13
    config.log_every = 50
    config.data.path = "data/mocap"
    config.model.update({"size": common.DEMO, "depth": 3, "num_heads": 4, "maxlen": 81})
    config.optim.update({"name": "muon", "learning_rate": 1e-2, "schedule": "cosine"})
    config.optim.update({"warmup": 100, "final": 0.02})
    config.checkpoint.every = 200
    config.eval.every = 4
    views = {"yaw": (0.0, 360.0), "pitch": (0.0, 20.0), "fixed": False}
    drawn = {"views": views, "crop": (1.0, 1.0), "mask": True, "noise": True, "flip": True}
    for name in MOCAP:
        config.sources[f"{name}_short"] = source(
            f"bvh/{name}", frames=9, stride=9, batch=32, epochs=(0, 7), **drawn
        )
        config.sources[name] = source(
            f"bvh/{name}", frames=27, stride=18, batch=16, epochs=(7, -1), **drawn
        )
    video = {"supervision": "2d", "input": "motion", "crop": (1.0, 1.0)}
    config.sources.openpose = source(
        "keypoints2d/openpose",
        frames=27,
        stride=9,
        batch=16,
        mask=True,
        flip=True,
        epochs=(9, -1),
        **video,
    )
    padded = {
        "split": "test",
        "frames": 27,
        "stride": 27,
        "batch": 16,
        "short": "pad",
        "tail": "pad",
    }
    fixed = _fixed_views(10.0)
    for name in MOCAP:
        config.eval.sources[name] = source(f"bvh/{name}", views=fixed, crop=(1.0, 1.0), **padded)
    config.eval.sources.openpose = source("keypoints2d/openpose", **video, **padded)
    config.eval.groups.cmu = ("cmu_mocap", "cmu_mocap_more")


def _seen(config: Settings, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Shows 3D sources as detectors and lenses do; returns what each is measured with, by name."""
    shown: dict[str, Any] = {"input": "layouts"} if "layouts" in names else {}
    shown |= {"lens": (20.0, 90.0)} if "lens" in names else {}
    for settings in config.sources.values():
        if settings.supervision == "3d":
            settings.update(shown)
            if "tilted" in names:
                settings.views.pitch = (-TILT, TILT)
    layouts = [name for name in LAYOUTS if name != "h36m17"]
    layouts = layouts if {"layouts", "as_seen"} & set(names) else []
    angles = FIELDS_OF_VIEW if {"lens", "as_seen"} & set(names) else ()
    pitches = {f"up{TILT:g}": -TILT, f"down{TILT:g}": TILT} if "tilted" in names else {}
    return (
        {name: {"input": name} for name in layouts}
        | {f"fov{angle:g}": {"lens": (angle, angle)} for angle in angles}
        | {name: {"views": _fixed_views(pitch)} for name, pitch in pitches.items()}
    )


def _fixed_views(pitch: float) -> dict[str, Any]:
    """From four sides, looking down by so many degrees."""
    return {"yaw": (0.0, 90.0, 180.0, 270.0), "pitch": (pitch,), "fixed": True}


def _copy_tests(settings: Settings, changes: dict[str, dict[str, Any]]) -> None:
    """Adds changed copies of the 3D test sources, <name>_<change>, and of their groups."""
    plain, groups = dict(settings.sources.items()), dict(settings.groups.items())
    plain = {name: test for name, test in plain.items() if test.supervision == "3d"}
    for kind, changed in changes.items():
        for name, test in plain.items():
            settings.sources[f"{name}_{kind}"] = ConfigDict({**test, **changed})
        for group, members in groups.items():
            settings.groups[f"{group}_{kind}"] = tuple(f"{name}_{kind}" for name in members)


def _shipped(config: Settings) -> None:
    """Trains on what its owners let anybody give away trained weights of."""
    for name in list(config.sources):
        if not config.sources[name].dataset.startswith("bvh/cmu_mocap"):
            del config.sources[name]


def _starter(config: Settings) -> None:
    """Windows of 27 and of 81 frames side by side, corrupted on the device, in bfloat16."""
    config.epochs = 15
    config.data.update({"feed": "numpy", "corrupt_on": "device"})
    config.model.update({"size": common.STARTER, "depth": None, "num_heads": None, "maxlen": 81})
    config.model.update({"dtype": "bfloat16", "scan_layers": True})
    # Muon's steps would drive the fusion to one stream a level within dozens of steps.
    config.optim.update({"learning_rate": 7e-3, "warmup": 100, "lr_mult": (("*fusion*", 0.1),)})
    config.checkpoint.every = 500
    config.eval.every = 15
    drawn = config.sources.cmu_mocap.to_dict()
    config.sources = ConfigDict()
    for name in SHIPPED:
        both = {**drawn, "dataset": f"bvh/{name}", "stride": 9, "epochs": (0, -1)}
        config.sources[f"{name}_short"] = source(**{**both, "frames": 27, "batch": 192})
        config.sources[name] = source(**{**both, "frames": 81, "batch": 64})
    del config.eval.sources["openpose"]
    for settings in config.eval.sources.values():
        settings.update({"frames": 81, "stride": 81, "batch": 64})


def _streaming(config: Settings) -> None:
    """mocap's narrow network and schedule on shipped motion, windows of up to 27 frames."""
    config.model.maxlen = 27
    config.eval.every = config.epochs
    config.optim.lr_mult = (("*fusion*", 0.1),)  # as in _starter
    stages = {"_short": config.sources.cmu_mocap_short, "": config.sources.cmu_mocap}
    config.sources = ConfigDict()
    for name in SHIPPED:
        for stage, settings in stages.items():
            fields = {**settings.to_dict(), "dataset": f"bvh/{name}"}
            config.sources[f"{name}{stage}"] = source(**fields)
    del config.eval.sources["openpose"]


def _short(config: Settings) -> None:
    """One epoch of nine-frame windows, measured on every third window: equal small budgets."""
    config.epochs = 1
    config.checkpoint.every = 0
    for name in [*MOCAP, "openpose"]:
        del config.sources[name]
    del config.eval.sources["openpose"]
    for settings in config.eval.sources.values():
        settings.update({"frames": 9, "batch": 32})


def _settle(config: Settings) -> None:
    """Two more epochs at a third of the rate, in which every third clip is HDM05's."""
    config.epochs = 2
    config.eval.every = 2
    config.optim.update({"learning_rate": 3e-3, "warmup": 30})
    for name in MOCAP:
        del config.sources[f"{name}_short"]
        dense = name == "hdm05_actions"
        config.sources[name].update({"stride": 4 if dense else 27, "epochs": (0, -1)})
    config.sources.openpose.epochs = (0, -1)


def _demo(config: Settings) -> None:
    """Synthetic people from their left: learns visibly within three minutes on two cores.

    People who face about the same way, without mirroring: telling left from right comes before
    depth and takes most of a run with random views.
    """
    config.epochs = 5
    config.log_every = 25
    config.model.update({"size": common.DEMO, "num_heads": 4, "maxlen": 27})
    config.optim.update({"name": "muon", "learning_rate": 1e-2, "schedule": "cosine"})
    config.optim.update({"warmup": 20, "final": 0.02})
    config.eval.update({"every": 5, "at_start": True, "flip": False})
    views = {"yaw": (30.0, 150.0), "pitch": (0.0, 10.0), "fixed": False}
    drawn = {"views": views, "crop": (1.0, 1.0), "mask": True, "noise": True}
    config.sources.synthetic = source("synthetic/demo", frames=9, stride=18, batch=32, **drawn)
    fixed = {"yaw": (50.0, 130.0), "pitch": (5.0,), "fixed": True}
    config.eval.sources.synthetic = source(
        "synthetic/demo",
        split="test",
        frames=9,
        stride=90,
        batch=32,
        crop=(1.0, 1.0),
        views=fixed,
        mask=True,
        noise=True,
    )
