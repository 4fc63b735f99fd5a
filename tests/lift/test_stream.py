"""Frame by frame: the same answers as in windows, late by the look-ahead, over lines and UDP."""

import io
import json
import socket
import threading
import time

import numpy as np
import pytest
from fixtures_lift import Leaning, wander

from dstformer_jax.body.skeleton import COCO17, H36M17
from dstformer_jax.inference import STREAMING, load
from dstformer_jax.lift import Lifter
from dstformer_jax.lift import stream as command
from dstformer_jax.lift.online import Stream
from dstformer_jax.lift.stream import (
    MAX_LINE,
    Streams,
    latency,
    lines_of,
    serve_lines,
    serve_udp,
)


def stream(look_ahead: int = 0, flip: bool = False, model: Leaning | None = None) -> Stream:
    return Lifter(model or Leaning(), flip=flip).stream(H36M17, look_ahead, height=1.7)


def relative(points: np.ndarray) -> np.ndarray:
    """What `Leaning` answers to pixels, of any scale."""
    place = points - points[:1]
    return np.concatenate([place, place[..., 1:] / 2], axis=-1)


@pytest.mark.parametrize("look_ahead", [0, 3, 8])
@pytest.mark.parametrize("flip", [False, True])
def test_every_frame_is_answered_once_and_late_by_the_look_ahead(look_ahead, flip):
    motion, one = wander(20), stream(look_ahead, flip)
    answers = []
    for frame, keypoints in enumerate(motion):
        answer = one.push(frame, keypoints)
        assert (answer is None) == (frame < look_ahead)
        answers += [answer] if answer else []
        assert not answer or answer.frame == frame - look_ahead
    answers += one.finish()
    assert [answer.frame for answer in answers] == list(range(20))
    for answer in answers:
        expected = relative(motion[answer.frame, :, :2])
        scale = np.linalg.norm(answer.joints) / np.linalg.norm(expected)
        np.testing.assert_allclose(answer.joints, scale * expected, atol=1e-4)


def test_one_shape_is_compiled():
    model = Leaning()
    one = stream(2, True, model)
    for frame, keypoints in enumerate(wander(30)):
        one.push(frame, keypoints)
    list(one.finish())
    assert model.shapes == {(2, 9, 17, 3)}


def test_frames_left_out_are_not_seen():
    model = Leaning()
    one, motion = stream(0, False, model), wander(30)
    for frame in (0, 1, 4):
        one.push(frame, motion[frame])
    (clip,) = model.inputs[-1]
    seen = clip[..., 2].any(-1)
    np.testing.assert_array_equal(seen[-5:], [1, 1, 0, 0, 1])
    one.push(500, motion[5])  # longer ago than a window: everything else is forgotten
    assert model.inputs[-1][0][..., 2].any(-1).sum() == 1


def test_detectors_joints_are_converted():
    model = Leaning()
    one = Lifter(model, flip=False).stream(COCO17)
    keypoints = wander(1)[0]
    assert one.push(0, keypoints).joints.shape == (17, 3)
    left, right = keypoints[COCO17.index("left_hip")], keypoints[COCO17.index("right_hip")]
    clip = model.inputs[-1][0, -1]
    middle = (clip[H36M17.index("left_hip")] + clip[H36M17.index("right_hip")]) / 2
    np.testing.assert_allclose(clip[0, :2], middle[:2], atol=1e-5)
    assert (left != right).any()


def test_nobody_in_the_window_is_no_answer():
    assert stream().push(0, np.zeros((17, 3))) is None


def test_mistakes_are_told():
    one = stream()
    one.push(3, wander(1)[0])
    for frame, keypoints, word in (
        (3, wander(1)[0], "later"),
        (4, np.zeros((16, 3)), "shape"),
        (4, np.full((17, 3), np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=word):
            one.push(frame, keypoints)
    with pytest.raises(ValueError, match="look_ahead=9"):
        stream(9)
    with pytest.raises(ValueError, match="height=inf"):
        Lifter(Leaning()).stream(H36M17, height=np.inf)


def line(frame: int, **people: np.ndarray) -> str:
    listed = [{"id": int(name[1:]), "keypoints": k.tolist()} for name, k in people.items()]
    return json.dumps({"frame": frame, "people": listed})


def test_lines_of_several_people_and_bad_ones():
    streams = Streams(Lifter(Leaning(), flip=False), H36M17, 1, 1.7)
    motion = wander(4)
    lines = [line(f, p0=motion[f], p7=motion[3 - f]) for f in range(3)]
    bad = [
        "{",
        "[]",
        '{"frame": 1}',
        '{"frame": 1.5, "keypoints": []}',
        '{"frame": 9, "people": 3}',
        json.dumps({"frame": 9, "keypoints": [[10**400, 1, 1]] * 17}),
        b'{"frame": 9, "keypoints": "\xff"}',
        b"[" * 100_000,
        b"x" * (MAX_LINE + 2),
    ]
    lines[1:1] = [*bad, "", json.dumps({"frame": 5, "people": [{"id": "x", "keypoints": []}]})]
    output = io.StringIO()
    serve_lines(streams, lines, output)
    answers = [json.loads(text) for text in output.getvalue().splitlines()]
    errors = [answer for answer in answers if "error" in answer]
    assert len(errors) == len(bad) + 1
    found = [(a["id"], a["frame"]) for a in answers if "error" not in a]
    assert sorted(found) == [(0, 0), (0, 1), (0, 2), (7, 0), (7, 1), (7, 2)]
    assert all(a["unit"] == "m" and len(a["joints"]) == 17 for a in answers if "joints" in a)


def test_a_line_without_an_end_takes_no_memory():
    long = b"x" * (3 * MAX_LINE) + b"\n"
    lines = list(lines_of(io.BytesIO(b"one\n" + long + b"two")))
    assert [len(each) for each in lines] == [4, MAX_LINE + 1, 3]
    (answer,) = Streams(Lifter(Leaning()), H36M17, 0, 1.7).line(lines[1])
    assert "at most" in answer["error"]


@pytest.mark.parametrize("option", ["--udp=70000", "--udp=-1", "--measure=0", "--measure=-3"])
def test_numbers_out_of_range_are_refused(option, capsys):
    with pytest.raises(SystemExit):
        command.main([option])
    assert "expected" in capsys.readouterr().err


def test_people_who_are_gone_are_forgotten():
    streams = Streams(Lifter(Leaning(), flip=False), H36M17, 0, 1.7)
    motion = wander(1)[0]
    streams.line(line(0, p0=motion, p1=motion))
    streams.line(line(100, p1=motion))
    assert list(streams._streams) == [1]


def test_datagrams_are_answered_on_the_loopback_address(capfd):
    streams = Streams(Lifter(Leaning(), flip=False), H36M17, 0, 1.7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = threading.Thread(target=serve_udp, args=(streams, port, 2), daemon=True)
    server.start()
    answers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        for _ in range(100):  # until the server listens
            client.sendto(line(len(answers), p0=wander(1)[0]).encode(), ("127.0.0.1", port))
            try:
                answers.append(json.loads(client.recv(65_535)))
            except OSError:
                continue
            if len(answers) == 2:
                break
    server.join(5)
    assert [answer.get("frame") for answer in answers] == [0, 1]


def test_latency_leaves_out_the_first_frame():
    assert latency(stream(), 5).shape == (5,)


@pytest.mark.parametrize("look_ahead", [0, 8])
def test_the_weights_in_the_package_keep_up_with_thirty_frames_a_second(look_ahead):
    """Processor time, which counts every thread, against the 33 ms of a frame."""
    stream = Lifter(load(STREAMING), flip=False).stream(COCO17, look_ahead)
    assert stream.lifter.window == 27
    assert np.median(latency(stream, 30, clock=time.process_time)) < 0.033


def test_another_frame_rate_than_the_network_s_is_told(monkeypatch, capsys):
    monkeypatch.setattr(command, "load", lambda path: Leaning(fps=30))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    assert command.main(["--weights=w", "--fps=60"]) == 0
    assert "60 fps, trained at 30 fps" in capsys.readouterr().err
    assert command.main(["--weights=w", "--fps=30"]) == 0
    assert not capsys.readouterr().err
