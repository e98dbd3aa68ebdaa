"""A figure as the last line of a notebook cell is shown, once."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from tests.helpers import PATIENCE, RESULTS

FIRST = f"""
import study

curves = study.read_curves({str(RESULTS / "quickstart")!r})
study.figure("degradation", curves)
"""
FURTHER = [
    'study.figure("depth_error", curves, style="talk")',
    "import matplotlib.pyplot as plt",
    FIRST.splitlines()[-1],
]


@pytest.mark.slow
def test_a_figure_is_shown_once_where_a_cell_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = [nbformat.v4.new_code_cell(source) for source in (FIRST, *FURTHER)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [[output["data"] for output in cell["outputs"]] for cell in notebook.cells]
    assert [len(outputs) for outputs in pictures] == [1, 1, 0, 1]  # the backend of pyplot draws none of them again
    for [data] in (pictures[0], pictures[1], pictures[3]):
        with Image.open(BytesIO(b64decode(data["image/png"]))) as image:
            assert image.format == "PNG" and 400 < image.width < 2000
