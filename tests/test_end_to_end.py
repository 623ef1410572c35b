"""The product as a newcomer meets it: the pipeline over DVC, and every command and example of the documentation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seedpipe.demo import build_demo_corpus

HERE = Path(__file__).resolve().parents[1]
SMALL = {
    "train_voices": 6,
    "eval_voices": 10,
    "train_utterances": 3,
    "eval_utterances": 4,
    "draws": 2,
    "crops": 2,
    "epochs": 3,
    "bootstrap": 200,
}
pytestmark = pytest.mark.slow


def small_params() -> str:
    text = (HERE / "params.yaml").read_text(encoding="utf-8")
    for key, value in SMALL.items():
        text, count = re.subn(rf"^( +{key}:) \d+$", rf"\1 {value}", text, flags=re.MULTILINE)
        assert count == 1, key
    return text


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without Git, under a path with a space, after one ``dvc repro`` with small parameters."""
    folder = tmp_path_factory.mktemp("a project") / "seedpipe"
    folder.mkdir()
    shutil.copytree(HERE / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "networks", folder / "networks", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(HERE / "dvc.yaml", folder)
    (folder / "params.yaml").write_text(small_params(), encoding="utf-8")
    (folder / ".dvc").mkdir()
    config = (HERE / ".dvc" / "config").read_text(encoding="utf-8")
    (folder / ".dvc" / "config").write_text(config.replace("[core]", "[core]\n    no_scm = true"), encoding="utf-8")
    assert "analytics = false" in config
    run(folder, "dvc", "repro")
    return folder


def stages_run(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


def test_a_second_repro_does_nothing(project: Path) -> None:
    done = run(project, "dvc", "repro")
    assert stages_run(done.stdout) == set()
    assert "up to date" in done.stdout


def test_the_pipeline_leaves_a_report_and_metrics(project: Path) -> None:
    table = (project / "reports" / "report.txt").read_text(encoding="utf-8")
    assert "synthetic" in table
    assert "Report: reports/report.html" in table
    assert "<svg" in (project / "reports" / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((project / "results" / "dvector" / "demo" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["cosine"]) >= {"clean", "noise", "music", "reverb", "noise+reverb"}
    for system in ("network", "seed"):
        assert 0 <= metrics["cosine"]["noise"][system]["eer_percent"] <= 100


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs: 3", "epochs: 4", {"train@dvector", "score@dvector-demo", "report"}),
        (
            "noise_snr_db: [0.0, 15.0]",
            "noise_snr_db: [1.0, 15.0]",
            {"extract-train@dvector", "extract-eval@dvector-demo", "train@dvector", "score@dvector-demo", "report"},
        ),
        ("draws: 2", "draws: 1", {"extract-train@dvector", "train@dvector", "score@dvector-demo", "report"}),
        ("jobs: 0", "jobs: 1", set()),
    ],
    ids=["epochs do not extract", "a changed SNR range extracts", "draws leave evaluation alone", "jobs do nothing"],
)
def test_what_a_changed_parameter_runs(project: Path, old: str, new: str, expected: set[str]) -> None:
    params = small_params()
    assert old in params
    (project / "params.yaml").write_text(params.replace(old, new), encoding="utf-8")
    try:
        done = run(project, "dvc", "status", "--json")
        changed = set(json.loads(done.stdout))
        directly = {stage for stage in expected if stage.split("@")[0] in ("train", "extract-train", "extract-eval")}
        first = {stage for stage in directly if not stage.startswith("train@")} or directly
        # The report shows the settings of extraction, so it may depend on them directly.
        assert changed - {"report"} == first
    finally:
        (project / "params.yaml").write_text(params, encoding="utf-8")


def test_a_changed_trial_list_makes_its_manifest_again(project: Path) -> None:
    trials = project / "data" / "demo" / "eval" / "trials_demo.txt"
    text = trials.read_text(encoding="utf-8")
    trials.write_text("".join(text.splitlines(keepends=True)[:-1]), encoding="utf-8")
    try:
        changed = set(json.loads(run(project, "dvc", "status", "--json").stdout))
    finally:
        trials.write_text(text, encoding="utf-8")
    assert changed == {"manifest-eval@demo", "score@dvector-demo"}


def test_a_misspelt_parameter_stops_the_pipeline_with_its_row(project: Path) -> None:
    params = small_params()
    (project / "params.yaml").write_text(params.replace("epochs: 3", "epochs: 3\n  epoch: 5"), encoding="utf-8")
    try:
        done = run(project, sys.executable, "-m", "stages.train", "dvector", check=False)
    finally:
        (project / "params.yaml").write_text(params, encoding="utf-8")
    assert done.returncode == 1
    assert re.fullmatch(
        r"seedpipe: error: params.yaml, row \d+: train.epoch: unknown key; .*did you mean 'epochs'\?\n", done.stderr
    )


def test_own_folders_go_through_the_same_stages(project: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    ignore = shutil.ignore_patterns("cache", "tmp", "__pycache__")
    for name in ("stages", "networks", ".dvc"):
        shutil.copytree(project / name, own / name, ignore=ignore)
    shutil.copy(project / "dvc.yaml", own)
    root = tmp_path / "corpora"
    shutil.copytree(project / "data" / "demo", root)
    (root / "corpus.json").unlink()
    (root / "eval" / "trials_demo.txt").rename(root / "eval" / "trials_mine.txt")
    params = small_params().replace("root: data/demo", f"root: {root}").replace("[demo]", "[mine]")
    (own / "params.yaml").write_text(params, encoding="utf-8")
    done = run(own, "dvc", "repro")
    assert "score@dvector-mine" in stages_run(done.stdout)
    assert not (own / "data" / "demo").exists()
    assert "synthetic" not in (own / "reports" / "report.txt").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    text = (HERE / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_python_examples_of_the_documentation_run(project: Path) -> None:
    code = [
        block
        for page in ("README.md", "docs/cache-format.md", "docs/cache-tools.md", "docs/training.md")
        for block in blocks(page, "python")
    ]
    assert len(code) >= 2
    for block in code:
        run(project, sys.executable, "-W", "error", "-c", block)


def test_commands_of_the_readme_run(tmp_path: Path) -> None:
    root = tmp_path / "data" / "mine"
    build_demo_corpus(root, train_voices=3, eval_voices=10, train_utterances=2, eval_utterances=4, jobs=1)
    (root / "eval" / "trials_demo.txt").rename(root / "eval" / "trials_vox1-o.txt")
    np.save(tmp_path / "embeddings.npy", np.random.default_rng(0).random((3, 256), dtype=np.float32))
    commands = [
        line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith("seedpipe")
    ]
    assert [command.split()[1] for command in commands] == [
        "manifest", "manifest", "extract", "extract", "train", "score", "enhance",
    ]  # fmt: skip
    for command in commands:
        run(tmp_path, *command.split())
    assert np.load(tmp_path / "enhanced.npy").shape == (3, 256)


def test_the_quality_benchmark_runs_on_a_data_folder(project: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "benchmarks" / "quality.py"), "--data", str(project / "data" / "demo")]
    options = ["--params", str(project / "params.yaml"), "--work", str(tmp_path / "work"), "--seed", "3"]
    done = run(tmp_path, *command, *options, "--json", str(tmp_path / "figures.json"))
    assert "mean relative EER reduction under mismatch" in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["seed"] == figures["training"]["dvector"]["seed"] == 3
    assert figures["synthetic"] is True
    (evaluation,) = figures["evaluations"]
    for condition in evaluation["conditions"]:
        for system in ("network", "seed"):
            eer = condition["systems"][system]["eer"]
            assert eer["low"] <= eer["value"] <= eer["high"]
            # The table and the file hold the same figures.
            assert f"{100 * eer['value']:.2f} [" in done.stdout
