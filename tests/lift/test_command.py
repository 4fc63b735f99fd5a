"""The command line: many inputs, formats, what it says, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_lift import Leaning, wander

from dstformer_jax import __main__ as commands
from dstformer_jax import read
from dstformer_jax.lift import __main__ as command


@pytest.fixture(autouse=True)
def _known_network(monkeypatch):
    monkeypatch.setattr(command, "load", lambda path: Leaning())


def write_alphapose(path: Path, frames: int = 12, people: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "keypoints": wander(frames, person)[frame].ravel().tolist(),
            "score": 2.0,
            "idx": person,
        }
        for frame in range(frames)
        for person in range(people)
    ]
    path.write_text(json.dumps(rows))
    return path


def run(tmp_path: Path, *arguments: object) -> int:
    fixed = [f"--output={tmp_path / 'out'}", "--weights=w", "--quiet"]
    return command.main([*map(str, arguments), *fixed])


@pytest.mark.parametrize(("name", "package"), [("mp4", "imageio-ffmpeg"), ("c3d", "ezc3d")])
def test_missing_packages_are_told_before_anything_is_lifted(
    tmp_path, capsys, monkeypatch, name, package
):
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    source = write_alphapose(tmp_path / "results.json")
    assert run(tmp_path, source, f"--formats=npz,{name}") == 2
    assert f"expected the package {package}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_becomes_one_of_each_format_and_notes_are_told(tmp_path, capsys):
    source = write_alphapose(tmp_path / "results.json")
    assert run(tmp_path, source, "--formats=npz,csv,html") == 0
    told = capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["results.csv", "results.html", "results.npz"]
    assert all(name in told for name in names)
    assert "1.7 m with mean adult proportions are assumed" in told
    motion = read(tmp_path / "out" / "results.npz")
    assert [len(track) for track in motion] == [12, 12]
    assert (motion.unit, motion.axes, motion.fps) == ("m", "world", 30)


def test_what_the_command_line_knows_better(tmp_path):
    source = write_alphapose(tmp_path / "results.json")
    options = ["--fps=25", "--size=640x480", "--person=1", "--height=1.8", "--space=camera"]
    assert run(tmp_path, source, *options, "--formats=npz", "--smooth=savgol") == 0
    motion = read(tmp_path / "out" / "results.npz")
    assert (motion.fps, motion.size, motion.axes) == (25, (640, 480), "camera")
    assert [track.id for track in motion] == [1]
    assert not any("1.7 m" in note for note in motion.notes)
    assert any("576 px" not in note and "768 px" in note for note in motion.notes)


def test_the_size_of_the_image_gives_landmarks_their_shape(tmp_path, capsys):
    rows = wander(12)[:, np.arange(33) % 17]
    names = [f"{axis}{joint}" for joint in range(33) for axis in "xyv"]
    shares = rows / [640, 480, 1]
    for stem, table in (("pixels", rows), ("shares", shares)):
        lines = [",".join(map(repr, frame.ravel().tolist())) for frame in table]
        (tmp_path / f"{stem}.csv").write_text("\n".join([",".join(names), *lines]))
    inputs = [tmp_path / f"{stem}.csv" for stem in ("pixels", "shares")]
    options = ["--size=640x480", "--space=camera", "--formats=npz,html"]
    assert run(tmp_path, *inputs, *options) == 0
    assert "square" not in capsys.readouterr().out
    one, other = (read(tmp_path / "out" / f"{path.stem}.npz") for path in inputs)
    np.testing.assert_allclose(other.tracks[0].points, one.tracks[0].points, atol=2e-3)
    assert '"unit":"px"' in (tmp_path / "out" / "shares.html").read_text()
    assert run(tmp_path, inputs[1], "--formats=npz") == 0
    assert "a square image is assumed" in capsys.readouterr().out


def test_one_bad_file_does_not_stop_the_others(tmp_path, capsys):
    good, bad = write_alphapose(tmp_path / "good.json"), tmp_path / "bad.json"
    bad.write_text("[{")
    assert run(tmp_path, bad, good, "--formats=npz") == 2
    told = capsys.readouterr()
    assert "bad.json" in told.err
    assert told.err.count("\n") == 1
    assert (tmp_path / "out" / "good.npz").is_file()


def test_inputs_of_one_name_stay_apart(tmp_path):
    inputs = [write_alphapose(tmp_path / name / "results.json") for name in ("a", "b")]
    assert run(tmp_path, *inputs, "--formats=npz") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a_results.npz", "b_results.npz"}
    deep = [write_alphapose(tmp_path / name / "cam" / "results.json") for name in ("c", "d")]
    paths = [*inputs, *deep, inputs[0]]
    named = ["a_results", "b_results", "cam_results", "cam_results_2", "a_results_2"]
    assert command._names(paths) == named
    (tmp_path / "walk.json").symlink_to(inputs[0])
    assert command._names([tmp_path / "walk.json", tmp_path / "c" / ".."]) == [
        "walk",
        tmp_path.name,
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--formats=npz,docx"], "docx"),
        (["--formats="], "expected some of"),
        (["--person=7"], "got person 7"),
        (["--height=-1"], "height"),
        (["--height=inf"], "height"),
        (["--focal=0"], "focal"),
        (["--fps=0"], "--fps=0"),
        (["--fps=nan"], "--fps=nan"),
        (["--frames=99"], "frames=99"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, capsys, options, message):
    source = write_alphapose(tmp_path / "results.json")
    assert run(tmp_path, source, *options) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_an_output_that_is_no_folder_is_told_before_anything_is_lifted(tmp_path, capsys):
    source, taken = write_alphapose(tmp_path / "results.json"), tmp_path / "taken"
    taken.write_text("a file")
    for output in (taken, taken / "below"):
        assert command.main([str(source), f"--output={output}", "--weights=w"]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"error: got --output={output}")
        assert told.count("\n") == 1
    assert taken.read_text() == "a file"


def test_an_interruption_leaves_no_traceback(tmp_path, monkeypatch):
    source = write_alphapose(tmp_path / "results.json")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "write", interrupted)
    assert run(tmp_path, source, "--formats=npz") == 130


def test_sizes_that_are_none_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, "x.json", "--size=640")
    assert "WIDTHxHEIGHT" in capsys.readouterr().err


def test_commands_have_one_name(capsys, tmp_path):
    assert commands.main([]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in commands.COMMANDS)
    assert commands.main(["fly"]) == 2
    assert "got 'fly'" in capsys.readouterr().err
    source = write_alphapose(tmp_path / "results.json")
    arguments = [str(source), f"--output={tmp_path / 'out'}", "--weights=w", "--quiet"]
    assert commands.main(["lift", *arguments, "--formats=npz"]) == 0
    assert np.load(tmp_path / "out" / "results.npz")["ids"].tolist() == [0, 1]
