"""The one place that imports TensorFlow: quiet, on the CPU only."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# oneDNN changes float rounding with the machine and prints a line about it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow as tf

tnp = tf.experimental.numpy
tf.config.set_visible_devices([], "GPU")

__all__ = ["tf", "tnp"]
