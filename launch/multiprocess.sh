#!/usr/bin/env bash
# Several processes on this machine, joined by jax.distributed (parallel=jit or fsdp); 2, 4 or 8.
# Usage: launch/multiprocess.sh COUNT ARGUMENTS OF dstformer_jax.main
# Across machines, set the same three variables on each: JAX_COORDINATOR_ADDRESS=host:port,
# JAX_NUM_PROCESSES, JAX_PROCESS_ID; or JAX_COORDINATOR_ADDRESS=auto under Slurm and Open MPI.
# When one process fails, the others get GRACE seconds to end by themselves and are then killed; the
# same command, with the same or another COUNT, goes on from the last checkpoint. SIGTERM and Ctrl-C
# are passed on, and all processes have the time that they need to save.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1-}
if [[ ! $count =~ ^[1-9][0-9]*$ ]]; then
  echo "error: got '$count', expected how many processes before the other arguments" >&2
  exit 2
fi
shift
export JAX_COORDINATOR_ADDRESS=${JAX_COORDINATOR_ADDRESS:-127.0.0.1:12355} JAX_NUM_PROCESSES=$count
grace=${GRACE:-20}
started=() asked=0
trap 'asked=1; kill "${started[@]}" 2>/dev/null || true' INT TERM
for ((index = 0; index < count; index++)); do
  JAX_PROCESS_ID=$index launch/local.sh "$@" &
  started+=($!)
done

running() { jobs -rp | wc -l; }

# After a signal `wait` answers 130 or 143, and so do processes that have saved.
status=0
while (($(running) > 0 && (status == 0 || (asked && (status == 130 || status == 143))))); do
  wait -n || status=$?
done
# They wait for the lost one in a collective, some of them for minutes.
for ((tenths = 0; tenths < 10 * grace && $(running) > 0; tenths++)); do sleep 0.1; done
if (($(running) > 0)); then
  echo "multiprocess.sh: a process ended with status $status; killing the others" >&2
  kill -KILL "${started[@]}" 2>/dev/null || true
fi
for one in "${started[@]}"; do # some may have ended while nobody waited
  wait "$one" || { ended=$? && ((status)) || status=$ended; }
done
exit $status
