"""The tables of README and of docs/benchmarks.md are those that the command prints, and right."""

import json
from pathlib import Path

import pytest

from dstformer_jax.bench.__main__ import main
from dstformer_jax.bench.markdown import PLACE, fill, read_all
from dstformer_jax.bench.short import short

ROOT = Path(__file__).resolve().parents[2]
FILES = [str(path) for path in (ROOT / "docs" / "benchmarks").glob("*.json")]
PAGES = [ROOT / "README.md", ROOT / "docs" / "benchmarks.md"]


def printed(capsys, *flags: str) -> str:
    assert main(["table", *flags, *FILES]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_hold_what_the_command_writes(page, tmp_path):
    """After new JSON files: bench table docs/benchmarks/*.json --write README.md ..."""
    copy = tmp_path / "page.md"
    copy.write_text(page.read_text())
    assert main(["table", *FILES, "--write", str(copy)]) == 0
    assert copy.read_text() == page.read_text()


def test_the_readme_holds_the_short_table_that_is_printed(capsys):
    (name, inside) = places(PAGES[0].read_text())[0]
    assert name == "short"
    assert inside.strip() == printed(capsys, "--readme").strip()
    assert "| forward pass, full, 1 clip of 243 frames" in inside


def test_every_measurement_is_on_the_page_as_printed(capsys):
    """Section by section, so that none of the files is left out."""
    inside = dict(places(PAGES[1].read_text()))
    shown = printed(capsys)
    assert set(inside) == {each["subject"] for each in read_all(FILES)}
    for name, text in inside.items():
        assert f"### {name}\n\n{text.strip()}\n" in shown


def places(text: str) -> list[tuple[str, str]]:
    """Names and contents of the places that the command fills."""
    found = list(PLACE.finditer(text))
    starts = [each.group(0).partition("-->\n")[2].rpartition("<!--")[0] for each in found]
    return [(each[1], inside) for each, inside in zip(found, starts, strict=True)]


def test_only_what_stands_between_the_markers_is_replaced():
    page = "a\n<!-- bench: x -->\nold\n<!-- end -->\nb\n<!-- bench: y -->\n<!-- end -->\n"
    want = (
        "a\n<!-- bench: x -->\n\n1\n2\n\n<!-- end -->\nb\n<!-- bench: y -->\n\n3\n\n<!-- end -->\n"
    )
    assert fill("a.md", page, {"x": ["1", "2"], "y": ["3"]}) == want
    assert fill("a.md", want, {"x": ["1", "2"], "y": ["3"]}) == want
    with pytest.raises(ValueError, match=r"a\.md: got a table 'x', expected some of"):
        fill("a.md", page, {"y": ["3"]})
    with pytest.raises(ValueError, match=r"a\.md: got no table"):
        fill("a.md", "nothing", {"x": ["1"]})


def test_a_place_without_its_end_does_not_take_the_next_one_with_it():
    page = "<!-- bench: x -->\nold\nprose\n<!-- bench: y -->\n<!-- end -->\n"
    with pytest.raises(ValueError, match=r"a\.md: got 'x' without an end"):
        fill("a.md", page, {"x": ["1"], "y": ["2"]})


def speed(subject: str, ours: float, theirs: float, **other: str) -> dict:
    row = {"size": "lite", "batch": 2, "T": 81, "dtype": "float32", "levels": "unrolled"}
    row |= {"clock": "cpu", "to_jax": 1.0, "least": 1.0, "most": 1.0}
    beside = {"to_jax": 1.5, "least": 1.25, "most": 2.0}
    rows = [
        {**row, "arm": "jax", "ms": ours},
        {**row, **beside, "arm": "torch eager", "ms": theirs},
    ]
    return measured(subject, rows, **other)


def measured(subject: str, rows: list[dict], **other: str) -> dict:
    machine = {
        "load": 1.0,
        "cpu": other.pop("cpu", "a processor"),
        "device": other.pop("device", ""),
    }
    told = {"command": "bench", "date": "2026-01-02", "commit": "abc", **other}
    return {"subject": subject, "rows": rows, "machine": machine, **told}


def test_the_short_table_says_what_the_rows_say():
    memory = {"size": "full", "batch": 1, "T": 243, "dtype": "bfloat16"}
    plans = [
        {**memory, "levels": "unrolled", "temporary_gb": 5.0, "peak_gb": 6.0},
        {**memory, "levels": "scan+remat=layer", "temporary_gb": 1.25, "peak_gb": 2.0},
    ]
    start = {"command": "lift", "until": "first file"}
    starts = [
        {**start, "cache": "empty", "cpu_s": 9.5},
        {**start, "cache": "filled", "cpu_s": 4},
    ]
    lines = short(
        [
            measured("startup", starts, date="2026-01-05"),
            measured("memory", plans),
            measured("memory", plans[1:]),
            speed(
                "train_step", 1500.0, 2250.0, command="bench --allocator=hugepages", commit="def"
            ),
            speed("forward", 20.0, 30.0),
            measured("compile", [{"program": "forward"}]),
        ]
    )
    planned = "memory of a train step, full, 1 clip of 243 frames, bfloat16, scan+remat=layer"
    assert lines[2:] == [
        "| forward pass, lite, 2 clips of 81 frames | 20 ms | 30 ms | 1.5 (1.25 to 2) |",
        "| train step, lite, 2 clips of 81 frames, huge pages | 1.50 s | 2.25 s "
        "| 1.5 (1.25 to 2) |",
        f"| {planned}, temporary | 1.25 GB instead of 5 GB |  |  |",
        f"| {planned}, planned peak | 2 GB |  |  |",
        "| `lift`, from the start to the first file, processor time | 4 s (9.5 s at first) |  |  |",
        "",
        "a processor; beside PyTorch one pinned thread of each; 2026-01-02 to 2026-01-05, "
        "commits abc, def.",
    ]


def test_machines_have_tables_of_their_own():
    alone = speed("forward", 1.0, 2.0)
    alone["rows"] = alone["rows"][:1]  # without PyTorch it is no row of this table
    lines = short([speed("forward", 20.0, 30.0), alone, speed("forward", 3.0, 4.0, device="H200")])
    assert [line for line in lines if line.startswith(("H200", "a processor"))] == [
        "H200; beside PyTorch one pinned thread of each; 2026-01-02, commit abc.",
        "a processor; beside PyTorch one pinned thread of each; 2026-01-02, commit abc.",
    ]
    assert sum(line.startswith("| forward") for line in lines) == 2


def test_a_page_that_asks_for_what_is_not_there_stays(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: absent -->\n<!-- end -->\n")
    out = tmp_path / "one.json"
    out.write_text(json.dumps(speed("forward", 1.0, 2.0) | {"rows": []}))
    assert main(["table", str(out), "--write", str(page)]) == 2
    assert "'absent'" in capsys.readouterr().err
    assert page.read_text() == "<!-- bench: absent -->\n<!-- end -->\n"


def test_pages_are_written_together_or_not_at_all(tmp_path, capsys):
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("<!-- bench: short -->\n<!-- end -->\n")
    bad.write_text("prose")
    assert main(["table", *FILES, "--write", str(good), str(bad)]) == 2
    assert f"{bad}: got no table" in capsys.readouterr().err
    assert good.read_text() == "<!-- bench: short -->\n<!-- end -->\n"


def test_readme_is_not_silently_dropped_beside_write(capsys):
    with pytest.raises(SystemExit):
        main(["table", *FILES, "--readme", "--write", "x.md"])
    assert "not allowed with" in capsys.readouterr().err
