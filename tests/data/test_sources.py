from dataclasses import replace

import numpy as np
import pytest

from dstformer_jax.data.bank import Bank, write_bank
from dstformer_jax.data.schema import Sequence
from dstformer_jax.data.sources import Source, SourceData, Views, index_windows

LENGTHS = [70, 20, 27, 100, 12]  # of the official split_clips example


def frames_of(windows, frames):
    return windows.spans[:, :1] + np.arange(frames)


@pytest.mark.parametrize("stride", [9, 27])
def test_windows_are_the_official_clips(golden, stride):
    official = golden("d_data")[f"split_clips/27_{stride}"]
    windows = index_windows(np.array(LENGTHS), 27, stride)
    # The official code loses the last sequence when it is short; we keep it.
    assert len(windows) == len(official) + 1
    assert windows.sequence[-1] == 4
    assert windows.resampled[-1]
    full = ~windows.resampled[:-1]
    np.testing.assert_array_equal(frames_of(windows, 27)[:-1][full], official[full])
    # The short one in the middle stands at the same place and covers the same 20 frames.
    (short,) = np.flatnonzero(~full)
    assert windows.spans[short].tolist() == [70, 20]
    assert set(official[short]) <= set(range(70, 90))


def test_tails_and_short_sequences():
    windows = index_windows(np.array(LENGTHS), 27, 27, short="pad", tail="pad")
    expected = [[0, 27], [27, 27], [54, 16], [70, 20], [90, 27]]
    expected += [[117, 27], [144, 27], [171, 27], [198, 19], [217, 12]]
    assert windows.spans.tolist() == expected
    assert not windows.resampled.any()
    dropped = index_windows(np.array(LENGTHS), 27, 27, short="drop", tail="drop")
    assert dropped.spans.tolist() == [span for span in expected if span[1] == 27]


def test_a_tail_within_the_gap_between_windows_is_no_window():
    windows = index_windows(np.array([20, 9, 30]), 9, 27, short="pad", tail="pad")
    assert windows.spans.tolist() == [[0, 9], [20, 9], [29, 9], [56, 3]]


@pytest.mark.parametrize("stride", [1, 4, 10, 13])
@pytest.mark.parametrize("frames", [1, 7, 10])
def test_padded_windows_cover_every_frame_and_stay_in_their_sequence(frames, stride):
    stride = min(stride, frames)
    lengths = np.random.default_rng(frames).integers(1, 40, 30)
    windows = index_windows(lengths, frames, stride, short="pad", tail="pad")
    ends = np.cumsum(lengths)
    seen = np.zeros(ends[-1], int)
    for (start, length), sequence in zip(windows.spans, windows.sequence, strict=True):
        assert ends[sequence] - lengths[sequence] <= start
        assert start + length <= ends[sequence]
        seen[start : start + length] += 1
    assert seen.min() >= 1
    if stride == frames:
        assert seen.max() == 1


def test_source_names_valid_keys():
    with pytest.raises(ValueError, match=r"\['stide'\].*'stride'"):
        Source.from_config({"name": "a", "dataset": "b", "stide": 3})
    with pytest.raises(ValueError, match=r"Views keys \['roll'\].*'pitch'"):
        Source.from_config({"name": "a", "dataset": "b", "views": {"roll": (0, 1)}})
    source = Source.from_config({"name": "a", "dataset": "b", "views": {"pitch": [0, 20]}})
    assert source.views == Views(pitch=(0, 20))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 12}, "batch 12 .* do batch=16"),
        ({"batch": 0}, "do batch=8"),
        ({"supervision": "4d"}, "supervision '4d'"),
        ({"short": "loop"}, "short 'loop'"),
        ({"crop": (2, 1)}, "low <= high"),
        ({"frames": 0}, "frames 0"),
        ({"input": "motion", "views": Views()}, "cannot be seen from another side"),
    ],
)
def test_source_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        Source("a", "b", **settings)


def test_views():
    fixed = Views(yaw=(0, 90), pitch=(10,), fixed=True)
    assert fixed.angles().tolist() == [[0, 10], [90, 10]]
    with pytest.raises(ValueError, match="low, high"):
        Views(yaw=(0, 90, 180))
    with pytest.raises(ValueError, match="fixed=True"):
        Views().angles()


def test_epoch_window():
    source = Source("a", "b", epochs=(30, -1))
    assert [source.active(epoch) for epoch in (0, 29, 30, 1000)] == [False, False, True, True]
    source = Source("a", "b", epochs=(0, 2))
    assert [source.active(epoch) for epoch in (0, 1, 2)] == [True, True, False]


def bank(path, *, frames=30, **fields):
    sequence = Sequence(id="s", pose=np.zeros((frames, 17, 3)), **({"fps": 30} | fields))
    return Bank.read(write_bank([sequence], path))


def test_source_checks_its_bank(tmp_path):
    stored = bank(tmp_path / "a")
    assert len(SourceData.of(Source("a", "b", frames=10, stride=10), stored).windows) == 3
    with pytest.raises(ValueError, match="no motion"):
        SourceData.of(Source("a", "b", supervision="2d", input="motion"), stored)
    with pytest.raises(ValueError, match=r"fps 30.* expected 60"):
        SourceData.of(Source("a", "b", fps=60), stored)
    with pytest.raises(ValueError, match="no clip of 243 frames"):
        SourceData.of(Source("a", "b", short="drop"), stored)
    with pytest.raises(ValueError, match="views for camera axes"):
        SourceData.of(Source("a", "b", views=Views()), bank(tmp_path / "b", axes="camera"))
    pixels = bank(tmp_path / "c", axes="camera", unit="px", motion=np.ones((30, 17, 3)))
    for settings in ({"input": "motion"}, {"input": "motion", "supervision": "2d"}):
        source = Source("a", "b", frames=10, stride=10, **settings)
        with pytest.raises(ValueError, match=r"pixels in source 'a'.* do crop=\(1, 1\)"):
            SourceData.of(source, pixels)
        assert len(SourceData.of(replace(source, crop=(1, 1)), pixels).windows) == 3
