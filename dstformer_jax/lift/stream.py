"""Frame by frame: JSON lines of 2D keypoints in, JSON lines of 3D poses out.

    python -m dstformer_jax.lift.stream --skeleton=coco17 --look-ahead=8

reads from standard input and writes to standard output; with --udp=PORT it answers datagrams on
the loopback address. A line is

    {"frame": 12, "people": [{"id": 0, "keypoints": [[x, y, confidence], ...]}]}

or, of one person, {"frame": 12, "keypoints": [...]}. An answer is

    {"frame": 4, "id": 0, "unit": "m", "joints": [[x, y, z], ...]}

in camera axes, relative to the root. Frames must come at the rate that the network was trained at:
nothing is resampled. An answer is `look-ahead` frames behind its input; at the end of the
input the last ones follow.
"""

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from dstformer_jax.body.skeleton import SKELETONS, Skeleton
from dstformer_jax.cache import use_compilation_cache
from dstformer_jax.inference import STREAMING, load
from dstformer_jax.lift.lifter import Lifter
from dstformer_jax.lift.online import Answer, Stream
from dstformer_jax.lift.rates import rate_ratio
from dstformer_jax.lift.world import HEIGHT

LOST = 60  # frames after which somebody who is gone is forgotten
MAX_LINE = 1 << 20  # bytes


class Streams:
    """Lines of several people: a `Stream` each, forgotten when they are gone."""

    def __init__(self, lifter: Lifter, skeleton: Skeleton, look_ahead: int, height: float) -> None:
        """Nobody yet; arguments as of `Stream`."""
        self._new = lambda: Stream(lifter, skeleton, look_ahead, height)
        self._new()  # refuses what cannot work
        self._streams: dict[int, Stream] = {}
        self._last: dict[int, int] = {}

    def line(self, text: str | bytes) -> list[dict[str, Any]]:
        """Answers to one line; a line that cannot be read gives one with "error"."""
        try:
            frame, people = _parse(text)
            answers = [self._push(frame, *person) for person in people]
        except ValueError as error:
            return [{"error": str(error)}]
        for person in [p for p, last in self._last.items() if frame - last > LOST]:
            del self._streams[person], self._last[person]
        return [answer for answer in answers if answer is not None]

    def finish(self) -> Iterator[dict[str, Any]]:
        """What is still waiting, of everybody."""
        for person, stream in self._streams.items():
            yield from (_as_json(person, answer) for answer in stream.finish())

    def _push(self, frame: int, person: int, keypoints: np.ndarray) -> dict[str, Any] | None:
        if person not in self._streams:
            self._streams[person] = self._new()
        answer = self._streams[person].push(frame, keypoints)
        self._last[person] = frame
        return _as_json(person, answer) if answer else None


def _parse(text: str | bytes) -> tuple[int, list[tuple[int, np.ndarray]]]:
    """Frame number and people of a line; anything else is a ValueError."""
    if len(text) > MAX_LINE:
        raise ValueError(f"got a line of {len(text)} bytes, expected at most {MAX_LINE}")
    try:
        record = json.loads(text)
        frame = record["frame"]
        people = record.get("people", [record])
        found = [(person.get("id", 0), _array(person["keypoints"])) for person in people]
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ValueError(
            f"got a line that cannot be read ({error!s:.80}), expected frame and keypoints"
        ) from None
    if not all(type(value) is int for value in (frame, *(person for person, _ in found))):
        raise ValueError(f"got frame {frame!r:.40} or an id that is no whole number")
    return frame, found


def _array(values: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.array(values, np.float32)


def _as_json(person: int, answer: Answer) -> dict[str, Any]:
    joints = [[round(float(value), 4) for value in joint] for joint in answer.joints]
    return {"frame": answer.frame, "id": person, "unit": "m", "joints": joints}


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Its lines as they come; of one that is too long the first bytes alone."""
    while line := file.readline(MAX_LINE + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE)
        yield line


def serve_lines(streams: Streams, lines: Iterable[str | bytes], output: Any) -> None:
    """Answers every line as it comes, and what waits at the end."""
    for line in lines:
        if line.strip():
            _write(streams.line(line), output)
    _write(streams.finish(), output)


def serve_udp(streams: Streams, port: int, most: int | None = None) -> None:
    """Answers datagrams on the loopback address to their senders; for ever, or `most` of them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        print(f"listening on 127.0.0.1:{server.getsockname()[1]}", file=sys.stderr, flush=True)
        while most is None or most > 0:
            text, sender = server.recvfrom(65_535)
            for answer in streams.line(text):
                server.sendto(json.dumps(answer).encode(), sender)
            most = None if most is None else most - 1


def _write(answers: Iterable[dict[str, Any]], output: Any) -> None:
    for answer in answers:
        output.write(json.dumps(answer) + "\n")
    output.flush()


def latency(
    stream: Stream,
    frames: int,
    seed: int = 0,
    first: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> np.ndarray:
    """Seconds of each of some random frames, [frames], once everything is compiled.

    Frames are pushed until one is answered, which compiles, before the clock is looked at.

    Args:
      stream: takes the frames.
      frames: how many are timed.
      seed: of the places.
      first: number of the first frame, after those that the stream has had.
      clock: seconds; `time.process_time` counts those of the processor.
    """
    rng = np.random.default_rng(seed)
    place = rng.uniform(100, 500, (stream.skeleton.num_joints, 2))
    seconds = []
    for frame in range(first, first + stream.look_ahead + frames + 1):
        place = place + rng.normal(0, 2, place.shape)
        start = clock()
        stream.push(frame, np.concatenate([place, np.ones((len(place), 1))], axis=-1))
        seconds.append(clock() - start)
    return np.array(seconds[stream.look_ahead + 1 :])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    values = _parser().parse_args(arguments)
    use_compilation_cache()
    try:
        lifter = Lifter(load(values.weights), values.frames, flip=values.flip)
        skeleton = SKELETONS[values.skeleton]
        if rate_ratio(values.fps, lifter.model.fps) != 1:
            trained = f"{lifter.model.fps:g} fps"
            print(f"warning: {values.fps:g} fps, trained at {trained}", file=sys.stderr)
        if values.measure:
            seconds = latency(
                Stream(lifter, skeleton, values.look_ahead, values.height), values.measure
            )
            low, mid, high = (1000 * np.percentile(seconds, p) for p in (5, 50, 95))
            print(f"ms a frame: p5 {low:.1f}, median {mid:.1f}, p95 {high:.1f}")
            return 0
        streams = Streams(lifter, skeleton, values.look_ahead, values.height)
        if values.udp is not None:
            serve_udp(streams, values.udp)
        else:
            serve_lines(streams, lines_of(sys.stdin.buffer), sys.stdout)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected 0 to 65535 (0: a free one)")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dstformer_jax.lift.stream",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--weights",
        default=STREAMING,
        help="workdir of ours, PyTorch file, or hf://owner/repo/file [the package's small ones]",
    )
    add("--skeleton", choices=sorted(SKELETONS), default="coco17", help="of the input [coco17]")
    add("--look-ahead", type=int, default=0, help="frames of delay; 0 is causal [0]")
    add("--fps", type=float, default=0.0, help="of the input; warns where it is not the network's")
    add("--height", type=float, default=HEIGHT, help="of the people in metres [1.7]")
    add("--frames", type=int, help="of a window [as trained]")
    add("--flip", action="store_true", help="average with the mirrored input: twice the time")
    add("--udp", type=_port, metavar="PORT", help="answer datagrams on 127.0.0.1 [standard input]")
    add("--measure", type=_count, metavar="N", help="only print the latency of N random frames")
    return parser


if __name__ == "__main__":
    sys.exit(main())
