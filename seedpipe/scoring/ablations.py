"""What the EER depends on: the SNR of the test utterance, the timestep of SEED, the seed of its noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seedpipe import metrics
from seedpipe.cache import Cache
from seedpipe.params import split_condition
from seedpipe.results import NoiseSeeds, Pair, SnrBin, SnrSystem, Spread, Timestep
from seedpipe.scoring.crops import CropEmbeddings
from seedpipe.scoring.estimates import NamedMetric, bootstrap_of, estimate
from seedpipe.scoring.systems import ByCondition, Enhance, Scorer, diffusion_of, enhance_with, samples_noise
from seedpipe.scoring.trials import TrialSpeakers
from seedpipe.scoring.vectors import Method

if TYPE_CHECKING:
    from seedpipe.enhancers.base import EmbeddingEnhancer

SNR_BINS = 5
LEAST_TRIALS = 30  # of either kind; below, a rate in one bin says nothing


def over_snr(
    cache: Cache,
    rows: NDArray[np.int64],
    scores: Mapping[str, ByCondition],
    speakers: TrialSpeakers,
    scorer: Scorer,
) -> list[SnrBin]:
    """EER by the SNR at which the test utterance was mixed, or the enrolment utterance where that alone is noisy.

    Parameters
    ----------
    cache : Cache
    rows : ndarray of int64, shape (utterances of the list,)
        Where they are in the cache; enrolment models, which have no SNR, come after its last utterance.
    scores : mapping
        System to scores by condition.
    speakers : TrialSpeakers
    scorer : Scorer

    Returns
    -------
    list of SnrBin
        Of each condition with drawn SNRs. Bins with fewer than 30 trials of either kind are left out.
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
            bootstrap = bootstrap_of(speakers, params.bootstrap, params.seed, params.eer_definition, inside)
            systems = {
                system: SnrSystem(estimate(bootstrap, by[condition][inside], labels, NamedMetric("eer", "eer")))
                for system, by in scores.items()
            }
            counts = len(labels), targets
            found.append(SnrBin(condition, float(low), float(high), *counts, Pair(**systems)))
    return found


def _drawn_snrs(cache: Cache) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Conditions with SNRs from a range: the SNR of every utterance, and the edges of the bins, in dB."""
    first_crops = cache.frame().iloc[:: cache.info.rows_per_utterance]
    for condition in cache.info.variants[1:]:
        variant, level = split_condition(condition)
        kind = next((part for part in variant.split("+") if part in ("music", "noise")), "")
        low, high = cache.info.augmentation.get(f"{kind}_snr_db", (0.0, 0.0))
        if level is None and low < high:
            snr_db = first_crops[f"snr_db:{condition}"].to_numpy(np.float64)
            yield condition, snr_db, np.linspace(low, high, SNR_BINS + 1)


def over_timesteps(enhancer: EmbeddingEnhancer, alone: CropEmbeddings, scorer: Scorer) -> dict[Method, list[Timestep]]:
    """EER of SEED by timestep, the one of the model among them unless it is 0; nothing for other enhancers.

    Returns
    -------
    dict of str to list of Timestep
        By method.
    """
    params, diffusion = scorer.params, diffusion_of(enhancer)
    if not params.timesteps or diffusion is None:
        return {}
    found: dict[Method, list[Timestep]] = {method: [] for method in params.methods}
    for t in sorted({*params.timesteps, diffusion.inference_step} - {0}):
        for method, rates in _rates(enhance_with(enhancer, params.seed, t=t), alone, scorer).items():
            found[method].append(Timestep(t, rates))
    return found


def over_noise_seeds(enhancer: EmbeddingEnhancer, alone: CropEmbeddings, scorer: Scorer) -> dict[Method, NoiseSeeds]:
    """Mean and standard deviation of the EER over seeds of the inference noise; nothing without such noise.

    Returns
    -------
    dict of str to NoiseSeeds
        By method.
    """
    params = scorer.params
    if params.noise_seeds < 2 or not samples_noise(enhancer):
        return {}
    seeds = range(params.seed, params.seed + params.noise_seeds)
    runs = [_rates(enhance_with(enhancer, seed), alone, scorer) for seed in seeds]
    found: dict[Method, NoiseSeeds] = {}
    for method in params.methods:
        rates = {condition: [run[method][condition] for run in runs] for condition in alone.conditions}
        spread = {name: Spread(float(np.mean(eer)), float(np.std(eer, ddof=1))) for name, eer in rates.items()}
        found[method] = NoiseSeeds(len(runs), spread)
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
