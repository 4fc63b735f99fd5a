"""Which actions 2D tracks show: clips made as in training, through a network for actions."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dstformer_jax.body.motion import Motion, Track
from dstformer_jax.body.skeleton import Skeleton
from dstformer_jax.data import schema
from dstformer_jax.data.bank import Bank
from dstformer_jax.data.detected import best_seen, on_frames, picture_size, to_motion
from dstformer_jax.data.pipeline import evaluation
from dstformer_jax.data.sources import Source, SourceData
from dstformer_jax.files.output import beside, whole_file
from dstformer_jax.inference import Model
from dstformer_jax.lift.windows import batched, window_rows
from dstformer_jax.models.network import Network

TOP = 5  # classes that are named
FEW = 0.5  # windows that show a person in a smaller share of their frames are left out
BATCH = 8


class Clip(NamedTuple):
    """Frames [first, end) of a video and the people that are looked at, the best seen first.

    whole: all of a track or video, no window of it.
    """

    first: int
    end: int
    people: tuple[Track, ...]
    whole: bool


class Recognised(NamedTuple):
    """The classes of a clip with the highest probabilities, and these, in falling order."""

    clip: Clip
    top: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        """`person 0, 3: wave 81 %, clap 12 %, ...`."""
        people = ", ".join(str(track.id) for track in self.clip.people)
        return f"person {people}: " + ", ".join(f"{name} {100 * p:.0f} %" for name, p in self.top)


@dataclass(frozen=True)
class Recogniser:
    """Names actions with a network of the head "action" (`load(path, head="action")`).

    A network of one person sees each track, one of two people the two that are best seen. Clips are
    cut, stretched or thinned to the trained length and cropped by the functions that make the clips
    of an evaluation.
    """

    model: Model

    @cached_property
    def source(self) -> Source:
        """How clips were made when the network was tested."""
        clips = self.model.info.get("clips") or _tested(self.model.info)
        crop = clips.get("crop") and (float(np.mean(clips["crop"])),) * 2
        frames = min(clips["frames"], self.model.maxlen)
        settings = {"frames": frames, "persons": clips.get("persons", 1), "crop": crop}
        fixed = {"supervision": "label", "window": "whole", "input": "motion", "batch": BATCH}
        return Source(name="lift", dataset="memory", **settings, **fixed)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names in label order; numbers where the checkpoint has none."""
        count = self.model.network.head.classes  # pyright: ignore[reportAttributeAccessIssue]
        return tuple(self.model.info.get("classes") or map(str, range(count)))

    def __call__(self, motion: Motion, every: float | None = None) -> Iterator[Recognised]:
        """The actions of each whole track or video and, with `every`, of windows.

        Args:
          motion: 2D tracks as `lift.tracks.prepare` gives them.
          every: seconds of a window; windows overlap by half.

        Raises:
          ValueError: windows of less than two frames.
        """
        if every is not None and not 2 <= every * motion.fps < np.inf:
            raise ValueError(
                f"got every={every} s at {motion.fps:g} fps, expected 2 frames or more"
            )
        size = picture_size(motion, motion.size)
        scores = jax.jit(partial(class_scores, self.model.network))
        for clips in batched(self._clips(motion, every), BATCH):
            persons, skeleton = self.source.persons, self.model.skeleton
            bank = Bank.of([_sequence(clip, motion, size, persons, skeleton) for clip in clips])
            shown, _ = evaluation(SourceData.of(self.source, bank, self.model.skeleton))
            for batch in shown:
                rows = self.model.run(scores, batch["motion"], axes=4)
                for row in np.flatnonzero(batch["index"] >= 0):
                    probabilities = np.asarray(jax.nn.softmax(rows[row]))
                    yield Recognised(clips[batch["index"][row]], self._top(probabilities))

    def _top(self, probabilities: np.ndarray) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-probabilities, kind="stable")[:TOP]
        return tuple((self.classes[k], float(probabilities[k])) for k in order)

    def _clips(self, motion: Motion, every: float | None) -> Iterator[Clip]:
        """All of a track, or of everybody, then windows of it."""
        alone = self.source.persons == 1
        for tracks in [(track,) for track in motion] if alone else [motion.tracks]:
            group = replace(motion, tracks=tracks)
            first = min(track.start for track in tracks)
            spans = [(first, group.num_frames)]
            if every is not None and (frames := round(every * motion.fps)) < spans[0][1] - first:
                rows = window_rows(spans[0][1] - first, frames)[:, [0, -1]]
                spans += [(first + start, first + last + 1) for start, last in rows.tolist()]
            for number, (start, end) in enumerate(spans):
                seen = tuple(best_seen(group, slice(start, end))[: self.source.persons])
                if seen and (number == 0 or _share(seen[0], start, end) >= FEW):
                    yield Clip(start, end, seen, not number)


def _tested(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The source of the config that a run was tested on, else trained on."""
    config = info.get("config") or {}
    named = {**(config.get("eval") or {}).get("sources", {}), **config.get("sources", {})}
    found = [settings for settings in named.values() if settings]
    if not found:
        raise ValueError(
            "got an action network that does not say how its clips were made, expected a workdir "
            "or a file that dstformer_jax.convert wrote from one"
        )
    return found[0]


def _share(track: Track, first: int, end: int) -> float:
    """In how much of some frames a person is seen."""
    rows = slice(max(first - track.start, 0), max(end - track.start, 0))
    return float((track.confidence[rows] > 0).any(-1).sum()) / (end - first)


def _sequence(
    clip: Clip, motion: Motion, size: tuple[int, int], persons: int, skeleton: Skeleton
) -> schema.Sequence:
    """A clip as a prepared dataset has it: from the first to the last sight of its first person."""
    frames = slice(clip.first, clip.end)
    people = [on_frames(track, frames, motion.num_frames) for track in clip.people]
    seen = np.flatnonzero(people[0][..., -1].any(-1))
    moving = [to_motion(array[seen[0] : seen[-1] + 1], motion, size, skeleton) for array in people]
    partner = {"partner": (moving[1:] or [np.zeros_like(moving[0])])[0]} if persons == 2 else {}
    fixed = {"unit": "normalised", "axes": "camera", "label": 0, "joints": skeleton.names}
    return schema.Sequence(id="clip", fps=motion.fps, motion=moving[0], **partner, **fixed)


def class_scores(network: Network, variables: Any, motion: jax.Array) -> jax.Array:
    """Motion of M people [B, M, T, J, 3] -> scores of K classes [B, K], before softmax."""
    inputs = {}
    if network.head.absent == "masked":  # pyright: ignore[reportAttributeAccessIssue]
        inputs["present"] = (motion[..., 2] != 0).any(axis=(2, 3))  # as in training
    outputs: Any = network.apply(variables, motion, **inputs)
    return outputs["action"].astype("float32")


def write_actions(
    found: Sequence[Recognised], motion: Motion, stem: Path, formats: Sequence[str]
) -> list[Path]:
    """Writes `STEM.actions.json` and `STEM.actions.csv`, those of `formats`.

    Frames are those of the video, the last one included; seconds count from frame 0.
    """
    rows = [
        {
            "people": [track.id for track in each.clip.people],
            "first_frame": each.clip.first,
            "last_frame": each.clip.end - 1,
            "start_s": round(each.clip.first / motion.fps, 3),
            "end_s": round(each.clip.end / motion.fps, 3),
            "top": [{"class": name, "probability": round(p, 6)} for name, p in each.top],
        }
        for each in found
    ]
    writers = {"json": partial(_write_json, motion), "csv": _write_csv}
    paths = []
    for name in formats:
        paths.append(beside(stem, f".actions.{name}"))
        with whole_file(paths[-1]) as path:
            writers[name](rows, path)
    return paths


def _write_json(motion: Motion, rows: list[dict[str, Any]], path: Path) -> None:
    about = {"task": "action", "source": Path(motion.source).name, "fps": motion.fps}
    text = json.dumps({**about, "notes": motion.notes, "clips": rows}, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """One line a clip and class; people are joined by +."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        where = ("first_frame", "last_frame", "start_s", "end_s")
        writer.writerow(["people", *where, "rank", "class", "probability"])
        for row in rows:
            for rank, best in enumerate(row["top"], start=1):
                people = "+".join(map(str, row["people"]))
                facts = [people, *(row[name] for name in where)]
                writer.writerow([*facts, rank, best["class"], best["probability"]])
