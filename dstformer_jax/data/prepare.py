"""Builds a dataset from files on disk: `python -m dstformer_jax.data.prepare --dataset=bvh ...`.

Offline. Each file is read once into a work folder, so that an interrupted run goes on where it
stopped; then the records (ArrayRecord, through tfds) and the frame bank are written, each of them
complete or not at all. Bad files are named and skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import io
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .bank import Bank
from .reading import Scale, read_all
from .report import REPORT, Report, split_size

if TYPE_CHECKING:
    from .builder import Item, SequenceBuilder
    from .work import Work

BUILDERS = Path(__file__).resolve().parents[2] / "datasets"


def builder_names() -> list[str]:
    """The datasets that can be prepared: the folders of `datasets/`."""
    return sorted(path.parent.name for path in BUILDERS.glob("*/*_dataset_builder.py"))


def load_builder(dataset: str) -> type[SequenceBuilder]:
    """The Builder class of `datasets/<dataset>/`; ValueError naming the datasets there are."""
    if dataset not in builder_names():
        raise ValueError(
            f"got --dataset={dataset}, expected one of {', '.join(builder_names()) or 'none'} "
            f"(folders of {BUILDERS})"
        )
    from tensorflow_datasets.core.utils import add_sys_path

    with add_sys_path(BUILDERS):
        return importlib.import_module(f"{dataset}.{dataset}_dataset_builder").Builder


def prepare(
    dataset: str,
    data_dir: str | Path,
    source: str | Path | None = None,
    name: str = "default",
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: bool = True,
    scale: Scale | None = None,
) -> Report:
    """Builds `<data_dir>/<dataset>/<name>/<version>` and its frame bank; returns the report.

    A finished dataset is left alone unless `overwrite`; an interrupted one is continued. What is
    written depends on `scale` only in the number of record files.
    Raises ValueError when the source is not what the builder expects, when no file of it can be
    read, or when the name is taken by a dataset prepared with other options.
    """
    builder = load_builder(dataset)
    settings = builder.OPTIONS(**(options or {}))
    _check(builder, dataset, source, name)
    root = Path(data_dir) / dataset / name
    prepared = root / str(builder.VERSION)
    if overwrite:
        shutil.rmtree(root / "work", ignore_errors=True)
        shutil.rmtree(prepared, ignore_errors=True)
    if _is_finished(prepared) and not (root / "work").exists():
        report = _finished(prepared, _plain(settings), _plain(builder.OPTIONS()))
        print(f"{report.dataset} is there already (--overwrite prepares it again)", file=sys.stderr)
        return report
    return _prepare(builder, settings, source, root, prepared, progress, scale or Scale())


def _check(
    builder: type[SequenceBuilder], dataset: str, source: str | Path | None, name: str
) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ValueError(f"got --name={name}, expected letters, digits, '_', '-' and '.'")
    if builder.NEEDS_SOURCE and source is None:
        raise ValueError(f"got no --source, {dataset} expects {builder.EXPECTS}")
    if source is not None and not Path(source).exists():
        raise ValueError(f"got --source={source}, which does not exist; expected {builder.EXPECTS}")


def _is_finished(prepared: Path) -> bool:
    return (prepared / "dataset_info.json").is_file()


def _finished(prepared: Path, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Report:
    """The report of a dataset that is already there; its bank is checked, or rebuilt if missing.

    Options that came later count as their defaults, which do what was done before.
    """
    if not (prepared / REPORT).is_file():
        raise ValueError(
            f"got {prepared}, which another program prepared (no {REPORT}); "
            "do it again with --overwrite, or take another --name"
        )
    report = Report.read(prepared / REPORT)
    differing = {
        key: (old, value)
        for key, value in options.items()
        if value != (old := report.options.get(key, defaults[key]))
    }
    if differing:
        changes = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in differing.items())
        raise ValueError(
            f"got other options than {report.dataset} was prepared with ({changes}); "
            "take another --name, or --overwrite"
        )
    for split in report.splits:
        name = f"{prepared.parents[1].name}/{prepared.parent.name}"
        Bank.open(prepared.parents[2], name, split).verify()
    return report


def _plain(settings: Any) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    values = dataclasses.asdict(settings)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _prepare(
    builder: type[SequenceBuilder],
    settings: Any,
    source: str | Path | None,
    root: Path,
    prepared: Path,
    progress: bool,
    scale: Scale,
) -> Report:
    from .work import Work

    folder = Path(source or ".").resolve()
    options = _plain(settings)
    new = builder(options=settings, source=folder, data_dir=str(root.parents[1]))
    items = new.items(folder)
    work = Work(
        root / "work",
        {"options": options, "source": str(folder), "version": str(builder.VERSION)},
    )
    skipped = read_all(new, items, work, scale, progress)
    chosen = [item for item in items if item.key not in skipped and work.count(item)]
    if not chosen:
        work.remove()
        first = "".join(f"; {key}: {reason}" for key, reason in list(skipped.items())[:1])
        raise ValueError(
            f"got {folder}, where none of {len(items)} files gave a sequence "
            f"(expected {builder.EXPECTS}){first}"
        )
    splits: Counter[str] = Counter()
    for item in chosen:
        splits.update(dict.fromkeys(item.splits, work.count(item)))
    if scale.num_shards > min(splits.values()):
        raise ValueError(
            f"got --num_shards={scale.num_shards}, expected at most the sequences of each split "
            f"({dict(splits)}); what was read is kept"
        )
    _write(builder, settings, chosen, work, root, prepared, scale.num_shards)
    dataset = f"{root.parent.name}/{root.name}"
    banks = {split: Bank.open(root.parents[1], dataset, split) for split in splits}
    report = Report(
        dataset=dataset,
        version=str(builder.VERSION),
        path=str(prepared),
        source=str(folder) if builder.NEEDS_SOURCE else "",
        options=options,
        files=len(items),
        skipped=skipped,
        notes=dict(sum((work.notes(item) for item in items), new.notes)),
        splits={split: split_size(bank.sequences) for split, bank in banks.items()},
    )
    report.write(prepared / REPORT)
    work.remove()
    return report


def _write(
    builder: type[SequenceBuilder],
    settings: Any,
    chosen: list[Item],
    work: Work,
    root: Path,
    prepared: Path,
    num_shards: int,
) -> None:
    """Writes the records; an earlier, interrupted attempt is swept away."""
    if _is_finished(prepared):
        return
    import tensorflow_datasets as tfds
    from absl import logging

    for leftover in root.glob(f"incomplete.*_{prepared.name}"):
        shutil.rmtree(leftover)
    config = root.name if root.name == "default" else tfds.core.BuilderConfig(name=root.name)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        writer = builder(
            options=settings,
            chosen=chosen,
            parsed=work.read,
            config=config,
            data_dir=str(root.parents[1]),
            file_format="array_record",
        )
        with contextlib.redirect_stdout(io.StringIO()):  # tfds talks of downloading
            writer.download_and_prepare(
                download_dir=str(work.path / "downloads"),
                download_config=tfds.download.DownloadConfig(num_shards=num_shards or None),
            )
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m dstformer_jax.data.prepare",
        description="Builds a dataset from files: records, frame bank and report.json. Offline; "
        "an interrupted run continues; bad files are named and skipped.",
        epilog="With --dataset, --help lists the options of that dataset too.",
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("--dataset", required=True, help=f"one of {', '.join(builder_names())}")
    parser.add_argument("--data_dir", required=True, help="where prepared datasets live")
    parser.add_argument("--source", help="the folder (or file) to read")
    parser.add_argument("--name", default="default", help="name of this instance [default]")
    parser.add_argument("--num_workers", type=int, default=1, help="processes that read [1]")
    text = "record files a split [0: by size]"
    parser.add_argument("--num_shards", type=int, default=0, help=text)
    text = "read by Apache Beam with these flags of its own, e.g. --runner=DirectRunner"
    parser.add_argument("--beam", default="", metavar="FLAGS", help=text)
    parser.add_argument("--overwrite", action="store_true", help="prepare again from the start")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("-h", "--help", action="help", help="show this help and exit")
    return parser


def _add_options(parser: _Parser, builder: type[SequenceBuilder]) -> None:
    """One flag for each field of the builder's Options."""
    group = parser.add_argument_group(f"options of this dataset (--source: {builder.EXPECTS})")
    for field in dataclasses.fields(builder.OPTIONS):
        default = field.default
        text = f"{field.metadata.get('help', '')}{_shown(default)}".replace("%", "%%")
        if isinstance(default, bool):
            action = argparse.BooleanOptionalAction
            group.add_argument(f"--{field.name}", action=action, default=default, help=text)
        else:
            kind = _names if isinstance(default, tuple) else type(default)
            group.add_argument(f"--{field.name}", type=kind, default=default, help=text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _shown(default: Any) -> str:
    """A default as the help shows it."""
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    return f" [{text}]" if text else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0 when the dataset is there, 2 after a mistake of the user's."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = _parser()
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        first.add_argument("--dataset")
        dataset = first.parse_known_args(arguments)[0].dataset
        builder = load_builder(dataset) if dataset else None
        if builder:
            _add_options(parser, builder)
        given = vars(parser.parse_args(arguments))
        names = [field.name for field in dataclasses.fields(builder.OPTIONS)] if builder else []
        report = prepare(
            given["dataset"],
            given["data_dir"],
            source=given["source"],
            name=given["name"],
            options={name: given[name] for name in names},
            overwrite=given["overwrite"],
            progress=not given["quiet"],
            scale=Scale(given["num_workers"], given["num_shards"], given["beam"]),
        )
    except ImportError as error:
        print(f"prepare: {error}; do pip install -r requirements.txt", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print("\n".join(report.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
