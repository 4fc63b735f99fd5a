"""Benchmarks: `python -m dstformer_jax.bench SUBJECT [--json=FILE]`.

Each subject is a module with `run(flags) -> rows` and `add_flags(parser)`. Nothing here is a test:
numbers depend on the machine and on what else runs on it, so arms that are compared are run in
turns, and every number stands beside its spread. Needs no TensorFlow, and PyTorch only where it is
compared with.
"""
