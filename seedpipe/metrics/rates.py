"""Error rates and detection costs at a threshold, over all thresholds, and drawn as curves.

Conventions are those of :mod:`seedpipe.metrics`: ``scores`` are higher for the same speaker, ``labels`` are 1 for
target and 0 for non-target trials, and every function refuses what :func:`seedpipe.metrics.validate` refuses, besides
what its own section ``Raises`` names.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedpipe.errors import MetricError
from seedpipe.metrics.checks import checked
from seedpipe.metrics.roc import Definition, Floats, counts, equal_error_rate, lowest_cost, rates, sort


def eer(scores: ArrayLike, labels: ArrayLike, definition: Definition = "linear") -> float:
    """Equal error rate: the error rate at the threshold where false alarms and misses are equally frequent.

    An empirical ROC is a staircase that rarely passes through FAR = FRR, and the definitions differ in what they do
    about it. On long lists they agree to a fraction of 1 / (number of targets).

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
    definition : {"linear", "max", "mean", "hull"}
        - ``linear``: crossing of FAR and FRR on straight lines between neighbouring ROC points.
        - ``max``: max(FAR, FRR) at the ROC corner with the smallest |FAR - FRR|, as in the code of the authors of SEED.
          Corners are the points that `sklearn.metrics.roc_curve` keeps by default.
        - ``mean``: (FAR + FRR) / 2 at that corner.
        - ``hull``: crossing on the convex hull of the ROC, the EER after the best monotone calibration; never above
          ``linear``, never above 0.5.

    Returns
    -------
    float
        A fraction in [0, 1].

    Raises
    ------
    MetricError
        An unknown definition.

    Notes
    -----
    ``hull`` follows N. Brümmer and E. de Villiers, "The BOSARIS Toolkit", 2013.

    Examples
    --------
    >>> eer([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0])
    0.3333333333333333
    """
    return equal_error_rate(*counts(sort(*checked(scores, labels))), definition)


def min_dcf(
    scores: ArrayLike, labels: ArrayLike, p_target: float = 0.05, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Lowest normalised detection cost over all thresholds.

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
    p_target : float
        Assumed prior probability of a target trial, in (0, 1); the share in the list plays no part.
    c_miss, c_fa : float
        Costs of a miss and of a false alarm, above 0.

    Returns
    -------
    float
        min over thresholds of (c_miss p FRR + c_fa (1 - p) FAR), divided by min(c_miss p, c_fa (1 - p)), the cost of
        always giving the cheaper answer. In [0, 1].

    Raises
    ------
    MetricError
        An impossible prior or cost.

    Notes
    -----
    Normalisation as in the NIST 2010 Speaker Recognition Evaluation Plan (C_Default).

    Examples
    --------
    >>> round(min_dcf([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0]), 6)
    0.333333
    """
    cost_fa, cost_miss = costs(p_target, c_miss, c_fa)
    return lowest_cost(*rates(*counts(sort(*checked(scores, labels)))), cost_fa, cost_miss)


def act_dcf(
    scores: ArrayLike, labels: ArrayLike, p_target: float = 0.05, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Normalised detection cost at the threshold that calibrated scores should be cut at.

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
        Scores are natural logarithms of likelihood ratios, as :mod:`seedpipe.scoring.calibration` gives.
    p_target, c_miss, c_fa : float
        As for :func:`min_dcf`.

    Returns
    -------
    float
        The cost of :func:`min_dcf` at the threshold ln(c_fa (1 - p) / (c_miss p)). Never below the minimum; above 1 the
        scores do more harm than none.

    Examples
    --------
    >>> act_dcf([5.0, 4.0, 2.0, 1.0, -4.0], [1, 1, 1, 0, 0], p_target=0.5)
    0.5
    """
    cost_fa, cost_miss = costs(p_target, c_miss, c_fa)
    far, frr = error_rates(scores, labels, [bayes_threshold(cost_fa, cost_miss)])
    return float((cost_miss * frr[0] + cost_fa * far[0]) / min(cost_miss, cost_fa))


def bayes_threshold(cost_fa: float, cost_miss: float) -> float:
    """Log likelihood ratio from which on accepting costs less."""
    return float(np.log(cost_fa / cost_miss))


def error_rates(scores: ArrayLike, labels: ArrayLike, thresholds: ArrayLike) -> tuple[Floats, Floats]:
    """FAR and FRR at given thresholds.

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
    thresholds : array_like, shape (m,)
        In the unit of the scores; a trial at or above the threshold is accepted.

    Returns
    -------
    far, frr : arrays of float, shape (m,)
        Fractions in [0, 1].

    Raises
    ------
    MetricError
        A threshold that is NaN.

    Examples
    --------
    >>> far, frr = error_rates([0.9, 0.8, 0.3, 0.7], [1, 1, 1, 0], [0.5, 0.8])
    >>> far.tolist(), frr.round(3).tolist()
    ([1.0, 0.0], [0.333, 0.333])
    """
    values, target = checked(scores, labels)
    limits = np.asarray(thresholds, dtype=np.float64)
    if np.isnan(limits).any():
        raise MetricError("a threshold is NaN", expected="numbers in the unit of the scores")
    targets, others = np.sort(values[target]), np.sort(values[~target])
    far = 1.0 - np.searchsorted(others, limits) / others.size
    frr = np.searchsorted(targets, limits) / targets.size
    return np.asarray(far, dtype=np.float64), np.asarray(frr, dtype=np.float64)


def costs(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Cost of a false-alarm rate of 1 and of a miss rate of 1."""
    if not 0.0 < p_target < 1.0:
        raise MetricError(
            f"p_target is {p_target}", expected="a probability between 0 and 1", remedy="is it a percentage?"
        )
    if not (c_miss > 0.0 and c_fa > 0.0):
        raise MetricError(f"c_miss is {c_miss}, c_fa {c_fa}", expected="costs above 0")
    return c_fa * (1.0 - p_target), c_miss * p_target


def det_curve(scores: ArrayLike, labels: ArrayLike, max_points: int = 2000) -> tuple[Floats, Floats, Floats]:
    """Trace the detection error trade-off: FAR and FRR over all thresholds, thinned for plotting.

    A list of a million trials has as many thresholds, and a plot needs a few hundred. The points kept are evenly
    spaced along the curve as it looks on logit axes (close to the probit axes of a DET plot), so both tails keep their
    shape; besides, the two end points and every threshold around the EER are kept.

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
    max_points : int
        Upper bound on the number of points, at least 10.

    Returns
    -------
    far, frr, thresholds : arrays of float, shape (m,), m <= max_points
        By falling threshold: from (0, 1) at threshold infinity (nothing accepted) to (1, 0) at the lowest score.

    Raises
    ------
    MetricError
        See :func:`validate`; or `max_points` below 10.
    """
    if max_points < 10:
        raise MetricError(f"max_points is {max_points}", expected="at least 10")
    trials = sort(*checked(scores, labels))
    far, frr = rates(*counts(trials))
    thresholds = trials.thresholds
    if far.size <= max_points:
        return far, frr, thresholds
    keep = _thinned(far, frr, max_points)
    return far[keep], frr[keep], thresholds[keep]


def _thinned(far: Floats, frr: Floats, max_points: int) -> NDArray[np.intp]:
    """Positions to keep: a tenth right at the EER, the rest evenly along the curve on logit axes."""
    near = max_points // 10
    path = np.abs(np.diff(_logit(far))) + np.abs(np.diff(_logit(frr)))
    length = np.append(0.0, np.cumsum(path))
    along = np.searchsorted(length, np.linspace(0.0, length[-1], max_points - near))
    last = far.size - 1
    first = int(np.clip(np.count_nonzero(far < frr) - near // 2, 0, last - near))
    ends = np.array([0, last])
    # Rounding may put the last evenly spaced point one past the curve, or twice on one threshold.
    return np.unique(np.concatenate([ends, np.clip(along[1:-1], 0, last), np.arange(first, first + near)]))


def _logit(rate: Floats) -> Floats:
    edge = 0.5 / rate.size  # keeps 0 and 1 finite
    clipped = np.clip(rate, edge, 1.0 - edge)
    return np.asarray(np.log(clipped / (1.0 - clipped)), dtype=np.float64)


def score_histogram(scores: ArrayLike, labels: ArrayLike, bins: int = 40) -> tuple[Floats, Floats, Floats]:
    """Densities of the target and the non-target scores over common bins.

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
    bins : int
        Number of bins of equal width between the lowest and the highest score.

    Returns
    -------
    edges : array of float, shape (bins + 1,)
    target, nontarget : arrays of float, shape (bins,)
        Densities, each with integral 1 over the edges.
    """
    values, target = checked(scores, labels)
    edges = np.linspace(values.min(), values.max(), bins + 1)
    of_targets = np.histogram(values[target], edges, density=True)[0]
    of_others = np.histogram(values[~target], edges, density=True)[0]
    return edges, of_targets.astype(np.float64), of_others.astype(np.float64)
