import collections
import os
import pickle
from decimal import Decimal

import numpy as np
import pytest

from dstformer_jax.files.pickles import load_pickle


class Command:
    """What a hostile pickle does: runs a command when it is loaded."""

    def __reduce__(self):
        return os.system, ("touch /tmp/this_must_not_exist_dstformer",)


def dump(folder, content, protocol=pickle.HIGHEST_PROTOCOL):
    path = folder / "data.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


CONTENT = {
    "train": {
        "joint_2d": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "confidence": np.asfortranarray(np.eye(3)),
        "camera_name": ["54138969", "60457274"],
        "empty": np.zeros((0, 17, 3), np.float16),
        "names": np.array(["a", "bc"]),
        "objects": np.array([None, {"x": 1}], dtype=object),
        "scalar": np.float64(2.5),
        "int": np.int64(7),
        "set": {1, 2},
        "bytes": b"\xff\x00",
        "no_bytes": b"",
        "array": bytearray(b"xy"),
        "ordered": collections.OrderedDict(a=1),
        "counts": collections.defaultdict(list, {"k": [1]}),
        "complex": 1 + 2j,
        "tuple": (True, None, 2**70, 1e300),
    }
}


@pytest.mark.parametrize("protocol", range(6))
def test_data_of_every_protocol_is_read(tmp_path, protocol):
    loaded = load_pickle(dump(tmp_path, CONTENT, protocol))["train"]
    assert loaded.keys() == CONTENT["train"].keys()
    for key, wanted in CONTENT["train"].items():
        if isinstance(wanted, np.ndarray):
            assert loaded[key].dtype == wanted.dtype
            np.testing.assert_array_equal(loaded[key], wanted)
        else:
            assert type(loaded[key]) is type(wanted)
            assert loaded[key] == wanted


def test_python_2_arrays_are_read(tmp_path):
    """What Python 2 and numpy 1 wrote for {'pose': np.array([1., 2.])}: text is bytes there."""
    path = tmp_path / "old.pkl"
    path.write_bytes(
        b"(dp0\nS'pose'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\n"
        b"tp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\n"
        b"Rp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\np15\n"
        b"tp16\nbs."
    )
    loaded = load_pickle(path)
    np.testing.assert_array_equal(loaded["pose"], [1.0, 2.0])


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_commands_are_refused_and_not_run(tmp_path, protocol):
    path = dump(tmp_path, {"ok": 1, "bad": [Command()]}, protocol)
    with pytest.raises(ValueError, match=r"data\.pkl: got a pickle that uses \w+\.system"):
        load_pickle(path)
    assert not os.path.exists("/tmp/this_must_not_exist_dstformer")


@pytest.mark.parametrize(
    "attack",
    [
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"c__builtin__\ngetattr\n(cnumpy\nndarray\nS'__init__'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0f__builtins__.eval\x93.",
        b"cbuiltins\nbytearray\n(I100000000000\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I900000000000\ntS'b'\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"Pother\n.",
    ],
)
def test_tricks_are_refused(tmp_path, attack):
    path = tmp_path / "trick.pkl"
    path.write_bytes(attack)
    with pytest.raises(ValueError, match=r"trick\.pkl: got"):
        load_pickle(path)


def test_a_stand_in_replaces_an_unknown_type(tmp_path):
    path = dump(tmp_path, Decimal("1.5"))
    with pytest.raises(ValueError, match=r"uses decimal\.Decimal"):
        load_pickle(path)
    assert load_pickle(path, extra={("decimal", "Decimal"): lambda text: text}) == "1.5"


def test_truncated_and_large_files_are_refused(tmp_path):
    whole = pickle.dumps(CONTENT)
    path = tmp_path / "cut.pkl"
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.pkl: got a pickle that cannot be read"):
            load_pickle(path)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="expected at most 10"):
        load_pickle(path, max_bytes=10)
