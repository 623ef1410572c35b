"""seedpipe.scoring.calibration against scikit-learn, known answers and properties."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from seedpipe.errors import MetricError, TrialError
from seedpipe.metrics import act_dcf, cllr, min_cllr, min_dcf
from seedpipe.params import ScoreParams
from seedpipe.scoring import calibration, score_files, write_scores
from seedpipe.scoring.calibration import Calibration, calibrate_file, fit_calibration, load_calibration, pair_quality

Trials = tuple[np.ndarray, np.ndarray]


def normal_llrs(n: int = 4000, seed: int = 0, shift: float = 4.0) -> Trials:
    """Scores that are log likelihood ratios: normal, with a variance of the distance of the means."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.int64)
    return rng.normal(shift * (labels - 0.5), np.sqrt(shift)), labels


@pytest.mark.parametrize("p_target", [0.05, 0.5])
@pytest.mark.parametrize("measures", [0, 2])
def test_weights_are_those_of_scikit_learn(p_target: float, measures: int) -> None:
    scores, labels = normal_llrs(seed=1)
    rng = np.random.default_rng(2)
    quality = {f"q{n}": scores * rng.random() + rng.normal(size=scores.size) for n in range(measures)}
    found = fit_calibration(scores, labels, quality, p_target)
    prior = np.where(labels == 1, p_target / labels.sum(), (1 - p_target) / (1 - labels).sum())
    features = np.stack([scores, *quality.values()], axis=1)
    oracle = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-10).fit(features, labels, prior * labels.size)
    assert [found.scale, *found.quality.values()] == pytest.approx(oracle.coef_[0], rel=1e-3, abs=1e-4)
    assert found.offset == pytest.approx(oracle.intercept_[0] - np.log(p_target / (1 - p_target)), abs=1e-2)


def test_log_likelihood_ratios_are_left_as_they_are() -> None:
    found = fit_calibration(*normal_llrs(40_000))
    assert found.scale == pytest.approx(1.0, abs=0.05)
    assert found.offset == pytest.approx(0.0, abs=0.1)


@given(st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_an_affine_change_of_the_scores_is_undone(scale: float, offset: float) -> None:
    scores, labels = normal_llrs(600)
    moved = scale * scores + offset
    before, after = fit_calibration(scores, labels)(scores), fit_calibration(moved, labels)(moved)
    assert after == pytest.approx(before, abs=1e-5)


def test_what_is_fitted_on_one_list_calibrates_another() -> None:
    scores, labels = normal_llrs(seed=1)
    found = fit_calibration(0.1 * scores + 0.6, labels)
    other, other_labels = normal_llrs(seed=2)
    other = 0.1 * other + 0.6  # as cosines are: far from log likelihood ratios
    calibrated = found(other)
    assert cllr(other, other_labels) > 0.9
    assert cllr(calibrated, other_labels) < min_cllr(other, other_labels) + 0.02
    assert act_dcf(calibrated, other_labels) < min_dcf(other, other_labels) + 0.05
    assert act_dcf(other, other_labels) == 1.0


def test_a_quality_measure_that_matters_lowers_the_cost() -> None:
    rng = np.random.default_rng(0)
    scores, labels = normal_llrs(8000)
    quality = rng.normal(size=scores.size)
    shifted = scores + 2.0 * quality
    plain = fit_calibration(shifted, labels)(shifted)
    aware = fit_calibration(shifted, labels, {"quality": quality})
    assert aware.quality["quality"] == pytest.approx(-2.0, abs=0.2)
    assert cllr(aware(shifted, {"quality": quality}), labels) < cllr(plain, labels) - 0.05


def test_a_list_without_errors_has_finite_weights() -> None:
    scores = np.array([0.9, 0.8, 0.2, 0.1])
    found = fit_calibration(scores, [1, 1, 0, 0])
    assert 0 < found.scale < 1e6
    assert (np.sign(found(scores)) == [1, 1, -1, -1]).all()


def test_measures_of_utterances_become_those_of_trials_in_either_direction() -> None:
    enrol, test = np.array([0, 1, 2]), np.array([1, 0, 2])
    found = pair_quality({"seconds": [3.0, 1.0, 2.0]}, enrol, test)
    assert {name: values.tolist() for name, values in found.items()} == {
        "seconds_low": [1.0, 1.0, 2.0],
        "seconds_high": [3.0, 3.0, 2.0],
    }


def test_a_saved_calibration_is_the_same(tmp_path: Path) -> None:
    found = Calibration(1 / 3, -0.1, {"seconds_low": 2e-17})
    found.save(tmp_path / "c.json")
    assert load_calibration(tmp_path / "c.json") == found
    found = Calibration(2.0, 0.0, {}, "cosine:noise:network", "0a1b")
    found.save(tmp_path / "c.json")
    assert load_calibration(tmp_path / "c.json") == found


@pytest.mark.parametrize(
    ("applied", "warned"),
    [
        (lambda lines: lines, True),
        (lambda lines: lines[::-1], True),
        (lambda lines: [" ".join(line.split()[:2]) for line in lines], True),
        (lambda lines: [" ".join(reversed(line.split()[:2])) + " " + line.split()[2] for line in lines], True),
        (lambda lines: lines[:-1], False),
    ],
)
def test_a_calibration_knows_the_list_that_it_was_fitted_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, applied: Callable[[list[str]], list[str]], warned: bool
) -> None:
    rng = np.random.default_rng(0)
    lines = [f"s{a} t{b} {int(a % 4 == b % 4)}" for a in range(8) for b in range(8)]
    centres = np.tile(rng.standard_normal((4, 16)), (2, 1))
    names = [f"{side}{number}" for side in "st" for number in range(8)]
    values = np.concatenate([centres, centres]) + rng.standard_normal((16, 16))
    np.savez(tmp_path / "e.npz", embeddings=values.astype(np.float32), utterance=np.array(names))
    for name, text in (("fit.txt", lines), ("used.txt", applied(lines))):
        (tmp_path / name).write_text("\n".join(text) + "\n")
    params = ScoreParams(methods=("cosine",), bootstrap=100)
    emb = tmp_path / "e.npz"
    write_scores(score_files(emb, emb, tmp_path / "fit.txt", params)[1], tmp_path / "fit.csv")
    calibrate_file(tmp_path / "fit.csv")[0].save(tmp_path / "c.json")
    found, _ = score_files(emb, emb, tmp_path / "used.txt", params, calibration=tmp_path / "c.json")
    told = " ".join(found[0].warnings) if found else caplog.text  # of a list without labels
    assert ("was fitted on this list" in told) == warned


def test_a_pair_that_is_target_and_non_target_is_no_evidence(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("enrol,test,label,score\na,b,1,0.9\na,c,0,0.1\nd,b,0,0.3\nd,c,1,0.2\nb,a,0,0.9\n")
    with pytest.raises(TrialError, match=r"s\.csv.*target"):
        calibrate_file(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "x"}', '{"format": "seedpipe-calibration-1", "scale": 1}']
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    with pytest.raises(MetricError, match="is no calibration"):
        load_calibration(path)
    path.write_text(text)
    with pytest.raises(MetricError, match="is no calibration"):
        load_calibration(path)


def test_what_cannot_be_calibrated_is_refused() -> None:
    scores, labels = normal_llrs(100)
    with pytest.raises(MetricError, match="negate them"):
        fit_calibration(-scores, labels)
    with pytest.raises(MetricError, match="all 100 trials are target"):
        fit_calibration(scores, np.ones(100))
    with pytest.raises(MetricError, match="q do not differ"):
        fit_calibration(scores, labels, {"q": np.full(100, 0.1)})  # whose deviation is 1e-17, not 0
    with pytest.raises(MetricError, match="q hold NaN"):
        fit_calibration(scores, labels, {"q": np.full(100, np.nan)})
    with pytest.raises(MetricError, match=r"q have shape \(99,\)"):
        fit_calibration(scores, labels, {"q": np.arange(99)})
    with pytest.raises(MetricError, match="p_target"):
        fit_calibration(scores, labels, p_target=1.0)
    with pytest.raises(MetricError, match="expected q; give those"):
        fit_calibration(scores, labels, {"q": scores**2})(scores)


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(calibration).failed == 0
