"""Reading in several processes and into several record files gives the same dataset."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data import prepare as command
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.prepare import prepare
from dstformer_jax.data.reading import Scale


def prepared_elsewhere(source: Path, data_dir: Path, builders: Path, *flags: str, before: str = ""):
    """The command in a process of its own, whose forks are not those of a process with threads."""
    code = f"""
from pathlib import Path
from dstformer_jax.data import prepare as command
command.BUILDERS = Path({str(builders)!r})
Builder = command.load_builder("lines")
{before}
raise SystemExit(command.main([
    "--dataset=lines", "--quiet", "--source={source}", "--data_dir={data_dir}", *{flags!r}]))
"""
    root = Path(command.__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def content(folder: Path) -> dict[str, bytes]:
    """Report and banks, which were read from the records. (Protocol buffers do not say in which
    order they write a map, so the records' bytes differ between processes.)"""
    files = (*folder.rglob("*.npy"), *folder.rglob("*.json"))
    files = [
        path
        for path in files
        if path.name in ("report.json", "sequences.json") or path.suffix == ".npy"
    ]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_three_readers_write_what_one_does(source, tmp_path, builders):
    prepare("lines", tmp_path / "one", source, progress=False)
    ended = prepared_elsewhere(source, tmp_path / "three", builders, "--num_workers=3")
    assert ended.returncode == 0, ended.stderr
    assert "skipped bad.txt" in ended.stderr
    one, three = content(tmp_path / "one"), content(tmp_path / "three")
    assert len(one) > 10
    report = "lines/default/1.0.0/report.json"
    assert one.pop(report).replace(b"/one/", b"/three/") == three.pop(report)
    assert one == three


def test_a_killed_reader_is_named_and_the_next_run_goes_on(source, tmp_path, builders):
    before = """
import os
read = Builder.read
Builder.read = lambda self, item, notes: os._exit(9) if "c.txt" in item.key else read(
    self, item, notes)
"""
    ended = prepared_elsewhere(source, tmp_path, builders, "--num_workers=2", before=before)
    assert ended.returncode == 2
    assert "got a reading process that was killed" in ended.stderr
    assert "Traceback" not in ended.stderr
    prepare("lines", tmp_path, source, progress=False)
    assert Bank.open(tmp_path, "lines", "train").lengths.tolist() == [3, 4, 3, 3]


def test_a_full_disk_is_named_and_the_next_run_goes_on(source, tmp_path, builders):
    """The disk is full for the file of c.txt, in one process and in two."""
    before = """
import errno
from dstformer_jax.data import work
put = work._put
def full(archive, position, sequence):
    if sequence.subject == "c.txt":
        raise OSError(errno.ENOSPC, "No space left on device")
    put(archive, position, sequence)
work._put = full
"""
    for workers in (1, 2):
        flag = f"--num_workers={workers}"
        ended = prepared_elsewhere(source, tmp_path, builders, flag, before=before)
        assert ended.returncode == 2
        assert "got a full disk at" in ended.stderr
        assert not list(tmp_path.rglob("*.partial-*"))
    prepare("lines", tmp_path, source, progress=False)
    assert Bank.open(tmp_path, "lines", "train").lengths.tolist() == [3, 4, 3, 3]


def test_records_in_several_files_are_the_same_sequences(source, tmp_path):
    with pytest.raises(ValueError, match=r"--num_shards=2, expected at most.*'test': 1"):
        prepare("lines", tmp_path / "two", source, progress=False, scale=Scale(num_shards=2))
    (source / "d_test.txt").write_text("5 7")
    for name, scale in (("one", Scale()), ("two", Scale(num_shards=2))):
        prepare("lines", tmp_path / name, source, progress=False, scale=scale)
    files = sorted(path.name for path in (tmp_path / "two").rglob("*train.array_record*"))
    assert files == [f"lines-train.array_record-0000{i}-of-00002" for i in range(2)]
    banks = [Bank.open(tmp_path / name, "lines", "train") for name in ("one", "two")]
    np.testing.assert_array_equal(banks[0].pose, banks[1].pose)
    assert banks[0].sequences == banks[1].sequences


@pytest.mark.parametrize("scale", [{"num_workers": 0}, {"num_shards": -1}])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(ValueError, match="expected 1 or more processes and 0 or more files"):
        Scale(**scale)
