"""Reading .npz archives without running anything in them."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax.files.npz import load_npz


class Danger:
    """Unpickled with pickle.load it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_equals_numpy(tmp_path, save):
    arrays = {
        "numbers": np.arange(24.0).reshape(2, 3, 4),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "text": np.array(["a", "bc"]),
        "bytes": np.array(b"male"),
        "flags": np.array([True, False]),
    }
    save(tmp_path / "a.npz", **arrays)
    found = load_npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert load_npz(tmp_path / "a.npz", names=["text", "other"]).keys() == {"text"}


def test_objects_of_plain_data(tmp_path):
    table = {"S1": {"Walking": [np.ones((2, 3), np.float32)], "rate": 50.0}}
    np.savez(tmp_path / "a.npz", table=np.array(table, dtype=object))
    found = load_npz(tmp_path / "a.npz")["table"].item()
    assert found["S1"]["rate"] == 50.0
    np.testing.assert_array_equal(found["S1"]["Walking"][0], 1)


def test_other_objects_are_refused_and_not_run(tmp_path):
    mark = tmp_path / "executed"
    np.savez(tmp_path / "a.npz", x=np.array(Danger(mark), dtype=object), y=np.ones(3))
    with pytest.raises(ValueError, match=r"a.npz\[x\].*was not run"):
        load_npz(tmp_path / "a.npz")
    assert load_npz(tmp_path / "a.npz", names=["y"]).keys() == {"y"}
    assert not mark.exists()


def test_a_pickle_in_place_of_the_objects(tmp_path):
    """A header that announces objects, followed by something that is no array."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    file.write(pickle.dumps([1, 2]))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", file.getvalue())
    with pytest.raises(ValueError, match="got list, expected objects"):
        load_npz(tmp_path / "a.npz")


def test_truncated_and_foreign_files(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(1000.0))
    whole = (tmp_path / "a.npz").read_bytes()
    for name, data in {"cut": whole[:-200], "none": b"", "text": b"hello"}.items():
        (tmp_path / f"{name}.npz").write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}.npz: got no whole"):
            load_npz(tmp_path / f"{name}.npz")
    damaged = bytearray(whole)
    damaged[500] ^= 255
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match="got no whole"):
        load_npz(tmp_path / "damaged.npz")


def test_a_header_that_promises_more_than_there_is(tmp_path):
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(file, header)
    file.write(bytes(80))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", file.getvalue())
        archive.writestr("y.npy", b"no array at all")
    with pytest.raises(ValueError, match=r"got no array \(got 80 bytes"):
        load_npz(tmp_path / "a.npz", names=["x"])
    with pytest.raises(ValueError, match=r"a.npz\[y\]: got no array"):
        load_npz(tmp_path / "a.npz", names=["y"])


def test_size_is_bounded(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10**5))
    with pytest.raises(ValueError, match="expected at most 1000"):
        load_npz(tmp_path / "a.npz", max_bytes=1000)
