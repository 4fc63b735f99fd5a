#!/usr/bin/env bash
# Several processes on this machine, joined by jax.distributed (parallel=jit); 2, 4 or 8 of them.
# Usage: launch/multiprocess.sh COUNT ARGUMENTS OF dstformer_jax.main
# Across machines, set the same three variables on each: JAX_COORDINATOR_ADDRESS=host:port,
# JAX_NUM_PROCESSES, JAX_PROCESS_ID; or JAX_COORDINATOR_ADDRESS=auto under Slurm and Kubernetes.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?COUNT}
shift
export JAX_COORDINATOR_ADDRESS=${JAX_COORDINATOR_ADDRESS:-127.0.0.1:12355} JAX_NUM_PROCESSES=$count
started=()
trap 'kill "${started[@]}" 2>/dev/null || true' INT TERM
for ((index = 0; index < count; index++)); do
  JAX_PROCESS_ID=$index launch/local.sh "$@" &
  started+=($!)
done
status=0
for process in "${started[@]}"; do wait "$process" || status=$?; done
exit $status
