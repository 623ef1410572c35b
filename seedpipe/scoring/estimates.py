"""Metrics of a trial list with the intervals that its speakers allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import TooFewSpeakersError
from seedpipe.metrics import Metric, SpeakerBootstrap
from seedpipe.params import ScoreParams
from seedpipe.results import Difference, Estimate
from seedpipe.scoring.trials import Trials

ALL = slice(None)


class NamedMetric(NamedTuple):
    """A metric under the name that it has in results.

    Parameters
    ----------
    name : str
    metric : str
    p_target : float, optional
        Prior of a detection cost.
    """

    name: str
    metric: Metric
    p_target: float | None = None


def metrics_of(p_targets: Sequence[float], *, calibrated: bool = False, short: bool = False) -> list[NamedMetric]:
    """Name what is computed of a list of scores.

    Parameters
    ----------
    p_targets : sequence of float
        Priors of the detection costs.
    calibrated : bool
        Whether scores are log likelihood ratios: then actDCF, Cllr and minCllr mean something.
    short : bool
        Leave the first prior out of the names.
    """
    kinds: list[Metric] = ["min_dcf", "act_dcf"] if calibrated else ["min_dcf"]
    costs = [
        NamedMetric(kind if short and number == 0 else f"{kind}_{p:g}", kind, p)
        for kind in kinds
        for number, p in enumerate(p_targets)
    ]
    ratios = [NamedMetric("cllr", "cllr"), NamedMetric("min_cllr", "min_cllr")] if calibrated else []
    return [NamedMetric("eer", "eer"), *costs, *ratios]


def bootstrap_of(
    trials: Trials, speakers: NDArray[np.int64], params: ScoreParams, which: NDArray[np.bool_] | slice = ALL
) -> SpeakerBootstrap:
    """Resample the speakers (one for each utterance of the list) of all trials, or of some."""
    sides = speakers[trials.enrol[which]], speakers[trials.test[which]]
    return SpeakerBootstrap(*sides, params.bootstrap, params.seed, definition=params.eer_definition)


def estimate(
    bootstrap: SpeakerBootstrap, scores: NDArray[np.float64], labels: NDArray[np.int8], metric: NamedMetric
) -> Estimate:
    """Value and interval; the value alone where too few speakers could be resampled."""
    try:
        return Estimate(**asdict(bootstrap.interval(scores, labels, metric.metric, p_target=metric.p_target)))
    except TooFewSpeakersError:
        return Estimate(bootstrap.plain(scores, labels, metric.metric, p_target=metric.p_target))


def difference(
    bootstrap: SpeakerBootstrap,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: NDArray[np.int8],
    metric: NamedMetric,
) -> Difference:
    """Difference after minus before with interval and p-value; alone where too few speakers could be resampled."""
    try:
        return Difference(**asdict(bootstrap.paired(before, after, labels, metric.metric, p_target=metric.p_target)))
    except TooFewSpeakersError:
        values = [bootstrap.plain(s, labels, metric.metric, p_target=metric.p_target) for s in (before, after)]
        return Difference(values[1] - values[0])
