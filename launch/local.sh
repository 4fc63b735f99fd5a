#!/usr/bin/env bash
# One process on this machine, all its devices. Usage: launch/local.sh ARGUMENTS OF dstformer_jax.main
set -euo pipefail
cd "$(dirname "$0")/.."
# Linux CPUs: XLA takes its whole work space anew at each step; huge pages cut the page faults that
# costs. Read before the process starts.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
# TensorFlow only feeds: it must leave the GPU's memory alone and speak of errors only.
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
exec "${PYTHON:-.venv/bin/python}" -m dstformer_jax.main "$@"
