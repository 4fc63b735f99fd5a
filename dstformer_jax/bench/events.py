"""Time by device events: when an accelerator began and ended the work of queued calls.

JAX's profiler records them: on NVIDIA GPUs through CUPTI, which sees the kernels of every engine of
the process, so PyTorch's are measured by the same clock.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.profiler import ProfileData, ProfileOptions

from dstformer_jax.bench.clock import Arm


@dataclass(frozen=True)
class OnDevice:
    """Seconds of a call from the first event to the last, and the share of them with work."""

    seconds: float
    busy: float


def trace(arm: Arm) -> OnDevice | None:
    """Runs `arm.steps` calls under the profiler; None where no GPU recorded any event."""
    options = ProfileOptions()
    options.python_tracer_level = options.host_tracer_level = 0  # they would delay the host
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            for _ in range(arm.steps - 1):
                arm.start()
            arm.wait(arm.start())
        (path,) = Path(folder).rglob("*.xplane.pb")
        return read(ProfileData.from_file(str(path)), arm.steps)


def read(profile: Any, calls: int) -> OnDevice | None:
    """The device events of a profile over a number of calls.

    Streams run side by side: moments with work on several count once. Lines that are no streams
    repeat the same events by operation or by module.

    Args:
      profile: `jax.profiler.ProfileData`.
      calls: that ran meanwhile.
    """
    spans = [
        (event.start_ns, event.start_ns + event.duration_ns)
        for plane in profile.planes
        if plane.name.startswith("/device:GPU")
        for line in plane.lines
        if line.name.startswith("Stream")
        for event in line.events
    ]
    if not spans:
        return None
    whole = max(end for _, end in spans) - min(start for start, _ in spans)
    return OnDevice(whole / calls / 1e9, _covered(spans) / whole)


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
