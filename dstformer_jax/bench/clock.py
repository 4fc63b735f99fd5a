"""Timing: arms that are compared run in turns, so that what disturbs one disturbs all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

WARM_UP = 2  # calls, after the first one


@dataclass(frozen=True)
class Arm:
    """One program.

    Attributes:
      name: of the row that it becomes.
      start: starts one call; on an accelerator it returns before the call is done.
      wait: returns when a call is done, given what `start` returned.
      flops: operations of one call, by the closed formula.
      steps: calls that are timed together: on an accelerator the host then runs ahead.
    """

    name: str
    start: Callable[[], Any]
    wait: Callable[[Any], Any]
    flops: float
    steps: int = 1


@dataclass(frozen=True)
class Timing:
    """Seconds of a call of one arm: the first, and one value a round."""

    first: float
    seconds: list[float]


def interleave(arms: Sequence[Arm], repeats: int, cpu: bool) -> dict[str, Timing]:
    """Times the arms in turns, A B A B ...

    Args:
      arms: of different names.
      repeats: rounds.
      cpu: CPU time of the whole process, for arms of one pinned thread; else the clock.

    Returns:
      name -> seconds of one call.
    """
    clock = time.process_time if cpu else time.perf_counter
    firsts = {arm.name: _block(arm, clock, 1) for arm in arms}
    for arm in arms:
        _block(arm, clock, min(WARM_UP, arm.steps * WARM_UP))
    seconds: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for _ in range(repeats):
        for arm in arms:
            seconds[arm.name].append(_block(arm, clock, arm.steps))
    return {name: Timing(firsts[name], values) for name, values in seconds.items()}


def _block(arm: Arm, clock: Callable[[], float], steps: int) -> float:
    """Seconds of a call, from `steps` of them that are waited for together."""
    started = clock()
    for _ in range(steps - 1):
        arm.start()
    arm.wait(arm.start())
    return (clock() - started) / steps
