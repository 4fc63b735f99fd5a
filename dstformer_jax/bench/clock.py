"""Timing: arms that are compared run in turns, so that what disturbs one disturbs all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

try:
    import resource
except ImportError:  # not on Windows
    resource = None

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
    """Seconds of a call of one arm: the first, and one value a round.

    `faults` are the pages a call that the system had to map anew: memory that the engine gives back
    and takes again costs them, whoever else uses the machine.
    """

    first: float
    seconds: list[float]
    faults: list[float] = field(default_factory=list)


def interleave(arms: Sequence[Arm], repeats: int, cpu: bool) -> dict[str, Timing]:
    """Times the arms in turns, A B A B ...

    An arm is called once, untimed, before it is timed: in use a program follows itself, and does
    not find the caches as another engine left them.

    Args:
      arms: of different names.
      repeats: rounds.
      cpu: CPU time of the whole process, for arms of one pinned thread; else the clock.

    Returns:
      name -> seconds of one call.
    """
    clock = time.process_time if cpu else time.perf_counter
    timed = {arm.name: Timing(_block(arm, clock, 1), []) for arm in arms}
    for arm in arms:
        _block(arm, clock, WARM_UP)
    for _ in range(repeats):
        for arm in arms:
            _block(arm, clock, 1)
            before = page_faults()
            timed[arm.name].seconds.append(_block(arm, clock, arm.steps))
            timed[arm.name].faults.append((page_faults() - before) / arm.steps)
    return timed


def page_faults() -> int:
    """Pages that this process had mapped so far without reading a disk; 0 where nobody counts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def _block(arm: Arm, clock: Callable[[], float], steps: int) -> float:
    """Seconds of a call, from `steps` of them that are waited for together."""
    started = clock()
    for _ in range(steps - 1):
        arm.start()
    arm.wait(arm.start())
    return (clock() - started) / steps
