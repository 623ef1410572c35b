"""seedpipe.pipeline: the stages on synthetic caches, whole files, and errors that say which stage is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import soundfile
from synthetic import QUICK, REPOSITORY, contents, enhancer, evaluation_cache, training_cache, write_trials

import seedpipe
from examples import demo_corpus as demo
from seedpipe import pipeline
from seedpipe.audio import layout
from seedpipe.cache import open_cache
from seedpipe.enhancers import TrainingPoint
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import CacheError, ManifestError, ModelError, TrialError
from seedpipe.files import sealed
from seedpipe.metrics import eer
from seedpipe.params import (
    DRLParams,
    EnhancerKind,
    EnhancersParams,
    ExtractParams,
    MachineParams,
    ManifestParams,
    Params,
    ScoreParams,
)
from seedpipe.project.paths import ProjectPaths
from seedpipe.results import (
    Condition,
    Det,
    Difference,
    Differences,
    Estimate,
    Evaluation,
    Evaluations,
    Histogram,
    Pair,
    Reduction,
    System,
)
from seedpipe.scoring import compare_scores, evaluate, read_scores
from seedpipe.scoring.trials import read_trials
from stages import corpus as corpus_stage

FOLDERS = ("eval", "music", "noise", "rir", "train")


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
        soundfile.write(root / name / "one.wav", np.zeros(800), 16_000)
    return root


def params_for(root: Path) -> Params:
    return Params(
        manifest=ManifestParams(root=root, evaluations=("demo",)),
        extract=ExtractParams(networks=("toy",)),
        train=QUICK.model_copy(update={"epochs": 5}),
        enhancers=EnhancersParams(names=("seed",)),
        score=ScoreParams(bootstrap=100),
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, ProjectPaths]:
    """A project whose caches are there and whose stages from training to report have run."""
    base = tmp_path_factory.mktemp("project")
    params, places = params_for(base / "data"), ProjectPaths(base)
    training_cache(places.cache("toy", "train"))
    evaluation_cache(places.cache("toy", "demo"))
    write_trials(base / "data" / "eval" / "trials_demo.txt")
    seen: list[tuple[TrainingPoint, int]] = []
    pipeline.train(params, "toy", "seed", places, lambda point, steps: seen.append((point, steps)))
    assert len(seen) == 5
    pipeline.score(params, "toy", "seed", "demo", places)
    pipeline.report(params, places, "the test")
    return params, places


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_training_leaves_a_model_and_its_figures(project: tuple[Params, ProjectPaths]) -> None:
    _, places = project
    figures = read(places.training("toy", "seed"))
    assert (figures["seed"], figures["steps"], figures["epochs"], len(figures["curve"])) == (0, 90, 5, 5)
    assert "not converged" in figures["warnings"][0]
    assert figures["rows"] + figures["held_out_rows"] == 720
    assert figures["hours"] == pytest.approx(240 * 2 / 3600, abs=1e-3)
    trained = Enhancer.load(places.model("toy", "seed")).config.train
    assert trained.precision in ("float32", "bfloat16"), "it says what 'auto' was"
    assert trained == project[0].train.model_copy(update={"precision": trained.precision})


def test_scoring_leaves_scores_figures_and_a_summary(project: tuple[Params, ProjectPaths]) -> None:
    _, places = project
    folder = places.results("toy", "seed", "demo")
    assert sorted(contents(folder)) == ["det.csv", "evaluation.json", "histogram.csv", "scores.parquet"]
    evaluation = read(folder / "evaluation.json")
    assert evaluation["synthetic"] is False
    assert read(places.metrics("toy", "seed", "demo")) == pipeline.summary(Evaluations.from_dict(evaluation), 0.05)
    scores = read_scores(folder / "scores.parquet", "cosine:noise:enhanced")
    first = evaluation["evaluations"][0]
    assert len(scores.scores) == first["trials"]
    expected = first["conditions"][1]["systems"]["enhanced"]["eer"]["value"]
    assert eer(scores.scores, scores.trials.labels) == pytest.approx(expected, abs=1e-12)


def test_scoring_with_a_norm_takes_its_cohort_from_the_training_cache(
    project: tuple[Params, ProjectPaths], tmp_path: Path
) -> None:
    params, places = project
    for folder in ("cache", "models"):
        (tmp_path / folder).symlink_to(places.base / folder)
    wanted = params.score.model_copy(update={"norm": "as", "cohort_size": 50, "methods": ("cosine",), "timesteps": ()})
    found = pipeline.score(params.model_copy(update={"score": wanted}), "toy", "seed", "demo", ProjectPaths(tmp_path))
    training, evaluation = (open_cache(places.cache("toy", corpus)) for corpus in ("train", "demo"))
    trials = read_trials(layout.trial_list(params.manifest.root, "demo"))
    model = Enhancer.load(places.model("toy", "seed"))
    expected = evaluate(evaluation, model, trials, wanted, "demo", cohort=training)[0]
    assert list(found) == [replace(one, train_seed=params.train.seed) for one in expected]


def test_scoring_takes_the_speakers_of_its_parameters(project: tuple[Params, ProjectPaths], tmp_path: Path) -> None:
    params, places = project
    for folder in ("cache", "models"):
        (tmp_path / folder).symlink_to(places.base / folder)
    trials = read_trials(layout.trial_list(params.manifest.root, "demo"))
    twins = [f"{name} s{speaker // 2}\n" for name, speaker in zip(trials.utterances, trials.speakers(), strict=True)]
    (tmp_path / "speakers.txt").write_text("".join(twins))
    update = {"speakers": tmp_path / "speakers.txt", "methods": ("cosine",), "timesteps": ()}
    wanted = params.model_copy(update={"score": params.score.model_copy(update=update)})
    (found,) = pipeline.score(wanted, "toy", "seed", "demo", ProjectPaths(tmp_path))
    assert found.speakers == len(set(trials.speakers())) // 2
    assert any("of one speaker by the speaker map" in text for text in found.warnings)


def test_scoring_again_gives_the_same_bytes(project: tuple[Params, ProjectPaths]) -> None:
    params, places = project
    before = contents(places.results("toy", "seed", "demo"))
    pipeline.score(params, "toy", "seed", "demo", places)
    assert contents(places.results("toy", "seed", "demo")) == before


def test_the_report_holds_the_figures(project: tuple[Params, ProjectPaths]) -> None:
    params, places = project
    before = contents(places.report.parent)
    assert {"report.html", "report.md"} < set(before)
    data = pipeline.report(params, places, "the test")
    assert contents(places.report.parent) == before
    assert sealed(data.training["toy/seed"].to_dict()) == read(places.training("toy", "seed"))
    evaluation = read(places.results("toy", "seed", "demo") / "evaluation.json")
    assert data.to_dict()["evaluations"] == evaluation["evaluations"]
    assert data.seedpipe_version == seedpipe.__version__
    text = places.report.with_suffix(".md").read_text(encoding="utf-8")
    for part in ("the test", "toy", "noise", "10 crops of 64,240 samples", "both costs 1, normalised"):
        assert part in text


def test_a_synthetic_list_makes_the_report_synthetic(tmp_path: Path, project: tuple[Params, ProjectPaths]) -> None:
    params, places = params_for(tmp_path / "data"), ProjectPaths(tmp_path)
    training_cache(places.cache("toy", "train"))
    evaluation_cache(places.cache("toy", "demo"), synthetic=True)
    enhancer().save(places.model("toy", "seed"), "# Card\n")
    write_trials(tmp_path / "data" / "eval" / "trials_demo.txt")
    assert pipeline.score(params, "toy", "seed", "demo", places).synthetic is True
    pipeline.write_json(places.training("toy", "seed"), read(project[1].training("toy", "seed")))
    assert pipeline.report(params, places, "the test").synthetic is True
    assert "synthetic" in places.report.with_suffix(".md").read_text(encoding="utf-8")
    assert "synthetic" not in project[1].report.with_suffix(".md").read_text(encoding="utf-8")


def test_every_enhancer_has_its_place_in_the_report(tmp_path: Path, project: tuple[Params, ProjectPaths]) -> None:
    places = ProjectPaths(tmp_path)
    shutil.copytree(project[1].base, tmp_path, dirs_exist_ok=True)
    names: tuple[EnhancerKind, ...] = ("whitening", "seed", "none")
    enhancers = EnhancersParams(names=names)
    params = params_for(tmp_path / "data").model_copy(update={"enhancers": enhancers})
    for name in ("whitening", "none"):
        figures = pipeline.train(params, "toy", name, places)
        assert (figures["epochs"], figures["curve"]) == (0, [])
        assert read(places.training("toy", name)) == sealed(figures)
        pipeline.score(params, "toy", name, "demo", places)
    before = contents(project[1].model("toy", "seed"))
    data = pipeline.report(params, places, "the test")
    assert list(data.training) == ["toy/whitening", "toy/seed", "toy/none"]
    (pair,) = data.comparisons
    files = [places.results("toy", name, "demo") / "scores.parquet" for name in (pair.a, pair.b)]
    scores = [read_scores(file, "cosine:noise:enhanced") for file in files]
    expected = compare_scores(*scores, replicates=100).figures["eer"].difference
    assert (pair.a, pair.b, pair.eer["noise"]) == ("whitening", "seed", expected)
    assert [evaluation.enhancer for evaluation in data.evaluations[::2]] == list(names)
    assert contents(places.model("toy", "seed")) == before
    figures = read(places.metrics("toy", "none", "demo"))
    assert figures["reduction"] == 0
    assert figures["eer"] == figures["alone"]


def test_the_report_names_the_seeds_of_its_enhancers(tmp_path: Path, project: tuple[Params, ProjectPaths]) -> None:
    shutil.copytree(project[1].base, tmp_path, dirs_exist_ok=True)
    (tmp_path / "results/toy/seed").rename(tmp_path / "results/toy/drl")
    enhancers = EnhancersParams(names=("drl",), drl=DRLParams(seed=5))
    data = pipeline.report(project[0].model_copy(update={"enhancers": enhancers}), ProjectPaths(tmp_path), "the test")
    assert str(data.facts["training of toy"]).endswith("of speech, seed 5")
    assert "leaks" not in data.facts


def test_the_report_says_that_leaks_are_allowed(tmp_path: Path, project: tuple[Params, ProjectPaths]) -> None:
    shutil.copytree(project[1].base, tmp_path, dirs_exist_ok=True)
    params = project[0].model_copy(update={"manifest": project[0].manifest.model_copy(update={"allow_leaks": True})})
    assert "are allowed" in str(pipeline.report(params, ProjectPaths(tmp_path), "the test").facts["leaks"])


def test_a_list_that_is_not_there_is_named(project: tuple[Params, ProjectPaths]) -> None:
    params, places = project
    with pytest.raises(TrialError, match=r"no evaluation list 'vox'.*demo"):
        pipeline.score(params, "toy", "seed", "vox", places)


def test_a_stage_without_the_one_before_says_so(tmp_path: Path) -> None:
    params, places = params_for(tmp_path / "data"), ProjectPaths(tmp_path)
    with pytest.raises(CacheError, match="there is no cache; run seedpipe extract"):
        pipeline.train(params, "toy", "seed", places)
    with pytest.raises(ManifestError, match=r"training\.json: cannot be read .*run the stages before"):
        pipeline.report(params, places, "the test")
    write_trials(tmp_path / "data" / "eval" / "trials_demo.txt")
    evaluation_cache(places.cache("toy", "demo"))
    with pytest.raises(ModelError, match="run seedpipe train"):
        pipeline.score(params, "toy", "seed", "demo", places)
    assert not places.results("toy", "seed", "demo").exists()
    assert not places.report.parent.exists()


def test_a_report_without_scores_says_which_are_missing(tmp_path: Path) -> None:
    places = ProjectPaths(tmp_path)
    pipeline.write_json(places.training("toy", "seed"), {})
    with pytest.raises(ManifestError, match=r"toy/seed/demo/evaluation\.json: cannot be read .*dvc repro"):
        pipeline.report(params_for(tmp_path), places, "the test")
    places.results("toy", "seed", "demo").mkdir()
    (places.results("toy", "seed", "demo") / "evaluation.json").write_text("{half")
    with pytest.raises(ManifestError, match="run the stages before"):
        pipeline.report(params_for(tmp_path), places, "the test")
    assert not places.report.parent.exists()


def figures(eer: float, min_dcf: float) -> System:
    det, histogram = Det([0.0, 1.0], [1.0, 0.0]), Histogram([0.0, 1.0], [1.0], [1.0])
    return System(eer=Estimate(eer), min_dcf=Estimate(min_dcf), eer_definition="linear", det=det, histogram=histogram)


def test_the_summary_has_means_over_mismatch_in_percent_and_names_the_prior() -> None:
    none = Differences(Difference(0.0), Difference(0.0))
    rows = [
        Condition(name, Pair(figures(eer, 2 * eer), figures(eer / 2, eer)), none)
        for name, eer in (("clean", 0.0123456), ("noise", 0.1), ("reverb", 0.2), ("noise@5", 0.4))
    ]
    counts = {"trials": 2, "targets": 1, "utterances": 3, "speakers": 2}
    evaluation = Evaluation(network="toy", list="demo", method="cosine", conditions=rows, **counts)
    means = {"clean": 0.62, "alone": 15.0, "eer": 7.5, "dcf_0.01": 0.15}
    assert pipeline.summary([evaluation], 0.01) == means
    reduced = replace(evaluation, mean_relative_reduction=Reduction(0.18999, -0.021, 0.405, 0.1))
    assert pipeline.summary([reduced, evaluation], 0.01) == means | {"reduction": 19.0, "interval": "[-2, 40]"}
    only_clean = replace(evaluation, conditions=rows[:1])
    assert pipeline.summary([only_clean], 0.01) == {"clean": 0.62}


def test_json_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    pipeline.write_json(path, {"name": "Zoë", "value": 0.5})
    assert path.read_text(encoding="utf-8") == '{\n "name": "Zoë",\n "value": 0.5\n}\n'


def test_json_that_cannot_be_written_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    pipeline.write_json(path, {"value": 1})
    before = contents(tmp_path)
    with pytest.raises(TypeError):
        pipeline.write_json(path, {"value": object()})
    assert contents(tmp_path) == before


def run_corpus_stage(params: Params, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the stage in a folder; gives the description that it leaves."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(corpus_stage, "load_params", lambda: params)
    corpus_stage.main()
    return dict(read(folder / "data" / "audio.json"))


def test_another_corpus_is_only_described(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "build_demo_corpus", lambda *_, **__: pytest.fail("built over the user's audio"))
    before = contents(data_folder)
    description = run_corpus_stage(params_for(data_folder), tmp_path, monkeypatch)
    assert contents(data_folder) == before
    assert description["synthetic"] is False
    assert description["root"] == data_folder.as_posix()
    assert {name: folder["files"] for name, folder in description["folders"].items()} == dict.fromkeys(FOLDERS, 1)


def test_the_description_follows_the_audio(data_folder: Path, tmp_path: Path) -> None:
    params, out = params_for(data_folder), tmp_path / "corpus.json"
    first = pipeline.describe_audio(params, out)
    assert pipeline.describe_audio(params, out) == first
    soundfile.write(data_folder / "train" / "two.wav", np.zeros(800), 16_000)
    second = pipeline.describe_audio(params, out)
    assert second["folders"]["train"] != first["folders"]["train"]
    assert second["folders"]["noise"] == first["folders"]["noise"]
    stamp = (data_folder / "noise" / "one.wav").stat().st_mtime_ns + 10**9
    os.utime(data_folder / "noise" / "one.wav", ns=(stamp, stamp))
    assert pipeline.describe_audio(params, out)["folders"]["noise"] != second["folders"]["noise"]


def test_the_description_follows_audio_that_a_map_of_names_leads_to(data_folder: Path, tmp_path: Path) -> None:
    params, out, audio = params_for(data_folder), tmp_path / "corpus.json", tmp_path / "elsewhere.wav"
    assert "name_maps" not in pipeline.describe_audio(params, out)
    (data_folder / "eval" / "trials_x.txt").write_text("1 a a\n", encoding="utf-8")
    (data_folder / "eval" / "names_x.scp").write_text(f"a {audio}\n", encoding="utf-8")
    soundfile.write(audio, np.zeros(800), 16_000)
    first = pipeline.describe_audio(params, out)
    assert pipeline.describe_audio(params, out) == first
    soundfile.write(audio, np.zeros(900), 16_000)
    second = pipeline.describe_audio(params, out)
    assert second["folders"] == first["folders"]
    assert second["name_maps"] != first["name_maps"]


def test_the_map_of_speakers_is_described_and_refused_early(data_folder: Path, tmp_path: Path) -> None:
    params, out, path = params_for(data_folder), tmp_path / "speakers.json", tmp_path / "map"
    pipeline.describe_speakers(params, out)
    assert read(out) == {}
    mapped = params.model_copy(update={"score": params.score.model_copy(update={"speakers": path})})
    with pytest.raises(TrialError, match="cannot be read"):
        pipeline.describe_speakers(mapped, out)
    digests = []
    for text in ("a anna\n", "a berta\n"):
        path.write_text(text, encoding="utf-8")
        pipeline.describe_speakers(mapped, out)
        digests.append(read(out)["sha256"])
    assert digests[0] != digests[1]


def test_lacking_folders_are_named(data_folder: Path, tmp_path: Path) -> None:
    (data_folder / "rir" / "one.wav").unlink()
    (data_folder / "rir").rmdir()
    with pytest.raises(ManifestError, match=r"lacks the folder rir; expected .*manifest\.root") as caught:
        pipeline.describe_audio(params_for(data_folder), tmp_path / "corpus.json")
    assert caught.value.file == data_folder
    with pytest.raises(ManifestError, match="lacks the folder train, music, noise, rir, eval"):
        pipeline.describe_audio(params_for(tmp_path / "nowhere"), tmp_path / "corpus.json")
    assert not (tmp_path / "corpus.json").exists()


def test_the_demo_corpus_is_built_where_the_root_is_its_folder(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Path, dict[str, Any]]] = []
    monkeypatch.setattr(demo, "build_demo_corpus", lambda folder, **given: calls.append((folder, given)))
    params = params_for(data_folder)
    params = params.model_copy(update={"corpus": params.corpus.model_copy(update={"folder": data_folder})})
    run_corpus_stage(params, tmp_path, monkeypatch)
    assert [folder for folder, _ in calls] == [data_folder]
    assert {name: calls[0][1][name] for name in ("seed", "train_voices", "eval_utterances")} == {
        "seed": 0,
        "train_voices": 60,
        "eval_utterances": 6,
    }


@pytest.mark.parametrize(("asked", "given"), [(0, joblib.cpu_count()), (3, 3)])
def test_as_many_workers_read_audio_as_the_parameters_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, given: int
) -> None:
    calls: list[int] = []
    for name in ("write_training_manifests", "write_evaluation_manifests"):
        owner = layout if name == "write_training_manifests" else pipeline
        monkeypatch.setattr(owner, name, lambda *_, jobs, **__: calls.append(jobs) or [])
    monkeypatch.setattr(pipeline, "check_leaks", lambda *_: [])
    for name in ("unlisted", "audio_remarks"):
        monkeypatch.setattr(layout, name, lambda *_: [])
    params = params_for(tmp_path).model_copy(update={"machine": MachineParams(jobs=asked)})
    pipeline.training_manifests(params, tmp_path)
    pipeline.evaluation_manifests(params, "demo", tmp_path)
    assert calls == [given, given]


def test_an_evaluation_list_cannot_be_called_train(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be called 'train'"):
        pipeline.evaluation_manifests(params_for(tmp_path), "train", tmp_path)


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (["stages.report"], "run the stages before (dvc repro)"),
        (["stages.train", "dvector", "seed"], "run seedpipe extract"),
    ],
)
def test_a_stage_that_fails_says_so_in_one_line(tmp_path: Path, stage: list[str], text: str) -> None:
    (tmp_path / "params.yaml").write_text("train:\n  epochs: 1\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", *stage],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("seedpipe: error: ")
    assert run.stderr.count("\n") == 1
    assert text in run.stderr
    assert sorted(contents(tmp_path)) == ["params.yaml"]
