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
- Every metric raises a ``MetricError`` for what :func:`validate` refuses; ``Raises`` names what else it does.
- An EER without its definition is ambiguous: see :func:`eer`.

Metrics
-------
- :func:`eer`: the equal error rate, in four definitions.
- :func:`min_dcf`: the lowest normalised detection cost of NIST SRE; :func:`act_dcf`: that at the threshold which
  calibrated scores should be cut at.
- :func:`cllr`: the cost of scores as log likelihood ratios; :func:`min_cllr`: what the best calibration leaves of it.
- :func:`error_rates`: FAR and FRR at given thresholds.
- :func:`det_curve`: the whole trade-off, thinned for plotting.
- :func:`score_histogram`: the two score densities, for plotting.
- :class:`SpeakerBootstrap`: 95 % intervals and paired differences from resampled *speakers*.

Checks
------
- :func:`validate`: refuses scores from which every metric would be meaningless.
- :func:`check_direction`: refuses scores that look like distances.
"""

from __future__ import annotations

from seedpipe.metrics.bootstrap import SpeakerBootstrap
from seedpipe.metrics.checks import check_direction, validate
from seedpipe.metrics.intervals import Interval, PairedDifference, Reduction
from seedpipe.metrics.llr import cllr, min_cllr
from seedpipe.metrics.rates import act_dcf, det_curve, eer, error_rates, min_dcf, score_histogram
from seedpipe.metrics.roc import Definition
from seedpipe.metrics.weighted import Metric

__all__ = [
    "Definition",
    "Interval",
    "Metric",
    "PairedDifference",
    "Reduction",
    "SpeakerBootstrap",
    "act_dcf",
    "check_direction",
    "cllr",
    "det_curve",
    "eer",
    "error_rates",
    "min_cllr",
    "min_dcf",
    "score_histogram",
    "validate",
]
