"""Apache Beam's DirectRunner prepares what one process does. Skips where Beam is not installed."""

import importlib.util
import json
from pathlib import Path

import fixtures_amass
import numpy as np
import pytest
from test_instavariety import track, write_track

from dstformer_jax.data.prepare import main, prepare
from dstformer_jax.data.reading import Scale

pytestmark = [
    pytest.mark.skipif(not importlib.util.find_spec("apache_beam"), reason="no apache-beam"),
    pytest.mark.filterwarnings("ignore"),  # Beam's own
]
DIRECT = Scale(beam="--runner=DirectRunner")


def write_amass(folder: Path) -> Path:
    """Three recordings and a bad one."""
    source = fixtures_amass.write_bodies(folder)
    for seed in range(3):
        path = source / "CMU" / f"{seed}_poses.npz"
        fixtures_amass.write_motion(path, fixtures_amass.motion(seed, 9 + seed, fps=60.0))
    (source / "CMU" / "bad_poses.npz").write_bytes(b"PK nothing")
    return source


def write_instavariety(folder: Path) -> Path:
    """Three tracks and a bad one."""
    for seed in range(3):
        write_track(folder / "tag" / "video" / str(seed), track(seed, 5 + seed))
    bad = write_track(folder / "tag" / "video" / "bad", track(9, 3))
    (bad / "0.json").write_text("{")
    return folder


@pytest.mark.parametrize(
    ("dataset", "write"), [("amass", write_amass), ("instavariety", write_instavariety)]
)
def test_beam_prepares_what_one_process_does(dataset, write, tmp_path):
    source = write(tmp_path / "source")
    reports = [
        prepare(dataset, tmp_path / name, source, progress=False, scale=scale)
        for name, scale in (("one", Scale()), ("beam", DIRECT))
    ]
    assert list(reports[0].skipped) != []
    for fact in ("skipped", "notes", "splits", "files", "options"):
        assert getattr(reports[0], fact) == getattr(reports[1], fact)
    banks = sorted((tmp_path / "one").rglob("bank/*/*"))
    assert len(banks) > 3
    for path in banks:
        twin = tmp_path / "beam" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == twin.read_bytes()


def test_a_pipeline_that_failed_is_named_and_goes_on(tmp_path, capsys, monkeypatch):
    """A runner that does not exist; then the work of one process is taken up by Beam."""
    source = write_instavariety(tmp_path / "source")
    flags = ["--dataset=instavariety", f"--source={source}", f"--data_dir={tmp_path / 'data'}"]
    assert main([*flags, "--quiet", "--beam=--runner=NoSuchRunner"]) == 2
    told = capsys.readouterr().err
    assert "got a Beam pipeline that failed" in told
    assert "Traceback" not in told
    assert main([*flags, "--quiet", "--beam=--runner=DirectRunner"]) == 0
    index = next((tmp_path / "data").rglob("bank/train/sequences.json"))
    lengths = [row["frames"] for row in json.loads(index.read_text())]
    np.testing.assert_array_equal(lengths, [5, 6, 7])
