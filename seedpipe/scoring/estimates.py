"""Metrics of a trial list with the intervals that its speakers allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import TooFewSpeakersError
from seedpipe.metrics import Definition, Metric, SpeakerBootstrap
from seedpipe.results import Difference, Estimate
from seedpipe.scoring.trials import TrialSpeakers

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


class NotResampled(SpeakerBootstrap):
    """Figures of a list whose speakers are not known: their values, and no intervals."""

    def __init__(self, definition: Definition = "linear") -> None:
        super().__init__([0, 1], [0, 1], 40, definition=definition)
        self.speakers = 0

    def distribution(self, *_: object, **__: object) -> NoReturn:
        """Refuse, as nothing can be resampled."""
        raise TooFewSpeakersError("speakers are not known", expected="a speaker map", remedy="give one with --speakers")


def bootstrap_of(
    speakers: TrialSpeakers,
    replicates: int,
    seed: int,
    definition: Definition = "linear",
    which: NDArray[np.bool_] | slice = ALL,
) -> SpeakerBootstrap:
    """Resample the speakers of all trials, or of some."""
    if not speakers.told_by:
        return NotResampled(definition)
    sides = speakers.enrol[which], speakers.test[which]
    return SpeakerBootstrap(*sides, replicates, seed, definition=definition, agree=speakers.told_by == "list")


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
