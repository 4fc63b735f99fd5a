"""Pictures: written, not empty, and showing what they should."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.view import plots


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """The figures that were saved, in order."""
    saved = []
    save = Figure.savefig

    def remember(self, *arguments, **options):
        saved.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    return saved


def example(seed: int = 0, hidden: tuple[int, ...] = (), error: float = 0.0) -> plots.Example:
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 300, (17, 3))
    motion = rng.uniform(-1, 1, (17, 3))
    motion[:, 2] = 1
    motion[list(hidden)] = 0
    return plots.Example(motion, true + np.array([0, 0, error]), true, f"walk\nperson {seed}")


def ink(path) -> float:
    """The share of pixels that are not white."""
    pixels = matplotlib.image.imread(path)[..., :3]
    return float((pixels < 0.99).any(-1).mean())


def test_a_frames_error_is_its_mpjpe():
    assert example(error=42).error == pytest.approx(42)


def test_poses_are_drawn_with_their_errors_and_titles(tmp_path, figures):
    examples = [example(0, error=30), example(1, error=57)]
    path = plots.pose_grid(examples, tmp_path / "new" / "poses.png", "unseen people")
    assert path == tmp_path / "new" / "poses.png"
    assert 0.01 < ink(path) < 0.5
    (figure,) = figures
    assert len(figure.axes) == 6
    assert figure.get_suptitle() == "unseen people"
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "2D input", "3D, camera view", "3D, side view",
    ]  # fmt: skip
    assert [axes.get_xlabel() for axes in figure.axes[2::3]] == ["error 30 mm", "error 57 mm"]
    assert figure.axes[3].get_ylabel() == "walk\nperson 1"
    assert [text.get_text() for text in figure.legends[0].texts] == ["left", "right", "true pose"]


def test_both_sides_and_the_truth_have_their_colours(tmp_path):
    path = plots.pose_grid([example(error=100)], tmp_path / "poses.png")
    pixels = matplotlib.image.imread(path)[..., :3].reshape(-1, 3)
    for colour in (*plots.SIDE_COLOURS.values(), plots.TRUE_COLOUR):
        assert (np.abs(pixels - to_rgb(colour)).max(-1) < 0.01).sum() > 20, colour


def test_masked_joints_are_not_drawn(tmp_path, figures):
    wrist, hip = H36M17.index("left_wrist"), H36M17.index("root")
    shown = example(hidden=(wrist, hip))
    plots.pose_grid([shown], tmp_path / "poses.png")
    axes = figures[0].axes
    assert axes[0].get_xlabel() == "2 of 17 joints masked"
    lost = [pair for pair in H36M17.limbs if wrist in pair or hip in pair]
    assert len(axes[0].lines) == 16 - len(lost) == 12
    assert len(axes[0].collections[0].get_offsets()) == 15
    drawn = {tuple(point) for line in axes[0].lines for point in line.get_xydata()}
    assert tuple(shown.motion[wrist, :2]) not in drawn
    assert len(axes[1].lines) == 32  # the 3D pose has every limb, twice: truth and prediction


def test_a_pose_seen_from_the_side_shows_its_depth():
    pose = example().true
    np.testing.assert_allclose(plots.turned(pose, 0.0), pose[:, :2])
    np.testing.assert_allclose(plots.turned(pose, plots.TURN), pose[:, [2, 1]], atol=1e-9)


def test_curves_and_levels(tmp_path, figures):
    series = {"cmu": ([0, 100, 200], [120.0, 60.0, 40.0]), "hdm05": ([200], [50.0])}
    path = plots.curves(series, tmp_path / "curve.png", "step", "MPJPE (mm)", {"no depth": 124.7})
    assert 0.005 < ink(path) < 0.5
    (axes,) = figures[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "MPJPE (mm)")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [120, 60, 40])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["cmu", "hdm05"]
    assert [text.get_text() for text in axes.texts] == ["no depth"]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 124.7
