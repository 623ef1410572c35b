"""seedpipe.metrics against scikit-learn, llreval, brute force, golden numbers and properties."""

from __future__ import annotations

import doctest
import importlib
import itertools
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llreval.bayes_error_rate import fast_Bayes_error_rate
from llreval.cllr import cllr as llreval_cllr
from llreval.cllr import min_cllr as llreval_min_cllr
from llreval.pav_rocch import PAV, ROCCH
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss, roc_curve

from seedpipe import metrics
from seedpipe.errors import MetricError, TooFewSpeakersError
from seedpipe.metrics import (
    Interval,
    PairedDifference,
    SpeakerBootstrap,
    act_dcf,
    cllr,
    det_curve,
    eer,
    error_rates,
    min_cllr,
    min_dcf,
    roc,
    score_histogram,
    weighted,
)

DEFINITIONS: tuple[metrics.Definition, ...] = ("linear", "max", "mean", "hull")
METRICS: tuple[metrics.Metric, ...] = ("eer", "min_dcf", "act_dcf", "cllr", "min_cllr")
Trials = tuple[np.ndarray, np.ndarray]


def normal_trials(n: int, share: float = 0.2, shift: float = 1.5, seed: int = 0) -> Trials:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(np.int64)
    labels[:2] = (0, 1)
    return rng.normal(shift * labels), labels


def speaker_trials(
    speakers: int, n: int = 3000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores that depend on who speaks: (enrol, test, labels, scores)."""
    rng = np.random.default_rng(seed)
    enrol = rng.integers(0, speakers, n)
    test = np.where(rng.random(n) < 0.3, enrol, (enrol + rng.integers(1, speakers, n)) % speakers)
    labels = (enrol == test).astype(np.int64)
    hard = rng.normal(size=speakers)
    return enrol, test, labels, rng.normal(1.8 * labels + 0.6 * (hard[enrol] + hard[test]))


@st.composite
def trials(draw: st.DrawFn, most: int = 40) -> Trials:
    """Small lists with many ties, both classes present, not constant."""
    n = draw(st.integers(2, most))
    scores = draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n).filter(lambda s: len(set(s)) > 1))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda s: len(set(s)) > 1))
    return np.array(scores, dtype=np.float64), np.array(labels)


def brute_points(scores: np.ndarray, labels: np.ndarray) -> list[tuple[float, float]]:
    """(FAR, FRR) at every threshold, by counting: O(n^2)."""
    thresholds = [np.inf, *sorted(set(scores.tolist()), reverse=True)]
    target, other = scores[labels == 1], scores[labels == 0]
    return [(float(np.mean(other >= t)), float(np.mean(target < t))) for t in thresholds]


def _accepted_counts(scores: np.ndarray, labels: np.ndarray) -> tuple[list[int], list[int]]:
    """Accepted non-target and target trials at every threshold."""
    thresholds = [np.inf, *sorted(set(scores.tolist()), reverse=True)]
    return [int(np.sum(scores[labels == 0] >= t)) for t in thresholds], [
        int(np.sum(scores[labels == 1] >= t)) for t in thresholds
    ]


def brute_linear(points: list[tuple[float, float]]) -> float:
    for (far_0, frr_0), (far_1, frr_1) in itertools.pairwise(points):
        if far_1 - frr_1 >= -1e-12:
            share = (frr_0 - far_0) / ((frr_0 - far_0) + (far_1 - frr_1))
            return far_0 + share * (far_1 - far_0)
    raise AssertionError


def brute_hull(points: list[tuple[float, float]]) -> float:
    """max over weights of the lowest weighted error: the minimax theorem's view of the hull's crossing."""
    weights = {0.0, 1.0}
    for far_0, frr_0 in points:
        for far_1, frr_1 in points:
            rise, run = frr_0 - frr_1, far_1 - far_0
            if abs(rise + run) > 1e-12:
                weights.add(rise / (rise + run))  # the weight at which the two points cost the same
    usable = [w for w in weights if 0.0 <= w <= 1.0]
    return max(min(w * far + (1.0 - w) * frr for far, frr in points) for w in usable)


# --- against other implementations ------------------------------------------------------------------------------------


def test_golden_numbers_of_the_authors_code(shared: Path) -> None:
    with np.load(shared / "golden/scoring.npz") as golden:
        scores, labels = golden["scores"], golden["labels"]
        assert eer(scores, labels, "max") * 100.0 == float(golden["eer_percent"])
        assert min_dcf(scores, labels) == pytest.approx(float(golden["min_dcf"]), abs=1e-14)


@pytest.mark.parametrize("decimals", [12, 2, 1])
@pytest.mark.parametrize("seed", range(4))
def test_corner_definitions_agree_with_scikit_learn(seed: int, decimals: int) -> None:
    scores, labels = normal_trials(700, share=0.1, seed=seed)
    scores = scores.round(decimals)
    far, tpr, _ = roc_curve(labels, scores)
    nearest = np.argmin(np.abs((1 - tpr) - far))
    pair = far[nearest], 1 - tpr[nearest]
    assert eer(scores, labels, "max") == max(pair)
    assert eer(scores, labels, "mean") == pytest.approx(np.mean(pair))


@given(trials())
def test_max_agrees_with_scikit_learn_on_any_list(data: Trials) -> None:
    far, tpr, _ = roc_curve(data[1], data[0])
    nearest = np.argmin(np.abs((1 - tpr) - far))
    assert eer(*data, "max") == max(far[nearest], 1 - tpr[nearest])


@given(trials())
def test_linear_agrees_with_counting(data: Trials) -> None:
    assert eer(*data) == pytest.approx(brute_linear(brute_points(*data)), abs=1e-12)


@given(trials(most=14))
def test_hull_agrees_with_minimax(data: Trials) -> None:
    assert eer(*data, "hull") == pytest.approx(brute_hull(brute_points(*data)), abs=1e-9)


@given(trials(), st.sampled_from([0.01, 0.05, 0.5, 0.9]), st.sampled_from([1.0, 10.0]))
def test_min_dcf_agrees_with_counting(data: Trials, p_target: float, c_miss: float) -> None:
    costs = [c_miss * p_target * frr + (1 - p_target) * far for far, frr in brute_points(*data)]
    expected = min(costs) / min(c_miss * p_target, 1 - p_target)
    assert min_dcf(*data, p_target=p_target, c_miss=c_miss) == pytest.approx(expected, abs=1e-12)


def test_det_curve_agrees_with_scikit_learn() -> None:
    scores, labels = normal_trials(500)
    far, frr, thresholds = det_curve(scores, labels)
    expected = roc_curve(labels, scores, drop_intermediate=False)
    for ours, theirs in zip((far, 1 - frr, thresholds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_known_values() -> None:
    scores, labels = [4.0, 3.0, 2.0, 1.0], [1, 0, 1, 0]
    assert eer(scores, labels) == pytest.approx(0.5)
    assert eer(scores, labels, "hull") == pytest.approx(0.25)
    assert eer([2.0, 2.0, 1.0, 1.0], [1, 1, 0, 0]) == 0.0
    assert min_dcf([2.0, 2.0, 1.0, 1.0], [1, 1, 0, 0]) == 0.0
    assert eer([1.0, 1.0, 2.0, 2.0], [1, 1, 0, 0]) == 1.0


@given(trials(), st.floats(-6, 6, allow_nan=False))
def test_error_rates_agree_with_counting(data: Trials, threshold: float) -> None:
    scores, labels = data
    far, frr = error_rates(scores, labels, [threshold, np.inf, -np.inf])
    assert far.tolist() == [pytest.approx(np.mean(scores[labels == 0] >= threshold)), 0.0, 1.0]
    assert frr.tolist() == [pytest.approx(np.mean(scores[labels == 1] < threshold)), 1.0, 0.0]


@given(trials(), st.sampled_from([0.01, 0.05, 0.5, 0.9]), st.sampled_from([1.0, 10.0]), st.sampled_from([1.0, 3.0]))
def test_actual_cost_agrees_with_counting(data: Trials, p_target: float, c_miss: float, c_fa: float) -> None:
    scores, labels = data
    threshold = np.log(c_fa * (1 - p_target) / (c_miss * p_target))
    far, frr = np.mean(scores[labels == 0] >= threshold), np.mean(scores[labels == 1] < threshold)
    expected = (c_miss * p_target * frr + c_fa * (1 - p_target) * far) / min(c_miss * p_target, c_fa * (1 - p_target))
    costs = {"p_target": p_target, "c_miss": c_miss, "c_fa": c_fa}
    assert act_dcf(scores, labels, **costs) == pytest.approx(expected, abs=1e-12)
    assert act_dcf(scores, labels, **costs) >= min_dcf(scores, labels, **costs) - 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_costs_agree_with_llreval(seed: int) -> None:
    scores, labels = normal_trials(800, seed=seed)
    target, other = scores[labels == 1], scores[labels == 0]
    hull = PAV(scores, labels)
    assert cllr(scores, labels) == pytest.approx(llreval_cllr(target, other))
    assert min_cllr(scores, labels) == pytest.approx(llreval_min_cllr(hull))
    assert eer(scores, labels, "hull") == pytest.approx(ROCCH(hull).EER())
    for p_target in (0.01, 0.05, 0.5):
        odds = np.log(p_target / (1 - p_target))
        scale = min(p_target, 1 - p_target)
        lowest = ROCCH(hull).Bayes_error_rate(np.array([odds]))[0]
        assert min_dcf(scores, labels, p_target) == pytest.approx(lowest / scale)
        actual = fast_Bayes_error_rate(scores, labels, np.array([odds]))[0]
        assert act_dcf(scores, labels, p_target) == pytest.approx(actual / scale)


@given(trials())
@settings(deadline=None)
def test_least_cllr_agrees_with_isotonic_regression(data: Trials) -> None:
    scores, labels = data
    weights = np.where(labels == 1, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
    posterior = IsotonicRegression(y_min=0, y_max=1).fit(scores, labels, weights).predict(scores)
    expected = log_loss(labels, posterior, sample_weight=weights, labels=[0, 1]) / np.log(2)
    assert min_cllr(scores, labels) == pytest.approx(expected, abs=1e-9)


@given(trials(most=30))
def test_hull_holds_the_corners_that_no_line_between_others_passes(data: Trials) -> None:
    points = [(other, target) for other, target in zip(*_accepted_counts(*data), strict=True)]
    found = roc.hull(np.array([t for _, t in points]), np.array([n for n, _ in points]))
    corners = [
        index
        for index, (n, t) in enumerate(points)
        if all(
            (t - t0) * (n1 - n0) > (t1 - t0) * (n - n0)
            for (n0, t0), (n1, t1) in itertools.product(points[:index], points[index + 1 :])
        )
    ]
    assert found.tolist() == corners


# --- properties -------------------------------------------------------------------------------------------------------


@given(trials(), st.randoms(use_true_random=False), st.sampled_from(DEFINITIONS))
def test_the_order_of_the_list_does_not_matter(data: Trials, shuffler: Any, definition: metrics.Definition) -> None:
    order = list(range(data[0].size))
    shuffler.shuffle(order)
    shuffled = data[0][order], data[1][order]
    assert eer(*shuffled, definition) == eer(*data, definition)
    assert min_dcf(*shuffled) == min_dcf(*data)
    assert cllr(*shuffled) == pytest.approx(cllr(*data))


@given(trials(), st.sampled_from([np.exp, np.arctan, lambda s: 3 * s - 7, lambda s: s**3]))
def test_a_strictly_increasing_transform_changes_nothing(
    data: Trials, transform: Callable[[np.ndarray], np.ndarray]
) -> None:
    moved = transform(data[0])
    for definition in DEFINITIONS:
        assert eer(moved, data[1], definition) == eer(*data, definition)
    assert min_dcf(moved, data[1]) == min_dcf(*data)
    assert min_cllr(moved, data[1]) == min_cllr(*data)


@given(trials())
def test_negated_scores_with_swapped_labels_give_the_same_eer(data: Trials) -> None:
    scores, labels = data
    assert eer(-scores, 1 - labels) == pytest.approx(eer(scores, labels), abs=1e-12)
    assert eer(-scores, labels) == pytest.approx(1.0 - eer(scores, labels), abs=1e-12)


@given(trials())
def test_ranges_and_order_of_the_definitions(data: Trials) -> None:
    values = {definition: eer(*data, definition) for definition in DEFINITIONS}
    assert all(0.0 <= value <= 1.0 for value in values.values())
    assert values["hull"] <= min(values["linear"], 0.5) + 1e-12
    assert values["mean"] <= values["max"]
    assert 0.0 <= min_dcf(*data) <= 1.0
    assert 0.0 <= min_cllr(*data) <= min(1.0, cllr(*data)) + 1e-12


@given(trials())
def test_repeating_the_list_changes_nothing(data: Trials) -> None:
    twice = np.tile(data[0], 2), np.tile(data[1], 2)
    assert eer(*twice) == pytest.approx(eer(*data), abs=1e-12)
    assert min_dcf(*twice) == pytest.approx(min_dcf(*data), abs=1e-12)


def test_types_of_the_inputs_do_not_matter() -> None:
    scores, labels = normal_trials(300)
    scores = scores.astype(np.float32)
    expected = eer(scores.astype(np.float64), labels)
    assert eer(scores, labels.astype(bool)) == expected
    assert eer(scores.tolist(), labels.astype(np.float64)) == expected


# --- checks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([0.1, 0.2, 0.3], [0, 1], r"shape \(3,\), labels \(2,\)"),
        ([[0.1], [0.2]], [0, 1], "reshape"),
        ([], [], "no trials"),
        ([0.1, float("nan"), float("inf")], [0, 1, 1], "2 of 3 scores are NaN or infinite, the first in trial 2"),
        ([0.1, 0.2], [0, 2], "labels are 0, 2"),
        ([0.1, 0.2], [-1, 1], "labels > 0"),
        ([0.1, 0.2], [-1, -1], "without labels has no error rate"),
        ([0, 1, 0, 1, 1], [0.3, 0.1, 0.2, 0.4, 0.9], "swap scores and labels"),
        ([0.1, 0.2], ["target", "nontarget"], "labels are nontarget, target"),
        (["0.1", "0.2"], [0, 1], "type <U3"),
        ([0.1, 0.2], [None, 1], "labels are of type object"),
        (np.ma.masked_array([0.1, 0.2], [0, 1]), [0, 1], "scores are a masked array"),
        ([0.1, 0.2], np.ma.masked_array([0, 1], [0, 1]), "labels are a masked array"),
        ([0.1, 0.2], [1, 1], "all 2 trials are target trials"),
        ([0.1, 0.2], [0, 0], "all 2 trials are non-target trials"),
        ([0.5, 0.5], [0, 1], "all 2 scores are 0.5"),
    ],
)
def test_meaningless_inputs_are_refused_in_words(scores: Any, labels: Any, words: str) -> None:
    for function in (metrics.validate, eer, min_dcf, act_dcf, cllr, min_cllr, det_curve):
        with pytest.raises(MetricError, match=words):
            function(scores, labels)


def test_valid_inputs_pass() -> None:
    metrics.validate([0.1, 0.2], [0, 1])
    metrics.check_direction([0.1, 0.2], [0, 1])


def test_distances_are_recognised_but_eer_still_computes() -> None:
    scores, labels = normal_trials(500, shift=2.0)
    metrics.check_direction(scores, labels)
    with pytest.raises(MetricError, match="distances"):
        metrics.check_direction(-scores, labels)
    assert eer(-scores, labels) > 0.8


def test_chance_is_not_mistaken_for_distances() -> None:
    metrics.check_direction(*normal_trials(2000, shift=-0.05))
    beyond = refused = 0
    for seed in range(300):
        scores, labels = normal_trials(24, share=0.5, shift=0.0, seed=seed)
        beyond += eer(scores, labels) > 0.6
        try:
            metrics.check_direction(scores, labels)
        except MetricError:
            refused += 1
    assert beyond > 30  # chance goes beyond 60 % on a short list
    assert refused <= 3
    with pytest.raises(MetricError, match="distances"):
        metrics.check_direction([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], [1] * 5 + [0] * 5)


def test_scores_at_the_ends_of_the_numbers_are_told_apart() -> None:
    largest, smallest = np.finfo(np.float64).max, np.nextafter(0.0, 1.0)
    for scores in ([largest, 0.0, -largest], [smallest, 0.0, -smallest], [2 * smallest, smallest, 0.0]):
        assert eer(scores, [1, 0, 0]) == 0.0
        assert eer(scores, [0, 1, 1]) == 1.0
    with pytest.raises(MetricError, match="all 2 scores are"):
        eer([0.0, -0.0], [1, 0])


def test_impossible_arguments_are_refused() -> None:
    data = normal_trials(50)
    with pytest.raises(MetricError, match="percentage"):
        min_dcf(*data, p_target=5.0)
    with pytest.raises(MetricError, match="costs above 0"):
        min_dcf(*data, c_miss=0.0)
    with pytest.raises(MetricError, match="a threshold is NaN"):
        error_rates(*data, [np.nan])
    with pytest.raises(MetricError, match="one of linear, max, mean, hull"):
        eer(*data, "median")  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="at least 10"):
        det_curve(*data, max_points=3)


# --- curves -----------------------------------------------------------------------------------------------------------


def test_thinned_curve_keeps_ends_and_the_crossing() -> None:
    scores, labels = normal_trials(30_000)
    far, frr, thresholds = det_curve(scores, labels, max_points=300)
    assert far.size <= 300
    assert (far[0], frr[0], thresholds[0]) == (0.0, 1.0, np.inf)
    assert (far[-1], frr[-1], thresholds[-1]) == (1.0, 0.0, scores.min())
    assert np.all(np.diff(far) >= 0)
    assert np.all(np.diff(frr) <= 0)
    assert np.all(np.diff(thresholds) < 0)
    crossing = np.count_nonzero(far < frr)
    step = (far[crossing - 1], frr[crossing - 1]), (far[crossing], frr[crossing])
    assert brute_linear(list(step)) == pytest.approx(eer(scores, labels), abs=1e-12)


@given(trials(), st.integers(10, 30))
def test_thinning_never_exceeds_its_bound(data: Trials, most: int) -> None:
    assert det_curve(*data, max_points=most)[0].size <= most


@given(st.integers(10, 60), st.integers(0, 5), st.floats(-6, 6))
@settings(max_examples=40)
def test_thinning_of_any_separation(most: int, seed: int, shift: float) -> None:
    far, frr, _ = det_curve(*normal_trials(400, shift=shift, seed=seed), max_points=most)
    assert far.size <= most
    assert (far[0], frr[0], far[-1], frr[-1]) == (0.0, 1.0, 1.0, 0.0)


def test_histogram_densities_integrate_to_one() -> None:
    edges, target, other = score_histogram(*normal_trials(2000), bins=25)
    assert edges.shape == (26,)
    for density in (target, other):
        assert float((density * np.diff(edges)).sum()) == pytest.approx(1.0)


# --- bootstrap over speakers ------------------------------------------------------------------------------------------


def test_one_draw_of_everybody_is_the_plain_metric() -> None:
    enrol, test, labels, scores = speaker_trials(12)
    bootstrap = SpeakerBootstrap(enrol, test, replicates=40)
    bootstrap._draws[:] = 1
    assert bootstrap.distribution(scores, labels, "eer") == pytest.approx(np.full(40, eer(scores, labels)), abs=1e-12)
    assert bootstrap.distribution(scores, labels, "min_dcf") == pytest.approx(np.full(40, min_dcf(scores, labels)))


def of_list(scores: np.ndarray, labels: np.ndarray, definition: metrics.Definition = "linear") -> dict[str, float]:
    """Every metric of a list as it is, by the public functions."""
    return {
        "eer": eer(scores, labels, definition),
        "min_dcf": min_dcf(scores, labels),
        "act_dcf": act_dcf(scores, labels),
        "cllr": cllr(scores, labels),
        "min_cllr": min_cllr(scores, labels),
    }


@pytest.mark.parametrize("decimals", [12, 1, 0])
@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_replicates_equal_lists_with_repeated_trials(
    decimals: int, definition: metrics.Definition, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighted, "_LEAST_BLOCK", block)
    enrol, test, labels, scores = speaker_trials(9, n=200)
    scores = scores.round(decimals)
    bootstrap = SpeakerBootstrap(enrol, test, replicates=40, seed=3, definition=definition)
    found = {metric: bootstrap.distribution(scores, labels, metric) for metric in METRICS}
    for replicate in range(40):
        drawn = bootstrap._draws[replicate]
        times = np.where(labels == 1, drawn[enrol], drawn[enrol] * drawn[test])
        expected = of_list(np.repeat(scores, times), np.repeat(labels, times), definition)
        for metric in METRICS:
            assert found[metric][replicate] == pytest.approx(expected[metric], abs=1e-12), metric


@given(trials(most=60), st.integers(2, 6), st.sampled_from([0.01, 0.3, 0.9]), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_looking_into_blocks_loses_nothing(data: Trials, speakers: int, p_target: float, block: int) -> None:
    scores, labels = data
    enrol = np.arange(scores.size) % speakers
    test = np.where(labels == 1, enrol, (enrol + 1) % speakers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighted, "_LEAST_BLOCK", block)
        bootstrap = SpeakerBootstrap(enrol, test, replicates=40, p_target=p_target)
        bootstrap._draws[:] = 1
        assert bootstrap.distribution(scores, labels) == pytest.approx(np.full(40, eer(*data)), abs=1e-12)
        for metric, function in (("min_dcf", min_dcf), ("act_dcf", act_dcf)):
            expected = np.full(40, function(*data, p_target=p_target))
            assert bootstrap.distribution(scores, labels, metric) == pytest.approx(expected, abs=1e-12)


def test_a_prior_can_be_asked_for_by_the_call() -> None:
    enrol, test, labels, scores = speaker_trials(20)
    bootstrap = SpeakerBootstrap(enrol, test, replicates=100)
    strict = SpeakerBootstrap(enrol, test, replicates=100, p_target=0.01)
    for metric in ("min_dcf", "act_dcf"):
        assert bootstrap.interval(scores, labels, metric, p_target=0.01) == strict.interval(scores, labels, metric)
        assert bootstrap.interval(scores, labels, metric) != strict.interval(scores, labels, metric)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_intervals_are_of_the_definition_of_the_value(definition: metrics.Definition) -> None:
    enrol, test, labels, scores = speaker_trials(12, n=150)
    found = SpeakerBootstrap(enrol, test, replicates=100, definition=definition).interval(scores, labels)
    assert found.value == eer(scores, labels, definition)
    linear = SpeakerBootstrap(enrol, test, replicates=100).interval(scores, labels)
    assert (found.low, found.high) == (linear.low, linear.high) or definition != "linear"
    assert found.low <= found.value <= found.high


def test_draws_have_as_many_speakers_as_the_list() -> None:
    enrol, test, _, _ = speaker_trials(15)
    bootstrap = SpeakerBootstrap(enrol, test, replicates=60)
    assert np.all(bootstrap._draws[:, :-1].sum(axis=1) == 15)
    assert np.all(bootstrap._draws[:, -1] == 1)


@pytest.mark.parametrize("metric", METRICS)
def test_interval_holds_the_value_and_is_reproducible(metric: metrics.Metric) -> None:
    enrol, test, labels, scores = speaker_trials(30)
    first, again = (SpeakerBootstrap(enrol, test, seed=5).interval(scores, labels, metric) for _ in range(2))
    assert first == again
    assert first.low < first.value < first.high
    assert first.value == of_list(scores, labels)[metric]
    assert SpeakerBootstrap(enrol, test, seed=6).interval(scores, labels, metric) != first


def test_interval_holds_the_true_value_mostly() -> None:
    """Coverage of the EER that a new set of speakers has on average: 95 % intended, some loss at 25 speakers."""
    truth = np.mean([eer(*speaker_trials(25, seed=seed)[:1:-1]) for seed in range(200, 300)])
    hits = 0
    for seed in range(50):
        enrol, test, labels, scores = speaker_trials(25, n=1500, seed=seed)
        interval = SpeakerBootstrap(enrol, test, replicates=200).interval(scores, labels)
        hits += bool(interval.low <= truth <= interval.high)
    assert hits >= 40


@pytest.mark.parametrize("metric", ["min_dcf", "min_cllr"])
def test_intervals_of_minima_make_up_for_their_optimism(metric: metrics.Metric) -> None:
    """A minimum lies lower in replicates than on the list, and lower on the list than in truth."""
    enrol, test, labels, scores = speaker_trials(20, n=1500)
    bootstrap = SpeakerBootstrap(enrol, test, replicates=400)
    found, replicates = bootstrap.interval(scores, labels, metric), bootstrap.distribution(scores, labels, metric)
    optimism = found.value - replicates.mean()
    assert optimism > 0.0
    low, high = np.percentile(replicates, (2.5, 97.5))
    assert (found.low, found.high) == pytest.approx((low + 2 * optimism, high + 2 * optimism))
    assert low < found.low < found.value < found.high <= 1.0


def test_no_error_at_all_has_no_interval() -> None:
    enrol, test, labels, _ = speaker_trials(20, n=400)
    bootstrap = SpeakerBootstrap(enrol, test, replicates=100)
    with pytest.raises(TooFewSpeakersError, match=r"every draw of 20 speakers gives 0; .* more errors"):
        bootstrap.interval(labels.astype(np.float64), labels)
    assert bootstrap.paired(labels.astype(np.float64), 2.0 * labels, labels).p_value == 1.0


def test_fewer_speakers_give_wider_intervals() -> None:
    def width(speakers: int, seed: int) -> float:
        enrol, test, labels, scores = speaker_trials(speakers, n=4000, seed=seed)
        interval = SpeakerBootstrap(enrol, test, replicates=200).interval(scores, labels)
        return interval.high - interval.low

    few, many = (np.mean([width(speakers, seed) for seed in range(5)]) for speakers in (8, 128))
    assert few > 2.0 * many


def test_intervals_are_wider_than_those_of_independent_trials() -> None:
    enrol, test, labels, scores = speaker_trials(12, n=20_000)
    interval = SpeakerBootstrap(enrol, test, replicates=200).interval(scores, labels)
    binomial = 2 * 1.96 * np.sqrt(interval.value * (1 - interval.value) / labels.sum())
    assert interval.high - interval.low > 3.0 * binomial


def test_names_serve_as_speakers() -> None:
    enrol, test, labels, scores = speaker_trials(10)
    names = np.array([f"id{k:05d}" for k in range(10)])
    by_name = SpeakerBootstrap(names[enrol], names[test]).interval(scores, labels)
    assert by_name == SpeakerBootstrap(enrol, test).interval(scores, labels)


def test_identical_systems_differ_by_exactly_nothing() -> None:
    enrol, test, labels, scores = speaker_trials(20)
    bootstrap = SpeakerBootstrap(enrol, test, replicates=200)
    for metric in METRICS:
        # Only these two depend on the scale of the scores.
        same = scores.copy() if metric in ("act_dcf", "cllr") else np.exp(scores)
        result = bootstrap.paired(scores, same, labels, metric)
        assert result == PairedDifference(0.0, 0.0, 0.0, 1.0)
        assert not result.measurable


def test_paired_difference_is_tighter_than_two_intervals() -> None:
    enrol, test, labels, scores = speaker_trials(20)
    better = scores + 0.4 * labels
    bootstrap = SpeakerBootstrap(enrol, test, replicates=400)
    result = bootstrap.paired(scores, better, labels)
    assert result.difference == pytest.approx(eer(better, labels) - eer(scores, labels))
    assert result.measurable
    assert result.high < 0.0
    assert result.p_value == pytest.approx(2 / 401)
    single = bootstrap.interval(scores, labels)
    assert result.high - result.low < single.high - single.low
    turned = bootstrap.paired(better, scores, labels)
    assert (turned.low, turned.high) == pytest.approx((-result.high, -result.low))


def test_noise_on_the_scores_is_no_measurable_difference() -> None:
    enrol, test, labels, scores = speaker_trials(20)
    rng = np.random.default_rng(0)
    a, b = scores + 0.3 * rng.normal(size=(2, scores.size))
    result = SpeakerBootstrap(enrol, test, replicates=400).paired(a, b, labels)
    assert not result.measurable
    assert 0.05 < result.p_value <= 1.0


def test_mean_relative_reduction_averages_inside_the_replicates() -> None:
    enrol, test, labels, scores = speaker_trials(20)
    pairs = [(scores, scores + 0.3 * labels), (scores, scores + 0.6 * labels)]
    bootstrap = SpeakerBootstrap(enrol, test, replicates=200)
    result = bootstrap.mean_relative_reduction(pairs, labels)
    single = [1 - eer(b, labels) / eer(a, labels) for a, b in pairs]
    assert result.value == pytest.approx(np.mean(single))
    assert 0.0 < result.low < result.value < result.high < 1.0
    assert result.measurable
    same = bootstrap.mean_relative_reduction([(scores, scores)], labels)
    assert (same.value, same.low, same.high, same.p_value, same.measurable) == (0.0, 0.0, 0.0, 1.0, False)


@pytest.mark.parametrize("kind", ["target", "non-target"])
def test_labels_that_contradict_the_speakers_are_refused(kind: str) -> None:
    enrol, test, labels, scores = speaker_trials(10)
    labels[int(np.argmax(labels == (kind == "non-target")))] ^= 1
    with pytest.raises(MetricError, match=f"a {kind} trial of"):
        SpeakerBootstrap(enrol, test).interval(scores, labels)


def test_what_cannot_be_resampled_is_refused() -> None:
    enrol, test, labels, scores = speaker_trials(10)
    with pytest.raises(MetricError, match="two arrays of one shape"):
        SpeakerBootstrap(enrol, test[:-1])
    with pytest.raises(MetricError, match="all of one speaker"):
        SpeakerBootstrap(enrol * 0, enrol * 0)
    with pytest.raises(MetricError, match="at least 40"):
        SpeakerBootstrap(enrol, test, replicates=10)
    with pytest.raises(MetricError, match="2,999 scores and speakers for 3,000 trials"):
        SpeakerBootstrap(enrol, test).interval(scores[:-1], labels[:-1])
    with pytest.raises(MetricError, match="one of eer, min_dcf, act_dcf, cllr, min_cllr"):
        SpeakerBootstrap(enrol, test).interval(scores, labels, "auc")  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="percentage"):
        SpeakerBootstrap(enrol, test, p_target=5.0)
    with pytest.raises(MetricError, match="one of linear, max, mean, hull"):
        SpeakerBootstrap(enrol, test, definition="median")  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="no conditions"):
        SpeakerBootstrap(enrol, test).mean_relative_reduction([], labels)
    perfect = labels.astype(np.float64)
    with pytest.raises(MetricError, match="condition 2 makes no error"):
        SpeakerBootstrap(enrol, test).mean_relative_reduction([(scores, scores), (perfect, scores)], labels)


def test_a_list_of_two_speakers_is_too_few() -> None:
    enrol, test, labels, scores = speaker_trials(2, n=100)
    with pytest.raises(MetricError, match="draws of 2 speakers give a value"):
        SpeakerBootstrap(enrol, test).interval(scores, labels)


def test_measurable_is_about_zero() -> None:
    assert Interval(0.2, 0.1, 0.3).measurable
    assert Interval(-0.2, -0.3, -0.1).measurable
    assert not Interval(0.1, -0.1, 0.3).measurable
    assert not Interval(0.1, 0.0, 0.3).measurable


def test_examples_in_the_docstrings() -> None:
    for module in pkgutil.iter_modules(metrics.__path__, f"{metrics.__name__}."):
        assert doctest.testmod(importlib.import_module(module.name)).failed == 0
