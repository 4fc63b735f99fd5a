"""Line charts."""

import numpy as np
import pytest
from PIL import Image

from dstformer_jax.view.charts import Line, lines


@pytest.mark.parametrize("length", [3, 20, 30, 45, 75])
def test_a_legend_of_long_names_stays_in_the_picture(tmp_path, length):
    names = [f"{number} {'wide m' * 20}"[:length] for number in range(5)]
    series = {name: Line((0, 1), np.array([[0.0, 1.0]])) for name in names}
    with Image.open(lines(series, tmp_path / "chart.png", "x", "y")) as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels[:, [0, 1, -2, -1]] == 255).all()
