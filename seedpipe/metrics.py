"""From scores to error rates, with intervals that say how far to trust them.

A verification system gives every trial (a pair of recordings) a score. A threshold turns scores into decisions, and two
things can go wrong: a pair of different speakers is accepted (false alarm) or a pair of one speaker is rejected (miss).

Conventions
-----------
- Scores are finite numbers of shape (n,), **higher means same speaker**; they are used as float64.
- Labels have shape (n,): 1 for a target trial (same speaker), 0 for a non-target trial.
- A trial is accepted when its score is at or above the threshold. Trials with equal scores are accepted together, so
  the order of the list never matters.
- FAR is the false-alarm rate (accepted share of the non-target trials), FRR the false-rejection or miss rate (rejected
  share of the target trials). Every rate is a fraction in [0, 1], never a percentage.
- An EER without its definition is ambiguous: see :func:`eer`.

Metrics
-------
- :func:`eer`: the equal error rate, in four definitions.
- :func:`min_dcf`: the lowest normalised detection cost of NIST SRE.
- :func:`det_curve`: the whole trade-off, thinned for plotting.
- :func:`score_histogram`: the two score densities, for plotting.
- :class:`SpeakerBootstrap`: 95 % intervals and paired differences from resampled *speakers*.

Checks
------
- :func:`validate`: refuses scores from which every metric would be meaningless.
- :func:`check_direction`: refuses scores that look like distances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedpipe.errors import MetricError, TooFewSpeakersError

__all__ = [
    "Definition",
    "Interval",
    "Metric",
    "PairedDifference",
    "Reduction",
    "SpeakerBootstrap",
    "check_direction",
    "det_curve",
    "eer",
    "min_dcf",
    "score_histogram",
    "validate",
]

Definition: TypeAlias = Literal["linear", "max", "mean", "hull"]
Metric: TypeAlias = Literal["eer", "min_dcf"]
_Floats: TypeAlias = NDArray[np.float64]
_Integers: TypeAlias = NDArray[np.int64]

# Elements of one block of (replicates, trials): small enough that a block stays in the processor's cache.
_BLOCK_ELEMENTS = 2**18
# Below this share of replicates with both kinds of trials, a percentile would describe the ones that happened to work.
_LEAST_USABLE = 0.95


# ---------------------------------------------------------------------------------------------------------------------
# Checks


def validate(scores: ArrayLike, labels: ArrayLike) -> None:
    """Refuse scores and labels from which a metric would be meaningless.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher means same speaker.
    labels : array_like, shape (n,)
        1 for target trials, 0 for non-target trials.

    Raises
    ------
    MetricError
        Shapes that differ or are not (n,), no trials, NaN or infinite scores, labels other than 0 and 1, only one
        kind of trial, or one score for every trial.
    """
    _checked(scores, labels)


def check_direction(scores: ArrayLike, labels: ArrayLike) -> None:
    """Refuse scores that rank the trials backwards, as distances do.

    A bad system is near chance (EER 0.5); only an inverted one is clearly beyond it.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher means same speaker.
    labels : array_like, shape (n,)
        1 for target trials, 0 for non-target trials.

    Raises
    ------
    MetricError
        The mean target score is below the mean non-target score *and* the EER is above 0.6.
    """
    values, target = _checked(scores, labels)
    rate = eer(values, target)
    if values[target].mean() < values[~target].mean() and rate > 0.6:
        raise MetricError(
            f"target trials score lower than non-target trials (equal error rate {rate:.1%})",
            expected="higher scores for the same speaker",
            remedy="did you supply distances? negate them; or are the labels 1 for different speakers?",
        )


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[_Floats, NDArray[np.bool_]]:
    """Validate, and return the scores as float64 and the labels as booleans (True = target)."""
    values, marks = np.asarray(scores), np.asarray(labels)
    _check_shapes(values, marks)
    values = _finite(values)
    target = _binary(marks)
    if np.ptp(values) == 0.0:
        raise MetricError(
            f"all {values.size} scores are {values[0]:g}",
            expected="scores that differ between trials",
            remedy="look at the embeddings: are they all equal or zero?",
        )
    return values, target


def _check_shapes(scores: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
    if scores.ndim != 1 or scores.shape != labels.shape:
        squeezable = scores.size == labels.size and scores.size > 0
        raise MetricError(
            f"scores have shape {scores.shape}, labels {labels.shape}",
            expected="two arrays of one shape (n,)",
            remedy="flatten them with .reshape(-1)" if squeezable else "score and label the same list of trials",
        )
    if scores.size == 0:
        raise MetricError("there are no trials", expected="at least one target and one non-target trial")


def _finite(scores: NDArray[np.generic]) -> _Floats:
    if scores.dtype.kind not in "fiu":
        raise MetricError(f"scores are of type {scores.dtype}", expected="real numbers")
    values = scores.astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise MetricError(
            f"{int(bad.sum())} of {values.size} scores are NaN or infinite, the first in trial {int(bad.argmax()) + 1}",
            expected="finite scores",
            remedy="look for embeddings of zero length or with NaN",
        )
    return values


def _binary(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    kinds = np.unique(labels)
    if labels.dtype.kind not in "bfiu" or not np.isin(kinds, (0, 1)).all():
        shown = ", ".join(str(kind) for kind in kinds[:4]) + (", ..." if kinds.size > 4 else "")
        guess = "did you write -1 for non-target? use (labels > 0)" if set(shown.split(", ")) == {"-1", "1"} else ""
        swapped = "did you swap scores and labels?" if kinds.size > 4 else ""
        raise MetricError(f"labels are {shown}", expected="1 (target) and 0 (non-target)", remedy=guess or swapped)
    if kinds.size == 1:
        name = "target" if kinds[0] else "non-target"
        raise MetricError(
            f"all {labels.size} trials are {name} trials",
            expected="both target and non-target trials",
            remedy="is this list a part of a sorted list, or without labels?",
        )
    return labels.astype(np.bool_)


# ---------------------------------------------------------------------------------------------------------------------
# The ROC, for one weighting of the trials or for many at once


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Trials by falling score.

    Attributes
    ----------
    order : array of int, shape (n,)
        Trial numbers, the highest score first.
    ends : array of int, shape (g,)
        Last position of each group of equal scores.
    target : array of bool, shape (n,)
        Labels in that order.
    thresholds : array of float, shape (g + 1,)
        Infinity (accept nothing), then the score of each group.
    """

    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    target: NDArray[np.bool_]
    thresholds: _Floats


def _sort(scores: _Floats, target: NDArray[np.bool_]) -> _Sorted:
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), scores.size - 1)
    return _Sorted(order, ends, target[order], np.append(np.inf, falling[ends]))


def _accepted(trials: _Sorted, weights: NDArray[np.integer]) -> tuple[_Integers, _Integers]:
    """Weight of the accepted target and non-target trials at every threshold.

    Parameters
    ----------
    trials : _Sorted
        n trials in g groups of equal scores.
    weights : array of int, shape (R, n)
        R weightings of the sorted trials. Whole numbers, so that the sums are exact.

    Returns
    -------
    targets, others : arrays of int, shape (R, g + 1)
        Starting with 0, where nothing is accepted.
    """
    every = np.cumsum(weights, axis=1, dtype=np.int64)
    targets = np.cumsum(weights * trials.target, axis=1, dtype=np.int64)
    if trials.ends.size < trials.order.size:
        every, targets = every[:, trials.ends], targets[:, trials.ends]
    pad = ((0, 0), (1, 0))
    return np.pad(targets, pad), np.pad(every - targets, pad)


def _rates(targets: _Integers, others: _Integers) -> tuple[_Floats, _Floats]:
    """FAR and FRR, shape (R, g + 1), from what :func:`_accepted` returns; no total may be zero."""
    return others / others[:, -1:], 1.0 - targets / targets[:, -1:]


def _counts(scores: _Floats, target: NDArray[np.bool_]) -> tuple[_Integers, _Integers, _Floats]:
    """Count accepted target and non-target trials at every threshold; the last array holds the thresholds."""
    trials = _sort(scores, target)
    targets, others = _accepted(trials, np.ones((1, scores.size), dtype=np.int64))
    return targets[0], others[0], trials.thresholds


def _crossing(far: _Floats, frr: _Floats) -> _Floats:
    """Where the straight lines between ROC points meet FAR = FRR; (R, g + 1) to (R,).

    FAR - FRR rises from -1 to 1 with the accepted trials. Between the last point below zero and the first at or above,
    both rates are straight lines, so the crossing is found by one interpolation.
    """
    gap = far - frr
    right = np.count_nonzero(gap < 0.0, axis=1)
    rows = np.arange(gap.shape[0])
    below, above = gap[rows, right - 1], gap[rows, right]
    step = below / (below - above)
    start, end = far[rows, right - 1], far[rows, right]
    return np.asarray(start + step * (end - start), dtype=np.float64)


def _lowest_cost(far: _Floats, frr: _Floats, cost_fa: float, cost_miss: float) -> _Floats:
    """Lowest ``cost_miss FRR + cost_fa FAR`` over that of the better system without ears; (R, g + 1) to (R,)."""
    lowest = (cost_miss * frr + cost_fa * far).min(axis=1)
    return np.asarray(lowest / min(cost_miss, cost_fa), dtype=np.float64)


# ---------------------------------------------------------------------------------------------------------------------
# Metrics


def eer(scores: ArrayLike, labels: ArrayLike, definition: Definition = "linear") -> float:
    """Equal error rate: the error rate at the threshold where false alarms and misses are equally frequent.

    An empirical ROC is a staircase that rarely passes through FAR = FRR, and the definitions differ in what they do
    about it. On long lists they agree to a fraction of 1 / (number of targets).

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher means same speaker.
    labels : array_like, shape (n,)
        1 for target trials, 0 for non-target trials.
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
        See :func:`validate`; or an unknown definition.

    Notes
    -----
    ``hull`` follows N. Brümmer and E. de Villiers, "The BOSARIS Toolkit", 2013.

    Examples
    --------
    >>> eer([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0])
    0.3333333333333333
    """
    values, target = _checked(scores, labels)
    targets, others, _ = _counts(values, target)
    if definition == "linear":
        far, frr = _rates(targets[None], others[None])
        return float(_crossing(far, frr)[0])
    if definition == "hull":
        return _hull_crossing(targets, others)
    if definition not in get_args(Definition):
        raise MetricError(f"EER definition {definition!r}", expected="one of " + ", ".join(get_args(Definition)))
    far_at, frr_at = _nearest_corner(targets, others)
    return max(far_at, frr_at) if definition == "max" else (far_at + frr_at) / 2.0


def _nearest_corner(targets: _Integers, others: _Integers) -> tuple[float, float]:
    """FAR and FRR at the ROC corner where they are closest; the first of several.

    A point inside a straight run with equal steps is no corner. Which points take part decides the answer when the
    nearest point is inside a run, hence the same rule as in the tool that the published numbers were made with.
    """
    corner = np.ones(targets.size, dtype=np.bool_)
    # The point where nothing is accepted (index 0) is not part of the runs.
    corner[2:-1] = (np.diff(targets[1:], 2) != 0) | (np.diff(others[1:], 2) != 0)
    far, frr = _rates(targets[None, corner], others[None, corner])
    nearest = int(np.argmin(np.abs(frr[0] - far[0])))
    return float(far[0, nearest]), float(frr[0, nearest])


def _hull_crossing(targets: _Integers, others: _Integers) -> float:
    """EER on the lower convex hull of (FAR, FRR), without building the hull.

    Start with the chord between the two end points, whose FAR - FRR differ in sign. The point farthest below the chord
    is on the hull; it replaces the end on its own side of FAR = FRR. When no point lies below, the chord is the hull's
    edge across FAR = FRR. A few steps of O(n), in whole numbers and hence exact.
    """
    total_target, total_other = int(targets[-1]), int(others[-1])
    misses = total_target - targets
    gap = others * total_target - misses * total_other  # sign of FAR - FRR
    left, right = 0, targets.size - 1
    while True:
        fall, width = int(misses[left] - misses[right]), int(others[right] - others[left])
        height = (misses - misses[left]) * width + (others - others[left]) * fall
        lowest = int(height.argmin())
        if height[lowest] == 0:
            break
        left, right = (lowest, right) if gap[lowest] < 0 else (left, lowest)
    ends = [left, right]
    return float(_crossing((others[ends] / total_other)[None], (misses[ends] / total_target)[None])[0])


def min_dcf(
    scores: ArrayLike, labels: ArrayLike, p_target: float = 0.05, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Lowest normalised detection cost over all thresholds.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher means same speaker.
    labels : array_like, shape (n,)
        1 for target trials, 0 for non-target trials.
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
        See :func:`validate`; or an impossible prior or cost.

    Notes
    -----
    Normalisation as in the NIST 2010 Speaker Recognition Evaluation Plan (C_Default).

    Examples
    --------
    >>> round(min_dcf([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0]), 6)
    0.333333
    """
    cost_fa, cost_miss = _costs(p_target, c_miss, c_fa)
    targets, others, _ = _counts(*_checked(scores, labels))
    far, frr = _rates(targets[None], others[None])
    return float(_lowest_cost(far, frr, cost_fa, cost_miss)[0])


def _costs(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Cost of a false-alarm rate of 1 and of a miss rate of 1."""
    if not 0.0 < p_target < 1.0:
        raise MetricError(
            f"p_target is {p_target}", expected="a probability between 0 and 1", remedy="is it a percentage?"
        )
    if not (c_miss > 0.0 and c_fa > 0.0):
        raise MetricError(f"c_miss is {c_miss}, c_fa {c_fa}", expected="costs above 0")
    return c_fa * (1.0 - p_target), c_miss * p_target


def det_curve(scores: ArrayLike, labels: ArrayLike, max_points: int = 2000) -> tuple[_Floats, _Floats, _Floats]:
    """Trace the detection error trade-off: FAR and FRR over all thresholds, thinned for plotting.

    A list of a million trials has as many thresholds, and a plot needs a few hundred. The points kept are evenly
    spaced along the curve as it looks on logit axes (close to the probit axes of a DET plot), so both tails keep their
    shape; besides, the two end points and every threshold around the EER are kept.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher means same speaker.
    labels : array_like, shape (n,)
        1 for target trials, 0 for non-target trials.
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
    targets, others, thresholds = _counts(*_checked(scores, labels))
    rates = _rates(targets[None], others[None])
    far, frr = rates[0][0], rates[1][0]
    if far.size <= max_points:
        return far, frr, thresholds
    keep = _thinned(far, frr, max_points)
    return far[keep], frr[keep], thresholds[keep]


def _thinned(far: _Floats, frr: _Floats, max_points: int) -> NDArray[np.intp]:
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


def _logit(rate: _Floats) -> _Floats:
    edge = 0.5 / rate.size  # keeps 0 and 1 finite
    clipped = np.clip(rate, edge, 1.0 - edge)
    return np.asarray(np.log(clipped / (1.0 - clipped)), dtype=np.float64)


def score_histogram(scores: ArrayLike, labels: ArrayLike, bins: int = 40) -> tuple[_Floats, _Floats, _Floats]:
    """Densities of the target and the non-target scores over common bins.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher means same speaker.
    labels : array_like, shape (n,)
        1 for target trials, 0 for non-target trials.
    bins : int
        Number of bins of equal width between the lowest and the highest score.

    Returns
    -------
    edges : array of float, shape (bins + 1,)
    target, nontarget : arrays of float, shape (bins,)
        Densities, each with integral 1 over the edges.

    Raises
    ------
    MetricError
        See :func:`validate`.
    """
    values, target = _checked(scores, labels)
    edges = np.linspace(values.min(), values.max(), bins + 1)
    of_targets = np.histogram(values[target], edges, density=True)[0]
    of_others = np.histogram(values[~target], edges, density=True)[0]
    return edges, of_targets.astype(np.float64), of_others.astype(np.float64)


# ---------------------------------------------------------------------------------------------------------------------
# How far to trust a number: resampling speakers


@dataclass(frozen=True)
class Interval:
    """A metric on the whole list and its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        In the unit of the metric (EER: fraction).
    """

    value: float
    low: float
    high: float

    @property
    def measurable(self) -> bool:
        """Whether the interval excludes zero (for differences and reductions)."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True)
class Reduction(Interval):
    """A relative reduction: 0.2 means 20 % lower, negative values mean higher.

    Attributes
    ----------
    p_value : float
        Two-sided, for the hypothesis of no reduction.
    """

    p_value: float


@dataclass(frozen=True)
class PairedDifference:
    """Metric of system b minus metric of system a on the same trials, with its 95 % interval.

    Attributes
    ----------
    difference, low, high : float
        In the unit of the metric; negative when b has fewer errors.
    p_value : float
        Two-sided, for the hypothesis of no difference.
    """

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def measurable(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0 or self.high < 0.0


class SpeakerBootstrap:
    """Intervals for the metrics of one trial list, from resampled speakers.

    Thousands of trials are made from a few dozen speakers, and trials that share a speaker go wrong together. Drawing
    *trials* with replacement would pretend that they are independent and give intervals several times too narrow. Here
    a replicate draws as many *speakers* as the list has, with replacement; speaker s is drawn c_s times, and a trial
    counts

    - c_s times when it is a target trial of speaker s,
    - c_a c_b times when it is a non-target trial between the speakers a and b.

    Every system and condition scored on the list meets the same draws, which is what makes differences paired. The
    replicates of a metric are computed once and remembered.

    Parameters
    ----------
    enrol_speaker, test_speaker : array_like, shape (n,)
        The speakers of each trial: numbers or names, equal values being one speaker.
    replicates : int
        Number of draws R.
    seed : int
        Of the draws; equal seeds give equal intervals.
    p_target, c_miss, c_fa : float
        For the metric ``min_dcf``; see :func:`min_dcf`.

    Raises
    ------
    MetricError
        Speaker arrays that are not (n,), fewer than two speakers, or fewer than 40 replicates.

    Notes
    -----
    Intervals are percentiles (2.5 and 97.5) of the replicates. Two-sided p-values are
    ``min(1, 2 min((1 + #{d <= 0}) / (1 + R), (1 + #{d >= 0}) / (1 + R)))`` over the replicates d of a difference, so
    never below 2 / (1 + R) and exactly 1 for identical systems. Replicates that drew no target or no non-target trial
    are left out; where they are more than 5 % of all, the list has too few speakers and is refused.

    The intervals of minDCF tend to lie low: a minimum over thresholds profits from every draw. Differences between
    systems suffer less from it, because it happens to both.

    After N. Poh and S. Bengio, "Estimating the confidence interval of expected performance curve in biometric
    authentication using joint bootstrap", ICASSP 2007: sampling with replacement the persons, not their trials.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> enrol, test = rng.integers(0, 30, 4000), rng.integers(0, 30, 4000)
    >>> labels = (enrol == test).astype(int)
    >>> scores = rng.normal(2.0 * labels)
    >>> bootstrap = SpeakerBootstrap(enrol, test)
    >>> interval = bootstrap.interval(scores, labels, "eer")
    >>> interval.low < interval.value < interval.high
    True
    """

    def __init__(
        self,
        enrol_speaker: ArrayLike,
        test_speaker: ArrayLike,
        replicates: int = 1000,
        seed: int = 0,
        *,
        p_target: float = 0.05,
        c_miss: float = 1.0,
        c_fa: float = 1.0,
    ) -> None:
        enrol, test = np.asarray(enrol_speaker), np.asarray(test_speaker)
        if enrol.ndim != 1 or enrol.shape != test.shape or not enrol.size:
            raise MetricError(
                f"speakers have shapes {enrol.shape} and {test.shape}", expected="two arrays of one shape (n,), n > 0"
            )
        if replicates < 40:
            raise MetricError(f"{replicates} replicates", expected="at least 40: a 2.5 % tail has to hold one of them")
        names, numbers = np.unique(np.concatenate([enrol, test]), return_inverse=True)
        if names.size < 2:
            raise MetricError("the trials are all of one speaker", expected="at least two speakers, better dozens")
        self.speakers = int(names.size)
        self.replicates = replicates
        self._enrol, self._test = numbers[: enrol.size], numbers[enrol.size :]
        self._costs = _costs(p_target, c_miss, c_fa)
        self._draws = _draw(self.speakers, replicates, seed)
        self._known: dict[bytes, dict[Metric, _Floats]] = {}

    def interval(self, scores: ArrayLike, labels: ArrayLike, metric: Metric = "eer") -> Interval:
        """Compute a metric and its 95 % interval.

        Parameters
        ----------
        scores : array_like, shape (n,)
            One system's scores, higher means same speaker.
        labels : array_like, shape (n,)
            1 for target trials, 0 for non-target trials.
        metric : {"eer", "min_dcf"}
            The EER is the ``linear`` one.

        Returns
        -------
        Interval
            In the unit of the metric.

        Raises
        ------
        MetricError
            See :func:`validate`; or labels that disagree with the speakers; or too few speakers.
        """
        values = self._usable(self.distribution(scores, labels, metric))
        low, high = _percentiles(values)
        return Interval(self.plain(scores, labels, metric), low, high)

    def paired(
        self, scores_a: ArrayLike, scores_b: ArrayLike, labels: ArrayLike, metric: Metric = "eer"
    ) -> PairedDifference:
        """Compare two systems on the same trials, b minus a.

        Parameters
        ----------
        scores_a, scores_b : array_like, shape (n,)
            Scores of the two systems, each higher for the same speaker; their scales may differ.
        labels : array_like, shape (n,)
            1 for target trials, 0 for non-target trials.
        metric : {"eer", "min_dcf"}
            The EER is the ``linear`` one.

        Returns
        -------
        PairedDifference
            Negative when b has fewer errors.

        Raises
        ------
        MetricError
            As for :meth:`interval`.
        """
        change = self.distribution(scores_b, labels, metric) - self.distribution(scores_a, labels, metric)
        change = self._usable(change)
        difference = self.plain(scores_b, labels, metric) - self.plain(scores_a, labels, metric)
        return PairedDifference(difference, *_percentiles(change), _two_sided(change))

    def mean_relative_reduction(self, pairs: Sequence[tuple[ArrayLike, ArrayLike]], labels: ArrayLike) -> Reduction:
        """Average the relative EER reduction, 1 - EER_b / EER_a, over conditions.

        The conditions share speakers, so their reductions go up and down together; the mean is taken inside every
        replicate, which accounts for that.

        Parameters
        ----------
        pairs : sequence of (scores_a, scores_b), each of shape (n,)
            One pair of score arrays per condition, all over the trials of this list.
        labels : array_like, shape (n,)
            1 for target trials, 0 for non-target trials.

        Returns
        -------
        Reduction
            0.2 when b has 20 % fewer errors than a on average.

        Raises
        ------
        MetricError
            As for :meth:`interval`; no pairs; or a condition in which a makes no error, whose relative reduction does
            not exist.
        """
        if not pairs:
            raise MetricError("there are no conditions to average over", expected="at least one pair of systems")
        before = np.array([self.plain(a, labels, "eer") for a, _ in pairs])
        after = np.array([self.plain(b, labels, "eer") for _, b in pairs])
        if (before == 0.0).any():
            raise MetricError(
                f"the first system of condition {int(before.argmin()) + 1} makes no error",
                expected="an EER above 0 to reduce",
                remedy="leave that condition out of the mean",
            )
        before_replicates = np.stack([self.distribution(a, labels, "eer") for a, _ in pairs])
        after_replicates = np.stack([self.distribution(b, labels, "eer") for _, b in pairs])
        before_replicates[before_replicates == 0.0] = np.nan  # a draw without errors has no relative reduction
        values = self._usable((1.0 - after_replicates / before_replicates).mean(axis=0))
        return Reduction(float((1.0 - after / before).mean()), *_percentiles(values), _two_sided(values))

    def distribution(self, scores: ArrayLike, labels: ArrayLike, metric: Metric = "eer") -> _Floats:
        """Compute a metric for every replicate.

        Parameters
        ----------
        scores, labels, metric
            As for :meth:`interval`.

        Returns
        -------
        array of float, shape (R,)
            NaN for the replicates that drew no target or no non-target trial.
        """
        if metric not in get_args(Metric):
            raise MetricError(f"metric {metric!r}", expected="one of " + ", ".join(get_args(Metric)))
        values, target = _checked(scores, labels)
        self._check_labels(target)
        key = hashlib.blake2b(values.tobytes() + target.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self._compute(_sort(values, target))
        return self._known[key][metric].copy()

    def _compute(self, trials: _Sorted) -> dict[Metric, _Floats]:
        """All metrics for all replicates, a block at a time so that memory stays bounded."""
        enrol = self._enrol[trials.order]
        # The draws end with a column of ones: as second factor of a target trial it leaves c_s instead of c_s squared.
        test = np.where(trials.target, self.speakers, self._test[trials.order])
        rates = np.full(self.replicates, np.nan)
        costs = np.full(self.replicates, np.nan)
        size = max(1, _BLOCK_ELEMENTS // trials.order.size)
        for start in range(0, self.replicates, size):
            draws = self._draws[start : start + size]
            targets, others = _accepted(trials, draws.take(enrol, axis=1) * draws.take(test, axis=1))
            both = (targets[:, -1] > 0) & (others[:, -1] > 0)
            rows = start + np.flatnonzero(both)
            far, frr = _rates(targets[both], others[both])
            rates[rows] = _crossing(far, frr)
            costs[rows] = _lowest_cost(far, frr, *self._costs)
        return {"eer": rates, "min_dcf": costs}

    def plain(self, scores: ArrayLike, labels: ArrayLike, metric: Metric) -> float:
        """Metric of the list as it is, every trial counting once.

        Parameters
        ----------
        scores, labels : array_like, shape (n,)
        metric : {'eer', 'min_dcf'}

        Returns
        -------
        float
            What :func:`eer` (linear) or :func:`min_dcf` gives.
        """
        targets, others, _ = _counts(*_checked(scores, labels))
        far, frr = _rates(targets[None], others[None])
        values = _crossing(far, frr) if metric == "eer" else _lowest_cost(far, frr, *self._costs)
        return float(values[0])

    def _check_labels(self, target: NDArray[np.bool_]) -> None:
        if target.size != self._enrol.size:
            raise MetricError(
                f"there are {target.size} scores and speakers for {self._enrol.size} trials",
                expected="one of each per trial",
            )
        wrong = target != (self._enrol == self._test)
        if wrong.any():
            first = int(wrong.argmax())
            kind = "a target trial of two speakers" if target[first] else "a non-target trial of one speaker"
            raise MetricError(
                f"{int(wrong.sum())} trials disagree with their speakers, the first (trial {first + 1}) is {kind}",
                expected="label 1 exactly where the two speakers are the same",
                remedy="are labels and speakers in the same order?",
            )

    def _usable(self, values: _Floats) -> _Floats:
        usable = values[~np.isnan(values)]
        if usable.size < _LEAST_USABLE * values.size:
            raise TooFewSpeakersError(
                f"only {usable.size / values.size:.0%} of the draws of {self.speakers} speakers give a value",
                expected=f"at least {_LEAST_USABLE:.0%}",
                remedy="use a list with more speakers or more errors",
            )
        return usable


def _draw(speakers: int, replicates: int, seed: int) -> NDArray[np.int32]:
    """How often each replicate draws each speaker, shape (R, S), and a last column of ones."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(speakers, np.full(speakers, 1.0 / speakers), size=replicates)
    return np.pad(counts, ((0, 0), (0, 1)), constant_values=1).astype(np.int32)


def _percentiles(values: _Floats) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _two_sided(values: _Floats) -> float:
    """Twice the smaller share of replicates on one side of zero; see the notes of :class:`SpeakerBootstrap`."""
    tail = min(np.count_nonzero(values <= 0.0), np.count_nonzero(values >= 0.0))
    return min(1.0, float(2 * (1 + tail)) / (1 + values.size))
