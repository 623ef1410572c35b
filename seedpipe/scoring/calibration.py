"""From scores to log likelihood ratios: logistic regression on one list, applied to another.

A calibrated score s is the natural logarithm of how much more likely the evidence is if both recordings are of one
speaker. It is an affine function of the raw score, and of quality measures where these are given (durations, lengths
of embeddings), whose weights minimise the logarithmic loss on a list with labels. A list that is used to fit must not
be the list that is reported.

The regression is a Newton iteration of our own: a handful of weights, twenty lines, no further dependency. The tests
hold it against scikit-learn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedpipe.errors import MetricError
from seedpipe.files import StrPath, read_json, sealed, whole_file
from seedpipe.metrics import cllr, min_cllr, validate
from seedpipe.scoring.files import read_columns, read_scores
from seedpipe.scoring.trials import Trials

FORMAT = "seedpipe-calibration-1"
ITERATIONS = 100
TOLERANCE = 1e-10
RIDGE = 1e-8  # on standardised features: keeps weights finite where a list is separated without error
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """An affine map from scores and quality measures to log likelihood ratios.

    Parameters
    ----------
    scale, offset : float
        Of the score.
    quality : mapping of str to float
        Weight of each quality measure; empty without.
    column : str
        The column of scores that it was fitted on, where that is known: which system it is for.
    pairs : str
        Digest of the list that it was fitted on, by :meth:`~seedpipe.scoring.trials.Trials.pairs_digest`, where that is
        known.
    """

    scale: float
    offset: float
    quality: Mapping[str, float]
    column: str = ""
    pairs: str = ""

    def __call__(self, scores: ArrayLike, quality: Mapping[str, ArrayLike] | None = None) -> Floats:
        """Calibrate scores.

        Parameters
        ----------
        scores : array_like, shape (N,)
        quality : mapping of str to array_like of shape (N,), optional
            The measures that the calibration was fitted with, as :func:`pair_quality` gives.

        Returns
        -------
        ndarray of float64, shape (N,)
            Natural logarithms of likelihood ratios.

        Raises
        ------
        MetricError
            Other measures than in the fit, or arrays of another length.
        """
        names, columns = _columns(scores, quality)
        if names != tuple(self.quality):
            raise MetricError(
                f"quality measures {', '.join(names) or 'none'}",
                expected=", ".join(self.quality) or "none, as in the fit",
                remedy="give those that the calibration was fitted with",
            )
        weights = np.array([self.scale, *self.quality.values()])
        with np.errstate(over="ignore", invalid="ignore"):
            ratios = np.asarray(columns @ weights + self.offset, dtype=np.float64)
        if not np.isfinite(ratios).all():
            raise MetricError("calibrated scores are not finite", remedy="fit the calibration again")
        return ratios

    def threshold(self) -> float:
        """The score at which the likelihood ratio is 1: at equal priors and costs, the verdict changes there.

        Raises
        ------
        MetricError
            The calibration wants quality measures, so there is no one threshold.
        """
        if self.quality:
            found = f"the calibration wants the quality measures {', '.join(self.quality)}"
            raise MetricError(found, expected="one of the scores alone", remedy="fit it without --quality")
        return -self.offset / self.scale

    def save(self, path: StrPath) -> None:
        """Write the weights as JSON."""
        data = {"format": FORMAT, "scale": self.scale, "offset": self.offset, "quality": dict(self.quality)}
        data |= {"column": self.column, "pairs": self.pairs}
        with whole_file(Path(path)) as partial:
            partial.write_text(json.dumps(sealed(data), indent=1) + "\n", encoding="utf-8")


def fit_calibration(
    scores: ArrayLike, labels: ArrayLike, quality: Mapping[str, ArrayLike] | None = None, p_target: float = 0.5
) -> Calibration:
    """Fit a calibration by prior-weighted logistic regression.

    Parameters
    ----------
    scores : array_like, shape (N,)
        Higher means same speaker.
    labels : array_like, shape (N,)
        1 for target trials, 0 for non-target trials.
    quality : mapping of str to array_like of shape (N,), optional
        Measures of the trials, as :func:`pair_quality` gives.
    p_target : float
        Prior at which the loss is weighed; the share of targets in the list plays no part. 0.5 minimises Cllr.

    Returns
    -------
    Calibration

    Raises
    ------
    MetricError
        See :func:`seedpipe.metrics.validate`; a measure that is constant or not finite; scores that fall as the
        speakers become the same.

    Notes
    -----
    N. Brümmer et al., "Fusion of heterogeneous speaker recognition systems in the STBU submission for the NIST Speaker
    Recognition Evaluation 2006", IEEE TASLP 2007.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 2000)
    >>> llrs = rng.normal(4.0 * labels - 2.0, 2.0)  # these are log likelihood ratios already
    >>> found = fit_calibration(0.1 * llrs + 3.0, labels)
    >>> abs(found.scale - 10.0) < 1.0
    True
    """
    validate(scores, labels)
    if not 0.0 < p_target < 1.0:
        raise MetricError(f"p_target is {p_target}", expected="a probability between 0 and 1")
    names, columns = _columns(scores, quality)
    constant = columns.min(axis=0) == columns.max(axis=0)
    if constant.any():
        name = ("the scores", *names)[int(constant.argmax())]
        raise MetricError(f"{name} do not differ between trials", remedy="leave the measure out")
    center, spread = columns.mean(axis=0), columns.std(axis=0)
    target = np.asarray(labels) == 1
    prior = np.where(target, p_target / target.sum(), (1.0 - p_target) / (~target).sum())
    weights = _newton((columns - center) / spread, target, prior, float(np.log(p_target / (1.0 - p_target))))
    slopes = weights[1:] / spread
    if slopes[0] <= 0.0:
        raise MetricError(
            "scores fall as speakers become the same",
            expected="higher scores for the same speaker",
            remedy="did you supply distances? negate them",
        )
    offset = float(weights[0] - slopes @ center)
    return Calibration(float(slopes[0]), offset, dict(zip(names, slopes[1:].tolist(), strict=True)))


class CalibrationCosts(NamedTuple):
    """Cllr of calibrated scores, and the least that any calibration leaves, in bits."""

    cllr: float
    min_cllr: float


def calibrate_file(
    path: StrPath, column: str | None = None, quality: Sequence[str] = (), p_target: float = 0.5
) -> tuple[Calibration, CalibrationCosts]:
    """Fit a calibration on a score file with labels, by :func:`fit_calibration`.

    Parameters
    ----------
    path, column
        As for :func:`seedpipe.scoring.read_scores`.
    quality : sequence of str
        Columns of quality measures.
    p_target : float

    Returns
    -------
    calibration : Calibration
    costs : CalibrationCosts
        On the list of the fit, so too good to report.
    """
    given, measures = read_scores(path, column), read_columns(path, quality)
    labels = given.trials.expect_labels().expect_agreement().labels
    fitted = fit_calibration(given.scores, labels, measures, p_target)
    found = replace(fitted, column=column or "score", pairs=given.trials.pairs_digest())
    return found, CalibrationCosts(cllr(found(given.scores, measures), labels), min_cllr(given.scores, labels))


def about_list(calibrations: Sequence[Calibration], trials: Trials) -> list[str]:
    """Say where a calibration is applied to the very list that it was fitted on."""
    fitted = {each.pairs for each in calibrations} - {""}
    if not fitted or trials.pairs_digest() not in fitted:
        return []
    return ["the calibration was fitted on this list: its Cllr and actDCF are too good, report them on another one"]


def pair_quality(
    measures: Mapping[str, ArrayLike], enrol_rows: NDArray[np.int64], test_rows: NDArray[np.int64]
) -> dict[str, Floats]:
    """Make measures of trials from measures of utterances: the smaller and the larger of the two sides.

    Parameters
    ----------
    measures : mapping of str to array_like of shape (U,)
        For example the logarithm of the duration in seconds, or the length of the embedding before normalisation.
    enrol_rows, test_rows : ndarray of int64, shape (N,)
        The utterances of each trial.

    Returns
    -------
    dict of str to ndarray of float64, shape (N,)
        ``NAME_low`` and ``NAME_high`` for every measure; the two sides of a trial may change places.
    """
    result = {}
    for name, values in measures.items():
        of_utterance = np.asarray(values, dtype=np.float64)
        sides = of_utterance[enrol_rows], of_utterance[test_rows]
        result[f"{name}_low"], result[f"{name}_high"] = np.minimum(*sides), np.maximum(*sides)
    return result


def load_calibration(path: StrPath) -> Calibration:
    """Read what :meth:`Calibration.save` wrote.

    Raises
    ------
    MetricError
        The file is missing or is no calibration.
    """
    path = Path(path)
    try:
        data = read_json(path)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}")
        quality = {str(name): float(weight) for name, weight in data["quality"].items()}
        known = (str(data.get(name, "")) for name in ("column", "pairs"))  # older files lack them
        found = Calibration(float(data["scale"]), float(data["offset"]), quality, *known)
        if not np.isfinite([found.scale, found.offset, *quality.values()]).all():
            raise ValueError("a weight is not finite")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        text = f"is no calibration ({type(error).__name__}: {error})"
        raise MetricError(text, expected=f"a file of the format {FORMAT}", file=path) from error


def _columns(scores: ArrayLike, quality: Mapping[str, ArrayLike] | None) -> tuple[tuple[str, ...], Floats]:
    names = tuple(quality or {})
    given = [np.asarray(values, dtype=np.float64) for values in (scores, *(quality or {}).values())]
    for name, values in zip(("scores", *names), given, strict=True):
        if values.shape != given[0].shape or values.ndim != 1:
            raise MetricError(f"{name} have shape {values.shape}", expected=f"one value per trial, {given[0].shape}")
        if not np.isfinite(values).all():
            raise MetricError(f"{name} hold NaN or infinity", expected="finite numbers")
    return names, np.stack(given, axis=1)


def _newton(features: Floats, target: NDArray[np.bool_], prior: Floats, prior_log_odds: float) -> Floats:
    """Minimise the weighted logarithmic loss; (N, F) features to offset and F slopes."""
    design = np.column_stack([np.ones(len(features)), features])
    ridge = RIDGE * np.diag([0.0, *np.ones(features.shape[1])])
    weights = np.zeros(design.shape[1])
    loss = _loss(design, target, prior, prior_log_odds, ridge, weights)
    for _ in range(ITERATIONS):
        posterior = 1.0 / (1.0 + np.exp(-np.clip(design @ weights + prior_log_odds, -500.0, 500.0)))
        gradient = design.T @ (prior * (posterior - target)) + ridge @ weights
        curvature = (design * (prior * posterior * (1.0 - posterior))[:, None]).T @ design + ridge
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        share = 1.0
        while share > 1e-8:
            new = _loss(design, target, prior, prior_log_odds, ridge, weights - share * step)
            if new <= loss:
                break
            share /= 2.0
        weights = weights - share * step
        if loss - new <= TOLERANCE * max(1.0, abs(loss)) and np.abs(share * step).max() < 1e-7:
            break
        loss = new
    return np.asarray(weights, dtype=np.float64)


def _loss(
    design: Floats, target: NDArray[np.bool_], prior: Floats, prior_log_odds: float, ridge: Floats, weights: Floats
) -> float:
    log_odds = design @ weights + prior_log_odds
    losses = np.logaddexp(0.0, np.where(target, -log_odds, log_odds))
    return float(prior @ losses + weights @ ridge @ weights / 2.0)
