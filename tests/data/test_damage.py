"""A flipped byte in prepared data: named, with what to do."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.data.bank import Bank, crc
from dstformer_jax.data.prepare import main, prepare


def flip(path: Path, at: float = 0.5) -> None:
    """Changes one bit of the byte at a share of the file."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 0x04
    path.write_bytes(content)


@pytest.fixture
def prepared(source, tmp_path) -> Path:
    prepare("lines", tmp_path / "data", source, progress=False)
    return tmp_path / "data" / "lines" / "default" / "1.0.0"


def test_a_flipped_byte_in_a_record_is_named(prepared, tmp_path):
    """Each record carries a hash of its own; the bank is made from the records."""
    records = next(prepared.glob("*train.array_record*"))
    end = records.read_bytes().rstrip(b"\0")
    shutil.rmtree(prepared / "bank")
    flip(records, at=200 / records.stat().st_size)
    assert len(end) > 200  # the byte is none of the padding
    with pytest.raises(ValueError, match=r"records of split 'train' in .* do prepare them again"):
        Bank.open(tmp_path / "data", "lines", "train")
    assert not (prepared / "bank" / "train").exists()


@pytest.mark.parametrize("name", ["pose.npy", "sequences.json"])
def test_a_flipped_byte_in_the_bank_is_named(prepared, source, tmp_path, capsys, name):
    """`prepare` on the finished dataset checks it, and the bank can be made again."""
    path = prepared / "bank" / "train" / name
    Bank.read(path.parent).verify()
    before = path.read_bytes()
    flip(path, at=0.9)
    flags = ["--dataset=lines", "--quiet", f"--source={source}", f"--data_dir={tmp_path / 'data'}"]
    assert main(flags) == 2
    assert f"{name}, which is not what was written; do delete" in capsys.readouterr().err
    shutil.rmtree(path.parent)
    assert main(flags) == 0
    assert path.read_bytes() == before


def test_crc_is_the_standard_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"123456789")
    assert crc(path) == 0xCBF43926  # the check value of CRC-32
    path.write_bytes(np.zeros(3 << 20, np.uint8).tobytes())
    assert crc(path) != 0
