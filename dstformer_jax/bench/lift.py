"""Subject `lift`: detected keypoints to 3D as the command does it, windows and mirror included."""

import argparse
import time
from typing import Any

import jax
import numpy as np

from dstformer_jax.bench import network
from dstformer_jax.bench.network import Setting
from dstformer_jax.bench.report import Rows, spread
from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import H36M17
from dstformer_jax.inference import Model
from dstformer_jax.lift.lifter import Lifter


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subject."""
    network.add_flags(parser, batch=4)
    parser.add_argument("--length", type=int, default=972, help="frames of the motion [972]")
    parser.add_argument("--people", type=int, default=1, help="tracks of that length [1]")
    parser.add_argument("--repeats", type=int, default=5, help="of the whole motion [5]")


def run(flags: argparse.Namespace) -> Rows:
    """Frames a second of the clock and of CPU time; milliseconds to the first answer."""
    if min(flags.length, flags.people, flags.repeats) < 1:
        raise ValueError("got --length, --people or --repeats below 1, expected 1 or more")
    setting = Setting.of(flags)
    started = time.perf_counter()
    variables = network.weights(setting)
    info = {"model": setting.model, "fps": 30.0, "normaliser": {"mode": "crop"}}
    model = Model(setting.network, variables["params"], info, batch_size=2 * setting.batch)
    lifter = Lifter(model, setting.frames, batch=setting.batch)
    motion = walkers(flags.people, flags.length)
    lifter(walkers(1, 1))
    first = time.perf_counter() - started
    wall, cpu = [], []
    for _ in range(flags.repeats):
        before = time.perf_counter(), time.process_time()
        lifter(motion)
        wall.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    return [_row(setting, flags.people * flags.length, first, wall, cpu)]


def walkers(people: int, frames: int) -> Motion:
    """Tracks of joints that wander through a picture, in pixels."""
    rng = np.random.default_rng(0)

    def track(number: int) -> Track:
        steps = rng.normal(0, 2, (frames, 1, 2)).cumsum(axis=0)
        points = (640 + rng.uniform(-200, 200, (1, 17, 2)) + steps).astype(np.float32)
        return Track(number, 0, points, np.ones(points.shape[:2], np.float32))

    tracks = tuple(track(number) for number in range(people))
    return Motion(tracks, H36M17, fps=30.0, size=(1280, 720))


def _row(
    setting: Setting, frames: int, first: float, wall: list[float], cpu: list[float]
) -> dict[str, Any]:
    median, low, high = spread(wall)
    return {
        **setting.columns,
        "frames": frames,
        "frames_a_second": round(frames / median, 1),
        "slowest": round(frames / high, 1),
        "fastest": round(frames / low, 1),
        "frames_a_cpu_second": round(frames / spread(cpu)[0], 1),
        "first_ms": round(1e3 * first),
        "backend": jax.default_backend(),
    }
