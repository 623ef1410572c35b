"""The notebooks run, on a small project like the one that 'make demo' leaves, and are stored without outputs."""

from __future__ import annotations

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
nbclient = pytest.importorskip("nbclient")
for needed in ("ipykernel", "matplotlib", "onnxruntime", "sklearn", "espeakng_loader", "pyroomacoustics"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.slow
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
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type in ("code", "markdown")
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = read(path)
    inputs = [cell.source for cell in notebook.cells]
    resources = {"metadata": {"path": str(project / "notebooks")}}  # where Jupyter would start it
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    assert [cell.source for cell in notebook.cells] == inputs
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs) or "plt" not in "".join(inputs)


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
