"""seedpipe.scoring: scores against golden numbers and plain loops, and the figures made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import QUICK, enhancer, evaluation_cache, golden, network_info, training_cache, write_trials

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhancers import train
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import CacheDamagedError, CacheMismatchError, MetricError, TrialError
from seedpipe.params import ScoreParams
from seedpipe.results import Evaluations
from seedpipe.results.report import format_table, write_report
from seedpipe.scoring import (
    METHODS,
    NORMS,
    CropEmbeddings,
    Method,
    Norm,
    cohort_from,
    cohort_statistics,
    cosine_scores,
    device,
    euclidean_scores,
    evaluate,
    evaluation,
    load_crops,
    normalized_scores,
    norms,
    pair_scores,
    pairs,
    score_conditions,
    systems,
    vectors,
    with_models,
)
from seedpipe.scoring.trials import Trials, read_trials

PARAMS = ScoreParams(bootstrap=100)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SCORES = {"cosine": cosine_scores, "euclidean": euclidean_scores}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return evaluation_cache(tmp_path_factory.mktemp("cache") / "demo")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    return read_trials(write_trials(tmp_path_factory.mktemp("list") / "trials_demo.txt"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Enhancer:
    folder = tmp_path_factory.mktemp("model")
    return train(training_cache(folder / "cache"), folder / "model", QUICK)[0]


@pytest.fixture(scope="module")
def evaluated(cache: Cache, trials: Trials, trained: Enhancer) -> tuple[Evaluations, Any]:
    return evaluate(cache, trained, trials, PARAMS, "demo")


def draw(seed: int, trials: int = 5, crops: int = 3, dimension: int = 8) -> tuple[np.ndarray, np.ndarray]:
    enrol, test = np.random.default_rng(seed).standard_normal((2, trials, crops, dimension)).astype(np.float32)
    return enrol, test


def looped(method: str, enrol: np.ndarray, test: np.ndarray) -> list[float]:
    result = []
    for left, right in zip(enrol.astype(np.float64), test.astype(np.float64), strict=True):
        left, right = ([crop / np.linalg.norm(crop) for crop in side] for side in (left, right))  # noqa: PLW2901
        if method == "cosine":
            a, b = sum(left), sum(right)
            result.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        else:
            result.append(-np.mean([np.linalg.norm(a - b) for a in left for b in right]))
    return result


def test_euclidean_scores_are_the_golden_ones() -> None:
    numbers = golden("scoring.npz")
    embeddings, pairs = numbers["segment_embeddings"], numbers["pairs"]
    scores = euclidean_scores(embeddings[pairs[:, 0]], embeddings[pairs[:, 1]])
    assert (pairs[:, 0] == pairs[:, 1]).any()  # where float32 loses most: the distance 0
    assert np.abs(scores - numbers["pair_scores"]).max() < 1e-6
    assert scores == pytest.approx(looped("euclidean", embeddings[pairs[:, 0]], embeddings[pairs[:, 1]]), abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**32 - 1), crops=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_scores_are_those_of_a_plain_loop(method: str, seed: int, crops: int) -> None:
    enrol, test = draw(seed, crops=crops)
    scores = SCORES[method](enrol, test)
    assert scores.dtype == np.float64
    assert scores == pytest.approx(looped(method, enrol, test), abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_the_length_of_embeddings_and_the_two_sides_do_not_matter(method: str, seed: int, factor: float) -> None:
    enrol, test = draw(seed)
    scores = SCORES[method](enrol, test)
    assert SCORES[method](np.float32(factor) * enrol, test) == pytest.approx(scores, abs=1e-5)
    assert SCORES[method](test, enrol) == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize(("method", "best"), [("cosine", 1.0), ("euclidean", 0.0)])
def test_an_utterance_is_closest_to_itself(method: str, best: float) -> None:
    enrol, test = draw(0, crops=1)
    assert SCORES[method](enrol, enrol) == pytest.approx(np.full(5, best), abs=1e-6)
    assert (SCORES[method](enrol, test) < SCORES[method](enrol, enrol)).all()


def crops_and_trials(path: Path, seed: int = 0, count: int = 50) -> tuple[CropEmbeddings, Trials]:
    rng = np.random.default_rng(seed)
    names = tuple(f"u{i}.wav" for i in range(12))
    embeddings = rng.standard_normal((12, 3, 2, 8)).astype(np.float32)
    enrol, test = rng.integers(0, 12, (2, count))
    # The list mentions the utterances in another order than the cache holds them.
    order = tuple(names[i] for i in rng.permutation(12))
    trials = Trials(path, order, enrol, test, rng.integers(0, 2, count).astype(np.int8), np.arange(1, count + 1))
    return CropEmbeddings(names, ("clean", "noise"), embeddings), trials


@pytest.mark.parametrize("method", METHODS)
def test_enrolment_is_clean_and_the_test_side_under_the_condition(method: str) -> None:
    crops, trials = crops_and_trials(Path("t"))
    scores = score_conditions(crops, trials, method)
    by_name = dict(zip(crops.utterances, crops.embeddings, strict=True))
    for v, condition in enumerate(crops.conditions):
        enrol = np.stack([by_name[trials.utterances[i]][:, 0] for i in trials.enrol])
        test = np.stack([by_name[trials.utterances[i]][:, v] for i in trials.test])
        assert scores[condition] == pytest.approx(looped(method, enrol, test), abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", [1, 7, 49, 50, 51])
def test_the_size_of_a_block_does_not_matter(method: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    crops, trials = crops_and_trials(Path("t"))
    expected = score_conditions(crops, trials, method)
    for module in (pairs, vectors):
        monkeypatch.setattr(module, "BLOCK_BYTES", block * 3 * 8 * 4)
    monkeypatch.setattr(pairs, "GATHER_BYTES", block * 8 * 4)
    monkeypatch.setattr(pairs, "SPAN_BYTES", 2 * block * 8 * 4)
    monkeypatch.setattr(pairs, "NEAR_BLOCK", block)
    found = score_conditions(crops, trials, method)
    assert list(found) == ["clean", "noise"]
    for condition, scores in expected.items():
        assert found[condition] == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_how_embeddings_are_stored_does_not_matter(method: Method) -> None:
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((9, 1, 3, 8)).astype(np.float32)
    rows = rng.integers(0, 9, (2, 40))
    strided = whole[:, :, 1]  # one condition of several, as a cache has them
    expected = pair_scores(strided.copy(), strided.copy(), *rows, method)
    assert pair_scores(strided, strided, *rows, method) == pytest.approx(expected, abs=1e-6)
    halves = strided.astype(np.float16)
    exact = pair_scores(halves.astype(np.float32), halves.astype(np.float32), *rows, method)
    assert pair_scores(halves, halves, *rows, method) == pytest.approx(exact, abs=1e-6)  # type: ignore[arg-type]
    nothing = np.zeros(0, dtype=np.int64)
    assert pair_scores(strided, strided, nothing, nothing, method).shape == (0,)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [(3, 9), (9, 3), (-1, 3), (3, -1)])
def test_rows_that_do_not_exist_are_refused(method: Method, rows: tuple[int, int]) -> None:
    embeddings = np.ones((9, 1, 4), np.float32)
    with pytest.raises(MetricError, match=r"trials name row -?\d of 9 utterances"):
        pair_scores(embeddings, embeddings, np.array([rows[0], 0]), np.array([rows[1], 0]), method)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_permuted_trials_have_permuted_scores(seed: int) -> None:
    crops, trials = crops_and_trials(Path("t"), seed)
    order = np.random.default_rng(seed).permutation(len(trials))
    permuted = Trials(
        trials.path,
        trials.utterances,
        trials.enrol[order],
        trials.test[order],
        trials.labels[order],
        trials.rows[order],
    )
    scores, moved = score_conditions(crops, trials, "cosine"), score_conditions(crops, permuted, "cosine")
    assert moved["noise"] == pytest.approx(scores["noise"][order], abs=1e-6)


def test_utterances_that_the_cache_lacks_are_counted_and_the_first_is_located(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "trials_x.txt"
    names = [f"speaker{s:02d}/utterance0.wav" for s in range(3)]
    path.write_text(f"0 {names[0]} {names[1]}\n1 {names[0]} gone1.wav\n0 gone2.wav {names[2]}\n", encoding="utf-8")
    with pytest.raises(TrialError, match=r"2 of 5 utterances are not in the cache: gone1\.wav, gone2\.wav") as caught:
        evaluate(cache, enhancer(), read_trials(path), PARAMS, "x")
    assert (caught.value.file, caught.value.row) == (path, 2)
    assert names[0] in str(caught.value)


def test_many_missing_utterances_are_not_all_listed(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "trials_x.txt"
    path.write_text("\n".join(f"{i % 2} a{i}.wav b{i}.wav" for i in range(100)), encoding="utf-8")
    with pytest.raises(TrialError, match=r"200 of 200 utterances .*, \.\.\.;") as caught:
        score_conditions(load_crops(cache), read_trials(path), "cosine")
    assert len(str(caught.value)) < 500


def test_crops_are_read_by_utterance(cache: Cache) -> None:
    crops = load_crops(cache)
    assert crops.embeddings.shape == (40, 2, 3, 16)
    assert crops.conditions == ("clean", "noise", "reverb")
    rows = cache.frame()
    number = crops.utterances.index("speaker03/utterance2.wav")
    mask = (rows["utterance"] == "speaker03/utterance2.wav").to_numpy()
    assert (crops.embeddings[number] == cache.to_numpy()[mask]).all()


def test_a_training_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheMismatchError, match="kind is 'training'; expected 'evaluation'"):
        load_crops(training_cache(tmp_path / "c", speakers=2))


def test_rows_that_are_not_whole_utterances_are_refused(cache: Cache) -> None:
    info = cache.info.model_copy(update={"features": {"crops": 3}})
    with pytest.raises(CacheDamagedError, match="crops of each utterance in order"):
        load_crops(Cache(cache.path, info))


def test_a_model_for_another_network_is_refused(cache: Cache, trials: Trials, tmp_path: Path) -> None:
    with pytest.raises(CacheMismatchError, match="network name is 'toy', but the model is for 'ecapa'"):
        evaluate(cache, enhancer(name="ecapa"), trials, PARAMS, "demo")
    other = evaluation_cache(tmp_path / "c", network=network_info(fingerprint="e" * 64))
    with pytest.raises(CacheMismatchError, match="network fingerprint"):
        evaluate(other, enhancer(), trials, PARAMS, "demo")


def described(evaluations: Evaluations) -> dict[str, Any]:
    """What a report is made of."""
    return {"title": "t", "seedpipe_version": "0", "made_by": "test", **evaluations.to_dict()}


def test_an_evaluation_is_what_the_report_wants(
    evaluated: tuple[Evaluations, Any], trials: Trials, tmp_path: Path
) -> None:
    evaluations, _ = evaluated
    data = described(evaluations)
    write_report(data, tmp_path / "report.html", tmp_path / "report.md")
    assert "reverb" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "toy on demo" in format_table(data)
    assert [evaluation.method for evaluation in evaluations] == list(PARAMS.methods)
    first = evaluations[0]
    assert (first.trials, first.targets) == (len(trials), int(trials.labels.sum()))
    assert (first.speakers, first.utterances) == (10, 40)


def test_the_table_holds_every_score(
    evaluated: tuple[Evaluations, Any], cache: Cache, trials: Trials, trained: Enhancer
) -> None:
    table = evaluated[1]
    assert len(table) == len(trials)
    expected = [f"{m}:{c}:{s}" for m in PARAMS.methods for s in ("network", "enhanced") for c in cache.info.variants]
    assert list(table) == ["label", "enrol", "test", *expected]
    lines = trials.path.read_text(encoding="utf-8").splitlines()
    assert (table["label"].astype(str) + " " + table["enrol"] + " " + table["test"]).tolist() == lines
    crops = load_crops(cache)
    assert (table["cosine:noise:network"] == score_conditions(crops, trials, "cosine")["noise"]).all()
    enhanced = CropEmbeddings(crops.utterances, crops.conditions, trained(crops.embeddings))
    assert (table["euclidean:reverb:enhanced"] == score_conditions(enhanced, trials, "euclidean")["reverb"]).all()


def test_figures_are_the_metrics_of_the_scores(evaluated: tuple[Evaluations, Any], trials: Trials) -> None:
    evaluations, table = evaluated
    for one in evaluations:
        for row in one.conditions:
            for system, figures in vars(row.systems).items():
                scores = table[f"{one.method}:{row.condition}:{system}"]
                assert figures.eer.value == pytest.approx(metrics.eer(scores, trials.labels))
                assert figures.min_dcf.value == pytest.approx(metrics.min_dcf(scores, trials.labels, 0.05))
                if figures.eer.value:
                    assert figures.eer.low <= figures.eer.value <= figures.eer.high
                else:  # no errors: nothing says how many there might be
                    assert (figures.eer.low, figures.eer.high) == (None, None)


def test_a_difference_is_seed_minus_network(evaluated: tuple[Evaluations, Any]) -> None:
    for row in evaluated[0][0].conditions:
        before, after = row.systems.both
        for metric in ("eer", "min_dcf"):
            expected = after.metrics[metric].value - before.metrics[metric].value
            assert row.difference.metrics[metric].difference == pytest.approx(expected, abs=1e-12)


def test_a_trained_enhancer_reduces_errors_under_noise(evaluated: tuple[Evaluations, Any]) -> None:
    rows = {row.condition: row for row in evaluated[0][0].conditions}
    assert rows["noise"].difference.eer.difference < 0
    assert rows["reverb"].difference.eer.difference < 0
    assert evaluated[0][0].mean_relative_reduction.value > 0.1


def test_a_senseless_enhancer_is_reported_as_worse(cache: Cache, trials: Trials) -> None:
    evaluations, _ = evaluate(cache, enhancer(ensemble=1.0), trials, PARAMS, "demo")
    assert evaluations[0].conditions[0].difference.eer.difference > 0
    assert evaluations[0].mean_relative_reduction.value < 0


def test_an_enhancer_that_does_nothing_changes_nothing(cache: Cache, trials: Trials) -> None:
    evaluations, _ = evaluate(cache, enhancer(ensemble=0.0), trials, PARAMS, "demo")
    for row in evaluations[0].conditions:
        assert row.difference.eer.difference == pytest.approx(0, abs=1e-6)


def test_a_network_without_errors_has_no_relative_reduction(trials: Trials, tmp_path: Path) -> None:
    easy = evaluation_cache(tmp_path / "c", noise=0.0)
    names = np.array([name.split("/")[0] for name in load_crops(easy).utterances])
    speaker = np.unique(names, return_inverse=True)[1]
    embeddings = 10 * np.eye(16, dtype=np.float32)[speaker][:, None, None] + 0.01 * load_crops(easy).embeddings
    perfect = CropEmbeddings(load_crops(easy).utterances, easy.info.variants, embeddings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "load_crops", lambda _: perfect)
        evaluations, _ = evaluate(easy, enhancer(ensemble=0.0), trials, PARAMS, "demo")
    assert evaluations[0].conditions[1].systems.network.eer.value == 0
    assert evaluations[0].mean_relative_reduction is None
    data = described(evaluations)
    write_report(data, tmp_path / "report.html")
    assert (tmp_path / "report.html").is_file()


def test_scores_that_are_distances_are_refused(cache: Cache, trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "pair_scores", lambda *given, **where: -pair_scores(*given, **where))
    with pytest.raises(MetricError, match="did you supply distances"):
        evaluate(cache, enhancer(), trials, PARAMS, "demo")


@pytest.mark.parametrize("definition", ["linear", "max", "mean", "hull"])
def test_the_definition_of_the_eer_is_used_and_named(cache: Cache, trials: Trials, definition: str) -> None:
    params = ScoreParams(methods=("cosine",), bootstrap=100, eer_definition=definition)
    evaluations, table = evaluate(cache, enhancer(), trials, params, "demo")
    figures = evaluations[0].conditions[1].systems.network
    assert figures.eer_definition == definition
    expected = metrics.eer(table["cosine:noise:network"], trials.labels, definition)
    assert figures.eer.value == pytest.approx(expected)


def test_sampled_inference_noise_follows_the_seed(cache: Cache, trials: Trials) -> None:
    model, name = enhancer(inference_noise="sampled"), "cosine:clean:enhanced"
    tables = [
        evaluate(cache, model, trials, ScoreParams(methods=("cosine",), bootstrap=100, seed=seed), "demo")[1]
        for seed in (3, 3, 4)
    ]
    assert (tables[0][name] == tables[1][name]).all()
    assert (tables[0][name] != tables[2][name]).any()


def test_few_speakers_give_values_without_intervals(cache: Cache, trained: Enhancer, tmp_path: Path) -> None:
    few = read_trials(write_trials(tmp_path / "trials_few.txt", speakers=2))
    evaluations, _ = evaluate(cache, trained, few, PARAMS, "few")
    for condition in evaluations[0].conditions:
        assert condition.systems.enhanced.eer.low is None
        assert (condition.difference.eer.low, condition.difference.eer.p_value) == (None, None)
    assert evaluations[0].mean_relative_reduction is None
    data = described(evaluations)
    assert "not tested" in format_table(data)


# -------------------------------------------------------------------------------------------- scores of rows of arrays


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_score_as_their_pairs_side_by_side(method: Method, dtype: type) -> None:
    rng = np.random.default_rng(0)
    enrol, test = rng.standard_normal((2, 20, 4, 8)).astype(dtype)
    rows = rng.integers(0, 20, (2, 100))
    found = pair_scores(enrol, test[:, :3], *rows, method)
    if method == "euclidean":  # the two sides may have other numbers of crops
        pairs = zip(enrol[rows[0]].astype(np.float64), test[rows[1], :3].astype(np.float64), strict=True)
        units = [[side / np.linalg.norm(side, axis=1, keepdims=True) for side in pair] for pair in pairs]
        assert found == pytest.approx([-np.linalg.norm(a[:, None] - b, axis=2).mean() for a, b in units], abs=1e-6)
    assert pair_scores(enrol, test, *rows, method) == pytest.approx(
        SCORES[method](enrol[rows[0]].astype(np.float32), test[rows[1]].astype(np.float32)), abs=1e-6
    )
    assert pair_scores(enrol, enrol, *rows, method) == pytest.approx(pair_scores(enrol, enrol.copy(), *rows, method))


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**32 - 1), models=st.integers(1, 9), chosen=st.integers(1, 200))
@settings(max_examples=25, deadline=None)
def test_a_score_does_not_depend_on_the_other_trials(method: Method, seed: int, models: int, chosen: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((20, 3, 32)).astype(np.float32)
    rows = np.stack([rng.integers(0, models, 200), rng.integers(0, 20, 200)])  # up to 200 trials of one enrolment
    found = pair_scores(embeddings, embeddings, *rows, method)
    some = rng.permutation(200)[:chosen]
    assert pair_scores(embeddings, embeddings, *rows[:, some], method).tolist() == found[some].tolist()
    assert found == pytest.approx(looped(method, embeddings[rows[0]], embeddings[rows[1]]), abs=1e-6)


@pytest.mark.parametrize("distance", [0.0, 1e-7, 1e-3, 0.1, 0.2])
def test_small_distances_keep_their_digits(distance: float) -> None:
    rng = np.random.default_rng(0)
    base, other = rng.standard_normal((2, 50, 1, 256))
    base /= np.linalg.norm(base, axis=2, keepdims=True)
    other -= (other * base).sum(axis=2, keepdims=True) * base
    other /= np.linalg.norm(other, axis=2, keepdims=True)
    moved = base * np.sqrt(1 - distance**2) + distance * other
    found = euclidean_scores(base.astype(np.float32), moved.astype(np.float32))
    exact = -np.linalg.norm(base - moved, axis=2)[:, 0]
    assert np.abs(found - exact).max() < (1e-6 if distance > 1e-6 else 5e-7)
    sides, rows = (base.astype(np.float32), moved.astype(np.float32)), np.arange(50)
    there = device.pair_scores_on(DEVICE, *sides, rows, rows, "euclidean")
    assert np.abs(there - exact).max() < (5e-6 if distance > 1e-6 else 5e-7)


# ------------------------------------------------------------------------------------ scores on a GPU, or its like here


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("block", [1, 2**10, 2**28])
def test_scores_of_a_device_are_those_of_the_processor(
    method: Method, dtype: type, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "BLOCK_BYTES", block)
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((20, 4, 2, 16)).astype(dtype)
    enrol, test, rows = whole[:, :, 0], whole[:, :3, 1], rng.integers(0, 20, (2, 100))
    enrol[3] = 0
    for other in (test, enrol):
        found = device.pair_scores_on(DEVICE, enrol, other, *rows, method)
        assert found.dtype == np.float64
        assert found == pytest.approx(pair_scores(enrol, other, *rows, method), abs=1e-6)
    members, few = rng.standard_normal((30, 16)).astype(np.float32), np.array([5, 2, 2])
    members /= np.linalg.norm(members, axis=1, keepdims=True)
    for top in (None, 4):
        mean, std = device.cohort_statistics_on(DEVICE, test, members, method, top, few)
        expected = cohort_statistics(test, members, method, top, rows=few)
        assert (mean, std) == (pytest.approx(expected.mean, abs=1e-6), pytest.approx(expected.std, abs=1e-6))


def test_the_device_that_is_asked_for_scores(cache: Cache, trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    crops, asked = load_crops(cache), []

    def noted(name: str) -> Any:
        real = getattr(device, name)
        return lambda device, *given: (asked.append((name, device)), real(DEVICE, *given))[1]

    members = np.random.default_rng(0).standard_normal((20, crops.embeddings.shape[-1])).astype(np.float32)
    expected = score_conditions(crops, trials, "cosine", norm="as", cohort=members, top=5)
    for name in ("pair_scores_on", "cohort_statistics_on"):
        monkeypatch.setattr(device, name, noted(name))
    found = score_conditions(crops, trials, "cosine", norm="as", cohort=members, top=5, device="cuda")
    assert set(asked) == {("pair_scores_on", "cuda"), ("cohort_statistics_on", "cuda")}
    for condition, scores in expected.items():
        assert found[condition] == pytest.approx(scores, abs=1e-4)  # deviations of five cohort scores divide


def test_embeddings_that_do_not_fit_on_the_device_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "cat", full)
    with pytest.raises(MetricError, match=r"0\.0 GB do not fit into the memory of the device .cpu.; score with"):
        device.pair_scores_on(DEVICE, *draw(0), np.arange(5), np.arange(5), "cosine")


def test_a_crop_of_zeros_scores_without_a_warning() -> None:
    enrol, test = draw(0)
    enrol[0] = 0
    assert cosine_scores(enrol, test)[0] == 0
    assert euclidean_scores(enrol, test)[0] == pytest.approx(-np.sqrt(2), abs=0.5)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(MetricError, match="one of cosine, euclidean"):
        pair_scores(*draw(0), np.arange(5), np.arange(5), "dot")  # type: ignore[arg-type]
    with pytest.raises(MetricError, match=r"add an axis with \[:, None\]"):
        pair_scores(draw(0)[0][:, 0], draw(0)[1], np.arange(5), np.arange(5), "cosine")


# ------------------------------------------------------------------------------------------------------- normalisation


def looped_statistics(side: np.ndarray, cohort: np.ndarray, method: str, top: int | None) -> tuple[float, float]:
    scores = sorted(looped(method, np.stack([side] * len(cohort)), cohort[:, None]), reverse=True)[:top]
    return float(np.mean(scores)), float(np.std(scores))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("one_side", [True, False])
def test_normalised_scores_are_those_of_a_plain_loop(
    method: Method, norm: Norm, one_side: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(norms, "BLOCK_ELEMENTS", 100)
    rng = np.random.default_rng(0)
    enrol, test = rng.standard_normal((2, 9, 3, 8)).astype(np.float32)
    test = enrol if one_side else test
    cohort = rng.standard_normal((20, 8)).astype(np.float32)
    rows = rng.integers(0, 9, (2, 30))
    found = normalized_scores(enrol, test, *rows, method, norm, cohort, top=5)
    for trial, (e, t) in enumerate(rows.T):
        score = looped(method, enrol[e][None], test[t][None])[0]
        of_enrol, of_test = (
            looped_statistics(side, cohort, method, 5 if norm == "as" else None) for side in (enrol[e], test[t])
        )
        z, t_norm = ((score - mean) / std for mean, std in (of_enrol, of_test))
        expected = {"none": score, "z": z, "t": t_norm, "s": (z + t_norm) / 2, "as": (z + t_norm) / 2}[norm]
        assert found[trial] == pytest.approx(expected, abs=2e-5)


def test_normalisation_takes_away_what_an_utterance_scores_against_everybody() -> None:
    rng = np.random.default_rng(0)
    speakers = rng.standard_normal((20, 16))
    crops = speakers[np.arange(200) % 20, None] + 1.2 * rng.standard_normal((200, 1, 16))
    crops += 4.0 * rng.random((200, 1, 1))  # some utterances resemble everybody
    members = rng.standard_normal((300, 16)) + 4.0 * rng.random((300, 1))
    enrol, test = rng.integers(0, 200, (2, 6000))
    labels = (enrol % 20 == test % 20).astype(int)
    crops, members = crops.astype(np.float32), members.astype(np.float32)
    rates = {
        norm: metrics.eer(normalized_scores(crops, crops, enrol, test, "cosine", norm, members, 50), labels)
        for norm in NORMS
    }
    assert rates["s"] < 0.9 * rates["none"]
    assert rates["as"] < 0.9 * rates["none"]


def test_cohorts_that_do_not_fit_are_refused() -> None:
    crops = np.ones((2, 1, 8), np.float32)
    with pytest.raises(MetricError, match=r"the cohort has shape \(5, 4\); expected \(members, 8\)"):
        cohort_statistics(crops, np.ones((5, 4), np.float32))
    with pytest.raises(MetricError, match="the cohort has 5 members; expected at least 6"):
        cohort_statistics(crops, np.ones((5, 8), np.float32), top=6)
    with pytest.raises(MetricError, match="utterance 1 has one score against the whole cohort"):
        cohort_statistics(crops, np.ones((5, 8), np.float32))
    with pytest.raises(MetricError, match="one of none, z, t, s, as"):
        normalized_scores(crops, crops, np.arange(2), np.arange(2), "cosine", "q", crops[:, 0])  # type: ignore[arg-type]


def test_a_cohort_is_made_of_the_clean_utterances_of_a_training_cache(tmp_path: Path, cache: Cache) -> None:
    training = training_cache(tmp_path / "c", speakers=5, utterances=2, draws=3)
    everybody = cohort_from(training, 100).means()
    clean = training.to_numpy()[:, 0].reshape(10, 3, -1).astype(np.float64)
    mean = (clean / np.linalg.norm(clean, axis=2, keepdims=True)).mean(axis=1)
    assert everybody == pytest.approx(mean / np.linalg.norm(mean, axis=1, keepdims=True), abs=1e-6)
    some = cohort_from(training, 4, seed=3).means()
    assert some.shape == (4, 16)
    assert all((everybody == row).all(axis=1).any() for row in some)
    with pytest.raises(CacheMismatchError):
        cohort_from(cache, 4)


# ---------------------------------------------------------------------------------------------------------- enrolment


def test_a_model_of_one_utterance_scores_as_the_utterance() -> None:
    crops, _ = crops_and_trials(Path("t"))
    added = with_models(crops, {"m": ("u3.wav",), "n": ("u1.wav", "u2.wav")})
    assert added.utterances[-2:] == ("m", "n")
    rows = np.full(12, 12), np.arange(12)
    for method in METHODS:
        clean = added.embeddings[:, :, 0]
        expected = pair_scores(clean, clean, np.full(12, 3), rows[1], method)
        assert pair_scores(clean, clean, *rows, method) == pytest.approx(expected, abs=1e-6)


def test_a_model_is_the_mean_of_its_unit_length_utterances() -> None:
    crops, _ = crops_and_trials(Path("t"))
    added = with_models(crops, {"n": ("u1.wav", "u2.wav")}).embeddings[12]
    parts = crops.embeddings[1:3].astype(np.float64)
    expected = (parts / np.linalg.norm(parts, axis=-1, keepdims=True)).mean(axis=0)
    assert added == pytest.approx(expected, abs=1e-6)
    assert with_models(crops, {}).utterances == crops.utterances


def test_models_that_do_not_fit_are_refused() -> None:
    crops, _ = crops_and_trials(Path("t"))
    with pytest.raises(TrialError, match=r"u3\.wav has the name of an utterance"):
        with_models(crops, {"u3.wav": ("u1.wav",)})
    with pytest.raises(TrialError, match="1 enrolment utterance is not among the embeddings: gone"):
        with_models(crops, {"m": ("u1.wav", "gone")})


def test_names_in_a_list_are_found_by_a_rule_that_the_figures_name(cache: Cache, tmp_path: Path) -> None:
    path = write_trials(tmp_path / "trials.txt")
    path.write_text(path.read_text().replace("speaker", "/corpora/vox/speaker").replace(".wav", ".flac"))
    moved, _ = evaluate(cache, enhancer(), read_trials(path), PARAMS, "x")
    plain, _ = evaluate(cache, enhancer(), read_trials(write_trials(path)), PARAMS, "x")
    assert moved[0].utterance_rule == "the last 2 parts of the paths, without extension"
    assert plain[0].utterance_rule == "names as they are"
    assert moved[0].conditions == plain[0].conditions


def test_a_blind_list_has_no_figures(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "blind.txt"
    path.write_text("speaker00/utterance0.wav speaker00/utterance1.wav\n")
    with pytest.raises(TrialError, match="has scores but no error rate"):
        evaluate(cache, enhancer(), read_trials(path), PARAMS, "x")
    assert score_conditions(load_crops(cache), read_trials(path), "cosine")["clean"].shape == (1,)
