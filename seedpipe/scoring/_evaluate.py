"""The network alone against network -> SEED on one evaluation list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhance import Enhancer
from seedpipe.errors import MetricError, TooFewSpeakersError
from seedpipe.params import ScoreParams
from seedpipe.scoring._crops import CropEmbeddings, load_crops
from seedpipe.scoring._pairs import Method, pair_scores
from seedpipe.trials import Trials, match_names

__all__ = ["evaluate", "score_conditions"]

METRICS: tuple[metrics.Metric, ...] = ("eer", "min_dcf")


def score_conditions(crops: CropEmbeddings, trials: Trials, method: Method) -> dict[str, NDArray[np.float64]]:
    """Score a trial list under every condition.

    Returns
    -------
    dict
        Condition to scores, shape (N,); higher means same speaker.

    Raises
    ------
    TrialError
        The list names utterances that the cache does not hold.
    """
    match = match_names(trials.utterances, crops.utterances).expect_all(trials, crops.utterances)
    enrol, test = match.rows[trials.enrol], match.rows[trials.test]
    clean = crops.embeddings[:, :, 0]
    return {
        condition: pair_scores(clean, crops.embeddings[:, :, number], enrol, test, method)
        for number, condition in enumerate(crops.conditions)
    }


def evaluate(
    cache: Cache, enhancer: Enhancer, trials: Trials, params: ScoreParams, name: str
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Compare the network alone with network -> SEED on one evaluation list.

    Parameters
    ----------
    cache : Cache
        Evaluation embeddings of the utterances in the list.
    enhancer : Enhancer
        Trained for the same network.
    trials : Trials
    params : ScoreParams
    name : str
        Name of the list, for tables.

    Returns
    -------
    evaluations : list of dict
        One for each scoring method, in the layout of :mod:`seedpipe.report.schema`.
    scores : DataFrame
        The trials with a column of scores for each method, condition and system.

    Raises
    ------
    CacheMismatchError
        The cache is of another network than the enhancer.
    TrialError
        The list names utterances that the cache does not hold.
    MetricError
        The scores allow no error rate.
    """
    enhancer.expect(cache)
    alone = load_crops(cache)
    # Refuse a list that does not fit, or contradicts itself, before any work.
    match = match_names(trials.utterances, alone.utterances).expect_all(trials, alone.utterances)
    bootstrap, table = _bootstrap(trials, params), _table(trials)
    systems = {"network": alone, "seed": alone.enhanced(enhancer, torch.Generator().manual_seed(params.seed))}
    head = {
        "network": cache.info.network.name,
        "list": name,
        "trials": len(trials),
        "targets": int(trials.labels.sum()),
        "speakers": bootstrap.speakers,
        "utterances": len(trials.utterances),
        "utterance_rule": match.rule,
    }
    evaluations = []
    for method in params.methods:
        scores = {system: score_conditions(crops, trials, method) for system, crops in systems.items()}
        columns = {f"{method}:{c}:{system}": values for system, by in scores.items() for c, values in by.items()}
        table = table.assign(**columns)
        evaluations.append(head | {"method": method} | _figures(scores, trials.labels, bootstrap, params))
    return evaluations, table


def _bootstrap(trials: Trials, params: ScoreParams) -> metrics.SpeakerBootstrap:
    speakers = trials.expect_labels().speakers()
    return metrics.SpeakerBootstrap(
        speakers[trials.enrol],
        speakers[trials.test],
        params.bootstrap,
        params.seed,
        p_target=params.p_target,
        definition=params.eer_definition,
    )


def _table(trials: Trials) -> pd.DataFrame:
    names = np.array(trials.utterances, dtype=object)
    return pd.DataFrame({"label": trials.labels, "enrol": names[trials.enrol], "test": names[trials.test]})


def _figures(
    scores: Mapping[str, Mapping[str, NDArray[np.float64]]],
    labels: NDArray[np.int8],
    bootstrap: metrics.SpeakerBootstrap,
    params: ScoreParams,
) -> dict[str, Any]:
    conditions = list(scores["network"])
    rows = []
    for condition in conditions:
        before, after = scores["network"][condition], scores["seed"][condition]
        rows.append(
            {
                "condition": condition,
                "systems": {
                    "network": _system(before, labels, bootstrap, params),
                    "seed": _system(after, labels, bootstrap, params),
                },
                "difference": {metric: _difference(before, after, labels, bootstrap, metric) for metric in METRICS},
            }
        )
    mismatch = [(scores["network"][c], scores["seed"][c]) for c in conditions if c != "clean"]
    return {"conditions": rows} | _reduction(mismatch, labels, bootstrap)


def _reduction(
    mismatch: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    labels: NDArray[np.int8],
    bootstrap: metrics.SpeakerBootstrap,
) -> dict[str, Any]:
    """Mean relative reduction of the EER; nothing where the network alone makes too few errors for one to exist."""
    try:
        return {"mean_relative_reduction": asdict(bootstrap.mean_relative_reduction(mismatch, labels))}
    except MetricError:
        return {}


def _system(
    scores: NDArray[np.float64], labels: NDArray[np.int8], bootstrap: metrics.SpeakerBootstrap, params: ScoreParams
) -> dict[str, Any]:
    metrics.check_direction(scores, labels)
    far, frr, _ = metrics.det_curve(scores, labels)
    edges, target, nontarget = metrics.score_histogram(scores, labels)
    return {
        "eer": _estimate(scores, labels, bootstrap, "eer"),
        "eer_definition": params.eer_definition,
        "min_dcf": _estimate(scores, labels, bootstrap, "min_dcf"),
        "det": {"far": far.tolist(), "frr": frr.tolist()},
        "histogram": {"edges": edges.tolist(), "target": target.tolist(), "nontarget": nontarget.tolist()},
    }


def _estimate(
    scores: NDArray[np.float64], labels: NDArray[np.int8], bootstrap: metrics.SpeakerBootstrap, metric: metrics.Metric
) -> dict[str, float]:
    """Value and interval; the value alone where too few speakers could be resampled."""
    try:
        return asdict(bootstrap.interval(scores, labels, metric))
    except TooFewSpeakersError:
        return {"value": bootstrap.plain(scores, labels, metric)}


def _difference(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: NDArray[np.int8],
    bootstrap: metrics.SpeakerBootstrap,
    metric: metrics.Metric,
) -> dict[str, float]:
    try:
        return asdict(bootstrap.paired(before, after, labels, metric))
    except TooFewSpeakersError:
        return {"difference": bootstrap.plain(after, labels, metric) - bootstrap.plain(before, labels, metric)}
