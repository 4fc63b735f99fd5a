#!/usr/bin/env bash
# Prepares the datasets of configs/pretrain.py:mocap from folders of BVH files and of OpenPose
# output. Usage: launch/prepare_mocap.sh SOURCE_DIR DATA_DIR [--layouts]
# With --layouts also as detectors see the joints (pretrain.py:mocap,layouts), four times the size.
# SOURCE_DIR holds cmu_mocap/, cmu_mocap_more/, hdm05_actions/ and detections2d/.
set -euo pipefail
source_dir=${1:?SOURCE_DIR} data_dir=${2:?DATA_DIR} layouts=${3:-}
cd "$(dirname "$0")/.." # paths given are relative to the repository
python=${PYTHON:-.venv/bin/python}

prepare() { "$python" -m dstformer_jax.data.prepare --data_dir="$data_dir" "$@"; }

for name in cmu_mocap cmu_mocap_more hdm05_actions; do
  prepare --dataset=bvh --name=$name --source="$source_dir/$name" --fps=30 ${layouts:+"$layouts"}
done
prepare --dataset=keypoints2d --name=openpose --source="$source_dir/detections2d" --fps=30 \
  --only=openpose_body25_v1.2,openpose_body25_v1.3 --test=clip6,treadmill_32
