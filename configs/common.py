"""What every configuration shares: the keys, their defaults and their meaning.

A config file's `get_config(variant)` starts from `base()` and changes what its task needs. Every
value can be overridden on the command line: `--config.optim.learning_rate=1e-3`.
"""

from ml_collections import ConfigDict, config_dict

# The sizes stand in dstformer_jax.models.dstformer.SIZES; a None field means: as the size says.
FULL, LITE, STARTER, SMALL, DEMO = "full", "lite", "starter", "small", "demo"


def base() -> ConfigDict:
    """All keys that the loop and the commands read."""
    optional = config_dict.placeholder
    config = ConfigDict()
    config.seed = 0
    config.epochs = 90
    # pmap | jit | fsdp (jit; each device holds a part of parameters and optimiser state) | auto:
    # pmap in one process, jit across processes
    config.parallel = "auto"
    config.init_from = optional(str)  # a workdir of ours, a PyTorch file, or hf://...
    config.log_every = 100  # steps
    # Joints of the network: a built-in skeleton, or the path of a JSON that declares one
    config.skeleton = "h36m17"
    config.peak_tflops = optional(float)  # of one device; None: known GPUs, else no MFU in the log

    config.model = _model()
    config.task = _task()
    config.weights = _weights()
    config.optim = _optim()
    config.data = _data()
    config.sources = ConfigDict()
    config.eval = _eval()
    config.checkpoint = _checkpoint()
    config.profile = ConfigDict({"start": 0, "num_steps": 0})
    return config


def _model() -> ConfigDict:
    """The backbone; a None field means: as its size says."""
    optional = config_dict.placeholder
    return ConfigDict(
        {
            "backbone": "dstformer",  # Table 6: dstformer | tcn | poseformer
            "size": FULL,
            "dim_feat": optional(int),  # channels of the tokens
            "dim_rep": optional(int),  # channels of the motion representation
            "depth": optional(int),
            "num_heads": optional(int),
            "mlp_ratio": optional(float),
            "num_joints": 17,  # follows config.skeleton
            "maxlen": 243,  # longest clip: rows of the temporal position embedding
            "design": "adaptive",  # Table 7: st, ts, parallel, one_mlp, average, adaptive
            "norm": "pre",  # pre (official code) | post (paper's text)
            "dtype": "float32",  # compute: float32 | bfloat16
            "attention": "auto",  # xla | cudnn | auto
            "temporal_layout": "native",  # native | swap; the same numbers, another order in memory
            "scan_layers": False,
            "remat": "none",  # none | layer | dots; saves memory with scan_layers
            "init": "official",  # official (normal 0.02) | fan_in
            "dropout": optional(float),  # None: as published, 0 and of tcn 0.25
            "attention_dropout": 0.0,
            "drop_path": 0.0,
        }
    )


def _task() -> ConfigDict:
    """What is learned."""
    return ConfigDict(
        {
            "name": "lift3d",
            "root_relative": True,
            "reduction": "mean",  # mean (official) | sum (paper eq. 6-8)
            "plateau_after": 500,  # steps before the zero-depth alarm may ring
            "true_2d": False,  # the input's x, y are the answer's when measured (official gt_2d)
        }
    )


def _weights() -> ConfigDict:
    """Of the loss terms; terms of weight 0 are not computed."""
    return ConfigDict(
        {
            "mpjpe": 1.0,  # paper eq. 6
            "velocity": 20.0,  # lambda_O, paper eq. 7
            "n_mpjpe": 0.5,  # official code only
            "reprojection": 1.0,  # paper eq. 8, on 2D batches
            "limb_variance": 0.0,
            "limb_length": 0.0,
            "angle": 0.0,
            "angle_velocity": 0.0,
        }
    )


def _optim() -> ConfigDict:
    """The optimiser and its learning rate."""
    return ConfigDict(
        {
            "name": "adamw",  # adam (paper) | adamw (official) | muon (fast on narrow networks)
            "learning_rate": 5e-4,
            "lr_decay": 0.99,  # an epoch
            "schedule": "epoch",  # epoch (x lr_decay) | cosine | constant
            "warmup": 0,  # steps
            "final": 0.0,  # cosine ends at this share of the rate
            "weight_decay": 0.01,  # of adamw and muon; adam ignores it (paper: none)
            "no_decay": (),  # path patterns of parameters without weight decay
            "clip": 0.0,  # largest gradient norm, 0: none
            "accumulate": 1,  # parts of a batch, one after the other: memory of one, same step
            "lr_mult": (),  # pairs (path pattern, factor)
            "freeze": (),  # path patterns
        }
    )


def _data() -> ConfigDict:
    """Where clips come from and who corrupts them."""
    optional = config_dict.placeholder
    return ConfigDict(
        {
            "path": "data",  # data_dir of `python -m dstformer_jax.data.prepare`
            "feed": "tf",  # tf | numpy (no TensorFlow; corruption on the device)
            "corrupt_on": "host",  # host | device: there clips are also mirrored, turned, cropped
            "shared": False,  # True: one frame mask and jitter a batch, as the official code
            # shuffled: sources mixed | sequential: a pass over each 2D source, then the rest |
            # "a,b": a pass over source a, one over b, then the rest
            "order": "shuffled",
            "noise": optional(str),  # a table fitted by data.fit_noise; None: the shipped one
            "mask_joints": optional(float),  # share of joints masked; None: the table's (0.05)
            "mask_frames": optional(float),  # share of frames masked; None: the table's (0.1)
            # share of clips in which optional joints of a declared skeleton are masked; None: 0.25
            "mask_groups": optional(float),
        }
    )


def _eval() -> ConfigDict:
    """Test sets, and when they are measured."""
    optional = config_dict.placeholder
    return ConfigDict(
        {
            "every": 1,  # epochs
            "at_start": False,  # also before the first step
            "flip": True,  # average with the mirrored prediction
            "tail": optional(str),  # frames after a last full window: drop (official) | score
            "best": optional(str),  # source whose metric selects the best checkpoint; None: mean
            "sources": ConfigDict(),
            "write": optional(str),  # --mode=eval: folder for every frame's answer (mesh)
            "groups": ConfigDict(),  # name -> names of eval.sources scored as one test set
        }
    )


def _checkpoint() -> ConfigDict:
    """What is saved."""
    return ConfigDict(
        {
            "every": 0,  # steps; besides at evaluations
            "keep": 2,  # the last N stay, and the best one
            "archive": 0,  # epochs; the checkpoint of every such epoch stays for good
        }
    )


def source(dataset: str, **settings: object) -> ConfigDict:
    """One entry of `sources` or `eval.sources`; the fields are those of data.sources.Source."""
    optional = config_dict.placeholder
    fields = {
        "dataset": dataset,
        "split": "train",
        "frames": 243,
        "stride": 81,
        "batch": 64,
        "supervision": "3d",
        "input": "pose",
        "crop": None,
        "views": None,
        "lens": None,
        "scale": 1.0,
        "mask": False,
        "noise": False,
        "flip": False,
        "epochs": (0, -1),
        "short": "resample",
        "tail": "drop",
        "root_seen": False,
        "fps": optional(float),
        "window": "slide",
        "persons": 1,
        "move": False,
        "accumulate": False,
        "per_class": 0,
        "limit_per_class": 0,
        "limit_seed": 0,
    }
    if unknown := set(settings) - set(fields):
        raise ValueError(f"got source fields {sorted(unknown)}, expected {sorted(fields)}")
    return ConfigDict({**fields, **settings})


def variant_of(variant: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Splits `config.py:a,b` into names and checks them."""
    names = tuple(name for name in variant.split(",") if name)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"got variant {unknown[0]!r}, expected some of {', '.join(known)}")
    return names
