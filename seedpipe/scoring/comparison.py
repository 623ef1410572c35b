"""Figures of one list of scores, and of two systems on the same trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.scoring.estimates import difference, estimate, figures_of
from seedpipe.scoring.files import ScoreFile
from seedpipe.scoring.trials import Trials
from seedpipe.scoring.warnings import about_costs, about_list

__all__ = ["compare_scores", "figures", "warnings_about"]

PRIORS = (0.05, 0.01)


def figures(
    trials: Trials,
    scores: NDArray[np.float64],
    replicates: int = 1000,
    seed: int = 0,
    *,
    p_targets: Sequence[float] = PRIORS,
    calibrated: bool = False,
) -> dict[str, Any]:
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

    Raises
    ------
    TrialError
        The list is blind, of one class, or contradicts itself.
    MetricError
        The scores allow no error rate, or look negated.
    """
    bootstrap = _bootstrap(trials, replicates, seed)
    metrics.check_direction(scores, trials.labels)
    wanted = figures_of(p_targets, calibrated=calibrated)
    return {figure.name: estimate(bootstrap, scores, trials.labels, figure) for figure in wanted}


def warnings_about(
    trials: Trials, scores: Mapping[str, NDArray[np.float64]], p_targets: Sequence[float] = PRIORS
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

    Returns
    -------
    list of str
        About few speakers, doubtful trials, lists that are easily taken for another, and costs that rest on few errors.
    """
    curves = []
    for system, values in scores.items():
        far, frr, _ = metrics.det_curve(values, trials.labels)
        curves.append((system, {"far": far, "frr": frr}))
    return about_list(trials, trials.speakers()) + about_costs(curves, trials.labels, p_targets)


def compare_scores(
    a: ScoreFile, b: ScoreFile, labelled: Trials | None = None, replicates: int = 1000, seed: int = 0
) -> dict[str, Any]:
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

    Returns
    -------
    dict
        ``trials``, ``targets``, ``speakers``, and ``figures``: for ``eer``, ``min_dcf_0.05`` and ``min_dcf_0.01`` both
        systems with intervals, the difference b minus a with interval and p-value, and the verdict in words;
        ``warnings``, as :func:`warnings_about` gives.

    Raises
    ------
    TrialError
        The files have other trials or other labels, there are no labels, or they contradict each other.
    MetricError
        Scores allow no error rate, or look negated.
    """
    trials = labelled or (b.trials if a.trials.blind else a.trials)
    bootstrap = _bootstrap(trials, replicates, seed)
    scores = a.in_order_of(trials), b.in_order_of(trials)
    for system in scores:
        metrics.check_direction(system, trials.labels)
    found = {}
    for figure in figures_of(PRIORS):
        of_a, of_b = (estimate(bootstrap, system, trials.labels, figure) for system in scores)
        change = difference(bootstrap, *scores, trials.labels, figure)
        found[figure.name] = {"a": of_a, "b": of_b, "difference": change, "verdict": _verdict(change)}
    return {
        "trials": len(trials),
        "targets": int(trials.labels.sum()),
        "speakers": bootstrap.speakers,
        "figures": found,
        "warnings": warnings_about(trials, dict(zip("ab", scores, strict=True))),
    }


def _bootstrap(trials: Trials, replicates: int, seed: int) -> metrics.SpeakerBootstrap:
    speakers = trials.expect_labels().speakers()
    return metrics.SpeakerBootstrap(speakers[trials.enrol], speakers[trials.test], replicates, seed)


def _verdict(change: Mapping[str, float]) -> str:
    if "low" not in change:
        return "not tested: too few speakers"
    if change["low"] <= 0.0 <= change["high"]:
        return "no measurable difference"
    return "b has fewer errors" if change["difference"] < 0.0 else "b has more errors"
