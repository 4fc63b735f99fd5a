#!/usr/bin/env bash
# Several processes on this machine, joined by jax.distributed (parallel=jit or fsdp); 2, 4 or 8.
# Usage: launch/multiprocess.sh COUNT ARGUMENTS OF dstformer_jax.main
# Across machines, set the same three variables on each: JAX_COORDINATOR_ADDRESS=host:port,
# JAX_NUM_PROCESSES, JAX_PROCESS_ID; or JAX_COORDINATOR_ADDRESS=auto under Slurm and Kubernetes.
# When one process fails, the others get GRACE seconds to end by themselves and are then killed; the
# same command, with the same or another COUNT, goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?COUNT}
shift
export JAX_COORDINATOR_ADDRESS=${JAX_COORDINATOR_ADDRESS:-127.0.0.1:12355} JAX_NUM_PROCESSES=$count
grace=${GRACE:-20}
started=()
trap 'kill "${started[@]}" 2>/dev/null || true' INT TERM
for ((index = 0; index < count; index++)); do
  JAX_PROCESS_ID=$index launch/local.sh "$@" &
  started+=($!)
done

running() { jobs -rp | wc -l; }

status=0
while (($(running) > 0 && status == 0)); do
  wait -n || status=$?
done
# They wait for the lost one in a collective, some of them for minutes.
for ((tenths = 0; tenths < 10 * grace && $(running) > 0; tenths++)); do sleep 0.1; done
if (($(running) > 0)); then
  echo "multiprocess.sh: a process ended with status $status; killing the others" >&2
  kill -KILL "${started[@]}" 2>/dev/null || true
fi
wait || true
exit $status
