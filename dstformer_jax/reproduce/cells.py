"""A cell is one run of a table or figure, named by what its configuration says."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dstformer_jax import main
from dstformer_jax.models.network import build_network, parameter_count
from dstformer_jax.training import checkpoint
from dstformer_jax.training.experiment import plain

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("path",)  # settings of `data` that say where files are, not what is trained
LATER = {"skeleton": "h36m17"}  # settings that finished runs do not have, and what they did
UNNAMED = ("log_every", "peak_tflops", "profile", "checkpoint")  # change no result


@dataclass(frozen=True)
class Pretrained:
    """Weights that were trained outside of the grid.

    path: a workdir or a PyTorch file. key: of what is in it, wherever it lies: twelve hexadecimal
    digits of the run's configuration and the step, or of the file's bytes.
    """

    path: Path
    key: str

    @classmethod
    def open(cls, path: Path) -> Pretrained:
        """Looks into a workdir or file.

        Raises:
          ValueError: no checkpoint there.
        """
        path = path.resolve()
        if path.is_file():
            return cls(path, hashlib.sha256(path.read_bytes()).hexdigest()[:12])
        step = checkpoint.best_step(path)
        config = checkpoint.read_info(path, step)["config"]
        config = {k: v for k, v in config.items() if k not in (*UNNAMED, "init_from")}
        config["data"] = _without_places(config["data"])
        config = {k: v for k, v in config.items() if LATER.get(k, object()) != v}
        return cls(path, _digest({"config": config, "step": step}))


@dataclass(frozen=True)
class Cell:
    """One run of `dstformer_jax.main`.

    config: "configs/FILE.py:variant". overrides: pairs of a config key and its value, such as
    ("model.depth", 2). start: whose trained weights this one begins with.
    """

    config: str
    overrides: tuple[tuple[str, Any], ...] = ()
    seed: int = 0
    start: Cell | Pretrained | None = None

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits: equal for cells that train the same thing."""
        return _key(self)

    @property
    def settings(self) -> dict[str, Any]:
        """The final configuration as plain dicts.

        Raises:
          ValueError: no such config, variant or key.
        """
        return _settings(self)

    @property
    def parameters(self) -> int:
        """Parameters of the network with the pose head."""
        return parameter_count(build_network(self.settings["model"]))

    @property
    def datasets(self) -> set[str]:
        """Every prepared dataset that the run reads, such as "bvh/cmu_mocap"."""
        settings = self.settings
        sources = (*settings["sources"].values(), *settings["eval"]["sources"].values())
        mine = {source["dataset"] for source in sources if source}
        return mine | (self.start.datasets if isinstance(self.start, Cell) else set())

    def flags(self) -> list[str]:
        """The configuration as flags of `dstformer_jax.main`, without places."""
        pairs = (*self.overrides, ("seed", self.seed))
        return [
            f"--config={ROOT / self.config}",
            *(f"--config.{name}={value}" for name, value in pairs),
        ]


@cache
def _settings(cell: Cell) -> dict[str, Any]:
    return plain(main.parse(["main", "--workdir=.", *cell.flags()]).config)


@cache
def _key(cell: Cell) -> str:
    return _digest(identity(cell))


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_places(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in PLACES}


def identity(cell: Cell) -> dict[str, Any]:
    """What makes a cell different from the default configuration, and what it starts from.

    Values equal to the defaults are left out, so that a setting added later, whose default is what
    the code did before, does not make finished runs strangers.
    """
    common = importlib.import_module("configs.common")
    settings, base = dict(cell.settings), plain(common.base())
    source = plain(common.source(""))
    named: dict[str, Any] = {"start": cell.start.key if cell.start else None}
    settings["data"] = _without_places(settings["data"])
    for part, value in settings.items():
        if part in UNNAMED or part == "init_from" or LATER.get(part, object()) == value:
            continue
        if part == "sources":
            value = _sources(value, source)
        elif part == "eval":
            sources = _sources(value["sources"], source)
            value = {**_difference(value, base["eval"]), "sources": sources}
        else:
            value = _difference(value, base.get(part))
        named[part] = value
    return named


def _sources(sources: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    return {name: s and _difference(s, default) for name, s in sources.items()}


def _difference(value: Any, default: Any) -> Any:
    """A mapping without what its default holds too; other values as they are."""
    if not isinstance(value, Mapping) or not isinstance(default, Mapping):
        return value
    missing = object()
    return {
        key: _difference(item, default.get(key))
        for key, item in value.items()
        if item != default.get(key, missing)
    }
