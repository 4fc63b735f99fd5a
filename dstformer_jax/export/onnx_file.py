"""The `.onnx` file: the model, our metadata in its metadata_props, run by onnxruntime."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.export.parts import Part

try:
    import onnx
    import onnxruntime

    from dstformer_jax.export import onnx_graph
except ImportError as error:
    raise ValueError(
        f"got an environment with {str(error)!r}, expected onnx and onnxruntime for .onnx; "
        "do pip install 'dstformer_jax[export]', or -r requirements-export.txt"
    ) from error


def build(part: Part) -> bytes:
    """The part as a serialised model, checked against the rules of ONNX."""
    model = onnx_graph.build(part)
    onnx.checker.check_model(model, full_check=True)
    return model


def write(path: Path, model: bytes, metadata: Mapping[str, Any]) -> None:
    """Writes the file; every value of the metadata is JSON under its own key."""
    proto = onnx.load_model_from_string(model)
    values = {key: json.dumps(value) for key, value in metadata.items()}
    onnx.helper.set_model_props(proto, values)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def read(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function in a file, run by onnxruntime on the CPU."""
    session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda motion: session.run(None, {"motion": motion})[0]
