"""The one loop: `fit` drives the train step along the plan."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from dstformer_jax.data import pipeline
from dstformer_jax.data.plan import Draw, Plan
from dstformer_jax.training import evaluate, logs, parallel
from dstformer_jax.training.checkpoint import Checkpoints, read_info
from dstformer_jax.training.cost import train_flops
from dstformer_jax.training.experiment import Experiment, noise_table
from dstformer_jax.training.interrupt import Interrupt, Interrupted
from dstformer_jax.training.state import State, begin
from dstformer_jax.training.step import Metrics, Steps

AHEAD = 2  # steps the host may run ahead of the device: enough to keep it busy, bounded in memory


class NonFinite(Exception):
    """A loss, term or gradient became infinite or not a number."""


def fit(
    experiment: Experiment,
    workdir: str | Path,
    given: dict[str, Any] | None = None,
    started: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Trains along the plan, from the last checkpoint of `workdir` if it has one.

    Args:
      experiment: from `build(config)`.
      workdir: gets checkpoints/, metrics.jsonl and tensorboard/.
      given: variables to start from instead of random ones (fine-tuning).
      started: called when the weights to start from are there and fit, before anything is written
        but the folder of the checkpoints.

    Returns:
      The results of the last evaluation, `eval/<source>/<metric>`.

    Raises:
      Interrupted: after SIGTERM or Ctrl-C, with the state saved.
      NonFinite: naming the first bad step and its terms; no bad state is saved.
    """
    config = experiment.config
    with ExitStack() as stack:
        backend = parallel.backend(config.get("parallel", "auto"))
        _, mode = experiment.task.best
        keep = config["checkpoint"].get("keep", 2)
        archive = archived_steps(experiment.plan, config["checkpoint"].get("archive", 0))
        checkpoints = stack.enter_context(Checkpoints(workdir, keep, mode, archive=archive))
        interrupt = stack.enter_context(Interrupt())
        state, sentence = begin(experiment, backend, checkpoints, given)
        started()
        done, total = int(state.step), experiment.plan.total_steps
        log = logs.Log(workdir, done, total, parallel.is_first_process())
        stack.enter_context(log)
        log.say(f"{sentence}; {total - done} steps to go on {len(backend.devices)} device(s)")
        return Loop(experiment, backend, checkpoints, log, interrupt).run(state, done)


class Loop:
    """The parts of one run, and what happens after a step."""

    def __init__(
        self,
        experiment: Experiment,
        backend: parallel.Jit,
        checkpoints: Checkpoints,
        log: logs.Log,
        interrupt: Interrupt,
    ):
        config = experiment.config
        self.experiment, self.plan, self.log = experiment, experiment.plan, log
        self.checkpoints, self.interrupt = checkpoints, interrupt
        self.steps = Steps(experiment, backend)
        self.evaluator = evaluate.Evaluator(
            experiment.network,
            experiment.task,
            experiment.tests,
            backend,
            flip=config["eval"].get("flip", True),
            seed=config["seed"],
            groups=config["eval"].get("groups"),
            table=noise_table(config["data"], experiment.skeleton),
            shared=config["data"].get("shared", False),
        )
        self.window = Window(experiment, logs.peak_flops(config.get("peak_tflops")))
        self.profile = Profile(config.get("profile") or {}, Path(log.workdir) / "profile")
        self.results: dict[str, float] = {}
        self.alarmed = False

    def run(self, state: State, done: int) -> dict[str, float]:
        """Steps from `done` to the end of the plan."""
        with self.window.speed.pause():
            self.steps.compile_all(state)
        if done == 0 and self.experiment.config["eval"].get("at_start"):
            self._evaluate(state, done, 0)
        missed = done > 0 and read_info(self.checkpoints.folder.parent, done).get(
            "unevaluated", False
        )
        if missed:
            self._evaluate_late(state, done)
        self.window.restart()
        self.log.restart()
        running: deque[jax.Array] = deque()
        for draw, batch in self._batches(done):
            with self.profile.step(draw.step):
                state, metrics = self.steps(self.plan.sources[draw.source], state, batch)
            self.window.add(draw, metrics)
            running.append(metrics["loss"])
            if len(running) > AHEAD:
                running.popleft().block_until_ready()
            self.log.advance()
            self._after(draw, state)
        if done == self.plan.total_steps:
            self.log.say("nothing left to train: the plan is complete")
            if not missed:
                self._evaluate(state, done, self.plan.epochs - 1)
        return self.results

    def _batches(self, done: int) -> Iterator[tuple[Draw, parallel.Batch]]:
        settings = self.experiment.config["data"]
        return iter(
            pipeline.batches(
                self.plan,
                self.experiment.data,
                done,
                feed=settings.get("feed", "tf"),
                corrupt_on=settings.get("corrupt_on", "host"),
                shared=settings.get("shared", False),
                table=noise_table(settings, self.experiment.skeleton),
                process_index=jax.process_index(),
                process_count=jax.process_count(),
            )
        )

    def _after(self, draw: Draw, state: State) -> None:
        """Logs, evaluates, saves and stops, when it is time for it."""
        config, done = self.experiment.config, draw.step + 1
        last = done == self.plan.total_steps
        epoch_ends = last or self.plan.epoch_of(done) != draw.epoch
        evaluates = last or (epoch_ends and _due(draw.epoch + 1, config["eval"].get("every", 1)))
        stops = self.interrupt.requested(done)
        saves = evaluates or stops or _due(done, config["checkpoint"].get("every", 0))
        saves |= done in self.checkpoints.archive
        if saves or _due(done, config.get("log_every", 100)):
            self._report(draw, everything=saves)
        if not saves:
            return
        with self.window.speed.pause():
            results = self._evaluate(state, done, draw.epoch) if evaluates and not stops else None
            info = self._info(done, results, unevaluated=evaluates and results is None)
            self.checkpoints.save(done, state, info, self._best(results))
        self._stop_if_asked(done)

    def _stop_if_asked(self, done: int) -> None:
        if self.interrupt.number:
            self.checkpoints.wait()
            # A launcher that ends all with the first would cut the one short that still writes.
            multihost_utils.sync_global_devices("saved")
            raise Interrupted(done, self.interrupt.number)

    def _evaluate_late(self, state: State, done: int) -> None:
        """The evaluation of the restored step, which a stop had prevented."""
        results = self._evaluate(state, done, self.plan.epoch_of(done - 1))
        if results is not None:
            self.checkpoints.measure(done, self._info(done, results), self._best(results))
        self._stop_if_asked(done)

    def _report(self, draw: Draw, everything: bool) -> None:
        """Writes the means of the steps since the last report; one step behind when running."""
        values = self.window.read(everything)
        if not values:
            return
        step, total = self.window.last, self.plan.total_steps
        self.log.write(step, {"epoch": draw.epoch, **values})
        self.log.say(logs.sentence(step, total, draw.epoch, values))
        watcher = getattr(self.experiment.task, "alarm", None)
        alarm = watcher(step, values) if watcher else None
        if bool(alarm) != self.alarmed:
            self.log.say(f"WARNING: {alarm}" if alarm else f"step {step}: the last warning is over")
        self.alarmed = bool(alarm)

    def _evaluate(self, state: State, done: int, epoch: int) -> dict[str, float] | None:
        """Results on every test source; None when a stop was asked for meanwhile."""
        results = self.evaluator(state.variables, stop=lambda: bool(self.interrupt.number))
        if results is None:
            return None
        self.results = results
        self.log.write(done, {"epoch": epoch, **results})
        for line in logs.evaluation_lines(results):
            self.log.say(line)
        return results

    def _best(self, results: Mapping[str, float] | None) -> float:
        """What `best` compares; not a number without results."""
        metric, _ = self.experiment.task.best
        settings = self.experiment.config["eval"]
        source, groups = settings.get("best"), settings.get("groups") or ()
        return evaluate.best_value(results, metric, source, groups) if results else math.nan

    def _info(
        self, done: int, results: Mapping[str, float] | None, unevaluated: bool = False
    ) -> dict[str, Any]:
        """What is saved beside the state; `unevaluated` when a stop prevented an evaluation."""
        position = {"next_step": done, "draws": list(self.plan.first_draws(done))}
        info = {**self.experiment.info, "data": position, "results": dict(results or {})}
        return info | ({"unevaluated": True} if unevaluated else {})


def archived_steps(plan: Plan, every: int) -> frozenset[int]:
    """Finished steps at the ends of every `every`-th epoch: their checkpoints stay. 0: none."""
    ends = accumulate(plan.steps_in_epoch(epoch) for epoch in range(plan.epochs))
    return frozenset(end for epoch, end in enumerate(ends, start=1) if _due(epoch, every))


def _due(count: int, every: int) -> bool:
    return bool(every) and count % every == 0


class Window:
    """Metrics of the steps since the last report. They stay on the device until they are read."""

    def __init__(self, experiment: Experiment, peak: float | None):
        self.plan = experiment.plan
        self.speed = logs.Speed(peak)
        self.last = 0
        self._waiting: list[tuple[Draw, Metrics]] = []
        backbone: Any = experiment.network.backbone
        self._flops = [
            source.batch * train_flops(backbone, source.frames) for source in self.plan.sources
        ]

    def restart(self) -> None:
        """Starts the clock."""
        self.speed.read(0, 0, 0)

    def add(self, draw: Draw, metrics: Metrics) -> None:
        """Remembers a step's metrics without waiting for them."""
        self._waiting.append((draw, metrics))

    def read(self, everything: bool) -> dict[str, float]:
        """Means since the last reading, and the speed.

        Args:
          everything: also of the newest step, which waits for it; else all but that one.

        Raises:
          NonFinite: at the first step with a value that is not finite.
        """
        split = len(self._waiting) - (not everything)
        ready, self._waiting = self._waiting[:split], self._waiting[split:]
        if not ready:
            return {}
        fetched = jax.device_get([metrics for _, metrics in ready])
        columns: dict[str, list[float]] = {}
        for (draw, _), metrics in zip(ready, fetched, strict=True):
            self._check(draw, metrics)
            for name, value in metrics.items():
                columns.setdefault(name, []).append(float(value))
        self.last = ready[-1][0].step + 1
        sources = [draw.source for draw, _ in ready]
        clips = sum(self.plan.sources[source].batch for source in sources)
        speed = self.speed.read(len(ready), clips, sum(self._flops[source] for source in sources))
        return {name: sum(column) / len(column) for name, column in columns.items()} | speed

    def _check(self, draw: Draw, metrics: Mapping[str, Any]) -> None:
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if not bad:
            return
        source = self.plan.sources[draw.source].name
        values = ", ".join(f"{name} {float(metrics[name])}" for name in bad)
        raise NonFinite(
            f"step {draw.step + 1} (source {source!r}, epoch {draw.epoch}): {values}; stopped "
            "before saving. Try a lower optim.learning_rate, optim.clip=1, or look at that source"
        )


class Profile:
    """Traces some steps for TensorBoard's profiler: `profile = {"start": 20, "num_steps": 5}`."""

    def __init__(self, settings: Mapping[str, int], folder: Path):
        self._first = settings.get("start", 0)
        self._last = self._first + settings.get("num_steps", 0) - 1
        self._folder = folder
        self._tracing = False

    def step(self, step: int) -> "Profile":
        """`with profile.step(n):` around the call of a step."""
        self._step = step
        return self

    def __enter__(self) -> None:
        # A run resumed inside the window traces what is left of it.
        if not self._tracing and self._first <= self._step <= self._last:
            jax.profiler.start_trace(str(self._folder))
            self._tracing = True

    def __exit__(self, *_: object) -> None:
        if self._tracing and self._step >= self._last:
            jax.profiler.stop_trace()
            self._tracing = False
