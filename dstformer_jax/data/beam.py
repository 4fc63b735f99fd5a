"""Reads the files of a preparation on a cluster: an Apache Beam pipeline in place of processes.

Each element is one file; a worker reads it into the work folder. So the source and the data folder
must be where all workers and this machine see them. Records and bank are then written here, as
without Beam, and are the same.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from .reading import read_item

if TYPE_CHECKING:
    from .builder import Item, SequenceBuilder
    from .work import Work

ANSWERS = "answers"


class ReadItem(beam.DoFn):
    """Key of an item -> JSON of the key and why it is bad ("" when it is good)."""

    def __init__(self, builder: SequenceBuilder, work: Work):
        self._dataset, self._source, self._work = builder.name, builder.source, work
        self._options = dataclasses.asdict(builder.options)

    def setup(self) -> None:
        """Makes this worker's own builder and lists the files, which tells what they are."""
        from .prepare import load_builder

        made = load_builder(self._dataset)
        assert self._source is not None
        self._builder = made(
            options=made.OPTIONS(**self._options),
            source=self._source,
            data_dir=str(self._work.path),
        )
        self._items = {item.key: item for item in self._builder.items(self._source)}

    def process(self, element: str) -> Iterator[str]:  # pyright: ignore
        """Reads one item."""
        yield json.dumps([element, read_item(self._builder, self._items[element], self._work)])


def read_with_beam(
    builder: SequenceBuilder, items: list[Item], work: Work, waiting: list[int], options: str
) -> Iterator[tuple[int, str]]:
    """Runs the pipeline to its end: place and reason of every item that waited.

    Args:
      options: Beam's own flags, such as "--runner=DirectRunner --direct_num_workers=4".

    Raises:
      ValueError: the pipeline failed; the same command goes on from what was read.
    """
    places = {items[place].key: place for place in waiting}
    answers = work.path / ANSWERS
    shutil.rmtree(answers, ignore_errors=True)
    try:
        with beam.Pipeline(options=PipelineOptions(shlex.split(options))) as pipeline:
            keys = pipeline | "files" >> beam.Create(list(places)) | beam.Reshuffle()
            read = keys | "read" >> beam.ParDo(ReadItem(builder, work))
            _ = read | "answers" >> beam.io.WriteToText(str(answers / ANSWERS))
    except Exception as error:  # what a runner raises is its own affair
        last = str(error).strip().splitlines()[-1:]
        raise ValueError(
            f"got a Beam pipeline that failed ({type(error).__name__}: {''.join(last)}); "
            "do the same again, which goes on from what was read"
        ) from error
    for path in sorted(answers.glob(f"{ANSWERS}*")):
        for line in path.read_text().splitlines():
            key, reason = json.loads(line)
            yield places[key], reason
