#!/usr/bin/env bash
# One process on this machine, all its devices. Usage: launch/local.sh ARGUMENTS OF dstformer_jax.main
set -euo pipefail
cd "$(dirname "$0")/.."
# Linux CPUs: XLA takes its whole work space anew at each step, and the system maps it page by page;
# huge pages are 512 times fewer. Read before the process starts, so it cannot be set in code. What
# it saves: the column "faults" of `bench train_step --allocator=hugepages` against `system`.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
# TensorFlow only feeds: it must leave the GPU's memory alone and speak of errors only.
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
exec "${PYTHON:-.venv/bin/python}" -m dstformer_jax.main "$@"
