"""SIGTERM and Ctrl-C: a request to save and stop, answered between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import jax

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):
    """The run was asked to stop, and has saved its state."""

    def __init__(self, step: int, number: int = signal.SIGTERM):
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"stopped by {name}: saved step {step}; the same command goes on from it")
        self.exit_code = 128 + number


class Interrupt:
    """Catches the first SIGTERM or Ctrl-C inside a `with` block; a second one acts at once.

    With several processes, JAX's preemption service (SIGTERM alone) makes them all stop at the
    same step, and nothing is caught here.
    """

    def __init__(self) -> None:
        self.number: int = 0
        self._previous: dict[int, Any] = {}

    def requested(self, step: int) -> bool:
        """Whether to stop before this step; call it at every step, in every process."""
        if jax.process_count() == 1:
            return bool(self.number)
        from jax.experimental import multihost_utils

        if multihost_utils.reached_preemption_sync_point(step):
            self.number = signal.SIGTERM
        return bool(self.number)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def __enter__(self) -> Self:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if jax.process_count() == 1 and in_main_thread:
            self._previous = {number: signal.signal(number, self._catch) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
