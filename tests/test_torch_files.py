"""PyTorch files without PyTorch: what is written, what is read, what is refused."""

import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dstformer_jax import torch_files
from dstformer_jax.torch_files import read_torch_file, unwrap, write_torch_file


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"head.weight": (3, 4), "head.bias": (3,), "temp_embed": (1, 5, 1, 4)}
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["a.bin", "a.pth", "a.pt", "a.safetensors"])
def test_written_files_return_bit_for_bit(tmp_path, weights, name, plain):
    write_torch_file(tmp_path / name, weights, {"model": {"depth": 1}}, plain)
    state_dict, info = read_torch_file(tmp_path / name)
    assert {k: x.tobytes() for k, x in state_dict.items()} == {
        k: x.tobytes() for k, x in weights.items()
    }
    kept = name.endswith("safetensors") or not plain
    assert info == ({"model": {"depth": 1}} if kept else {})
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_same_weights_give_the_same_bytes(tmp_path, weights):
    for name in ("a.bin", "b.bin"):
        write_torch_file(tmp_path / name, weights)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_unwrap_takes_off_every_level():
    assert unwrap({"epoch": 1, "model": {"state_dict": {"module.a": 1}}}) == {"a": 1}
    assert unwrap({"module.a": 1, "b": 2}) == {"module.a": 1, "b": 2}


def archive(path: Path, program: bytes, records: dict[str, bytes] | None = None, **options) -> Path:
    """A file with the layout of torch.save around any pickle."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", program)
        for name, data in (records or {}).items():
            file.writestr(f"archive/{name}", data)
    return path


def tensor_program(shape: str, stride: str, numel: int = 4, offset: int = 0) -> bytes:
    """A text pickle of {"w": tensor} with any sizes; `shape` and `stride` are pickled tuples."""
    return (
        "(dVw\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\n"
        f"V0\nVcpu\nI{numel}\ntQI{offset}\n{shape}{stride}I00\n(dtRs."
    ).encode()


STORED = {"data/0": np.arange(4, dtype="<f4").tobytes()}


def test_views_of_a_storage_are_read(tmp_path):
    program = tensor_program("(I2\nI2\nt", "(I1\nI2\nt")
    state_dict, _ = read_torch_file(archive(tmp_path / "a.pt", program, STORED))
    np.testing.assert_array_equal(state_dict["w"], [[0, 2], [1, 3]])


def test_big_endian_files_are_read(tmp_path):
    records = {"data/0": np.arange(4, dtype=">f4").tobytes(), "byteorder": b"big"}
    program = tensor_program("(I4\nt", "(I1\nt")
    state_dict, _ = read_torch_file(archive(tmp_path / "a.pt", program, records))
    np.testing.assert_array_equal(state_dict["w"], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ("(I5\nt", "(I1\nt", 0),
        ("(I4\nt", "(I1\nt", 1),
        ("(I2\nt", "(I-1\nt", 1),
        ("(I2\nt", "(I9\nt", 0),
        ("(I4000\nt", "(I0\nt", 0),
        ("(I2\nI2\nt", "(I1\nt", 0),
    ],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, shape, stride, offset):
    program = tensor_program(shape, stride, offset=offset)
    with pytest.raises(ValueError, match=r"a\.pt"):
        read_torch_file(archive(tmp_path / "a.pt", program, STORED))


class Trap:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('sprung').touch()",)


def test_code_in_a_file_never_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for program in (pickle.dumps({"model": Trap()}), b"cos\nsystem\n(Vtouch sprung\ntR."):
        with pytest.raises(ValueError, match="expected weights only"):
            read_torch_file(archive(tmp_path / "a.pt", program))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"\x80\x02}q\xff",
        b"\x80\x02]q\x00.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02" + b"(" * 100 + b"0.",
        b"(dVmodel\nctorch\nFloatStorage\n(tRs.",
        b"(dp0\nVmodel\ng0\ns.",
    ],
)
def test_broken_pickles_are_named(tmp_path, program):
    with pytest.raises(ValueError, match=r"a\.pt"):
        read_torch_file(archive(tmp_path / "a.pt", program))


def test_memory_follows_the_file_and_not_its_claims(tmp_path):
    """A memo index of four thousand million: C's unpickler would reserve room for all of them."""
    program = b"\x80\x02}r\xff\xff\xff\xff."
    assert read_torch_file(archive(tmp_path / "a.pt", program)) == ({}, {})


def test_compressed_archives_are_refused(tmp_path):
    packed = archive(tmp_path / "a.pt", b"}.", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed record"):
        read_torch_file(packed)


@pytest.mark.parametrize("name", ["a.bin", "a.safetensors"])
def test_truncated_files_are_named(tmp_path, weights, name):
    write_torch_file(tmp_path / name, weights)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=name):
        read_torch_file(tmp_path / name)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.bin"):
        read_torch_file(tmp_path / "none.bin")


def test_files_before_pytorch_1_6_ask_for_pytorch(tmp_path, monkeypatch):
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"model": 1}))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="install torch"):
        read_torch_file(tmp_path / "old.pth")


def test_foreign_metadata_is_not_trusted(tmp_path, weights):
    from safetensors.numpy import save_file

    save_file(weights, tmp_path / "a.safetensors", metadata={torch_files.INFO: "[1, 2]"})
    assert read_torch_file(tmp_path / "a.safetensors")[1] == {}


class TestAgainstPyTorch:
    @pytest.fixture(autouse=True)
    def torch(self):
        self.torch = pytest.importorskip("torch")

    def test_pytorch_reads_our_files(self, tmp_path, weights):
        write_torch_file(tmp_path / "a.bin", weights, {"model": {}})
        content = self.torch.load(tmp_path / "a.bin", weights_only=True)
        assert json.loads(content[torch_files.INFO]) == {"model": {}}
        assert list(content["model_pos"]) == [f"module.{key}" for key in weights]
        write_torch_file(tmp_path / "b.bin", weights, plain=True)
        bare = self.torch.load(tmp_path / "b.bin", weights_only=True)
        for key, value in weights.items():
            np.testing.assert_array_equal(bare[key].numpy(), value)
            np.testing.assert_array_equal(content["model_pos"]["module." + key].numpy(), value)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_we_read_what_official_scripts_write(self, tmp_path, zipped):
        torch = self.torch
        model = torch.nn.DataParallel(torch.nn.Linear(3, 2))
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        content = {"epoch": 3, "optimizer": optimizer.state_dict(), "model_pos": model.state_dict()}
        if zipped:
            content["min_loss"] = np.float64(37.5)
        path = tmp_path / "best_epoch.bin"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        state_dict, info = read_torch_file(path)
        assert (list(state_dict), info) == (["weight", "bias"], {})
        for key, value in model.module.state_dict().items():
            np.testing.assert_array_equal(state_dict[key], value.numpy())

    def test_types_and_views(self, tmp_path):
        torch = self.torch
        base = torch.arange(12.0).reshape(3, 4)
        tensors = {
            "transposed": base.t(),
            "part": base[1:, 1:3],
            "bfloat16": base.bfloat16(),
            "half": base.half(),
            "double": base.double(),
            "long": torch.arange(3),
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 3),
            "parameter": torch.nn.Parameter(base),
        }
        torch.save(tensors, tmp_path / "a.pt")
        state_dict, _ = read_torch_file(tmp_path / "a.pt")
        assert state_dict.keys() == tensors.keys()
        for key, value in tensors.items():
            widened = key in ("bfloat16", "half")
            expected = value.detach().float() if widened else value.detach()
            np.testing.assert_array_equal(state_dict[key], expected.numpy())
            assert state_dict[key].dtype == expected.numpy().dtype

    @pytest.mark.parametrize(
        "content",
        [b"", b"hello", b"\xff" * 40, b"\x80\x02h\x05."],
        ids=lambda content: str(content),
    )
    @pytest.mark.parametrize("name", ["a.bin", "a.safetensors"])
    def test_files_of_no_format_are_refused(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}.*expected a file of weights"):
            read_torch_file(tmp_path / name)

    def test_legacy_files_with_code_are_refused(self, tmp_path):
        buffer = io.BytesIO()
        self.torch.save({"model": Trap()}, buffer, _use_new_zipfile_serialization=False)
        (tmp_path / "a.pt").write_bytes(buffer.getvalue())
        with pytest.raises(ValueError, match="refuses"):
            read_torch_file(tmp_path / "a.pt")
