"""How far to trust a number: intervals and paired differences from resampled speakers."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedpipe.errors import MetricError, TooFewSpeakersError, counted
from seedpipe.metrics.checks import checked
from seedpipe.metrics.intervals import Interval, PairedDifference, Reduction, percentiles, two_sided
from seedpipe.metrics.llr import cllr, min_cllr
from seedpipe.metrics.rates import act_dcf, costs, eer, min_dcf
from seedpipe.metrics.roc import Definition, Floats, sort
from seedpipe.metrics.weighted import Metric, Weighted

# Lists of scores whose block sums are kept at a time: the two of a comparison.
_KEPT = 2
# Minima over thresholds: every replicate finds its own, and so does the list itself.
_OPTIMISTIC = ("min_dcf", "min_cllr")
# Below this share of replicates with both kinds of trials, a percentile would describe the ones that happened to work.
_LEAST_USABLE = 0.95


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

    Methods take scores and labels of shape (n,) and refuse what :func:`seedpipe.metrics.validate` refuses, and labels
    that disagree with the speakers; the name of a metric, of which ``act_dcf`` and ``cllr`` want log likelihood ratios;
    and a prior instead of the bootstrap's.

    Parameters
    ----------
    enrol_speaker, test_speaker : array_like, shape (n,)
        The speakers of each trial: numbers or names, equal values being one speaker.
    replicates : int
        Number of draws R.
    seed : int
        Of the draws; equal seeds give equal intervals.
    p_target, c_miss, c_fa : float
        For the metrics ``min_dcf`` and ``act_dcf``; see :func:`seedpipe.metrics.min_dcf`.
    definition : {"linear", "max", "mean", "hull"}
        For the metric ``eer``; see :func:`seedpipe.metrics.eer`. The last three walk through every trial of
        every replicate, which takes longer.
    agree : bool
        Whether labels that disagree with the speakers are refused. Where files have several speakers or phrases decide,
        a trial counts by its speakers, whatever its label.

    Raises
    ------
    MetricError
        Speaker arrays that are not (n,), fewer than two speakers, or fewer than 40 replicates.

    Notes
    -----
    Intervals are percentiles (2.5 and 97.5) of the replicates. Those of minDCF and minCllr are moved: a minimum over
    thresholds lies lower on the list than for the speakers and trials that it was drawn from, and lower again in a
    replicate. Up by twice the distance from the mean replicate to the list makes up for both; ends stay in [0, 1] and
    the value inside. Differences are not moved, because it happens to both systems.

    Two-sided p-values are ``min(1, 2 min((1 + #{d <= 0}) / (1 + R), (1 + #{d >= 0}) / (1 + R)))`` over the replicates d
    of a difference, so never below 2 / (1 + R) and exactly 1 for identical systems. Replicates that drew no target or
    no non-target trial are left out; where they are more than 5 % of all, the list has too few speakers and is refused.

    How often intervals hold the true value is measured by ``benchmarks/intervals.py``.

    After N. Poh and S. Bengio, "Estimating the confidence interval of expected performance curve in biometric
    authentication using joint bootstrap", ICASSP 2007: sampling with replacement the persons, not their trials. Bias is
    estimated as in B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 10.

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

    def __init__(  # noqa: PLR0913 - as many as there are choices
        self,
        enrol_speaker: ArrayLike,
        test_speaker: ArrayLike,
        replicates: int = 1000,
        seed: int = 0,
        *,
        p_target: float = 0.05,
        c_miss: float = 1.0,
        c_fa: float = 1.0,
        definition: Definition = "linear",
        agree: bool = True,
    ) -> None:
        enrol, test = np.asarray(enrol_speaker), np.asarray(test_speaker)
        if enrol.ndim != 1 or enrol.shape != test.shape or not enrol.size:
            raise MetricError(
                f"speakers have shapes {enrol.shape} and {test.shape}", expected="two arrays of one shape (n,), n > 0"
            )
        if replicates < 40:
            raise MetricError(f"{replicates} replicates", expected="at least 40: a 2.5 % tail has to hold one of them")
        if definition not in get_args(Definition):
            raise MetricError(f"EER definition {definition!r}", expected="one of " + ", ".join(get_args(Definition)))
        names, numbers = np.unique(np.concatenate([enrol, test]), return_inverse=True)
        if names.size < 2:
            raise MetricError("the trials are all of one speaker", expected="at least two speakers, better dozens")
        self.speakers = int(names.size)
        self.replicates = replicates
        self.definition: Definition = definition
        self._agree = agree
        self._enrol, self._test = numbers[: enrol.size], numbers[enrol.size :]
        self._costs = p_target, c_miss, c_fa
        costs(*self._costs)
        self._draws = _draw(self.speakers, replicates, seed)
        self._known: dict[tuple[bytes, Metric, float], Floats] = {}
        self._weighted: OrderedDict[bytes, Weighted] = OrderedDict()

    def interval(
        self, scores: ArrayLike, labels: ArrayLike, metric: Metric = "eer", *, p_target: float | None = None
    ) -> Interval:
        """Compute a metric and its 95 % interval.

        Raises
        ------
        TooFewSpeakersError
            Too few speakers or errors: no error at all does not mean that none is possible.
        """
        values = self._usable(self.distribution(scores, labels, metric, p_target=p_target))
        value = self.plain(scores, labels, metric, p_target=p_target)
        if values.min() == values.max():
            raise TooFewSpeakersError(
                f"every draw of {counted(self.speakers, 'speaker')} gives {values[0]:g}",
                expected="errors that come and go with the speakers",
                remedy="use a list with more speakers or more errors",
            )
        if metric not in _OPTIMISTIC:
            return Interval(value, *percentiles(values))
        low, high = np.clip(percentiles(values + 2.0 * (value - values.mean())), 0.0, 1.0).tolist()
        return Interval(value, min(low, value), max(value, high))

    def paired(
        self,
        scores_a: ArrayLike,
        scores_b: ArrayLike,
        labels: ArrayLike,
        metric: Metric = "eer",
        *,
        p_target: float | None = None,
    ) -> PairedDifference:
        """Compare two systems on the same trials, b minus a: negative when b has fewer errors. Scales may differ.

        Raises
        ------
        TooFewSpeakersError
            As for :meth:`interval`.
        """
        replicates = [self.distribution(s, labels, metric, p_target=p_target) for s in (scores_a, scores_b)]
        change = self._usable(replicates[1] - replicates[0])
        before, after = (self.plain(s, labels, metric, p_target=p_target) for s in (scores_a, scores_b))
        return PairedDifference(after - before, *percentiles(change), two_sided(change))

    def mean_relative_reduction(self, pairs: Sequence[tuple[ArrayLike, ArrayLike]], labels: ArrayLike) -> Reduction:
        """Average the relative EER reduction, 1 - EER_b / EER_a, over conditions.

        The conditions share speakers, so their reductions go up and down together; the mean is taken inside every
        replicate, which accounts for that.

        Parameters
        ----------
        pairs : sequence of (scores_a, scores_b), each of shape (n,)
            One pair of score arrays per condition, all over the trials of this list.
        labels : array_like, shape (n,)

        Returns
        -------
        Reduction
            0.2 when b has 20 % fewer errors than a on average.

        Raises
        ------
        MetricError
            No pairs; a condition in which a makes no error, whose relative reduction does not exist; or as for
            :meth:`interval`.
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
        return Reduction(float((1.0 - after / before).mean()), *percentiles(values), two_sided(values))

    def distribution(
        self, scores: ArrayLike, labels: ArrayLike, metric: Metric = "eer", *, p_target: float | None = None
    ) -> Floats:
        """Compute a metric for every replicate, shape (R,); NaN where it drew no target or no non-target trial."""
        if metric not in get_args(Metric):
            raise MetricError(f"metric {metric!r}", expected="one of " + ", ".join(get_args(Metric)))
        values, target = checked(scores, labels)
        self._check_labels(target)
        digest = hashlib.blake2b(values.tobytes() + target.tobytes()).digest()
        key = digest, metric, self._cost(p_target)[0] if metric.endswith("dcf") else 0.0
        if key not in self._known:
            weighted = self._weigh(digest, values, target)
            self._known[key] = weighted.distribution(metric, costs(*self._cost(p_target)), self.definition)
        return self._known[key].copy()

    def plain(self, scores: ArrayLike, labels: ArrayLike, metric: Metric, *, p_target: float | None = None) -> float:
        """Metric of the list as it is, every trial counting once: what the function of that name gives."""
        if metric == "eer":
            return eer(scores, labels, self.definition)
        if metric == "min_dcf":
            return min_dcf(scores, labels, *self._cost(p_target))
        if metric == "act_dcf":
            return act_dcf(scores, labels, *self._cost(p_target))
        return cllr(scores, labels) if metric == "cllr" else min_cllr(scores, labels)

    def _cost(self, p_target: float | None) -> tuple[float, float, float]:
        return self._costs if p_target is None else (p_target, *self._costs[1:])

    def _weigh(self, digest: bytes, values: Floats, target: NDArray[np.bool_]) -> Weighted:
        """Block sums of one list of scores; those of the last few lists are kept."""
        if digest not in self._weighted:
            self._weighted[digest] = Weighted(sort(values, target), self._enrol, self._test, self._draws)
            while len(self._weighted) > _KEPT:
                self._weighted.popitem(last=False)
        return self._weighted[digest]

    def _check_labels(self, target: NDArray[np.bool_]) -> None:
        if target.size != self._enrol.size:
            raise MetricError(
                f"there are {counted(target.size, 'score')} and speakers for {counted(self._enrol.size, 'trial')}",
                expected="one of each per trial",
            )
        wrong = target != (self._enrol == self._test)
        if self._agree and wrong.any():
            first = int(wrong.argmax())
            kind = "a target trial of two speakers" if target[first] else "a non-target trial of one speaker"
            raise MetricError(
                f"{counted(int(wrong.sum()), 'trial', 'disagrees/disagree')} with their speakers, the first"
                f" (trial {first + 1}) is {kind}",
                expected="label 1 exactly where the two speakers are the same",
                remedy="are labels and speakers in the same order?",
            )

    def _usable(self, values: Floats) -> Floats:
        usable = values[~np.isnan(values)]
        if usable.size < _LEAST_USABLE * values.size:
            raise TooFewSpeakersError(
                f"only {usable.size / values.size:.0%} of the draws of {counted(self.speakers, 'speaker')} give a"
                " value",
                expected=f"at least {_LEAST_USABLE:.0%}",
                remedy="use a list with more speakers or more errors",
            )
        return usable


def _draw(speakers: int, replicates: int, seed: int) -> NDArray[np.int32]:
    """How often each replicate draws each speaker, shape (R, S), and a last column of ones."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(speakers, np.full(speakers, 1.0 / speakers), size=replicates)
    return np.pad(drawn, ((0, 0), (0, 1)), constant_values=1).astype(np.int32)
