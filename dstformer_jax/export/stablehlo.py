"""The `.stablehlo` file: a zip of `model.bin` (jax.export) and `metadata.json`."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dstformer_jax.export.parts import Part

PLATFORMS = ("cpu", "cuda", "tpu")
MODEL, METADATA = "model.bin", "metadata.json"
DAY_ONE = (1980, 1, 1, 0, 0, 0)  # the same file whenever it is written


def build(part: Part) -> bytes:
    """The part as a serialised StableHLO module, its weights inside, batch and time symbolic."""
    dims = "B, M, T" if part.people else "B, T"
    shape = jax.export.symbolic_shape(
        f"{dims}, {part.joints}, 3", constraints=[f"T <= {part.maxlen}"]
    )
    function = jax.export.export(jax.jit(part.function), platforms=PLATFORMS)
    return bytes(function(jax.ShapeDtypeStruct(shape, jnp.float32)).serialize())


def write(path: Path, model: bytes, metadata: Mapping[str, Any]) -> None:
    """Writes the file, the same bytes for the same arguments."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in ((METADATA, json.dumps(metadata, indent=1)), (MODEL, model)):
            file.writestr(zipfile.ZipInfo(name, DAY_ONE), content)


def read(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function in a file, read as docs/export.md tells users to."""
    with zipfile.ZipFile(path) as file:
        model = jax.export.deserialize(bytearray(file.read(MODEL)))
    return lambda motion: np.asarray(model.call(motion))
