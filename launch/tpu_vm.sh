#!/usr/bin/env bash
# A training run on every host of a Cloud TPU VM slice. Needs gcloud, logged in to your project.
# Usage: launch/tpu_vm.sh NAME ZONE ARGUMENTS OF dstformer_jax.main
# On each host: copies the repository, makes an environment with TPU jax, trains. A slice has 1, 2, 4
# or 8 hosts. --workdir must be a folder that all hosts share (Filestore, or a mounted bucket), and
# so must config.data.path, or hold the same prepared data on each. Not run by the authors.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?NAME} zone=${2:?ZONE}
shift 2
on_all() { gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$1"; }

archive=$(mktemp -d)/dstformer.tar
trap 'rm -rf "$(dirname "$archive")"' EXIT
git archive --output="$archive" HEAD
gcloud compute tpus tpu-vm scp "$archive" "$name:dstformer.tar" --zone="$zone" --worker=all
# The hosts' own Python must be 3.11 or newer.
on_all 'mkdir -p dstformer && tar -xf dstformer.tar -C dstformer && cd dstformer &&
  python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt "jax[tpu]"'
# With "auto", JAX asks the TPU's metadata server who takes part. GLIBC_TUNABLES is set in local.sh.
printf -v arguments '%q ' "$@"
on_all "cd dstformer && JAX_COORDINATOR_ADDRESS=auto launch/local.sh $arguments"
