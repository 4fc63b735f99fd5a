"""Frame by frame: error and jitter against the look-ahead, latency, time to the first answer."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from dstformer_jax.bench import startup
from dstformer_jax.body.skeleton import COCO17
from dstformer_jax.lift.lifter import Lifter
from dstformer_jax.lift.measure import people
from dstformer_jax.lift.measure.people import PIXELS, Clip
from dstformer_jax.lift.measure.report import Report, Row
from dstformer_jax.lift.stream import latency
from dstformer_jax.lift.windows import window_rows
from dstformer_jax.tasks.metrics import acceleration_error, centre
from dstformer_jax.view.charts import Line, lines

LOOKS = (0, 2, 4, 8, 13)
TIMED = (0, 8)
FRAMES = 27
GOAL = 33.0  # ms
ABOUT = (
    "Every frame is answered from a window of {frames} frames that ends `look-ahead` frames after "
    "it, without flip averaging, as `lift.stream` does; scored are the frames that all of them "
    "answer from a full window: {scored} of {clips} sequences ({names}). MPJPE in mm; jitter is "
    "the acceleration error in mm a frame². *blended* are overlapping windows of the same length, "
    "with all frames known. Latency is that of `Stream.push` on random frames, goal 33 ms; "
    "processor time beside it is what it takes on a core of its own. *network alone* is the same "
    "compiled program called on an array."
)


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    people.flags(parser)
    add = parser.add_argument
    add("--clips", type=int, default=4, help="sequences, of different people [4]")
    add("--most", type=int, default=120, help="frames of a sequence [120]")
    add("--pushes", type=int, default=100, help="frames whose latency is measured [100]")
    add("--no-start", action="store_true", help="leave out the time to the first answer")


def run(values: argparse.Namespace, lifter: Lifter) -> Report:
    """Windows of 27 frames without flips, whatever the other flags say."""
    frames = values.frames or min(FRAMES, lifter.window)
    lifter = replace(lifter, frames=frames, flip=False, overlap=0.5)
    looks = [look for look in LOOKS if look < frames]
    clips = _people(values, frames)
    rows, scored = errors(lifter, clips, looks)
    tables = {"Error and jitter": rows, "Latency": latencies(lifter, values.pushes)}
    if not values.no_start:
        tables["From the command to the first answer"] = starts(values.weights, frames)
    picture = f"{values.name or values.subject}.png"
    by_look = rows[: len(looks)]
    series = {
        name: Line(looks, np.array([[float(row[name]) for row in by_look]]))
        for name in ("MPJPE", "jitter")
    }
    lines(series, values.output / picture, "look-ahead, frames", "mm; mm a frame²")
    text = ABOUT.format(
        frames=frames, scored=scored, clips=len(clips), names=", ".join(c.name for c in clips)
    )
    caption = "Error and jitter against the look-ahead."
    return Report("Streaming", f"{text} {people.about(values)}", tables, {picture: caption})


def _people(values: argparse.Namespace, frames: int) -> list[Clip]:
    """The first long sequence of some people each."""
    clips: dict[str, Clip] = {}
    for clip in people.filmed(values, least=2 * frames):
        clips.setdefault(clip.subject, clip.cut(0, values.most))
    return list(clips.values())[: values.clips]


def errors(lifter: Lifter, clips: list[Clip], looks: list[int]) -> tuple[list[Row], int]:
    """A row a look-ahead, one of blended windows, and how many frames they are the mean of."""
    names = [*looks, "blended"]
    found: dict[int | str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in names}
    for clip in clips:
        # Frames whose windows are full at every look-ahead.
        first, last = lifter.window - 1 - min(looks), len(clip.truth) - 1 - max(looks)
        answers = streamed(lifter, clip, looks)
        answers |= {"blended": lifter(clip.as_motion()).tracks[0].points}
        truth = clip.truth[first : last + 1]
        for name in names:
            pose = centre(answers[name])[first : last + 1] / PIXELS
            error = np.linalg.norm(pose - truth, axis=-1)[:, 1:]
            found[name].append((error.mean(-1), acceleration_error(pose, truth)))
    rows: list[Row] = []
    for name, parts in found.items():
        error, jitter = (1000 * np.concatenate(each).mean() for each in zip(*parts, strict=True))
        rows.append({"look-ahead": name, "MPJPE": f"{error:.1f}", "jitter": f"{jitter:.2f}"})
    return rows, sum(len(error) for error, _ in found["blended"])


def streamed(lifter: Lifter, clip: Clip, looks: list[int]) -> dict[int | str, np.ndarray]:
    """Look-ahead -> poses [T, J, 3] in pixels, from full windows alone; other frames are 0.

    One window answers for all look-aheads at once, where `Stream` would compute it for each.
    """
    model, frames = lifter.model, lifter.window
    rows = window_rows(len(clip.motion), frames, 1 - 1 / frames)  # ends one frame later each
    boxes, inputs = [], []
    for window in clip.motion[rows]:
        normal, box = model.normaliser.encode(window, clip.as_motion().size)
        inputs.append(np.where(window[..., 2:] > 0, normal, 0))
        boxes.append(np.asarray(box.half).reshape(()))
    parts = [
        model.lift(np.stack(inputs[at : at + lifter.batch]))
        for at in range(0, len(inputs), lifter.batch)
    ]
    poses = centre(np.concatenate(parts)) * np.array(boxes)[:, None, None, None]
    out: dict[int | str, np.ndarray] = {}
    for look in looks:
        out[look] = np.zeros(clip.truth.shape)
        out[look][rows[:, frames - 1 - look]] = poses[:, frames - 1 - look]
    return out


def latencies(lifter: Lifter, pushes: int) -> list[Row]:
    """Milliseconds a frame of whole pushes, and of the network alone."""
    rows = []
    for look in (look for look in TIMED if look < lifter.window):
        stream = lifter.stream(COCO17, look)
        rows.append(
            _latency_row(
                f"push, look-ahead {look}",
                latency(stream, pushes),
                latency(stream, pushes, first=pushes + look + 1, clock=time.process_time),
            )
        )
    clip = np.zeros((1, lifter.window, lifter.model.skeleton.num_joints, 3), np.float32)
    alone = []
    for clock in (time.perf_counter, time.process_time):
        spent = []
        for _ in range(pushes):
            start = clock()
            lifter.model.lift(clip)
            spent.append(clock() - start)
        alone.append(np.array(spent))
    return [*rows, _latency_row("network alone", *alone)]


def _latency_row(name: str, wall: np.ndarray, cpu: np.ndarray) -> Row:
    middle, high = 1000 * np.percentile(wall, [50, 95])
    cpu_middle, cpu_high = 1000 * np.percentile(cpu, [50, 95])
    return {
        "what": name,
        "p50 ms": f"{middle:.1f}",
        "p95 ms": f"{high:.1f}",
        "cpu p50 ms": f"{cpu_middle:.1f}",
        "cpu p95 ms": f"{cpu_high:.1f}",
        "within 33 ms": "yes" if high <= GOAL else "no",
    }


def starts(weights: str | Path, frames: int) -> list[Row]:
    """Seconds from the start of `lift.stream` to its first answer, its programs cached or not."""
    here = Path(weights).absolute()  # the command is started elsewhere
    options = ("--weights", str(here if here.exists() else weights), "--frames", str(frames))
    names = {"empty": "nothing cached", "filled": "compiled programs cached"}
    return [
        {"cache": names[row["cache"]], "seconds": f"{row['seconds']:.1f}"}
        for row in startup.measure("stream", startup.stream_start(Path(), *options), repeats=1)
    ]
