"""Weights on the Hugging Face hub: `hf://owner/repo/file`, fetched once, then read from a cache.

The library huggingface_hub (the extra [hub]) fetches them and keeps them in its own cache, so what
was fetched once loads without a network. Its settings work here too: HF_HOME, HF_ENDPOINT,
HF_TOKEN for private repositories, HF_HUB_OFFLINE.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FORM = "hf://owner/repo/file or hf://owner/repo@revision/file"
# `Path` makes one slash of two. A revision with slashes is one of a proposed change: refs/pr/7.
_SCHEME = re.compile(r"hf:/{1,2}")
_ADDRESS = re.compile(
    r"(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>refs/pr/\d+|[^/@]+))?"
    r"/(?P<file>(?!(?:.*/)?\.\.?(?:/|$))[^/]+(?:/[^/]+)*)"  # no part is . or ..
)


def is_hub_path(path: str | Path) -> bool:
    """Whether a path names something on the hub, well or badly."""
    return _SCHEME.match(str(path)) is not None


def fetch(address: str | Path) -> Path:
    """The local copy of a file on the hub; the newest of its revision where the hub answers.

    Args:
      address: `hf://owner/repo/file`, or `hf://owner/repo@revision/file` with a branch, tag or
        commit. `file` may lie in folders.

    Raises:
      ValueError: another form, no such repository, revision or file, no network and nothing in
        the cache, or no huggingface_hub.
    """
    parts = _ADDRESS.fullmatch(_SCHEME.sub("", str(address), count=1))
    if parts is None:
        raise ValueError(f"got {str(address)!r}, expected {FORM}")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ValueError(
            f"got {str(address)!r}, expected the package huggingface_hub for it; "
            "do pip install 'dstformer_jax[hub]'"
        ) from None
    try:
        with _quiet():
            found = hf_hub_download(parts["repo"], parts["file"], revision=parts["revision"])
    except Exception as error:  # its own, the HTTP library's and the disk's
        raise ValueError(f"got {str(address)!r}, {_why(error, parts)}") from error
    return Path(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the library from logging each of its attempts; what fails for good is raised."""
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _why(error: Exception, parts: re.Match[str]) -> str:
    """What the library's error means and what to do, for the end of a sentence."""
    from huggingface_hub import errors

    repo, revision = parts["repo"], parts["revision"] or "main"
    # A class comes before those that it derives from.
    reasons: tuple[tuple[Any, str], ...] = (
        (
            errors.GatedRepoError,
            f"whose repository {repo} asks for consent; do give it on its page and set HF_TOKEN",
        ),
        (
            errors.RepositoryNotFoundError,
            f"expected a repository that the hub has; it has no {repo}, or a private one: do check "
            "the name, or set HF_TOKEN",
        ),
        (errors.RevisionNotFoundError, f"expected a revision of {repo}; it has no {revision!r}"),
        (
            errors.LocalEntryNotFoundError,
            "expected a hub that answers or a file in its cache; do check the network, HF_ENDPOINT "
            "and HF_HUB_OFFLINE",
        ),
        (
            errors.EntryNotFoundError,
            f"expected a file of {repo}; revision {revision!r} has no {parts['file']!r}",
        ),
        (errors.HFValidationError, f"expected {FORM}"),
    )
    known = (text for kind, text in reasons if isinstance(error, kind))
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return next(known, f"which cannot be fetched: {said}")
