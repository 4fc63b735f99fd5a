"""Whatever is in a file: a motion that is whole, or one line that names the file. Nothing else."""

import copy
import json
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_detectors import SAMPLES, Sample, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dstformer_jax.files import records
from dstformer_jax.files.formats import FORMATS, read, sniff

QUICK = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LONG = settings(QUICK, max_examples=120)
STRANGE: list[Any] = [
    *(None, True, -1, 0, 10**400, 1e308, -1e39, float("nan"), float("inf"), 2**31, 0.5),
    *(
        "",
        "x",
        "\u0000",
        "12",
        "-7",
        "1e999",
        [],
        {},
        [[]],
        [None],
        {"x": 1},
        [1, 2, 3],
        ["a"] * 51,
    ),
]
BYTES = (
    b"\xff\xfe",
    b"\x00",
    b"NaN",
    b"1e999",
    b"[" * 3000,
    b'"',
    b"-",
    b",,,",
    b"\n\n",
    b"9" * 400,
)


def make(folder: Path, name: str) -> Sample:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if name in SAMPLES:
        return SAMPLES[name](folder)
    from dstformer_jax.files.tables import write_json

    motion = read(SAMPLES["coco_results"](folder).path)
    return Sample(write_json(motion, folder / "ours")[0], "json", motion.skeleton)


def reads_or_explains(path: Path, form: str) -> None:
    """Reading with and without the format's name gives a whole motion or one line of text."""
    for attempt in (lambda: read(path, form), lambda: read(path)):
        try:
            motion = attempt()
        except ValueError as error:
            problem = error
        else:
            assert motion.tracks
            for track in motion:  # Motion and Track have checked shapes and finiteness
                assert np.abs(track.points).max() <= 2e9
                assert not track.points[track.confidence == 0].any()
                assert len(track) <= 200 * 100 + 20_000
            continue
        assert type(problem) is ValueError, repr(problem)
        assert str(path) in str(problem)
        assert "\n" not in str(problem)
        assert len(str(problem)) < 2000


def one_file(sample: Sample, rnd: random.Random) -> Path:
    """The file to spoil: of a folder one of its own."""
    if sample.path.is_dir():
        return rnd.choice(sorted(sample.path.iterdir()))
    return sample.path


def spoil_bytes(data: bytes, rnd: random.Random) -> bytes:
    """Cuts the file off, or overwrites, inserts, removes or doubles a piece."""
    kind = rnd.randrange(6)
    at = rnd.randrange(len(data) + 1)
    end = min(len(data), at + rnd.choice((1, 2, 7, 40, 400)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rnd.choice(BYTES) + data[at:]
    if kind == 2:
        return data[:at] + data[end:]
    if kind == 3:
        return data[:end] + data[at:]
    if kind == 4:
        return data[:at] + bytes(rnd.randrange(256) for _ in range(end - at)) + data[end:]
    return data[:at] + rnd.choice(BYTES) + data[end:]


def places(content: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value inside, few of each list."""
    found, left = [], [content]
    while left and len(found) < 3000:
        node = left.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in list(keys)[:12]:
            found.append((node, key))
            if isinstance(node[key], dict | list):
                left.append(node[key])
    return found


def spoil_json(content: Any, rnd: random.Random) -> Any:
    """Replaces, removes or doubles some values; or puts them very deep."""
    for _ in range(rnd.choice((1, 1, 2, 5))):
        found = places(content)
        if not found:
            return copy.deepcopy(rnd.choice(STRANGE))
        node, key = rnd.choice(found)
        kind = rnd.randrange(5)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, list):
            node.insert(key, copy.deepcopy(node[key]))  # a frame or person twice
        elif kind == 2:
            for _ in range(rnd.choice((3, 70))):
                node[key] = [node[key]]
        else:
            node[key] = copy.deepcopy(rnd.choice(STRANGE))  # later turns may change it
    return content


def spoil_table(text: str, rnd: random.Random) -> str:
    """Replaces cells, removes them, or doubles and shuffles lines."""
    lines = text.splitlines()
    for _ in range(rnd.choice((1, 2, 6))):
        at = rnd.randrange(len(lines))
        cells = lines[at].split(",")
        place = rnd.randrange(len(cells))
        kind = rnd.randrange(5)
        if kind == 0:
            del cells[place]
        elif kind == 1:
            lines.insert(rnd.randrange(len(lines)), lines[at])
        elif kind == 2:
            rnd.shuffle(lines)
            continue
        else:
            words = (
                "",
                "nan",
                "inf",
                "1e999",
                "-1",
                "x",
                "1.5",
                "9" * 30,
                '"',
                "é",
                "99999999",
                "#",
            )
            cells[place] = rnd.choice(words)
        lines[at] = ",".join(cells)
    return "\n".join(lines)


def spoil_arrays(path: Path, rnd: random.Random) -> None:
    """Changes an array's shape, type or numbers, or leaves it out."""
    with np.load(path, allow_pickle=True) as archive:  # our own, of a moment ago
        arrays = {name: archive[name] for name in archive.files}
    name = rnd.choice(sorted(arrays))
    array = arrays[name]
    kind = rnd.randrange(7)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = array[..., None]
    elif kind == 2:
        arrays[name] = array.ravel()[: rnd.randrange(array.size + 1)]
    elif kind == 3:
        arrays[name] = np.array(rnd.choice(STRANGE), object)
    elif kind == 4:
        arrays[name] = array[:0] if array.ndim else array[None]
    elif kind == 5 and array.dtype.kind == "f" and array.size > 1:
        arrays[name] = array.copy()
        worst = rnd.choice((np.nan, np.inf, 3e38, -1, 1e8))
        arrays[name].ravel()[rnd.randrange(array.size)] = worst
    elif array.dtype.kind in "iuf":
        arrays[name] = array.astype(rnd.choice(("U8", "c16", "S3", "f2", "?")))
    else:
        arrays[name] = np.array(["text"])
    path.unlink()
    np.savez(path, **arrays)


def spoil(sample: Sample, rnd: random.Random) -> None:
    path = one_file(sample, rnd)
    data = path.read_bytes()
    structured = rnd.random() < 0.7
    if structured and path.suffix == ".json":
        text = json.dumps(spoil_json(json.loads(data), rnd), allow_nan=True)
        path.write_text(text)
    elif structured and path.suffix == ".csv":
        path.write_text(spoil_table(data.decode(), rnd), encoding="utf-8")
    elif structured and path.suffix == ".npz":
        spoil_arrays(path, rnd)
    else:
        path.write_bytes(spoil_bytes(data, rnd))


ALL = [*SAMPLES, "ours_json"]


@pytest.mark.parametrize("name", ALL)
@QUICK
@given(seed=st.integers(0, 2**32 - 1))
def test_spoilt_files_are_read_or_explained(tmp_path, name, seed):
    sample = make(tmp_path / "spoilt", name)
    spoil(sample, random.Random(seed))
    reads_or_explains(sample.path, sample.format)


@pytest.mark.long
@pytest.mark.parametrize("name", ALL)
@LONG
@given(seed=st.integers(0, 2**32 - 1))
def test_many_spoilt_files_are_read_or_explained(tmp_path, name, seed):
    sample = make(tmp_path / "spoilt", name)
    spoil(sample, random.Random(seed))
    reads_or_explains(sample.path, sample.format)


@pytest.mark.parametrize("name", ALL)
def test_files_that_are_read_part_by_part_give_the_same(tmp_path, name, monkeypatch):
    sample = make(tmp_path / "whole", name)
    whole = read(sample.path, sample.format)
    monkeypatch.setattr(records, "STREAM_ABOVE", 100)
    assert sniff(sample.path).name == sample.format
    streamed = read(sample.path)
    assert len(whole.tracks) == len(streamed.tracks)
    for one, other in zip(whole, streamed, strict=True):
        assert (one.id, one.start) == (other.id, other.start)
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.confidence, other.confidence)


@pytest.mark.parametrize("name", [name for name in ALL if "json" in name or "coco" in name])
@QUICK
@given(seed=st.integers(0, 2**32 - 1))
def test_spoilt_files_read_part_by_part(tmp_path, name, seed):
    sample = make(tmp_path / "spoilt", name)
    spoil(sample, random.Random(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "STREAM_ABOVE", 100)
        reads_or_explains(sample.path, sample.format)


TEXTS = {
    "empty": b"",
    "blank": b" \n\n ",
    "list": b"[]",
    "object": b"{}",
    "null": b"null",
    "number": b"3",
    "deep": b"[" * 200_000,
    "deep_but_whole": b"[" * 900 + b"]" * 900,
    "deep_objects": b'{"frames":' * 50_000,
    "binary": bytes(range(256)) * 8,
    "header": b"frame,joint,x,y\n",
    "commas": b"," * 100_000,
    "comments": b"# unit: px\n" * 3,
    "hierarchy": b"HIERARCHY\n",
    "latin": "frame,joint,x,y\n1,t\xeate,3,4\n".encode("latin-1"),
    "zip": b"PK\x03\x04 and nothing more",
    "zeros": b'[{"image_id": "0.jpg", "keypoints": [' + b"0," * 50 + b"0]}]",
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", TEXTS)
def test_files_of_nothing_are_one_line_for_every_format(tmp_path, form, text):
    path = tmp_path / "a"
    path.write_bytes(TEXTS[text])
    with pytest.raises(ValueError, match=r"a[:\[, ]") as error:
        read(path, form)
    assert type(error.value) is ValueError
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", FORMATS)
def test_folders_and_missing_files_are_one_line_for_every_format(tmp_path, form):
    with pytest.raises(ValueError, match="does not exist"):
        read(tmp_path / "none", form)
    with pytest.raises(ValueError, match=r"empty"):
        read(save(tmp_path / "empty" / "a.bin", "x").parent, form)


def test_enormous_parts_are_refused_before_they_fill_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "STREAM_ABOVE", 100)
    monkeypatch.setattr(records, "MAX_PART", 200_000)
    monkeypatch.setattr(records, "MAX_VALUES", 1000)
    long = save(tmp_path / "long.json", f'[{{"image_id": "{"x" * 10**6}"}}]')
    with pytest.raises(ValueError, match=r"long\.json: got a value of more than 200000 bytes"):
        read(long, "alphapose")
    many = save(tmp_path / "many.json", [{"image_id": "0.jpg", "keypoints": [1] * 2000}])
    with pytest.raises(ValueError, match=r"many\.json: got a part of more than 1000 values"):
        read(many, "alphapose")


def test_frames_too_far_apart_and_crowds_are_refused(tmp_path):
    row = [1.0, 2.0, 0.5] * 17
    far = [{"frame_id": f, "instances": [{"keypoints": [[1, 2]] * 17}]} for f in (0, 10**8)]
    for frame in far:
        frame["instances"][0]["track_id"] = 0
    with pytest.raises(ValueError, match="expected frame numbers that count frames"):
        read(save(tmp_path / "far.json", far))
    crowd = [{"image_id": "0.jpg", "keypoints": row, "score": 1.0}] * 501
    with pytest.raises(ValueError, match="record 500: got more than 500 people in a frame"):
        read(save(tmp_path / "crowd.json", crowd))


def test_a_damaged_file_in_an_archive_is_named(tmp_path):
    sample = SAMPLES["openpose_archive"](tmp_path)
    data = bytearray(sample.path.read_bytes())
    with zipfile.ZipFile(sample.path) as archive:
        info = archive.getinfo("clip/clip_4_keypoints.json")
    data[info.header_offset + 60] ^= 255
    sample.path.write_bytes(data)
    with pytest.raises(ValueError, match=r"clip_4_keypoints\.json: got no whole file"):
        read(sample.path, "openpose")
