"""Figures of one list of scores, and of two systems on the same trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.files import StrPath
from seedpipe.results import ComparedMetric, Comparison, Det, Difference, Estimate
from seedpipe.scoring.estimates import bootstrap_of, difference, estimate, metrics_of
from seedpipe.scoring.files import ScoreFile, read_scores
from seedpipe.scoring.trials import SpeakerMap, Trials, TrialSpeakers, tell_speakers
from seedpipe.scoring.warnings import about_costs, about_trials

PRIORS = (0.05, 0.01)


def figures(
    trials: Trials,
    scores: NDArray[np.float64],
    replicates: int = 1000,
    seed: int = 0,
    *,
    p_targets: Sequence[float] = PRIORS,
    calibrated: bool = False,
    speakers: TrialSpeakers | None = None,
) -> dict[str, Estimate]:
    """EER and minDCF, with 95 % intervals over speakers where the list has enough of them.

    Parameters
    ----------
    trials : Trials
    scores : ndarray of float64, shape (N,)
    replicates : int
        Resamplings of the speakers.
    seed : int
        Of the resampling.
    p_targets : sequence of float
        Priors of the detection costs.
    calibrated : bool
        Whether scores are log likelihood ratios: then actDCF, Cllr and minCllr are given too.
    speakers : TrialSpeakers, optional
        As :func:`seedpipe.scoring.trials.tell_speakers` gives them; told from the list by default.

    Returns
    -------
    dict of str to Estimate
        By name: ``eer``, ``min_dcf_0.05``, ...

    Raises
    ------
    TrialError
        The list is blind, of one class, or contradicts itself.
    MetricError
        The scores allow no error rate, or look negated.
    """
    bootstrap = bootstrap_of(speakers or tell_speakers(trials), replicates, seed)
    metrics.check_direction(scores, trials.labels)
    wanted = metrics_of(p_targets, calibrated=calibrated)
    return {metric.name: estimate(bootstrap, scores, trials.labels, metric) for metric in wanted}


def warnings_about(
    trials: Trials,
    scores: Mapping[str, NDArray[np.float64]],
    p_targets: Sequence[float] = PRIORS,
    speakers: TrialSpeakers | None = None,
) -> list[str]:
    """Tell what a reader of figures should know, a sentence each.

    Parameters
    ----------
    trials : Trials
        With labels.
    scores : mapping of str to ndarray of float64, shape (N,)
        Of each system.
    p_targets : sequence of float
        Priors of the detection costs.
    speakers : TrialSpeakers, optional
        As for :func:`figures`.

    Returns
    -------
    list of str
        About few speakers, doubtful trials, lists that are easily taken for another, and costs that rest on few errors.
    """
    curves = []
    for system, values in scores.items():
        far, frr, _ = metrics.det_curve(values, trials.labels)
        curves.append((system, Det(far.tolist(), frr.tolist())))
    return about_trials(trials, speakers or tell_speakers(trials)) + about_costs(curves, trials.labels, p_targets)


def compare_scores(
    a: ScoreFile,
    b: ScoreFile,
    labelled: Trials | None = None,
    replicates: int = 1000,
    seed: int = 0,
    *,
    speakers: SpeakerMap | None = None,
) -> Comparison:
    """Compare two systems on the same trials.

    Parameters
    ----------
    a, b : ScoreFile
        The order of the trials may differ.
    labelled : Trials, optional
        The labels, where neither file has them.
    replicates : int
        Resamplings of the speakers.
    seed : int
        Of the resampling.
    speakers : mapping of str to sequence of str, optional
        As :func:`seedpipe.scoring.trials.read_speaker_map` gives it, where the list does not tell them.

    Returns
    -------
    Comparison
        b minus a, for EER and minDCF at two priors.

    Raises
    ------
    TrialError
        The files have other trials or other labels, there are no labels, or they contradict each other.
    MetricError
        Scores allow no error rate, or look negated.
    """
    trials = labelled or (b.trials if a.trials.blind else a.trials)
    told = tell_speakers(trials, speakers)
    bootstrap = bootstrap_of(told, replicates, seed)
    scores = a.in_order_of(trials), b.in_order_of(trials)
    for system in scores:
        metrics.check_direction(system, trials.labels)
    found = {}
    for metric in metrics_of(PRIORS):
        of_a, of_b = (estimate(bootstrap, system, trials.labels, metric) for system in scores)
        change = difference(bootstrap, *scores, trials.labels, metric)
        found[metric.name] = ComparedMetric(of_a, of_b, change, _verdict(change, told))
    warnings = warnings_about(trials, dict(zip("ab", scores, strict=True)), speakers=told)
    return Comparison(len(trials), int(trials.labels.sum()), bootstrap.speakers, found, warnings)


def compare_columns(
    a: StrPath,
    b: StrPath,
    columns: Mapping[str, str],
    replicates: int = 1000,
    seed: int = 0,
    *,
    speakers: SpeakerMap | None = None,
) -> dict[str, Difference]:
    """Compare the EER of two systems under several conditions.

    Parameters
    ----------
    a, b : str or path
        Score files of the same trials in the same order, with labels.
    columns : mapping of str to str
        Of the scores in both files, by condition.
    replicates, seed, speakers
        As for :func:`compare_scores`.

    Returns
    -------
    dict of str to Difference
        By condition: b minus a.
    """
    found = {}
    for condition, column in columns.items():
        one, other = read_scores(a, column), read_scores(b, column)
        bootstrap = bootstrap_of(tell_speakers(one.trials, speakers), replicates, seed)
        scores = one.in_order_of(one.trials), other.in_order_of(one.trials)
        found[condition] = difference(bootstrap, *scores, one.trials.labels, metrics_of(PRIORS)[0])
    return found


def _verdict(change: Difference, speakers: TrialSpeakers) -> str:
    if change.low is None:
        return "not tested: " + ("too few speakers" if speakers.told_by else "speakers are not known")
    if not change.measurable:
        return "no measurable difference"
    return "b has fewer errors" if change.difference < 0.0 else "b has more errors"
