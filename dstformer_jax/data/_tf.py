"""The one place that imports TensorFlow: quiet, on the CPU only, without Keras."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# oneDNN changes float rounding with the machine and prints a line about it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# TensorFlow imports all of Keras 3, a second of every start, unless it is to use Keras 2.
KERAS = "TF_USE_LEGACY_KERAS"
untold = KERAS not in os.environ
if untold:
    os.environ[KERAS] = "1"

import tensorflow as tf  # noqa: E402

if untold:  # whoever uses tf.keras in this process finds what they would have found
    del os.environ[KERAS]

tnp = tf.experimental.numpy
tf.config.set_visible_devices([], "GPU")

__all__ = ["tf", "tnp"]
