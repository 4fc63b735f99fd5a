"""Actions of tracks: the very probabilities that an evaluation on prepared clips gives."""

import csv
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from fixtures_lift import wander
from random_networks import CASES, SIZES, random_variables

from dstformer_jax import convert, load, read
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import COCO17, H36M17
from dstformer_jax.data.pipeline import evaluation
from dstformer_jax.data.prepare import prepare as prepare_dataset
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.lift import __main__ as command
from dstformer_jax.lift.actions import Recogniser
from dstformer_jax.lift.tracks import prepare
from dstformer_jax.models.network import build_network

CLASSES = ["wave", "sit", "jump", "fall", "hug"]


def network(path: Path, persons: int = 2, **head: object) -> Path:
    """A PyTorch file of ours with a random network that was trained on 5 frames."""
    settings = {**CASES["action"], **head}
    variables = random_variables(SIZES, settings)
    clips = {"frames": 5, "persons": persons, "crop": [2.0, 2.0]}
    info = {"model": SIZES, "head": settings, "classes": CLASSES, "clips": clips}
    convert.write_any(path, variables, info)
    return path


def video(*lengths: int) -> Motion:
    """People of whom the one of number n comes 3 n frames after the first, in COCO's joints."""
    tracks = []
    for number, length in enumerate(lengths):
        motion = wander(length, number)
        tracks.append(Track(number, 3 * number, motion[..., :2], motion[..., 2] - 0.2))
    return Motion(tuple(tracks), COCO17, 25, size=(640, 480), source="video.json")


def gone_for_a_while() -> Motion:
    """One person whom frames 28 to 51 do not show."""
    motion = video(80)
    motion.tracks[0].confidence[28:52] = 0
    return motion


def write_alphapose(path: Path, motion: Motion) -> Path:
    rows = [
        {
            "image_id": f"{track.start + row}.jpg",
            "category_id": 1,
            "keypoints": track.motion[row].ravel().tolist(),
            "score": 2.0,
            "idx": track.id,
        }
        for track in motion
        for row in range(len(track))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    ("persons", "lengths", "absent"),
    [(2, (40, 30), "zeros"), (2, (40,), "masked"), (1, (40,), "zeros")],
)
def test_probabilities_are_those_of_an_evaluation(tmp_path, persons, lengths, absent):
    path = network(tmp_path / "action.bin", persons, absent=absent)
    file = write_alphapose(tmp_path / "in" / "video.json", video(*lengths))
    (file.parent / "labels.csv").write_text(
        "file,label,split,width,height,fps\nvideo.json,wave,train,640,480,25\n"
    )
    options = {"persons": persons, "holdout": 0.0}
    prepare_dataset(
        "labelled_keypoints", tmp_path, source=file.parent, options=options, progress=False
    )
    source = Source(
        "mine",
        "labelled_keypoints",
        frames=5,
        batch=8,
        supervision="label",
        input="motion",
        window="whole",
        crop=(2, 2),
        persons=persons,
    )
    (batch,) = evaluation(SourceData.open(source, tmp_path))[0]
    variables, info = convert.read_any(path)
    settings = dict(info["head"])
    net = build_network(info["model"], settings.pop("name"), settings)
    given = {"present": batch["present"]} if absent == "masked" else {}
    logits = jax.jit(net.apply)(variables, batch["motion"], **given)["action"]
    expected = np.asarray(jax.nn.softmax(logits))[0]

    motion = read(file)
    motion = Motion(motion.tracks, motion.skeleton, 25, size=(640, 480))
    (found,) = Recogniser(load(path, head="action"))(prepare(motion, H36M17))
    assert [track.id for track in found.clip.people] == list(range(len(lengths)))
    assert [name for name, _ in found.top] == [CLASSES[k] for k in np.argsort(-expected)]
    np.testing.assert_allclose([p for _, p in found.top], np.sort(expected)[::-1], atol=1e-5)
    assert np.ptp(expected) > 1e-3


def test_windows_overlap_by_half_and_follow_the_people(tmp_path):
    recognise = Recogniser(load(network(tmp_path / "action.bin"), head="action"))
    found = list(recognise(prepare(video(25, 60, 50), H36M17), every=0.8))
    clips = [each.clip for each in found]
    assert [(each.first, each.end) for each in clips] == [
        (0, 63),
        *((start, start + 20) for start in (0, 9, 17, 26, 34, 43)),
    ]
    assert [each.whole for each in clips] == [True] + 6 * [False]
    people = [[track.id for track in each.people] for each in clips]
    assert people == [[1, 2], [0, 1], *5 * [[1, 2]]]  # the first is gone after 25 frames
    alone = list(recognise(prepare(gone_for_a_while(), H36M17), every=0.8))
    assert [each.clip.first for each in alone[1:]] == [0, 10, 50, 60]
    with pytest.raises(ValueError, match="2 frames or more"):
        list(recognise(prepare(video(60), H36M17), every=0.01))
    with pytest.raises(ValueError, match="got every=inf"):
        list(recognise(prepare(video(60), H36M17), every=np.inf))


def test_one_person_networks_name_every_track(tmp_path):
    recognise = Recogniser(load(network(tmp_path / "action.bin", 1), head="action"))
    found = list(recognise(prepare(video(60, 50), H36M17), every=1.6))
    spans = [(each.clip.people[0].id, each.clip.first, each.clip.end) for each in found]
    assert spans == [(0, 0, 60), (0, 0, 40), (0, 20, 60), (1, 3, 53), (1, 3, 43), (1, 13, 53)]
    assert all(len(each.clip.people) == 1 and len(each.top) == 5 for each in found)


def test_the_command_writes_json_and_csv(tmp_path, capsys):
    path, file = (
        network(tmp_path / "action.bin"),
        write_alphapose(tmp_path / "v.json", video(40, 9)),
    )
    options = ["--task=action", f"--weights={path}", f"--output={tmp_path / 'out'}", "--every=1"]
    assert command.main([str(file), *options, "--size=640x480", "--fps=20"]) == 0
    told = capsys.readouterr().out
    about = json.loads((tmp_path / "out/v.actions.json").read_text())
    first, *windows = about["clips"]
    assert (about["fps"], about["source"]) == (20, "v.json")
    assert (first["first_frame"], first["last_frame"], first["end_s"]) == (0, 39, 2.0)
    assert [each["first_frame"] for each in windows] == [0, 10, 20]
    assert sum(each["probability"] for each in first["top"]) == pytest.approx(1, abs=1e-5)
    assert f"person 0, 1: {first['top'][0]['class']}" in told
    with (tmp_path / "out/v.actions.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 5 * len(about["clips"])
    assert (rows[0]["people"], rows[0]["rank"]) == ("0+1", "1")
    assert [row["class"] for row in rows[:5]] == [each["class"] for each in first["top"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "head 'action', expected 'mesh'"),
        (["--formats=npz,bvh"], "--formats='npz,bvh'"),
        (["--every=3"], "--every with --task=mesh, expected --task=action"),
        (["--height=1.8"], "--height with --task=mesh"),
        (["--smooth=savgol"], "--smooth with --task=mesh, expected --task=pose"),
        (["--task=action", "--focal=900"], "--focal with --task=action, expected --task=pose or"),
    ],
)
def test_options_of_other_tasks_are_refused(tmp_path, capsys, options, message):
    path = network(tmp_path / "action.bin")
    fixed = ["x.json", "--task=mesh", f"--weights={path}", f"--output={tmp_path}"]
    assert command.main([*fixed, *options]) == 2
    assert message in capsys.readouterr().err


def test_networks_of_others_have_numbers_and_the_official_clips(tmp_path):
    variables = random_variables({**SIZES, "maxlen": 6}, CASES["action"])
    path = tmp_path / "official.safetensors"
    convert.write_any(path, variables, {}, plain=True)
    recognise = Recogniser(load(path, head="action", num_heads=2))
    assert recognise.classes == tuple("01234")
    source = recognise.source
    assert (source.frames, source.persons, source.crop) == (6, 2, (2.0, 2.0))
