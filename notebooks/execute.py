"""Execute the notebooks on what ``make demo`` leaves, and store them with small outputs: ``make notebooks``.

Pictures are reduced to few colours, players and progress are left out. The tests execute the notebooks on a smaller
project and compare, by :func:`likeness`, what does not depend on its numbers.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

HERE = Path(__file__).resolve().parent
COLOURS = 16
WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT = ("image/png", "text/html", "text/plain")


def execute(path: Path, folder: Path) -> Any:
    """The notebook after it has run in a folder, with outputs that are small."""
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [small(output) for output in cell.outputs if not passing(output)]
    return notebook


def passing(output: Any) -> bool:
    """Whether an output is progress, which nobody reads afterwards."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    return output.get("name") == "stderr" or WIDGET in data or not data.get("text/plain", "").strip()


def small(output: Any) -> Any:
    """An output without what takes room: colours of pictures, and the sound in players."""
    if "data" in output:
        sound = "<audio" in output.data.get("text/html", "")
        output.metadata = {}
        output.data = {
            kind: output.data[kind] for kind in KEPT if kind in output.data and not (sound and "html" in kind)
        }
        if "image/png" in output.data:
            picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
            packed = io.BytesIO()
            picture.convert("RGB").quantize(COLOURS).save(packed, "PNG", optimize=True)
            output.data["image/png"] = base64.b64encode(packed.getvalue()).decode()
    if "execution_count" in output:
        output.execution_count = None
    return output


def likeness(notebook: Any) -> list[list[str]]:
    """For each cell, what any project gives: kinds of outputs, and words without numbers, names and signs."""
    return [[_words(output) for output in cell.get("outputs", [])] for cell in notebook.cells]


def _words(output: Any) -> str:
    if "image/png" in output.get("data", {}):
        return "picture"
    text = output.get("text") or output["data"]["text/plain"]
    return " ".join(re.findall(r"(?<![\w/.#])[A-Za-z]{2,}(?![\w/])", re.sub(r"\S*[/#]\S*", "", text)))


if __name__ == "__main__":
    for each in sorted(HERE.glob("*.ipynb")):
        nbformat.write(execute(each, HERE), each)
