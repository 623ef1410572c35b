"""What a reader of the figures should know, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache import Cache
from seedpipe.enhance import Enhancer
from seedpipe.model import EmbeddingEnhancer
from seedpipe.params import ScoreParams
from seedpipe.scoring._norm import Cohort
from seedpipe.trials import OF_THE_PAPER, Trials, doubts, recognise

__all__ = ["about_data", "about_differences", "about_list"]

FEW_SPEAKERS = 20


def about_list(trials: Trials, speakers: NDArray[np.int64]) -> list[str]:
    """What the list does to its figures: few speakers, doubtful trials, a list that is easily taken for another."""
    count = int(speakers.max()) + 1
    lines = []
    if count < FEW_SPEAKERS:
        lines.append(f"the list has {count} speakers: intervals over so few are rough, and tend to be too narrow")
    joined = np.zeros(len(speakers), dtype=bool)
    for side in (trials.enrol, trials.test):
        joined[side[trials.labels == 1]] = True
    if not joined.all():
        lines.append(
            f"{np.count_nonzero(~joined):,} of {len(joined):,} utterances are in no target trial: each counts as a "
            "speaker of its own, and intervals are too narrow where that is wrong"
        )
    known = recognise(trials)
    if known and not known.endswith(OF_THE_PAPER):
        lines.append(f"the list {known}")
    return lines + [finding.text for finding in doubts(trials)]


def about_data(cache: Cache, enhancer: EmbeddingEnhancer, cohort: Cohort | None, params: ScoreParams) -> list[str]:
    """What the audio, the cohort and the noise of the model do to the figures."""
    from seedpipe.extract import remarks

    lines = remarks(cache.info)
    repeated = _repeated(cache)
    if repeated:
        lines.append(f"{repeated:,} utterances are no longer than a crop: they are repeated, and their crops are equal")
    if cohort is not None and params.norm == "as" and len(cohort.first) < params.cohort_top:
        members = len(cohort.first)
        lines.append(f"the cohort has {members:,} utterances, fewer than score.cohort_top: every one of them is used")
    sampled = isinstance(enhancer, Enhancer) and enhancer.config.train.inference_noise == "sampled"
    if sampled and params.noise_seeds == 1:
        lines.append("the model samples noise: figures depend on its seed, and score.noise_seeds shows by how much")
    return lines


def about_differences(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say where an interval is wider than the difference that it is of."""
    changes = {row["condition"]: row["difference"]["eer"] for row in conditions}
    unclear = [name for name, change in changes.items() if "low" in change and change["low"] <= 0 <= change["high"]]
    if not unclear:
        return []
    return [f"the interval of the difference in EER holds zero under {', '.join(unclear)}: this list cannot tell"]


def _repeated(cache: Cache) -> int:
    """Count the utterances that are no longer than a crop, and so are repeated to fill it."""
    crops = int(cache.info.features["crops"])
    if crops == 1 or "files" not in cache.info.augmentation:  # whole utterances, or imported without their crops
        return 0
    starts = cache.frame()["crop_start"].to_numpy().reshape(-1, crops)
    return int(np.count_nonzero(starts.max(axis=1) <= 1))  # 1: 'short_audio: official' starts the last one there
