"""Embedding files and score files of any toolkit: seedpipe score, compare and calibrate without a cache or a model."""

from __future__ import annotations

import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from synthetic import D, enhancer, evaluation_cache, training_cache, utterance_names, write_trials
from typer.testing import CliRunner, Result

from seedpipe import metrics
from seedpipe.cache import open_cache
from seedpipe.cli.compare import calibrate, compare
from seedpipe.cli.score import score
from seedpipe.errors import MetricError, SeedpipeError, TrialError
from seedpipe.params import ScoreParams
from seedpipe.results import Evaluations
from seedpipe.scoring import (
    ScoreFile,
    compare_scores,
    evaluate,
    figures,
    pair_scores,
    read_embeddings,
    read_scores,
    score_embeddings,
    warnings_about,
    write_scores,
)
from seedpipe.scoring.trials import Trials, read_trials

app = typer.Typer()
for command in (score, compare, calibrate):
    app.command()(command)

SPEAKERS, UTTERANCES, CROPS = 12, 4, 2


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def embeddings(seed: int = 0, noise: float = 1.2) -> np.ndarray:
    """Shape (U, C, D), of any length."""
    rng = np.random.default_rng(seed)
    speaker = np.random.default_rng(99).standard_normal((SPEAKERS, 1, 1, D))
    values = speaker + noise * rng.standard_normal((SPEAKERS, UTTERANCES, CROPS, D))
    return (3 * values).reshape(-1, CROPS, D).astype(np.float32)


def write_npz(path: Path, values: np.ndarray) -> Path:
    names = np.repeat(utterance_names(SPEAKERS, UTTERANCES), CROPS)
    np.savez(path, embeddings=values.reshape(-1, D), utterance=names)
    return path


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write_trials(tmp_path / "trials.txt", SPEAKERS, UTTERANCES)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_npz(tmp_path / "a.npz", embeddings(0)), write_npz(tmp_path / "b.npz", embeddings(1))


# --- embedding files --------------------------------------------------------------------------------------------------


def test_files_score_as_arrays(files: tuple[Path, Path], listed: Path) -> None:
    sides, trials = [read_embeddings(path) for path in files], read_trials(listed)
    for method in ("cosine", "euclidean"):
        table, rule = score_embeddings(*sides, trials, method)
        expected = pair_scores(embeddings(0), embeddings(1), trials.enrol, trials.test, method)
        order = {name: row for row, name in enumerate(utterance_names(SPEAKERS, UTTERANCES))}
        rows = np.array([order[name] for name in trials.utterances])
        expected = pair_scores(embeddings(0), embeddings(1), rows[trials.enrol], rows[trials.test], method)
        assert table["score"].to_numpy() == pytest.approx(expected)
        assert rule == "names as they are"
    assert (table["magnitude_low"] <= table["magnitude_high"]).all()
    lengths = np.linalg.norm(embeddings(0)[rows[trials.enrol[0]]], axis=1).mean()
    assert lengths == pytest.approx(table["magnitude_low"][0]) or lengths == pytest.approx(table["magnitude_high"][0])


def test_crops_in_any_order_are_those_of_their_utterance(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(6, 2) + 1
    np.savez(tmp_path / "x.npz", embeddings=values, utterance=np.array(["b", "a", "b", "c", "a", "c"]))
    found = read_embeddings(tmp_path / "x.npz")
    assert found.utterances == ("b", "a", "c")
    assert found.embeddings[:, :, 0].tolist() == [
        [[1, 2], [5, 6]],
        [[3, 4], [9, 10]],
        [[7, 8], [11, 12]],
    ]


def test_files_that_do_not_fit_are_refused(tmp_path: Path, files: tuple[Path, Path], listed: Path) -> None:
    np.savez(tmp_path / "x.npz", embeddings=np.ones((3, 2), np.float32), utterance=np.array(["a", "b", "a"]))
    with pytest.raises(TrialError, match="b has 1 embedding and a 2"):
        read_embeddings(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", embeddings=np.ones((1, 2), np.float32), utterance=np.array(["a"]))
    small, good, trials = read_embeddings(tmp_path / "x.npz"), read_embeddings(files[0]), read_trials(listed)
    with pytest.raises(TrialError, match="enrolment embeddings are 16-d, test embeddings 2-d"):
        score_embeddings(good, small, trials)
    with pytest.raises(TrialError, match="48 of 48 utterances are not in the enrolment embeddings"):
        score_embeddings(small, small, trials)
    with pytest.raises(MetricError, match="the cohort has 0 members"):
        score_embeddings(good, good, trials, norm="s")


def alone(found: dict[str, Any]) -> dict[str, Any]:
    """Figures of the one system."""
    (evaluation,) = found["evaluations"]
    (condition,) = evaluation["conditions"]
    return condition["systems"]["network"]  # type: ignore[no-any-return]


def test_score_command_gives_figures_and_a_file(files: tuple[Path, Path], listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    found = printed("score", *files, listed, "--out", out)
    table, trials = pd.read_csv(out), read_trials(listed)
    assert list(table) == ["label", "enrol", "test", "score", "magnitude_low", "magnitude_high"]
    shown = alone(found)
    assert shown["eer"]["value"] == metrics.eer(table["score"], trials.labels)
    assert shown["min_dcf_0.01"]["value"] == metrics.min_dcf(table["score"], trials.labels, 0.01)
    low, high = 100 * shown["eer"]["low"], 100 * shown["eer"]["high"]
    assert low <= 100 * shown["eer"]["value"] <= high
    text = run("score", *files, listed).stdout
    assert "condition  EER %" in text
    assert re.search(
        rf"^as given +{100 * shown['eer']['value']:.1f} \[{low:.1f}, {high:.1f}\]  0\.", text, re.MULTILINE
    )
    # Whoever reads the scores again finds the same intervals.
    again = printed("compare", out, out)["figures"]
    assert again["eer"]["a"] == shown["eer"]
    assert again["min_dcf_0.01"]["a"] == shown["min_dcf_0.01"]


def test_a_folder_gets_evaluation_report_and_figures(files: tuple[Path, Path], listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored"
    found = printed("score", *files, listed, "--out", out)
    assert len(pd.read_csv(out / "scores.csv")) == len(read_trials(listed))
    assert Evaluations.from_json(out / "evaluation.json").to_dict()["evaluations"] == found["evaluations"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "the equal error rate is" in page
    assert "→" not in page
    assert {path.name for path in (out / "figures").iterdir()} == {"eer.pdf", "det-as-given.pdf", "scores-as-given.pdf"}
    assert (out / "report.md").exists()
    assert (out / "det.csv").exists()


def test_names_of_files_that_are_not_utf8_are_numbers_in_results(
    files: tuple[Path, Path], listed: Path, tmp_path: Path
) -> None:
    enrol = shutil.copy(files[0], tmp_path / "caf\udce9.npz")
    trials = shutil.copy(listed, tmp_path / "trials_\udcff.txt")
    assert run("score", enrol, files[1], trials, "--out", tmp_path / "out").exit_code == 0
    (found,) = Evaluations.from_json(tmp_path / "out/evaluation.json").evaluations
    assert (found.network, found.list) == ("caf\\udce9", "\\udcff")
    assert "caf\\udce9" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["scores.xyz", "scores.v2", "trials.txt"])
def test_a_result_that_cannot_be_written_is_refused_first(
    files: tuple[Path, Path], listed: Path, tmp_path: Path, name: str
) -> None:
    before = listed.read_bytes()
    assert run("score", *files, listed, "--out", tmp_path / name).exit_code == 2
    assert listed.read_bytes() == before
    with pytest.raises(TrialError, match=r"expected .csv, .parquet or .txt"):
        write_scores(pd.DataFrame({"enrol": [], "test": [], "score": []}), tmp_path / "scores.xyz")


def test_what_does_not_fit_is_refused_before_any_work(files: tuple[Path, Path], listed: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.npz"  # is never opened
    assert "is no calibration" in run("score", nowhere, nowhere, listed, "--calibration", tmp_path / "c.json").stderr
    target = next(line for line in listed.read_text().splitlines() if line.startswith("1"))
    listed.write_text(listed.read_text() + "\n0" + target[1:] + "\n")
    assert "labelled as two speakers" in run("score", nowhere, nowhere, listed).stderr
    assert run("score", *files, listed, "--ids", listed).exit_code == 2


def test_a_blind_list_gives_scores_and_no_figures(files: tuple[Path, Path], listed: Path, tmp_path: Path) -> None:
    lines = [line.split(maxsplit=1)[1] for line in listed.read_text().splitlines()]
    blind, out = tmp_path / "blind.txt", tmp_path / "scores.csv"
    blind.write_text("\n".join(lines))
    found = printed("score", *files, blind, "--out", out)
    assert (found["trials"], found["out"]) == (len(lines), str(out))
    labelled, _ = score_embeddings(*map(read_embeddings, files), read_trials(listed))
    assert read_scores(out).scores.tolist() == labelled["score"].tolist()
    assert "label" not in pd.read_csv(out)
    assert "has no error rate" in run("score", *files, blind).stdout
    failed = run("compare", out, out)
    assert failed.exit_code == 1
    assert "has scores but no error rate" in failed.stderr


def test_a_list_that_does_not_tell_its_speakers_has_intervals_with_a_map_alone(
    files: tuple[Path, Path], listed: Path, tmp_path: Path
) -> None:
    trials = read_trials(listed)
    speakers = trials.speakers()
    extra = np.flatnonzero((trials.labels == 1) & (trials.enrol != trials.test))[:2]
    wrong = {tuple(sorted((int(trials.enrol[n]), int(trials.test[n])))) for n in extra}
    lines = [
        f"{int(label and tuple(sorted((int(a), int(b)))) not in wrong)} {trials.utterances[a]} {trials.utterances[b]}"
        for label, a, b in zip(trials.labels, trials.enrol, trials.test, strict=True)
    ]
    path, known = tmp_path / "phrases.txt", tmp_path / "map.txt"
    path.write_text("\n".join(lines))
    known.write_text("".join(f"{name} s{n}\n" for name, n in zip(trials.utterances, speakers, strict=True)))
    found = printed("score", *files, path)
    assert "low" not in alone(found)["eer"]
    assert "there are no intervals, which need a speaker map" in found["evaluations"][0]["warnings"][0]
    mapped = printed("score", *files, path, "--speakers", known)
    eer = alone(mapped)["eer"]
    assert eer["value"] == alone(found)["eer"]["value"]
    assert eer["low"] < eer["value"] < eer["high"]
    assert "trials are non-target, and of one speaker by the speaker map" in mapped["evaluations"][0]["warnings"][0]
    a, b = scored(tmp_path / "a.csv", path, 0), scored(tmp_path / "b.csv", path, 1)
    compared = printed("compare", a, b, "--replicates", 100)
    assert compared["figures"]["eer"]["verdict"] == "not tested: speakers are not known"
    compared = printed("compare", a, b, "--replicates", 100, "--speakers", known)
    assert compared["figures"]["eer"]["difference"]["p_value"] is not None
    plain, same = printed("score", *files, listed), printed("score", *files, listed, "--speakers", known)
    assert alone(plain) == alone(same)


def test_a_rule_for_names_is_shown(files: tuple[Path, Path], listed: Path) -> None:
    listed.write_text(listed.read_text().replace("speaker", "/data/speaker"))
    result = run("score", *files, listed)
    assert "names are found by: the last 2 parts of the paths" in result.stderr


def test_models_enrol_from_several_utterances(files: tuple[Path, Path], tmp_path: Path) -> None:
    models, listed = tmp_path / "models.txt", tmp_path / "list.txt"
    names = utterance_names(SPEAKERS, UTTERANCES)
    models.write_text("".join(f"m{s} {' '.join(names[4 * s : 4 * s + 3])}\n" for s in range(SPEAKERS)))
    lines = [f"{int(s == t)} m{s} {names[4 * t + 3]}" for s in range(SPEAKERS) for t in range(SPEAKERS)]
    listed.write_text("\n".join(lines))
    found = printed("score", files[0], files[0], listed, "--models", models)
    models.write_text(re.sub(r"(?m) (\S+?)(?:\.\w+)?(?= |$)", r" /corpus/\1.sph", models.read_text()))
    assert alone(printed("score", files[0], files[0], listed, "--models", models)) == alone(found)
    single = tmp_path / "single.txt"
    single.write_text("\n".join(line.replace(" m", " speaker", 1) for line in lines))
    plain = [f"{int(s == t)} {names[4 * s]} {names[4 * t + 3]}" for s in range(SPEAKERS) for t in range(SPEAKERS)]
    single.write_text("\n".join(plain))
    assert alone(found)["eer"]["value"] <= alone(printed("score", files[0], files[0], single))["eer"]["value"]


def test_norm_takes_its_cohort_from_a_training_cache(files: tuple[Path, Path], listed: Path, tmp_path: Path) -> None:
    cache = training_cache(tmp_path / "c", speakers=20).path
    plain = printed("score", *files, listed, "--out", tmp_path / "plain.csv")
    normed = printed("score", *files, listed, "--norm", "as", "--cohort", cache, "--cohort-top", 10)
    assert alone(plain) != alone(normed)
    assert run("score", *files, listed, "--norm", "as").exit_code == 2
    assert run("score", *files, listed, "--norm", "q", "--cohort", cache).exit_code == 2


@pytest.fixture
def cached(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Cache, model and list for the command, and a params.yaml that keeps it short."""
    enhancer().save(tmp_path / "model", "card")
    (tmp_path / "params.yaml").write_text("score: {bootstrap: 100, timesteps: []}\n", encoding="utf-8")
    cache = evaluation_cache(tmp_path / "cache").path
    return cache, tmp_path / "model", write_trials(tmp_path / "trials_demo.txt")


def test_a_cache_and_a_model_are_scored_by_the_same_command(cached: tuple[Path, Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    found = printed("score", *cached, "--params", tmp_path / "params.yaml", "--out", out)
    assert found["evaluations"][0]["list"] == "demo"
    columns = "--column-a", "cosine:clean:network", "--column-b", "cosine:clean:enhanced"
    compared = printed("compare", out, out, *columns, "--replicates", 100)
    expected = found["evaluations"][0]["conditions"][0]
    assert compared["figures"]["eer"]["difference"] == expected["difference"]["eer"]
    assert compared["figures"]["eer"]["b"] == expected["systems"]["enhanced"]["eer"]
    assert run("score", *cached, "--ids", cached[2]).exit_code == 2
    with pytest.raises(TrialError, match="several systems"):
        write_scores(pd.read_csv(out), tmp_path / "scores.txt")


def test_a_cache_is_scored_on_a_list_that_does_not_tell_its_speakers(
    cached: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """As a wrong phrase of the same speaker is: scored like any other, but without intervals."""
    listed = cached[2]
    trials = read_trials(listed)
    known = tmp_path / "map.txt"
    known.write_text("".join(f"{n} s{k}\n" for n, k in zip(trials.utterances, trials.speakers(), strict=True)))
    lines = listed.read_text().splitlines()
    first = trials.utterances[:2]
    pairs = [{line.split()[1], line.split()[2]} for line in lines]
    changed = [f"0 {line[2:]}" if pair == set(first) else line for line, pair in zip(lines, pairs, strict=True)]
    assert changed != lines
    listed.write_text("\n".join(changed))
    found = printed("score", *cached, "--params", tmp_path / "params.yaml")["evaluations"][0]
    assert "need a speaker map" in found["warnings"][0]
    assert found["speakers"] == 0
    assert "low" not in found["conditions"][0]["systems"]["enhanced"]["eer"]
    assert "mean_relative_reduction" not in found
    result = run("score", *cached, "--params", tmp_path / "params.yaml")
    assert "no interval" in result.output
    mapped = printed("score", *cached, "--params", tmp_path / "params.yaml", "--speakers", known)["evaluations"][0]
    assert mapped["speakers"] == len(set(trials.speakers().tolist()))
    assert "low" in mapped["conditions"][1]["systems"]["network"]["eer"]


def test_options_of_a_cache_come_before_its_params(cached: tuple[Path, Path, Path], tmp_path: Path) -> None:
    options = "--params", tmp_path / "params.yaml", "--method", "cosine"
    plain = printed("score", *cached, *options)["evaluations"]
    assert [(each["method"], each["norm"]) for each in plain] == [("cosine", "none")]
    cohort = training_cache(tmp_path / "training").path
    normed = "--norm", "as", "--cohort", cohort, "--cohort-size", 100, "--cohort-top", 20
    found = printed("score", *cached, *options, *normed, "--out", tmp_path / "s.parquet")
    assert found["evaluations"][0]["norm"] == "as"
    wanted = ScoreParams(methods=("cosine",), bootstrap=100, timesteps=(), norm="as", cohort_size=100, cohort_top=20)
    expected, _ = evaluate(
        open_cache(cached[0]), enhancer(), read_trials(cached[2]), wanted, "demo", cohort=open_cache(cohort)
    )
    assert found["evaluations"] == json.loads(json.dumps(expected.to_dict()))["evaluations"]
    column = "cosine:reverb:network"
    scores = read_scores(tmp_path / "s.parquet", column)
    row = found["evaluations"][0]["conditions"][2]["systems"]["network"]
    assert metrics.eer(scores.scores, scores.trials.labels) == pytest.approx(row["eer"]["value"], abs=1e-12)
    assert run("score", *cached, *options, "--norm", "as").exit_code == 1
    assert run("score", *cached, "--norm", "q", "--cohort", cohort).exit_code == 2


def test_a_cache_is_scored_with_models_and_calibrations(cached: tuple[Path, Path, Path], tmp_path: Path) -> None:
    names = utterance_names(10, 4)
    models, listed, scores = tmp_path / "models.txt", tmp_path / "list.txt", tmp_path / "scores.csv"
    models.write_text("".join(f"m{s} {' '.join(names[4 * s : 4 * s + 3])}\n" for s in range(10)))
    listed.write_text("\n".join(f"{int(s == t)} m{s} {names[4 * t + 3]}" for s in range(10) for t in range(10)))
    options = "--params", tmp_path / "params.yaml", "--method", "cosine", "--models", models
    printed("score", *cached[:2], listed, *options, "--out", scores)
    fitted = []
    for system in ("network", "enhanced"):
        fitted += ["--calibration", tmp_path / f"{system}.json"]
        printed("calibrate", scores, fitted[-1], "--column", f"cosine:noise:{system}")
    found = printed("score", *cached[:2], listed, *options, *fitted)["evaluations"][0]
    assert "cllr" in found["conditions"][1]["difference"]
    assert set(found["conditions"][1]["systems"]["network"]) >= {"act_dcf", "cllr", "min_cllr"}
    assert "the list has 10 speakers" in found["warnings"][0]


def test_embedding_files_take_one_calibration(files: tuple[Path, Path], listed: Path) -> None:
    assert run("score", *files, listed, "--calibration", "a.json", "--calibration", "b.json").exit_code == 2


# --- score files ------------------------------------------------------------------------------------------------------


def scored(path: Path, listed: Path, seed: int, shift: float = 0.0) -> Path:
    trials = read_trials(listed)
    base = np.random.default_rng(7).normal(1.5 * trials.labels)
    values = base + 0.2 * np.random.default_rng(seed).normal(size=len(trials)) + shift * trials.labels
    names = np.array(trials.utterances)
    frame = {"label": trials.labels, "enrol": names[trials.enrol], "test": names[trials.test], "score": values}
    write_scores(pd.DataFrame(frame), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".txt"])
def test_scores_come_back_with_every_digit(tmp_path: Path, listed: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = scored(tmp_path / f"scores{suffix}", listed, 0)
    again = scored(tmp_path / "scores.csv", listed, 0)
    assert read_scores(path).scores.tolist() == read_scores(again).scores.tolist()
    assert read_scores(path).trials.utterances
    assert read_scores(path).trials.blind == (suffix == ".txt")


def test_a_better_system_is_called_better_and_the_same_one_not(tmp_path: Path, listed: Path) -> None:
    a, b = scored(tmp_path / "a.csv", listed, 0), scored(tmp_path / "b.csv", listed, 1, shift=1.0)
    found = printed("compare", a, b, "--replicates", 200)
    assert set(found["figures"]) == {"eer", "min_dcf_0.05", "min_dcf_0.01"}
    eer = found["figures"]["eer"]
    assert eer["verdict"] == "b has fewer errors"
    assert eer["difference"]["difference"] == pytest.approx(eer["b"]["value"] - eer["a"]["value"])
    assert eer["difference"]["high"] < 0
    assert printed("compare", b, a, "--replicates", 200)["figures"]["eer"]["verdict"] == "b has more errors"
    same = printed("compare", a, scored(tmp_path / "c.csv", listed, 2), "--replicates", 200)
    assert same["figures"]["eer"]["verdict"] == "no measurable difference"
    text = run("compare", a, a).stdout
    assert text.count("no measurable difference") == 3
    assert "p = 1.000" in text


def test_the_order_of_the_files_does_not_matter(tmp_path: Path, listed: Path) -> None:
    a, b = scored(tmp_path / "a.csv", listed, 0), scored(tmp_path / "b.csv", listed, 1, shift=0.5)
    expected = printed("compare", a, b, "--replicates", 100)["figures"]
    shuffled = pd.read_csv(b).sample(frac=1, random_state=0)
    shuffled.to_csv(b, index=False)
    assert printed("compare", a, b, "--replicates", 100)["figures"] == expected
    shuffled.drop(columns="label").to_csv(b, index=False)
    assert printed("compare", a, b, "--replicates", 100)["figures"] == expected


def test_labels_come_from_a_list_where_the_files_have_none(tmp_path: Path, listed: Path) -> None:
    a, b = scored(tmp_path / "a.txt", listed, 0), scored(tmp_path / "b.txt", listed, 1)
    assert run("compare", a, b).exit_code == 1
    found = printed("compare", a, b, "--list", listed, "--replicates", 100)
    assert found["trials"] == len(read_trials(listed))


def test_few_speakers_are_not_tested(tmp_path: Path) -> None:
    few = write_trials(tmp_path / "few.txt", speakers=2)
    a, b = scored(tmp_path / "a.csv", few, 0), scored(tmp_path / "b.csv", few, 1)
    found = compare_scores(read_scores(a), read_scores(b), replicates=100).figures["eer"]
    assert found.verdict == "not tested: too few speakers"
    assert (found.a.low, found.difference.p_value) == (None, None)
    assert figures(read_trials(few), read_scores(a).scores)["eer"].low is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no scores"),
        ("enrol,test\na,b\n", "lacks the column score"),
        ("enrol,test,other\na,b,1\n", "lacks the column score; expected one of other"),
        ("enrol,test,score\na,b,1\na,c,nan\n", "row 3: 1 score is not finite in the column score"),
        ("a b 1\na c x\n", "row 2: 1 score"),
        ("\na b 1\n\n  \na c x\n", "row 5: 1 score"),
        ("enrol,test,label,score\n\na,b,1,1\n\na,c,?,2\n", "row 5: the label is"),
        ("label,enrol,test,score\nmaybe,a,b,1\n", "row 2: the label is 'maybe'"),
        ("1 a b 0.5 6\n", "more columns"),
        ("a b 1\na c\n", "fewer columns than enrol, test and score"),
        ("enrol;test;score\na;b;1\n", "fewer columns than enrol, test and score.*; expected csv, tsv or Parquet"),
        ("enrol_a,test,score\na,b,1\n", "lacks the column enrol; expected enrol, test and score; rename"),
        ("model,modelid,segment,score\na,a,b,1\n", "the header names the enrol column twice"),
        ("modelid,segmentid,side,LLR\na,b,a,1\na,c,b,2\n", "row 3: the column side says which part of a file is meant"),
        ("a b c 0.5\na c d 0.7\n", "4 columns, and none of labels beside one of scores"),
        ("a b target 1\na c nontarget\n", "fewer columns than the first line"),
        (
            "1 u1 0 0.5\n0 u2 1 0.6\n1 u2 0 0.1\n",
            "row 1: can be read as 'label enrol test score' and as",
        ),
        ("12 13 5\n13 14 6\n", "can be read as 'score enrol test' and as 'enrol test score'"),
        (
            "12 u1 0.5\n13 u2 x\n14 u3 0.7\n",
            "row 2: 'score enrol test' is one .* 'x', column 3 holds scores",
        ),
        ("enrol,test,score\na,b,1,2\n", "more columns"),
        ("enrol,test,score,score\na,b,1,2\n", "the column score stands twice"),
        ("enrol test score enrol\na b 1 c\n", "the column enrol stands twice"),
        ('enrol,test,score\n"a,b,1\n"c,d,2\n', "its quotes are not those of a csv"),
        ('"a b 1\n"c d 2\ne f 1\n', "a quotation mark is not closed"),
        ('"a b 1\n"c d 2', "a quotation mark is not closed"),
    ],
)
def test_score_files_that_cannot_be_read_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(TrialError, match=words):
        read_scores(path)


PEERS = {
    "no label": "a b 0.5\na ä -1e-1\n",
    "score first": "0.5 a b\n-0.1 a ä\n",
    "label first": "1 a b 0.5\n0 a ä -0.1\n",
    "label third": "a b target 0.5\na ä nontarget -0.1\n",
    "label last": "a b 0.5 tgt\na ä -0.1 imp\n",
    "score and label first": "0.5 1 a b\n-0.1 0 a ä\n",
    "NIST": "modelid\tsegmentid\tside\tLLR\na\tb\ta\t0.5\na\tä\ta\t-0.1\n",
    "NIST with blanks": "modelid segmentid side LLR targettype\na b a 0.5 target\na ä a -0.1 nontarget\n",
    "csv": "enroll_id,test_id,score,is_target\na,b,0.5,1\na,ä,-0.1,0\n",
    "byte order mark": "\ufeff1 a b 0.5\n0 a ä -0.1\n",
}


@pytest.mark.parametrize("layout", PEERS)
def test_score_files_of_peers_are_read(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "theirs.score"
    path.write_text(PEERS[layout], encoding="utf-8")
    found = read_scores(path)
    assert found.trials.utterances == ("a", "b", "ä")
    assert found.scores.tolist() == [0.5, -0.1]
    known = layout not in ("no label", "score first", "NIST")
    assert found.trials.labels.tolist() == ([1, 0] if known else [-1, -1])
    other = tmp_path / "other.csv"
    other.write_text("enrol,test,label,score\na,a\u0308,0,0.3\na,b,1,0.2\n", encoding="utf-8")
    assert read_scores(other).in_order_of(found.trials).tolist() == [0.2, 0.3]


@pytest.mark.parametrize(
    ("text", "names"),
    [("12 13 1 0.53\n12 14 0 -0.1\n", ("12", "13", "14")), ("1 0 target 1.5\n0 0 nontarget 2\n", ("1", "0"))],
)
def test_names_that_are_numbers_are_told_from_scores_and_labels(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    (tmp_path / "scores.txt").write_text(text)
    found = read_scores(tmp_path / "scores.txt")
    assert found.trials.utterances == names
    assert found.trials.labels.tolist() == [1, 0]


def test_a_column_of_scores_keeps_its_name_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("modelid,segmentid,LLR,score\na,b,0.5,7\na,c,0.1,8\n")
    assert read_scores(tmp_path / "scores.csv").scores.tolist() == [7, 8]
    assert read_scores(tmp_path / "scores.csv", "LLR").scores.tolist() == [0.5, 0.1]


def test_files_of_other_trials_are_refused() -> None:
    def made(*pairs: str) -> ScoreFile:
        names = tuple("abcd")
        sides = (np.array([names.index(pair[side]) for pair in pairs]) for side in (0, 1))
        labels = np.array([pair == "ab" for pair in pairs], np.int8)
        trials = Trials(Path(pairs[0]), names, *sides, labels, np.arange(len(pairs)))
        return ScoreFile(trials, np.arange(float(len(pairs))))

    ours = made("ab", "ac", "ad")
    assert made("ad", "ac", "ab").in_order_of(ours.trials).tolist() == [2, 1, 0]
    for other in (made("ab", "ac", "cd"), made("ab", "ac")):
        with pytest.raises(TrialError, match=r"lacks 1 of the 3 of ab \(the first: a [bcd]\)"):
            other.in_order_of(ours.trials)
    with pytest.raises(TrialError, match="4 trials, 1 of them again, and lacks 0 of the 3"):
        made("ab", "ab", "ac", "ad").in_order_of(ours.trials)


def test_files_that_disagree_about_labels_are_refused(tmp_path: Path, listed: Path) -> None:
    a, b = scored(tmp_path / "a.csv", listed, 0), scored(tmp_path / "b.csv", listed, 1)
    frame = pd.read_csv(b)
    frame.loc[5, "label"] = 1 - frame.loc[5, "label"]
    frame.sample(frac=1, random_state=0).to_csv(b, index=False)
    row = int(np.flatnonzero(frame.sample(frac=1, random_state=0).index == 5)[0]) + 2
    with pytest.raises(TrialError, match=rf"b.csv, row {row}: 1 trial is labelled otherwise than in .*a.csv"):
        compare_scores(read_scores(a), read_scores(b))
    with pytest.raises(TrialError, match="labelled otherwise"):
        compare_scores(read_scores(a), read_scores(b), read_trials(listed))


def test_names_and_labels_are_no_scores(tmp_path: Path, listed: Path) -> None:
    path = scored(tmp_path / "a.csv", listed, 0)
    for name in ("label", "enrol"):
        with pytest.raises(TrialError, match=f"the column {name} holds no scores"):
            read_scores(path, name)
    assert run("calibrate", path, tmp_path / "c.json", "--quality", "label").exit_code == 1


def test_warnings_come_with_the_figures(tmp_path: Path, listed: Path) -> None:
    a, b = scored(tmp_path / "a.csv", listed, 0, shift=9.0), scored(tmp_path / "b.csv", listed, 1)
    found = printed("compare", a, b, "--replicates", 100)
    lines = found["warnings"]
    cost = lines[-1]
    assert f"the list has {SPEAKERS} speakers" in lines[0]
    assert re.search(r"fewer than 10 misses or false alarms \(at 0.05: a(, b)?; at 0.01: a, b\)", cost)
    result = run("compare", a, b, "--replicates", 100)
    assert [f"seedpipe: warning: {line}" for line in lines] == result.stderr.splitlines()
    assert found["figures"]["eer"]["a"] == {"value": 0.0}  # no error at all: nothing to resample


def test_speakers_are_counted_by_their_target_trials() -> None:
    """Strangers whom nobody claims to be make the false alarms surer, and the misses no surer."""
    names = tuple(f"u{number}" for number in range(200))
    enrol, test = np.arange(200) % 10 // 2 * 2, np.arange(200)
    labels = ((test < 10) & (test % 2 == 1)).astype(np.int8)
    keep = enrol != test
    trials = Trials(Path("t"), names, enrol[keep], test[keep], labels[keep], np.arange(keep.sum()))
    scores = np.random.default_rng(0).normal(size=len(trials))
    assert "the list has 5 speakers with target trials" in warnings_about(trials, {"x": scores})[0]


def test_costs_with_many_errors_of_both_kinds_are_not_warned_about(listed: Path) -> None:
    trials, rng = read_trials(listed), np.random.default_rng(0)
    weak = rng.normal(0.5 * trials.labels)
    assert not [line for line in warnings_about(trials, {"weak": weak}, [0.5]) if "minDCF" in line]
    assert [line for line in warnings_about(trials, {"weak": weak}, [0.001]) if "at 0.001: weak" in line]


def test_negated_scores_are_refused(tmp_path: Path, listed: Path) -> None:
    a = read_scores(scored(tmp_path / "a.csv", listed, 0, shift=2.0))
    with pytest.raises(MetricError, match="did you supply distances"):
        compare_scores(a, ScoreFile(a.trials, -a.scores))


# --- calibration ------------------------------------------------------------------------------------------------------


def test_what_is_fitted_on_one_list_is_applied_to_another(
    files: tuple[Path, Path], listed: Path, tmp_path: Path
) -> None:
    dev, fitted = tmp_path / "dev.csv", tmp_path / "calibration.json"
    printed("score", *files, listed, "--out", dev)
    quality = "--quality", "magnitude_low", "--quality", "magnitude_high"
    made = printed("calibrate", dev, fitted, *quality)
    assert set(made["quality"]) == {"magnitude_low", "magnitude_high"}
    assert made["cllr"] >= made["min_cllr"] - 0.05
    found = alone(printed("score", files[1], files[0], listed, "--calibration", fitted))
    assert found["min_cllr"]["value"] <= found["cllr"]["value"] < 0.9
    assert found["act_dcf"]["low"] <= found["act_dcf"]["value"] < 1.0


def test_a_calibration_needs_labels(tmp_path: Path, listed: Path) -> None:
    result = run("calibrate", scored(tmp_path / "a.txt", listed, 0), tmp_path / "c.json")
    assert result.exit_code == 1
    assert "has no labels" in result.stderr
    assert not (tmp_path / "c.json").exists()


def test_a_calibration_is_written_to_json_alone(tmp_path: Path, listed: Path) -> None:
    a, b = scored(tmp_path / "a.csv", listed, 0), scored(tmp_path / "b.csv", listed, 1)
    before = b.read_bytes()
    assert run("calibrate", a, b).exit_code == 2
    assert b.read_bytes() == before


def test_every_refusal_is_one_of_ours(tmp_path: Path) -> None:
    with pytest.raises(SeedpipeError):
        read_scores(tmp_path / "nowhere.csv")


def test_a_flipped_bit_of_a_score_is_noticed(tmp_path: Path) -> None:
    path, score = tmp_path / "scores.parquet", 0.123456789
    write_scores(pd.DataFrame({"enrol": ["a", "a"], "test": ["b", "c"], "score": [score, 0.5]}), path)
    data = bytearray(path.read_bytes())
    data[data.index(struct.pack("<d", score))] ^= 1
    path.write_bytes(data)
    with pytest.raises(SeedpipeError, match=r"cannot be read .*CRC"):
        read_scores(path)


@pytest.mark.parametrize(("name", "found"), [(None, "a name is missing"), ("c\0", "a name holds NUL")])
def test_a_name_that_is_none_is_refused_by_its_row(tmp_path: Path, name: str | None, found: str) -> None:
    path = tmp_path / "scores.parquet"
    pd.DataFrame({"enrol": ["a", "a"], "test": ["b", name], "score": [0.1, 0.5]}).to_parquet(path, index=False)
    with pytest.raises(TrialError, match=rf"row 2: {found}"):
        read_scores(path)


@pytest.mark.parametrize("score", ["1e308", "-1e308", "1e31"])
def test_scores_whose_squares_are_no_numbers_are_refused(tmp_path: Path, score: str) -> None:
    (tmp_path / "s.csv").write_text(f"enrol,test,score\na,b,0.5\na,c,{score}\n")
    with pytest.raises(TrialError, match=r"row 3: 1 score .* expected numbers from -1e\+30 to 1e\+30"):
        read_scores(tmp_path / "s.csv")


def test_a_trial_list_is_no_score_file(tmp_path: Path) -> None:
    (tmp_path / "trials.txt").write_text("1 a b\n0 a c\n", encoding="utf-8")
    with pytest.raises(TrialError, match="is a trial list: every number is 1 or 0; expected scores"):
        read_scores(tmp_path / "trials.txt")
    (tmp_path / "decisions.csv").write_text("enrol,test,score\na,b,1\na,c,0\n", encoding="utf-8")
    assert read_scores(tmp_path / "decisions.csv").scores.tolist() == [1, 0]
