#!/usr/bin/env bash
# Poses a body by motion capture for configs/mesh.py:body: DATA_DIR gets body_bvh/default and the body
# itself. Usage: launch/prepare_bodies.sh SOURCE_DIR DATA_DIR
# SOURCE_DIR holds cmu_mocap/, cmu_mocap_more/ and cc0_body_model/.
set -euo pipefail
source_dir=${1:?SOURCE_DIR} data_dir=${2:?DATA_DIR}
cd "$(dirname "$0")/.." # paths given are relative to the repository
body=$source_dir/cc0_body_model/body_cmu31.npz

# The other skeleton there, cgspeed_daz21, lacks half of the body's bones.
"${PYTHON:-.venv/bin/python}" -m dstformer_jax.data.prepare --dataset=body_bvh \
  --data_dir="$data_dir" --source="$source_dir" --folders=cmu_mocap,cmu_mocap_more \
  --skeletons=asf31,cgspeed31 --body="$body" --initial
cp "$body" "$data_dir/body.npz"
chmod u+w "$data_dir/body.npz"
