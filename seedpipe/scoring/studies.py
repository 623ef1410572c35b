"""What the EER depends on: the SNR of the test utterance, the timestep of SEED, the seed of its noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.enhancers.base import EmbeddingEnhancer
from seedpipe.enhancers.seed import Enhancer
from seedpipe.params import split_condition
from seedpipe.scoring.crops import CropEmbeddings
from seedpipe.scoring.estimates import Figure, bootstrap_of, estimate
from seedpipe.scoring.pairs import Method
from seedpipe.scoring.systems import Enhance, Scorer, Scores, enhance_with

__all__ = ["over_noise_seeds", "over_snr", "over_timesteps"]

SNR_BINS = 5
LEAST_TRIALS = 30  # of either kind; below, a rate in one bin says nothing


def over_snr(
    cache: Cache,
    rows: NDArray[np.int64],
    scores: Mapping[str, Scores],
    speakers: NDArray[np.int64],
    scorer: Scorer,
) -> list[dict[str, Any]]:
    """EER by the SNR at which the test utterance was mixed, or the enrolment utterance where that alone is noisy.

    Parameters
    ----------
    cache : Cache
    rows : ndarray of int64, shape (utterances of the list,)
        Where they are in the cache; enrolment models, which have no SNR, come after its last utterance.
    scores : mapping
        System to scores by condition.
    speakers : ndarray of int64, shape (utterances of the list,)
    scorer : Scorer

    Returns
    -------
    list of dict
        One for each bin of each condition with drawn SNRs: ``condition``, ``low`` and ``high`` in dB, ``trials``,
        ``targets`` and ``systems``. Bins with fewer than 30 trials of either kind are left out.
    """
    trials, params = scorer.trials, scorer.params
    noisy = trials.enrol if params.mismatch_side == "enrol" else trials.test
    found = []
    for condition, snr_db, edges in _drawn_snrs(cache):
        of_utterance = np.append(snr_db, np.nan)[np.minimum(rows, len(snr_db))]
        number = np.digitize(of_utterance[noisy], edges[1:-1])
        for low, high, place in zip(edges[:-1], edges[1:], range(SNR_BINS), strict=True):
            inside = (number == place) & np.isfinite(of_utterance[noisy])
            labels = trials.labels[inside]
            targets = int(labels.sum())
            if min(targets, len(labels) - targets) < LEAST_TRIALS:
                continue
            bootstrap = bootstrap_of(trials, speakers, params, inside)
            systems = {
                system: {"eer": estimate(bootstrap, by[condition][inside], labels, Figure("eer", "eer"))}
                for system, by in scores.items()
            }
            span = {"condition": condition, "low": float(low), "high": float(high)}
            found.append(span | {"trials": len(labels), "targets": targets, "systems": systems})
    return found


def _drawn_snrs(cache: Cache) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Conditions with SNRs from a range: the SNR of every utterance, and the edges of the bins, in dB."""
    first_crops = cache.frame().iloc[:: int(cache.info.features["crops"])]
    for condition in cache.info.variants[1:]:
        variant, level = split_condition(condition)
        kind = next((part for part in variant.split("+") if part in ("music", "noise")), "")
        low, high = cache.info.augmentation.get(f"{kind}_snr_db", (0.0, 0.0))
        if level is None and low < high:
            snr_db = first_crops[f"snr_db:{condition}"].to_numpy(np.float64)
            yield condition, snr_db, np.linspace(low, high, SNR_BINS + 1)


def over_timesteps(
    enhancer: EmbeddingEnhancer, alone: CropEmbeddings, scorer: Scorer
) -> dict[Method, list[dict[str, Any]]]:
    """EER of SEED by timestep, the one of the model among them unless it is 0; nothing for other enhancers.

    Returns
    -------
    dict
        Method to a list of ``t`` and ``conditions``, the EER by condition.
    """
    params = scorer.params
    if not params.timesteps or not isinstance(enhancer, Enhancer) or enhancer.kind != "seed":
        return {}
    found: dict[Method, list[dict[str, Any]]] = {method: [] for method in params.methods}
    for t in sorted({*params.timesteps, enhancer.config.train.inference_step} - {0}):
        for method, rates in _rates(enhance_with(enhancer, params.seed, t=t), alone, scorer).items():
            found[method].append({"t": t, "conditions": rates})
    return found


def over_noise_seeds(
    enhancer: EmbeddingEnhancer, alone: CropEmbeddings, scorer: Scorer
) -> dict[Method, dict[str, Any]]:
    """Mean and standard deviation of the EER over seeds of the inference noise; nothing without such noise.

    Returns
    -------
    dict
        Method to ``count`` and ``eer``, the mean and the deviation by condition.
    """
    params = scorer.params
    sampled = isinstance(enhancer, Enhancer) and enhancer.config.train.inference_noise == "sampled"
    if params.noise_seeds < 2 or not sampled:
        return {}
    seeds = range(params.seed, params.seed + params.noise_seeds)
    runs = [_rates(enhance_with(enhancer, seed), alone, scorer) for seed in seeds]
    found: dict[Method, dict[str, Any]] = {}
    for method in params.methods:
        rates = {condition: [run[method][condition] for run in runs] for condition in alone.conditions}
        spread = {
            condition: {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}
            for condition, values in rates.items()
        }
        found[method] = {"count": len(runs), "eer": spread}
    return found


def _rates(enhance: Enhance, alone: CropEmbeddings, scorer: Scorer) -> dict[Method, dict[str, float]]:
    """EER by method and condition."""
    system, labels = scorer.system(alone, enhance), scorer.trials.labels
    return {
        method: {
            condition: metrics.eer(scores, labels, scorer.params.eer_definition)
            for condition, scores in scorer.scores(system, method, "enhanced").items()
        }
        for method in scorer.params.methods
    }
