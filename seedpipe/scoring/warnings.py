"""What a reader of the figures should know, a sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache import Cache
from seedpipe.errors import counted
from seedpipe.params import ScoreParams
from seedpipe.results import FEW_ERRORS, Condition, Det
from seedpipe.scoring.norms import Cohort
from seedpipe.scoring.systems import samples_noise
from seedpipe.scoring.trials import OF_THE_PAPER, Trials, TrialSpeakers, doubts, recognise

if TYPE_CHECKING:
    from seedpipe.enhancers.base import EmbeddingEnhancer

FEW_SPEAKERS = 20


def about_list(trials: Trials, speakers: NDArray[np.int64]) -> list[str]:
    """What the list does to its figures: few speakers, doubtful trials, a list that is easily taken for another."""
    lines = _about_few(speakers[trials.enrol[trials.labels == 1]])
    joined = np.zeros(len(speakers), dtype=bool)
    for side in (trials.enrol, trials.test):
        joined[side[trials.labels == 1]] = True
    if not joined.all():
        lines.append(
            f"{counted(int(np.count_nonzero(~joined)), 'utterance', 'is/are', of=len(joined))} in no target trial:"
            " each counts as a speaker of its own, and intervals are too narrow where that is wrong"
        )
    return lines + _about_trials(trials)


def about_trials(trials: Trials, speakers: TrialSpeakers) -> list[str]:
    """What the list does to its figures, wherever its speakers are told from."""
    if speakers.told_by == "list":
        return about_list(trials, speakers.of_utterance)
    few = _about_few(speakers.enrol[trials.labels == 1]) if speakers.told_by else []
    return [*speakers.remarks, *few, *_about_trials(trials)]


def _about_few(speakers: NDArray[np.int64]) -> list[str]:
    count = np.unique(speakers).size
    if count >= FEW_SPEAKERS:
        return []
    few = f"the list has {counted(count, 'speaker')} with target trials"
    return [f"{few}: intervals over so few are rough, and tend to be too narrow"]


def _about_trials(trials: Trials) -> list[str]:
    known = recognise(trials)
    lines = [f"the list {known}"] if known and not known.endswith(OF_THE_PAPER) else []
    return lines + [finding.text for finding in doubts(trials)]


def about_data(cache: Cache, enhancer: EmbeddingEnhancer, cohort: Cohort | None, params: ScoreParams) -> list[str]:
    """What the audio, the cohort and the noise of the model do to the figures."""
    from seedpipe.extract import remarks

    lines = remarks(cache.info)
    repeated = _repeated(cache)
    if repeated:
        lines.append(f"{counted(repeated, 'utterance', 'is/are')} no longer than a crop, so repeated, with equal crops")
    if short := _shorter_than_test(cache):
        lines.append(
            f"{counted(short, 'utterance', 'is/are')} no longer than the crop of the test side, so repeated to fill it"
        )
    if cohort is not None and params.norm == "as" and len(cohort.first) < params.cohort_top:
        members = len(cohort.first)
        lines.append(
            f"the cohort has {counted(members, 'utterance')}, fewer than score.cohort_top: every one of them is used"
        )
    if samples_noise(enhancer) and params.noise_seeds == 1:
        lines.append("the model samples noise: figures depend on its seed, and score.noise_seeds shows by how much")
    return lines


def about_conditions(
    conditions: Sequence[Condition], labels: NDArray[np.int8], p_targets: Sequence[float]
) -> list[str]:
    """Where intervals are too narrow, and where they are wider than the difference that they are of."""
    curves = [(row.condition, system.det) for row in conditions for system in row.systems.both]
    return about_costs(curves, labels, p_targets) + _about_differences(conditions)


def about_costs(curves: Iterable[tuple[str, Det]], labels: NDArray[np.int8], p_targets: Sequence[float]) -> list[str]:
    """Say where minDCF is reached with few errors of a kind: there its interval holds the true value too rarely.

    Parameters
    ----------
    curves : iterable of (str, Det)
        What each curve is of (empty where there is one), and the curve.
    labels : ndarray of int8, shape (N,)
    p_targets : sequence of float
    """
    curves = list(curves)
    few = {
        p: list(dict.fromkeys(name for name, curve in curves if _fewest(curve, labels, p) < FEW_ERRORS))
        for p in p_targets
    }
    found = "; ".join(f"at {p:g}: {', '.join(names)}".removesuffix(": ") for p, names in few.items() if names)
    if not found:
        return []
    return [
        f"minDCF rests on fewer than {FEW_ERRORS} misses or false alarms ({found}): its intervals tend to be too narrow"
    ]


def _fewest(curve: Det, labels: NDArray[np.int8], p_target: float) -> float:
    """Misses or false alarms where the cost is lowest, whichever are fewer."""
    far, frr = (np.asarray(rates, dtype=np.float64) for rates in (curve.far, curve.frr))
    best = int(np.argmin(p_target * frr + (1.0 - p_target) * far))
    return float(min(frr[best] * np.count_nonzero(labels == 1), far[best] * np.count_nonzero(labels == 0)))


def _about_differences(conditions: Sequence[Condition]) -> list[str]:
    """Say where an interval is wider than the difference that it is of."""
    changes = {row.condition: row.difference.eer for row in conditions}
    unclear = [name for name, change in changes.items() if change.low is not None and not change.measurable]
    if not unclear:
        return []
    return [f"the interval of the difference in EER holds zero under {', '.join(unclear)}: this list cannot tell"]


def _repeated(cache: Cache) -> int:
    """Count the utterances that are no longer than a crop, and so are repeated to fill it."""
    crops = int(cache.info.features["crops"])
    if crops == 1 or "files" not in cache.info.augmentation:  # whole utterances, or imported without their crops
        return 0
    starts = _starts(cache)[:, :crops]
    return int(np.count_nonzero(starts.max(axis=1) <= 1))  # 1: 'short_audio: official' starts the last one there


def _shorter_than_test(cache: Cache) -> int:
    """Count the utterances that are no longer than the test side's crop: it lies in the middle, and starts at 0."""
    return int(np.count_nonzero(_starts(cache)[:, -1] == 0)) if cache.info.test_crops else 0


def _starts(cache: Cache) -> NDArray[np.int64]:
    """First samples of the crops of each utterance."""
    starts: NDArray[np.int64] = cache.frame()["crop_start"].to_numpy().reshape(-1, cache.info.rows_per_utterance)
    return starts
