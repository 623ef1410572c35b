"""The product as a newcomer meets it: the pipeline over DVC, on the demonstration and on folders of one's own."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from demo_project import HERE, copied, run, small_params
from typer.testing import CliRunner

from seedpipe.cli import app

AFTER_TRAINING = ("score@dvector-seed-demo", "report")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(demo_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the tests of this file share, under a path with a space; each leaves it as it found it."""
    return copied(demo_project, tmp_path_factory.mktemp("a project") / "seedpipe")


def stages_run(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


def smallest_params() -> str:
    """The parameters of the small project for one draw, one crop and one condition."""
    text = small_params().replace("draws: 2", "draws: 1").replace("crops: 2", "crops: 1")
    for key in ("variants", "conditions"):
        text, count = re.subn(rf"^( +{key}): \[.*\]$", r"\1: [noise]", text, flags=re.MULTILINE)
        assert count == 1, key
    return text


def changed_stages(project: Path) -> set[str]:
    """What DVC would run; it runs the stage ``corpus`` each time."""
    return set(json.loads(run(project, "dvc", "status", "--json").stdout)) - {"corpus"}


def test_a_second_repro_does_nothing(project: Path) -> None:
    done = run(project, "dvc", "repro")
    assert stages_run(done.stdout) == {"corpus"}, "which looks for new audio, and finds none"


def test_new_audio_is_seen(project: Path) -> None:
    new = project / "data" / "demo" / "train" / "new.flac"
    shutil.copy(next((project / "data" / "demo" / "train").rglob("*.flac")), new)
    try:
        run(project, "dvc", "repro", "corpus")
        assert "manifest-train" in changed_stages(project)
    finally:
        new.unlink()
        run(project, "dvc", "repro", "corpus")
    assert changed_stages(project) == set()


def test_the_pipeline_leaves_a_report_and_metrics(project: Path) -> None:
    table = (project / "reports" / "report.txt").read_text(encoding="utf-8")
    assert "synthetic" in table
    assert "Report: reports/report.html" in table
    page = (project / "reports" / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert page.count("<audio") == 5  # clean, music, noise, reverb, both
    shown = run(project, "dvc", "metrics", "show").stdout
    assert max(map(len, shown.splitlines())) <= 100
    wanted = ["Path", "alone", "clean", "dcf_0.05", "eer", "interval", "reduction"]
    assert shown.splitlines()[0].split() == wanted


def test_the_plots_of_dvc_need_no_network(project: Path, tmp_path: Path) -> None:
    run(project, "dvc", "plots", "show", "--out", str(tmp_path))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert len(re.findall(r'<img src="[^"]*\.svg"', page)) >= 12


def test_the_pipeline_ends_with_the_table(project: Path) -> None:
    (project / "reports" / "report.txt").unlink()
    printed = run(project, "dvc", "repro", "--force", "--single-item", "report").stdout
    assert (project / "reports" / "report.txt").read_text(encoding="utf-8") in printed


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  seed: 0\n  steps: 6", "  seed: 0\n  steps: 7", {"train@dvector-seed", *AFTER_TRAINING}),
        (
            "noise_snr_db: [0.0, 15.0]",
            "noise_snr_db: [1.0, 15.0]",
            {"extract-train@dvector", "extract-eval@dvector-demo", "train@dvector-seed", *AFTER_TRAINING},
        ),
        ("draws: 2", "draws: 1", {"extract-train@dvector", "train@dvector-seed", *AFTER_TRAINING}),
        ("jobs: 1", "jobs: 0", set()),
    ],
    ids=["steps do not extract", "a changed SNR range extracts", "draws leave evaluation alone", "jobs do nothing"],
)
def test_what_a_changed_parameter_runs(project: Path, old: str, new: str, expected: set[str]) -> None:
    params = small_params()
    assert old in params
    (project / "params.yaml").write_text(params.replace(old, new), encoding="utf-8")
    try:
        changed = changed_stages(project)
        directly = {stage for stage in expected if stage.split("@")[0] in ("train", "extract-train", "extract-eval")}
        first = {stage for stage in directly if not stage.startswith("train@")} or directly
        # The report shows the settings of extraction, so it may depend on them directly.
        assert changed - {"report"} == first
    finally:
        (project / "params.yaml").write_text(params, encoding="utf-8")


def test_another_enhancer_trains_nothing_but_itself(project: Path) -> None:
    params = small_params()
    both = params.replace("names: [seed]", "names: [seed, none]").replace("shrinkage: 0.5", "shrinkage: 0.4")
    for text, expected in (
        (params.replace("names: [seed]", "names: [none, seed]"), {"train@dvector-none", "score@dvector-none-demo"}),
        (both, {"train@dvector-seed", "train@dvector-none", "score@dvector-none-demo"}),
    ):
        (project / "params.yaml").write_text(text, encoding="utf-8")
        try:
            changed = changed_stages(project)
        finally:
            (project / "params.yaml").write_text(params, encoding="utf-8")
        assert changed == expected | {"report"}


def test_a_changed_trial_list_makes_its_manifest_again(project: Path) -> None:
    trials = project / "data" / "demo" / "eval" / "trials_demo.txt"
    text = trials.read_text(encoding="utf-8")
    trials.write_text("".join(text.splitlines(keepends=True)[:-1]), encoding="utf-8")
    try:
        changed = changed_stages(project)
    finally:
        trials.write_text(text, encoding="utf-8")
    assert changed == {"manifest-eval@demo", "score@dvector-seed-demo"}


def test_a_cache_that_a_cluster_has_made_is_taken_over(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copied(project, tmp_path / "own")
    monkeypatch.chdir(own)
    params = small_params()
    Path("params.yaml").write_text(params.replace("draws: 2", "draws: 1"), encoding="utf-8")
    out = Path("cache/dvector/train")
    shutil.rmtree(out)
    command = ["extract", "data_manifests/train", str(out), "--network", "networks/dvector", "--params", "params.yaml"]
    for part in (["--shard", "1/2"], ["--shard", "2/2"], []):
        done = CliRunner().invoke(app, [*command, "--jobs", "1", *part])
        assert done.exit_code == 0, done.output
    assert "next: dvc repro, which empties cache/dvector/train first" in done.stdout
    repro = run(own, "dvc", "repro", "extract-train@dvector")
    assert "taken over from cache/dvector/train.finished" in repro.stderr
    assert "utterances" not in repro.stderr, "nothing is extracted"
    assert stages_run(run(own, "dvc", "repro", "extract-train@dvector").stdout) == {"corpus"}
    # A cache of other parameters that waits there is left alone, and those of before come from DVC.
    Path("params.yaml").write_text(params, encoding="utf-8")
    assert "is cached - skipping run" in run(own, "dvc", "repro", "extract-train@dvector").stdout


def test_a_misspelt_parameter_stops_the_pipeline_with_its_row(project: Path) -> None:
    params = small_params()
    (project / "params.yaml").write_text(params.replace("steps: 6", "steps: 6\n  stepps: 5", 1), encoding="utf-8")
    try:
        done = run(project, sys.executable, "-m", "stages.train", "dvector", "seed", check=False)
    finally:
        (project / "params.yaml").write_text(params, encoding="utf-8")
    assert done.returncode == 1
    assert re.fullmatch(
        r"seedpipe: error: params.yaml, row \d+: train.stepps: unknown key; .*did you mean 'steps'\?\n", done.stderr
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
    params = smallest_params().replace("root: data/demo", f"root: {root}").replace("[demo]", "[mine]")
    (own / "params.yaml").write_text(params, encoding="utf-8")
    done = run(own, "dvc", "repro")
    assert "score@dvector-seed-mine" in stages_run(done.stdout)
    assert not (own / "data" / "demo").exists()
    assert "synthetic" not in (own / "reports" / "report.txt").read_text(encoding="utf-8")


def test_the_quality_benchmark_runs_on_a_data_folder(project: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "benchmarks" / "quality.py"), "--data", str(project / "data" / "demo")]
    (tmp_path / "params.yaml").write_text(smallest_params(), encoding="utf-8")
    options = ["--params", str(tmp_path / "params.yaml"), "--work", str(tmp_path / "work"), "--seed", "3"]
    done = run(tmp_path, *command, *options, "--json", str(tmp_path / "figures.json"))
    assert "mean relative EER reduction under mismatch" in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["seed"] == figures["training"]["dvector/seed"]["seed"] == 3
    assert figures["synthetic"] is True
    (evaluation,) = figures["evaluations"]
    for condition in evaluation["conditions"]:
        for system in ("network", "enhanced"):
            eer = condition["systems"][system]["eer"]
            assert eer["low"] <= eer["value"] <= eer["high"]
            # The table and the file hold the same figures.
            assert f"{100 * eer['value']:.2f} [" in done.stdout
