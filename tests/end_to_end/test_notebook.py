"""docs/lift.ipynb runs from top to bottom without a network, and is committed small."""

import base64
import io
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from dstformer_jax import read

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "lift.ipynb"
# Python imports this by itself when it starts.
ALONE = """
import socket
connect = socket.socket.connect
def near(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a connection to {address}")
    return connect(self, address)
socket.socket.connect = near
"""


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in cells for output in cell.outputs]


def said(notebook: nbformat.NotebookNode) -> str:
    return "".join(each.text for each in outputs(notebook) if each.output_type == "stream")


def picture(notebook: nbformat.NotebookNode) -> Image.Image:
    """The only one."""
    (data,) = (each.data["image/png"] for each in outputs(notebook) if "data" in each)
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_committed_notebook_is_whole_and_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert {each.output_type for each in outputs(notebook)} == {"stream", "execute_result"}
    assert picture(notebook).size == (760, 380)
    assert NOTEBOOK.stat().st_size < 80_000


@pytest.mark.long
def test_the_notebook_runs_offline_and_lifts_well(tmp_path, monkeypatch):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "sitecustomize.py").write_text(ALONE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "alone"), str(ROOT)]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = said(notebook)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=250, kernel_name="python3", resources=where).execute()

    number = re.compile(r"\d+(?= mm)")
    assert number.sub("N", said(notebook)) == number.sub("N", before)
    every, hidden = map(int, number.findall(said(notebook)))
    assert every < 75  # x and y alone, without depth, are 104 mm off
    assert hidden < 150
    assert len(picture(notebook).getcolors(1 << 20) or []) > 50
    written = {path.name for path in (tmp_path / "lifted").iterdir()}
    assert written == {"walk.json", "walk.bvh", "walk.npz", "walk.html"}
    for name in ("walk.bvh", "walk.npz"):
        motion = read(tmp_path / "lifted" / name)
        assert (motion.num_frames, round(motion.fps)) == (90, 30)
