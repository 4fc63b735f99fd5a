"""Pictures of recognition: they are written, and tables that do not fit are refused."""

import numpy as np
import pytest
from matplotlib.image import imread

from dstformer_jax.view import action_plots


def test_confusion_is_darkest_where_a_class_is_named_right(tmp_path):
    names = ["wave", "walk", "run"]
    right = imread(action_plots.confusion(np.eye(3, dtype=int) * 5, names, tmp_path / "a.png"))
    wrong = imread(action_plots.confusion(np.ones((3, 3), int), names, tmp_path / "b.png"))
    assert np.abs(right - wrong).max() > 0.3


def test_a_matrix_of_other_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got a matrix \(3, 3\) and 2 classes"):
        action_plots.confusion(np.eye(3, dtype=int), ["wave", "walk"], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_many_classes_fit_on_one_picture(tmp_path):
    names = [f"action {label}" for label in range(60)]
    path = action_plots.confusion(np.eye(60, dtype=int), names, tmp_path / "a.png", "NTU")
    assert max(imread(path).shape[:2]) < 2500
