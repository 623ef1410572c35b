"""seedpipe.scoring.evaluate: what an evaluation says beyond the figures of a plain list, and where it warns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import QUICK, D, enhancer, evaluation_cache, network_info, training_cache, utterance_names, write_trials

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhancers import train
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import CacheMismatchError, MetricError
from seedpipe.params import ScoreParams
from seedpipe.results import Evaluations
from seedpipe.results.report import write_report
from seedpipe.scoring import (
    CropEmbeddings,
    cohort_from,
    evaluate,
    load_crops,
    normalized_scores,
    pair_scores,
    pairs,
    score_conditions,
    with_models,
)
from seedpipe.scoring.calibration import Calibration, fit_calibration
from seedpipe.scoring.trials import Trials, read_trials
from seedpipe.scoring.vectors import Method

QUICKLY: dict[str, Any] = {"methods": ("cosine",), "bootstrap": 100, "timesteps": ()}
PARAMS = ScoreParams(**QUICKLY)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return evaluation_cache(tmp_path_factory.mktemp("cache") / "demo")


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return training_cache(tmp_path_factory.mktemp("training") / "cache")


@pytest.fixture(scope="module")
def trained(training: Cache, tmp_path_factory: pytest.TempPathFactory) -> Enhancer:
    return train(training, tmp_path_factory.mktemp("model") / "model", QUICK)[0]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    return read_trials(write_trials(tmp_path_factory.mktemp("list") / "trials_demo.txt"))


def params(**update: Any) -> ScoreParams:
    return ScoreParams(**QUICKLY | update)


def rows_of(crops: CropEmbeddings, trials: Trials) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the two sides of every trial."""
    index = {name: row for row, name in enumerate(crops.utterances)}
    rows = np.array([index[name] for name in trials.utterances])
    return rows[trials.enrol], rows[trials.test]


# ---------------------------------------------------------------------------------------------------------- mismatch


@pytest.mark.parametrize(("side", "left", "right"), [("test", 0, 1), ("enrol", 1, 0), ("both", 1, 1)])
def test_the_side_that_is_asked_for_is_under_the_condition(
    cache: Cache, trials: Trials, side: str, left: int, right: int
) -> None:
    evaluations, table = evaluate(cache, enhancer(), trials, params(mismatch_side=side), "demo")
    crops = load_crops(cache)
    sides = crops.embeddings[:, :, left], crops.embeddings[:, :, right]
    expected = pair_scores(*sides, *rows_of(crops, trials), "cosine")
    assert table["cosine:noise:network"].to_numpy() == pytest.approx(expected)
    assert evaluations[0].mismatch_side == side
    clean = score_conditions(crops, trials, "cosine")["clean"]
    assert table["cosine:clean:network"].to_numpy() == pytest.approx(clean)


@pytest.mark.parametrize(("side", "preparations"), [("test", 3), ("enrol", 3), ("both", 3)])
@pytest.mark.parametrize(("method", "module"), [("cosine", "means"), ("euclidean", "inverse_lengths")])
def test_the_embeddings_of_a_condition_are_prepared_once(
    cache: Cache,
    trials: Trials,
    monkeypatch: pytest.MonkeyPatch,
    side: Any,
    preparations: int,
    method: Method,
    module: str,
) -> None:
    crops, prepared = load_crops(cache), []
    expected = score_conditions(crops, trials, method, mismatch_side=side)
    prepare = getattr(pairs, module)
    monkeypatch.setattr(pairs, module, lambda embeddings: prepared.append(embeddings) or prepare(embeddings))
    found = score_conditions(crops, trials, method, mismatch_side=side)
    assert len(crops.conditions) == len(prepared) == preparations
    for condition in crops.conditions:
        np.testing.assert_array_equal(found[condition], expected[condition])


def test_no_other_timesteps_are_tried_unless_they_are_asked_for(cache: Cache, trials: Trials) -> None:
    wanted = ScoreParams(methods=("cosine",), bootstrap=100)
    assert evaluate(cache, enhancer(), trials, wanted, "demo")[0][0].timesteps == []


def renamed(cache: Cache, names: tuple[str, ...]) -> Cache:
    """The same embeddings under other names of conditions."""

    class Renamed(Cache):
        def frame(self) -> pd.DataFrame:
            old = dict(zip(cache.info.variants, names, strict=True))
            columns = {name: f"{name.split(':')[0]}:{old[name.split(':')[1]]}" for name in super_frame if ":" in name}
            return super_frame.rename(columns=columns)

    super_frame = cache.frame()
    found = Renamed(cache.path, cache.info.model_copy(update={"variants": names}))
    found.to_numpy = cache.to_numpy  # type: ignore[method-assign]
    return found


def test_levels_stay_out_of_the_mean_reduction_unless_there_is_nothing_else(
    cache: Cache, trials: Trials, trained: Enhancer
) -> None:
    def reduction(*conditions: str) -> tuple[float, dict[str, float]]:
        evaluations, _ = evaluate(renamed(cache, ("clean", *conditions)), trained, trials, PARAMS, "demo")
        rates = {
            row.condition: 1 - row.systems.enhanced.eer.value / row.systems.network.eer.value
            for row in evaluations[0].conditions[1:]
        }
        return evaluations[0].mean_relative_reduction.value, rates

    mean, rates = reduction("noise", "noise@5")
    assert mean == pytest.approx(rates["noise"])
    mean, rates = reduction("noise@0", "noise@5")
    assert mean == pytest.approx((rates["noise@0"] + rates["noise@5"]) / 2)


# ------------------------------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize("norm", ["z", "as"])
def test_both_systems_meet_the_cohort_on_their_own_ground(
    cache: Cache, trials: Trials, training: Cache, trained: Enhancer, norm: Any
) -> None:
    wanted = params(norm=norm, cohort_size=50, cohort_top=10, seed=5)
    evaluations, table = evaluate(cache, trained, trials, wanted, "demo", cohort=training)
    assert evaluations[0].norm == norm
    crops, drawn = load_crops(cache), cohort_from(training, 50, seed=5)
    enhanced = crops.through(trained)
    for system, embeddings, cohort in (
        ("network", crops.embeddings, drawn.means()),
        ("enhanced", enhanced.embeddings, drawn.means(trained)),
    ):
        sides = embeddings[:, :, 0], embeddings[:, :, 1]
        expected = normalized_scores(*sides, *rows_of(crops, trials), "cosine", norm, cohort, 10)
        assert table[f"cosine:noise:{system}"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_an_enhanced_cohort_is_made_of_enhanced_crops(training: Cache, trained: Enhancer) -> None:
    found = cohort_from(training, 10_000).means(trained)
    crops = trained(training.to_numpy()[:, 0]).reshape(240, 3, D).astype(np.float64)
    expected = crops.mean(axis=1)
    assert found == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-6)


def test_a_cohort_smaller_than_its_highest_scores_is_used_whole(
    cache: Cache, trials: Trials, training: Cache, trained: Enhancer
) -> None:
    small = params(norm="as", cohort_size=20, cohort_top=300)
    evaluations, adaptive = evaluate(cache, trained, trials, small, "demo", cohort=training)
    _, plain = evaluate(cache, trained, trials, params(norm="s", cohort_size=20), "demo", cohort=training)
    pd.testing.assert_frame_equal(adaptive, plain)
    assert any("the cohort has 20 utterances, fewer than" in sentence for sentence in evaluations[0].warnings)


def test_a_norm_without_a_cohort_and_the_reverse_are_refused(
    cache: Cache, trials: Trials, training: Cache, tmp_path: Path
) -> None:
    with pytest.raises(MetricError, match="normalisation is 'as', and there is no cohort"):
        evaluate(cache, enhancer(), trials, params(norm="as"), "demo")
    with pytest.raises(MetricError, match="normalisation is 'none', and there is a cohort"):
        evaluate(cache, enhancer(), trials, PARAMS, "demo", cohort=training)
    other = training_cache(tmp_path / "c", speakers=3, network=network_info(fingerprint="e" * 64))
    with pytest.raises(CacheMismatchError, match="network fingerprint"):
        evaluate(cache, enhancer(), trials, params(norm="as"), "demo", cohort=other)
    with pytest.raises(CacheMismatchError, match="kind is 'evaluation'"):
        evaluate(cache, enhancer(), trials, params(norm="as"), "demo", cohort=cache)


# ----------------------------------------------------------------------------------------------- models, calibrations


def test_a_cache_enrols_models_from_several_utterances(cache: Cache, trained: Enhancer, tmp_path: Path) -> None:
    names = utterance_names(10, 4)
    models = {f"m{s}": names[4 * s : 4 * s + 3] for s in range(10)}
    listed = tmp_path / "models.txt"
    lines = [f"{int(s == t)} m{s} {names[4 * t + 3]}" for s in range(10) for t in range(10)]
    listed.write_text("\n".join(lines))
    trials = read_trials(listed)
    _, table = evaluate(cache, trained, trials, PARAMS, "models", models=models)
    enhanced = with_models(load_crops(cache).through(trained), models)  # enhanced first: a mean is no embedding
    assert table["cosine:noise:enhanced"].tolist() == score_conditions(enhanced, trials, "cosine")["noise"].tolist()


def test_calibrated_scores_are_those_of_their_own_column(cache: Cache, trials: Trials, trained: Enhancer) -> None:
    _, plain = evaluate(cache, trained, trials, PARAMS, "demo")
    column = "cosine:noise:enhanced"
    fitted = fit_calibration(plain[column], trials.labels)
    made = Calibration(fitted.scale, fitted.offset, {}, column, trials.pairs_digest())
    evaluations, table = evaluate(cache, trained, trials, PARAMS, "demo", calibrations=[made])
    assert any("fitted on this list" in text for text in evaluations[0].warnings)
    assert table[column].to_numpy() == pytest.approx(fitted(plain[column]))
    assert table["cosine:noise:network"].tolist() == plain["cosine:noise:network"].tolist()
    row = evaluations[0].conditions[1]
    network, enhanced = (system.metrics for system in row.systems.both)
    assert {"act_dcf", "act_dcf_0.01", "cllr", "min_cllr"} <= set(enhanced)
    assert not {"act_dcf", "cllr"} & set(network)
    assert enhanced["cllr"].value == pytest.approx(metrics.cllr(table[column], trials.labels))
    assert enhanced["min_cllr"].value <= enhanced["cllr"].value
    assert enhanced["act_dcf"].value == pytest.approx(metrics.act_dcf(table[column], trials.labels, 0.05))
    both = [made, Calibration(20.0, -10.0, {}, "cosine:noise:network")]
    evaluations, _ = evaluate(cache, trained, trials, PARAMS, "demo", calibrations=both)
    assert evaluations[0].conditions[1].difference.metrics["cllr"].low is not None


def test_a_calibration_of_other_scores_is_refused(cache: Cache, trials: Trials) -> None:
    for column in ("", "score", "euclidean:noise:enhanced", "cosine:noise:seed"):
        with pytest.raises(MetricError, match=r"fitted on the column .*; expected cosine:CONDITION:network or"):
            evaluate(cache, enhancer(), trials, PARAMS, "x", calibrations=[Calibration(1.0, 0.0, {}, column)])
    measured = Calibration(1.0, 0.0, {"magnitude_low": 1.0}, "cosine:noise:network")
    with pytest.raises(MetricError, match="expected magnitude_low"):
        evaluate(cache, enhancer(), trials, PARAMS, "x", calibrations=[measured])


def test_every_prior_has_its_cost_and_the_first_the_short_name(cache: Cache, trials: Trials) -> None:
    evaluations, table = evaluate(cache, enhancer(), trials, params(p_targets=(0.5, 0.01)), "demo")
    row = evaluations[0].conditions[1]
    scores = table["cosine:noise:network"]
    found = row.systems.network.metrics
    assert found["min_dcf"].value == pytest.approx(metrics.min_dcf(scores, trials.labels, 0.5))
    assert found["min_dcf_0.01"].value == pytest.approx(metrics.min_dcf(scores, trials.labels, 0.01))
    assert "min_dcf_0.5" not in found
    assert set(row.difference.metrics) == {"eer", "min_dcf", "min_dcf_0.01"}


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"p_targets": ()}, "at least 1 item"),
        ({"p_targets": (0.05, 1.0)}, "less than 1"),
        ({"p_targets": (0.05, 0.05)}, "a number stands in it twice"),
        ({"timesteps": (0,)}, "greater than or equal to 1"),
        ({"timesteps": (50, 50)}, "a number stands in it twice"),
        ({"noise_seeds": 0}, "greater than or equal to 1"),
        ({"norm": "q"}, "'none', 'z', 't', 's' or 'as'"),
        ({"mismatch_side": "left"}, "'test', 'enrol' or 'both'"),
    ],
)
def test_impossible_parameters_are_refused(update: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        params(**update)


# ----------------------------------------------------------------------------------------------------------- studies


def mixed(cache: Cache, snr_db: np.ndarray) -> Cache:
    """The cache as if its noise had been mixed at these SNRs, shape (U,)."""

    class Mixed(Cache):
        def frame(self) -> pd.DataFrame:
            return super().frame().assign(**{"snr_db:noise": np.repeat(snr_db, 2)})

    ranges = {"noise_snr_db": [0.0, 15.0], "music_snr_db": [5.0, 15.0], "files": {}}
    return Mixed(cache.path, cache.info.model_copy(update={"augmentation": ranges}))


@pytest.mark.parametrize("side", ["test", "enrol"])
def test_rates_by_snr_are_those_of_the_trials_in_the_bin(tmp_path: Path, side: str) -> None:
    cache = evaluation_cache(tmp_path / "c", utterances=6)
    trials = read_trials(write_trials(tmp_path / "trials.txt", utterances=6))
    snr_db = np.random.default_rng(0).permutation(np.linspace(0, 15, 60))
    evaluations, table = evaluate(mixed(cache, snr_db), enhancer(), trials, params(mismatch_side=side), "demo")
    of_name = dict(zip(load_crops(cache).utterances, snr_db, strict=True))
    of_trial = table[side].map(of_name).to_numpy()
    found = evaluations[0].snr
    assert {row.condition for row in found} == {"noise"}
    assert [(row.low, row.high) for row in found] == [(0, 3), (3, 6), (6, 9), (9, 12), (12, 15)]
    assert sum(row.trials for row in found) == len(trials)
    for row in found:
        inside = (of_trial >= row.low) & ((of_trial < row.high) | (row.high == 15))
        assert (row.trials, row.targets) == (inside.sum(), trials.labels[inside].sum())
        for system, figures in vars(row.systems).items():
            expected = metrics.eer(table[f"cosine:noise:{system}"][inside], trials.labels[inside])
            assert figures.eer.value == pytest.approx(expected)


def test_bins_with_too_few_trials_are_left_out(cache: Cache, trials: Trials) -> None:
    snr_db = np.full(40, 1.0)
    snr_db[:3] = 14.0  # nine target trials
    evaluations, _ = evaluate(mixed(cache, snr_db), enhancer(), trials, PARAMS, "demo")
    assert [(row.low, row.high) for row in evaluations[0].snr] == [(0, 3)]
    assert evaluate(cache, enhancer(), trials, PARAMS, "demo")[0][0].snr == []  # no recipes


def test_rates_by_timestep_are_those_of_the_enhancer_at_that_step(
    cache: Cache, trials: Trials, trained: Enhancer
) -> None:
    evaluations, table = evaluate(cache, trained, trials, params(timesteps=(400, 1)), "demo")
    steps = {row.t: row.conditions for row in evaluations[0].timesteps}
    assert list(steps) == [1, 50, 400]  # with that of the model
    assert steps[50]["noise"] == pytest.approx(metrics.eer(table["cosine:noise:enhanced"], trials.labels))
    crops = load_crops(cache)
    there = score_conditions(crops.through(lambda e: trained(e, t=400)), trials, "cosine")
    assert steps[400] == {c: pytest.approx(metrics.eer(s, trials.labels)) for c, s in there.items()}
    use = trained.config.train.model_copy(update={"inference_step": 0})
    config = trained.config.model_copy(update={"kind": "regression", "train": use})
    regression = Enhancer(trained.module, config)
    assert evaluate(cache, regression, trials, params(timesteps=(400,)), "demo")[0][0].timesteps == []


def test_noise_seeds_give_the_mean_and_the_deviation(cache: Cache, trials: Trials) -> None:
    model = enhancer(inference_noise="sampled", inference_step=400, ensemble=1.0)
    wanted = params(noise_seeds=3, seed=7)
    evaluations, _ = evaluate(cache, model, trials, wanted, "demo")
    rates = []
    for seed in (7, 8, 9):
        _, table = evaluate(cache, model, trials, params(seed=seed), "demo")
        rates.append(metrics.eer(table["cosine:noise:enhanced"], trials.labels))
    found = evaluations[0].noise_seeds
    assert found.count == 3
    noise = found.eer["noise"]
    assert (noise.mean, noise.deviation) == pytest.approx((np.mean(rates), np.std(rates, ddof=1)))
    assert evaluate(cache, enhancer(), trials, wanted, "demo")[0][0].noise_seeds is None


def test_the_projection_shows_the_same_points_before_and_after(cache: Cache, trials: Trials, trained: Enhancer) -> None:
    evaluations, _ = evaluate(cache, trained, trials, PARAMS, "demo")
    before, after = (getattr(evaluations[0].projection.systems, system) for system in ("network", "enhanced"))
    labels = [[(point.speaker, point.condition) for point in points] for points in (before, after)]
    assert labels[0] == labels[1]
    assert len(before) == 6 * 4 * 3
    assert {speaker for speaker, _ in labels[0]} == {f"speaker {number}" for number in range(1, 7)}
    clean = np.array([(point.x, point.y) for point in before if point.condition == "clean"])
    assert np.abs(clean.mean(axis=0)).max() < 1e-6
    covariance = np.cov(clean.T)
    assert covariance[0, 0] > covariance[1, 1] > abs(covariance[0, 1]) * 1e4  # principal axes, the longer one first


def test_a_projection_has_at_most_300_points(tmp_path: Path, trained: Enhancer) -> None:
    large = evaluation_cache(tmp_path / "c", speakers=8, utterances=20)
    trials = read_trials(write_trials(tmp_path / "trials.txt", 8, 20))
    evaluations, _ = evaluate(large, trained, trials, PARAMS, "large")
    points = evaluations[0].projection.systems.network
    assert len(points) == 6 * 16 * 3 <= 300


def test_the_report_takes_all_of_it(cache: Cache, trials: Trials, training: Cache, tmp_path: Path) -> None:
    snr_db = np.random.default_rng(0).uniform(0, 15, 40)
    model = enhancer(inference_noise="sampled")
    wanted = params(norm="as", cohort_size=100, noise_seeds=2, timesteps=(1, 100))
    calibrations = [Calibration(1.0, -1.0, {}, f"cosine:noise:{system}") for system in ("network", "enhanced")]
    evaluations, _ = evaluate(
        mixed(cache, snr_db), model, trials, wanted, "demo", cohort=training, calibrations=calibrations
    )
    plain = evaluations.to_dict()
    assert {"snr", "timesteps", "noise_seeds", "projection", "warnings"} <= set(plain["evaluations"][0])
    assert Evaluations.from_dict(json.loads(json.dumps(plain))) == evaluations
    data = {"title": "t", "seedpipe_version": "0", "made_by": "t", **plain}
    write_report(data, tmp_path / "report.html", tmp_path / "report.md")
    assert "demo" in (tmp_path / "report.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- warnings


def warnings_of(cache: Cache, model: Enhancer, listed: Path, **update: Any) -> str:
    evaluations, _ = evaluate(cache, model, read_trials(listed), params(**update), "x")
    return "\n".join(evaluations[0].warnings)


def test_warnings_name_what_makes_figures_doubtful(cache: Cache, trials: Trials, tmp_path: Path) -> None:
    listed = tmp_path / "trials_x.txt"
    lines = trials.path.read_text(encoding="utf-8").splitlines()
    odd = ["1 speaker00/utterance0.wav speaker00/utterance0.wav", lines[0]]
    listed.write_text("\n".join([*lines, *odd]) + "\n", encoding="utf-8")
    text = warnings_of(mixed(cache, np.zeros(40)), enhancer(inference_noise="sampled"), listed)
    for words in (
        "the list has 10 speakers with target trials: intervals over so few are rough",
        "an utterance with itself",
        "another (row",
        "another in the other direction",
        "40 utterances are no longer than a crop",
        "the model samples noise: figures depend on its seed",
    ):
        assert words in text
    skipped = Cache(cache.path, cache.info.model_copy(update={"skipped": 3}))
    text = warnings_of(skipped, enhancer(ensemble=0.0), listed)
    assert "3 utterances were left out" in text
    assert "holds zero under clean, noise, reverb: this list cannot tell" in text
    assert "samples noise" not in text
    assert "no longer than a crop" not in text


def test_a_list_that_is_no_list_of_speakers_is_noticed(cache: Cache, trials: Trials, tmp_path: Path) -> None:
    listed = tmp_path / "trials_x.txt"
    lines = [
        line for line in trials.path.read_text(encoding="utf-8").splitlines() if not line.startswith("1 speaker09")
    ]
    listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "4 of 40 utterances are in no target trial" in warnings_of(cache, enhancer(), listed)


def test_the_original_list_is_told_from_the_one_of_the_paper() -> None:
    from seedpipe.scoring.warnings import about_list

    def listed(trials: int, targets: int) -> list[str]:
        speakers = np.arange(trials + 1) // 2
        labels = (np.arange(trials) < targets).astype(np.int8)
        names = tuple(f"u{number}" for number in range(trials + 1))
        enrol, test = np.arange(trials), np.arange(1, trials + 1)
        return about_list(Trials(Path("t"), names, enrol, test, labels, enrol + 1), speakers)

    assert any("the paper uses the cleaned list, 37,611" in line for line in listed(37_720, 18_860))
    assert not any("VC-Mix" in line for line in listed(159_536, 18_802))


def test_a_generator_is_not_needed_by_models_without_noise(cache: Cache, trials: Trials, trained: Enhancer) -> None:
    torch.manual_seed(1)
    first = evaluate(cache, trained, trials, PARAMS, "demo")[1]
    torch.manual_seed(2)
    pd.testing.assert_frame_equal(first, evaluate(cache, trained, trials, PARAMS, "demo")[1])
