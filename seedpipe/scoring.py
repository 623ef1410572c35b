"""Stage three: trial lists to scores, scores to figures with intervals.

Shapes: U utterances, C crops of each, V conditions, D embedding dimension, N trials. Enrolment is always clean; the
test side is under the condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhance import Enhancer
from seedpipe.errors import CacheDamagedError, MetricError, TooFewSpeakersError, TrialError
from seedpipe.params import ScoreParams
from seedpipe.trials import Trials

__all__ = [
    "METHODS",
    "CropEmbeddings",
    "cosine_scores",
    "euclidean_scores",
    "evaluate",
    "load_crops",
    "score_conditions",
]

BLOCK = 8192  # trials of one batched product
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CropEmbeddings:
    """Evaluation embeddings by utterance.

    Parameters
    ----------
    utterances : tuple of str, length U
    conditions : tuple of str, length V
        The first is ``clean``.
    embeddings : ndarray of float32, shape (U, C, V, D)
    """

    utterances: tuple[str, ...]
    conditions: tuple[str, ...]
    embeddings: Floats

    def enhanced(self, enhancer: Enhancer, generator: torch.Generator) -> CropEmbeddings:
        """Pass every crop through an enhancer."""
        return CropEmbeddings(self.utterances, self.conditions, enhancer(self.embeddings, generator))


def load_crops(cache: Cache) -> CropEmbeddings:
    """Read an evaluation cache.

    Raises
    ------
    CacheMismatchError
        The cache was made for training.
    CacheDamagedError
        The rows of an utterance are not its crops in order.
    """
    info = cache.expect(kind="evaluation").info
    crops = info.features["crops"]
    frame = cache.frame()
    if len(frame) % crops or not (frame["draw"].to_numpy().reshape(-1, crops) == np.arange(crops)).all():
        raise CacheDamagedError(
            "rows are not the crops of each utterance in order", remedy="extract again", file=cache.path
        )
    utterances = tuple(frame["utterance"].iloc[::crops])
    shape = (len(utterances), crops, len(info.variants), info.network.dimension)
    return CropEmbeddings(utterances, info.variants, cache.to_numpy().reshape(shape))


def cosine_scores(enrol: Floats, test: Floats) -> NDArray[np.float64]:
    """Cosine between the mean unit-length crop embeddings of two utterances.

    Parameters
    ----------
    enrol, test : ndarray of float32, shape (N, C, D)

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    means = [_unit(_unit(side).mean(axis=1)) for side in (enrol, test)]
    scores: NDArray[np.float64] = np.einsum("nd,nd->n", *means).astype(np.float64)
    return scores


def euclidean_scores(enrol: Floats, test: Floats) -> NDArray[np.float64]:
    """Minus the mean Euclidean distance over all C x C pairs of unit-length crop embeddings (authors' scorer).

    Parameters
    ----------
    enrol, test : ndarray of float32, shape (N, C, D)

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    products = np.einsum("ncd,nkd->nck", _unit(enrol), _unit(test), optimize=True).astype(np.float64)
    scores: NDArray[np.float64] = -np.sqrt(np.maximum(2 - 2 * products, 0)).mean(axis=(1, 2))
    return scores


METRICS: tuple[metrics.Metric, ...] = ("eer", "min_dcf")
METHODS = {"cosine": cosine_scores, "euclidean": euclidean_scores}


def score_conditions(crops: CropEmbeddings, trials: Trials, method: str) -> dict[str, NDArray[np.float64]]:
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
    rows = _rows(crops, trials)
    enrol, test = rows[trials.enrol], rows[trials.test]
    score = METHODS[method]
    embeddings = crops.embeddings
    result = {}
    for number, condition in enumerate(crops.conditions):
        blocks = [
            score(embeddings[enrol[first : first + BLOCK], :, 0], embeddings[test[first : first + BLOCK], :, number])
            for first in range(0, len(trials), BLOCK)
        ]
        result[condition] = np.concatenate(blocks)
    return result


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
    _rows(alone, trials)  # refuse a list that does not fit before any work
    systems = {"network": alone, "seed": alone.enhanced(enhancer, torch.Generator().manual_seed(params.seed))}
    speakers = trials.speakers()
    bootstrap = metrics.SpeakerBootstrap(
        speakers[trials.enrol], speakers[trials.test], params.bootstrap, params.seed, p_target=params.p_target
    )
    table = pd.DataFrame(
        {
            "label": trials.labels,
            "enrol": [trials.utterances[index] for index in trials.enrol],
            "test": [trials.utterances[index] for index in trials.test],
        }
    )
    evaluations = []
    for method in params.methods:
        scores = {system: score_conditions(crops, trials, method) for system, crops in systems.items()}
        columns = {f"{method}:{c}:{system}": values for system, by in scores.items() for c, values in by.items()}
        table = table.assign(**columns)
        head = {
            "network": cache.info.network.name,
            "list": name,
            "method": method,
            "trials": len(trials),
            "targets": int(trials.labels.sum()),
            "speakers": len(set(speakers.tolist())),
            "utterances": len(trials.utterances),
        }
        evaluations.append(head | _figures(scores, trials.labels, bootstrap, params))
    return evaluations, table


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
    eer = _estimate(scores, labels, bootstrap, "eer")
    if params.eer_definition != "linear":
        eer["value"] = metrics.eer(scores, labels, params.eer_definition)
    return {
        "eer": eer,
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


def _rows(crops: CropEmbeddings, trials: Trials) -> NDArray[np.int64]:
    """Row in the cache of every utterance of the list."""
    index = {name: row for row, name in enumerate(crops.utterances)}
    missing: Sequence[str] = [name for name in trials.utterances if name not in index]
    if missing:
        names = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise TrialError(
            f"{len(missing)} of {len(trials.utterances)} utterances are not in the cache: {names}",
            expected=f"names such as {crops.utterances[0]}",
            remedy="correct the list, or write the manifest again and extract",
            file=trials.path,
            row=trials.first_row(missing[0]),
        )
    return np.array([index[name] for name in trials.utterances], dtype=np.int64)


def _unit(embeddings: Floats) -> Floats:
    norms: Floats = np.sqrt(np.square(embeddings).sum(axis=-1, keepdims=True))
    unit: Floats = np.divide(embeddings, np.maximum(norms, np.float32(1e-12)))
    return unit
