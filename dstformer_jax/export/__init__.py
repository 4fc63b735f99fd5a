"""Trained networks as single files that other programs run: StableHLO and ONNX."""

from dstformer_jax.export.files import export

__all__ = ["export"]
