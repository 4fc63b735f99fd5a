#!/usr/bin/env bash
# Films motion capture for configs/pose3d.py:mocap and the small tables: people seen from within 60
# degrees of the front by a simulated detector. Usage: launch/prepare_detected.sh SOURCE_DIR DATA_DIR
# SOURCE_DIR holds cmu_mocap/ and cmu_mocap_more/.
set -euo pipefail
source_dir=${1:?SOURCE_DIR} data_dir=${2:?DATA_DIR}
cd "$(dirname "$0")/.." # paths given are relative to the repository

film() {
  "${PYTHON:-.venv/bin/python}" -m dstformer_jax.data.prepare --dataset=detected_bvh \
    --data_dir="$data_dir" --source="$source_dir/$1" --name="$1" --front=60 --cameras="$2"
}

film cmu_mocap 2
film cmu_mocap_more 1
