"""The prepare command, on a tiny builder that reads one sequence from each text file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data import prepare as command
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import load_builder, main, prepare
from dstformer_jax.data.schema import ARRAYS


def run(source: Path, data_dir: Path, **options):
    return prepare("lines", data_dir, source=source, options=options, progress=False)


def test_records_bank_and_report_agree(source, tmp_path):
    report = run(source, tmp_path / "data", scale=2.0)
    prepared = tmp_path / "data" / "lines" / "default" / "1.0.0"
    assert json.loads((prepared / "report.json").read_text())["splits"] == report.splits
    assert report.splits["train"]["sequences"] == 4
    assert report.splits["train"]["frames"] == 3 + 4 + 3 + 3
    bank = Bank.open(tmp_path / "data", "lines/default", "train")
    assert [row["id"] for row in bank.sequences] == ["a.txt:0", "a.txt:1", "b.txt:0", "c.txt:0"]
    np.testing.assert_array_equal(bank.pose[bank.starts, 0, 0], np.array([2.0, 4.0, 6.0, 8.0]))
    assert Bank.open(tmp_path / "data", "lines/default", "test").lengths.tolist() == [3]
    assert not (prepared.parent / "work").exists()


def test_bad_file_is_named_counted_and_leaves_nothing_behind(source, tmp_path, capsys):
    report = run(source, tmp_path / "data")
    assert list(report.skipped) == ["bad.txt"]
    assert "six" in report.skipped["bad.txt"]
    assert report.files == 5
    # The good first line of the bad file is not half kept, nor its notes.
    assert report.notes == {"lines": 5}
    assert "skipped bad.txt" in capsys.readouterr().err


def test_finished_dataset_is_left_alone(source, tmp_path):
    first = run(source, tmp_path / "data")
    builder = load_builder("lines")
    builder.reads.clear()  # pyright: ignore
    stamp = (tmp_path / "data/lines/default/1.0.0/dataset_info.json").stat().st_mtime_ns
    assert run(source, tmp_path / "data") == first
    assert not builder.reads  # pyright: ignore
    assert (tmp_path / "data/lines/default/1.0.0/dataset_info.json").stat().st_mtime_ns == stamp


def test_overwrite_and_other_options(source, tmp_path):
    run(source, tmp_path / "data")
    with pytest.raises(ValueError, match=r"scale 1\.0 -> 3\.0.*--overwrite"):
        run(source, tmp_path / "data", scale=3.0)
    prepare("lines", tmp_path / "data", source, options={"scale": 3.0}, overwrite=True)
    assert Bank.open(tmp_path / "data", "lines", "test").pose[0, 0, 0] == 15.0


def test_a_dataset_that_is_older_than_an_option_had_its_default(source, tmp_path):
    first = run(source, tmp_path / "data")
    report = tmp_path / "data/lines/default/1.0.0" / command.REPORT
    facts = json.loads(report.read_text())
    del facts["options"]["scale"]
    report.write_text(json.dumps(facts))
    assert run(source, tmp_path / "data").splits == first.splits
    with pytest.raises(ValueError, match=r"scale 1\.0 -> 3\.0"):
        run(source, tmp_path / "data", scale=3.0)


def test_missing_bank_is_rebuilt(source, tmp_path):
    import shutil

    run(source, tmp_path / "data")
    bank = tmp_path / "data/lines/default/1.0.0/bank"
    before = np.load(bank / "train" / "pose.npy")
    shutil.rmtree(bank)
    run(source, tmp_path / "data")
    np.testing.assert_array_equal(np.load(bank / "train" / "pose.npy"), before)


def test_interrupted_reading_goes_on(source, tmp_path, monkeypatch):
    builder = load_builder("lines")
    whole = run(source, tmp_path / "whole")
    builder.reads.clear()  # pyright: ignore
    read = builder.read

    def stop_at_c(self, item, notes):
        if item.key == "c.txt":
            raise KeyboardInterrupt
        return read(self, item, notes)

    monkeypatch.setattr(builder, "read", stop_at_c)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "data")
    monkeypatch.setattr(builder, "read", read)
    (source / "b.txt").write_text("33 34")  # changed since: read again
    report = run(source, tmp_path / "data")
    assert builder.reads == {"a.txt": 1, "b.txt": 2, "bad.txt": 2, "c.txt": 1, "d_test.txt": 1}
    assert report.splits["train"]["sequences"] == whole.splits["train"]["sequences"] + 1
    assert report.notes == {"lines": 6}


def test_work_of_other_options_is_not_reused(source, tmp_path, monkeypatch):
    builder = load_builder("lines")
    monkeypatch.setattr(command, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "data", scale=1.0)
    monkeypatch.undo()
    monkeypatch.setattr(
        command, "BUILDERS", Path(sys.modules[builder.__module__].__file__).parents[1]
    )
    run(source, tmp_path / "data", scale=2.0)
    assert Bank.open(tmp_path / "data", "lines", "test").pose[0, 0, 0] == 10.0


def test_interruption_between_records_and_report(source, tmp_path, monkeypatch):
    monkeypatch.setattr(
        command.Report, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "data")
    builder = load_builder("lines")
    folder = Path(sys.modules[builder.__module__].__file__ or "").parents[1]
    monkeypatch.undo()
    monkeypatch.setattr(command, "BUILDERS", folder)
    report = run(source, tmp_path / "data")
    assert report.splits["train"]["sequences"] == 4
    assert list(report.skipped) == ["bad.txt"]


def test_nothing_readable_is_refused(source, tmp_path):
    for path in source.glob("*.txt"):
        path.write_text("words")
    with pytest.raises(ValueError, match=r"none of 5 files gave a sequence.*a folder of \.txt"):
        run(source, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_same_input_gives_the_same_bytes(source, tmp_path):
    for name in ("one", "two"):
        run(source, tmp_path / name)
    files = sorted((tmp_path / "one").rglob("*.npy")) + sorted(
        (tmp_path / "one").rglob("*array_rec*")
    )
    assert len(files) == 2 * (len(ARRAYS) + 1)
    for path in files:
        twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == twin.read_bytes()


def test_tfds_alone_writes_the_same_records(source, tmp_path):
    """Without prepare: `tfds build` and notebooks give the source as manual_dir."""
    import tensorflow_datasets as tfds

    for path in (source / "bad.txt",):
        path.unlink()
    run(source, tmp_path / "one")
    builder = load_builder("lines")(data_dir=str(tmp_path / "two"), file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(source))
    )
    path = "lines/default/1.0.0/lines-train.array_record-00000-of-00001"
    assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--data_dir=D", "--dataset"),
        ("--dataset=nothing --data_dir=D", "expected one of lines"),
        ("--dataset=lines --data_dir=D", "no --source, lines expects a folder of .txt files"),
        ("--dataset=lines --data_dir=D --source=/not/there", "does not exist"),
        ("--dataset=lines --data_dir=D --source=EMPTY", "without .txt files"),
        ("--dataset=lines --data_dir=D --source=S --scale=big", "--scale"),
        ("--dataset=lines --data_dir=D --source=S --sale=2", "--sale"),
        ("--dataset=lines --data_dir=D --source=S --name=../up", "--name"),
    ],
)
def test_mistakes_end_with_one_line(arguments, message, source, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    paths = {"S": source, "D": tmp_path / "data", "EMPTY": tmp_path / "empty"}
    words = [
        f"{flag}={paths.get(value, value)}"
        for flag, _, value in (word.partition("=") for word in arguments.split())
    ]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_options_become_flags(source, tmp_path, capsys):
    flags = ["--scale=2.5", "--tags=x, y", "--loud", "--name=mine", "--quiet"]
    paths = [f"--source={source}", f"--data_dir={tmp_path}"]
    assert main(["--dataset=lines", *paths, *flags]) == 0
    report = json.loads((tmp_path / "lines/mine/1.0.0/report.json").read_text())
    assert report["options"] == {"scale": 2.5, "tags": ["x", "y"], "loud": True, "wait": 0.0}
    out = capsys.readouterr().out
    assert "skipped 1 of 5 files" in out
    assert "Downloading" not in out
    with pytest.raises(SystemExit):
        main(["--dataset=lines", "--help"])
    assert "100% free" in capsys.readouterr().out


@pytest.fixture
def elsewhere(source, tmp_path, builders):
    """elsewhere(before): a process that runs `before`, then prepares the dataset."""

    def start(before: str = "") -> subprocess.Popen:
        code = f"""
from pathlib import Path
from dstformer_jax.data import prepare as command
command.BUILDERS = Path({str(builders)!r})
Builder = command.load_builder("lines")
{before}
paths = ["--source={source}", "--data_dir={tmp_path / "data"}"]
raise SystemExit(command.main(["--dataset=lines", "--quiet", "--wait=0.2", *paths]))
"""
        root = Path(command.__file__).parents[2]
        environment = os.environ | {"PYTHONPATH": str(root)}
        arguments = [sys.executable, "-c", code]
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)

    return start


def test_killed_while_reading(source, tmp_path, elsewhere):
    """SIGKILL while reading: the next run reads only what was not finished."""
    with elsewhere() as process:
        while "b.txt" not in process.stdout.readline():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not list((tmp_path / "data").rglob("dataset_info.json"))
    run(source, tmp_path / "data", wait=0.2)
    read = load_builder("lines").reads  # pyright: ignore
    assert "a.txt" not in read
    assert {"c.txt", "d_test.txt"} <= set(read)
    assert Bank.open(tmp_path / "data", "lines", "train").lengths.tolist() == [3, 4, 3, 3]


def test_killed_while_writing(source, tmp_path, elsewhere):
    """Half-written records are swept away and written again; nothing is read twice."""
    with elsewhere("import os; Builder._generate_examples = lambda *_: os._exit(9)") as process:
        process.wait()
    assert process.returncode == 9
    root = tmp_path / "data" / "lines" / "default"
    assert len(list(root.iterdir())) == 2  # the work folder and what tfds had begun
    run(source, tmp_path / "data", wait=0.2)
    assert set(load_builder("lines").reads) == {"bad.txt"}  # pyright: ignore
    assert [path.name for path in root.iterdir()] == ["1.0.0"]
    assert Bank.open(tmp_path / "data", "lines", "train").lengths.tolist() == [3, 4, 3, 3]


def test_a_missing_library_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    def absent(_):
        raise ImportError("No module named 'tensorflow_datasets'")

    monkeypatch.setattr(command, "load_builder", absent)
    assert command.main(["--dataset=bvh", f"--data_dir={tmp_path}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "tensorflow_datasets" in told
