"""What the pages name exists: files, commands, flags, config keys and variants, links."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import common

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.ipynb")])
WORD = r"[a-z_0-9]+"


def spans(text: str) -> list[str]:
    """Code in a page: fenced lines (joined where they go on) and spans between backticks."""
    text = text.replace("\\\n", " ")
    fenced = re.findall(r"^ *```.*?$(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.S | re.M))
    return [line for block in fenced for line in block.splitlines()] + inline


def missing_files(text: str) -> list[str]:
    """Paths ending in .py, .sh or .md that are nowhere."""
    named = {word for span in spans(text) for word in re.findall(r"[\w/.-]+\.(?:py|sh|md)\b", span)}
    homes = (ROOT, ROOT / "dstformer_jax", ROOT / "docs")
    return sorted(n for n in named if "/" in n and not any((home / n).exists() for home in homes))


def missing_modules(text: str) -> list[str]:
    named = set(re.findall(r"-m (dstformer_jax[\w.]*)", text))
    return sorted(name for name in named if importlib.util.find_spec(name) is None)


@cache
def config_of(file: str, variant: str) -> ConfigDict:
    return importlib.import_module(f"configs.{file}").get_config(variant)


def has(config: ConfigDict, key: str) -> bool:
    """Whether `a.b.c` is a key; `*` stands for any."""
    head, _, rest = key.partition(".")
    found = list(config.values()) if head == "*" else [config[head]] if head in config else []
    return any(not rest or (isinstance(each, ConfigDict) and has(each, rest)) for each in found)


def broken_configs(text: str) -> Iterator[str]:
    """Variants and flags that the config files named on the same line do not know."""
    for span in spans(text):
        for file, variant in re.findall(rf"configs/({WORD})\.py(?::({WORD}(?:,{WORD})*))?", span):
            try:
                config = config_of(file, variant)
            except (ImportError, ValueError) as error:
                yield f"{span}: {error}"
                continue
            for key in re.findall(r"--config\.([\w.]+)=", span):
                if key != "a.b" and not has(config, key):  # a.b stands for any
                    yield f"{span}: {key}"


def missing_targets(page: Path) -> list[str]:
    """Local links that lead nowhere."""
    links = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", page.read_text())
    local = {a or b for a, b in links if not (a or b).startswith(("http", "#"))}
    return sorted(link for link in local if not (page.parent / link.split("#")[0]).exists())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page):
    text = page.read_text()
    assert missing_files(text) == []
    assert missing_modules(text) == []
    assert list(broken_configs(text)) == []
    assert missing_targets(page) == []


def test_the_config_keys_of_the_paper_map_exist():
    """Of the last column of its table of differences."""
    rows = re.findall(r"^\|.*\|$", (ROOT / "docs" / "paper_map.md").read_text(), re.MULTILINE)
    cells = [cell for row in rows if len(cell := row.split("|")) == 7]
    assert len(cells) > 20
    named = {
        key
        for cell in cells
        for span in re.findall(r"`([^`]+)`", cell[5])
        for key in re.findall(r"^[a-z_]+(?:\.[a-z_0-9*]+)+", span)
    }
    assert {"model.norm", "optim.weight_decay", "data.shared"} <= named
    names = [path.stem for path in (ROOT / "configs").glob("*.py")]
    configs = [common.base()]
    for name in names:
        with suppress(AttributeError, ValueError):  # no config, or one that wants a variant
            configs.append(config_of(name, ""))
    assert [key for key in sorted(named) if not any(has(c, key) for c in configs)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`models/absent.py`", missing_files),
        ("```\npython -m dstformer_jax.absent\n```", missing_modules),
        ("`--config=configs/pretrain.py:absent`", broken_configs),
        (
            "```\nmain --config=configs/pretrain.py \\\n  --config.optim.absent=1\n```",
            broken_configs,
        ),
    ],
)
def test_what_is_absent_is_found(text, wrong):
    assert len(list(wrong(text))) == 1


def test_keys_are_looked_up():
    config = ConfigDict({"sources": {"a": {"noise": True}}})
    assert has(config, "sources.*.noise")
    assert not has(config, "sources.*.mask")
    assert not has(config, "sources.a.noise.x")
