"""Score normalisation: a score means more when one knows how either side scores against a cohort of other speakers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from seedpipe.cache import Cache
from seedpipe.errors import MetricError, counted
from seedpipe.scoring.pairs import pair_scores
from seedpipe.scoring.vectors import Floats, Method, Rows, inverse_lengths, means

Norm: TypeAlias = Literal["none", "z", "t", "s", "as"]
NORMS: tuple[Norm, ...] = get_args(Norm)
BLOCK_ELEMENTS = 2**24  # products of utterances and cohort held at a time
LEAST_COHORT = 2


@dataclass(frozen=True, eq=False)
class CohortStatistics:
    """How utterances score against a cohort.

    Parameters
    ----------
    mean, std : ndarray of float64, shape (A,)
        Of the scores of each utterance against its cohort.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Clean training utterances.

    Parameters
    ----------
    crops : ndarray of float32, shape (R, D)
        Their crops, those of an utterance side by side.
    first : ndarray of int64, shape (K,)
        The first crop of each utterance.
    """

    crops: Floats
    first: Rows

    def means(self, enhance: Callable[[Floats], Floats] | None = None) -> Floats:
        """Mean of the unit-length crops of every utterance, at unit length, shape (K, D).

        Parameters
        ----------
        enhance : callable, optional
            What the embeddings that meet the cohort went through, and so the crops have to go through first.
        """
        crops = self.crops if enhance is None else enhance(self.crops)
        sums: Floats = np.add.reduceat(crops * inverse_lengths(crops[:, None]), self.first, axis=0)
        return means(sums[:, None])


def cohort_statistics(
    embeddings: Floats,
    cohort: Floats,
    method: Method = "cosine",
    top: int | None = None,
    *,
    rows: Rows | None = None,
    device: str = "cpu",
) -> CohortStatistics:
    """Mean and standard deviation of the scores of utterances against a cohort.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (A, C, D)
        The crops of A utterances.
    cohort, method, device
        See :mod:`seedpipe.scoring`.
    top : int, optional
        Only the so many highest scores of each utterance; all by default.
    rows : ndarray of int64, shape (A',), optional
        Only these utterances, in this order.

    Returns
    -------
    CohortStatistics

    Raises
    ------
    MetricError
        The cohort has another dimension, fewer than two members, fewer than ``top``, or gives one score throughout.
    """
    _check_cohort(embeddings, cohort, top)
    members = means(cohort[:, None])
    wanted = np.arange(len(embeddings)) if rows is None else rows
    if device == "cpu":
        mean, std = _statistics(embeddings, members, method, top, wanted)
    else:
        from seedpipe.scoring.device import cohort_statistics_on

        mean, std = cohort_statistics_on(device, embeddings, members, method, top, wanted)
    if (std <= 1e-12).any():
        row = int(wanted[np.argmin(std)])
        raise MetricError(
            f"utterance {row + 1} has one score against the whole cohort",
            expected="cohort members that differ",
            remedy="is the cohort one embedding, repeated?",
        )
    return CohortStatistics(mean, std)


def normalize_scores(
    scores: NDArray[np.float64],
    norm: Norm,
    enrol: CohortStatistics,
    test: CohortStatistics,
    enrol_rows: Rows,
    test_rows: Rows,
) -> NDArray[np.float64]:
    """Normalise the scores of trials.

    Parameters
    ----------
    scores : ndarray of float64, shape (N,)
    norm : {"none", "z", "t", "s", "as"}
        - ``z``: (s - mean) / std, with the statistics of the enrolment side; ``t``: of the test side.
        - ``s``: the mean of the two; ``as``: the same, where the statistics are of the highest cohort scores.
    enrol, test : CohortStatistics
        Of the utterances on the two sides; adaptive ones for ``as``.
    enrol_rows, test_rows : ndarray of int64, shape (N,)
        The utterances of each trial, as rows of the two.

    Returns
    -------
    ndarray of float64, shape (N,)

    Notes
    -----
    ``as`` is AS-norm 1 of P. Matějka et al., "Analysis of score normalization in multilingual speaker recognition",
    Interspeech 2017: each side picks its own part of the cohort.
    """
    if norm == "none":
        return scores
    by_enrol = (scores - enrol.mean[enrol_rows]) / enrol.std[enrol_rows]
    by_test = (scores - test.mean[test_rows]) / test.std[test_rows]
    if norm == "z":
        return by_enrol
    return by_test if norm == "t" else (by_enrol + by_test) / 2.0


def adaptive_top(norm: Norm, top: int, cohort: Floats) -> int | None:
    """How many of the highest scores against the cohort count; None for all."""
    return top if norm == "as" and top < len(cohort) else None


def normalized_scores(  # noqa: PLR0913 - two sides, and how they meet each other and the cohort
    enrol: Floats,
    test: Floats,
    enrol_rows: Rows,
    test_rows: Rows,
    method: Method,
    norm: Norm,
    cohort: Floats,
    top: int = 300,
    *,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Score trials and normalise the scores; the cohort meets every utterance that a trial names once.

    Parameters
    ----------
    enrol, test, enrol_rows, test_rows
        As for :func:`seedpipe.scoring.pair_scores`.
    method, norm, cohort, top, device
        See :mod:`seedpipe.scoring`.

    Returns
    -------
    ndarray of float64, shape (N,)
        Without unit; higher means same speaker.

    Raises
    ------
    MetricError
        An unknown method or normalisation, or a cohort that does not fit.
    """
    if norm not in NORMS:
        raise MetricError(f"score normalisation {norm!r}", expected="one of " + ", ".join(NORMS))
    scores = pair_scores(enrol, test, enrol_rows, test_rows, method, device=device)
    if norm == "none":
        return scores
    adaptive = adaptive_top(norm, top, cohort)

    def statistics(embeddings: Floats, rows: Rows) -> tuple[CohortStatistics, Rows]:
        named, numbers = np.unique(rows, return_inverse=True)
        return cohort_statistics(embeddings, cohort, method, adaptive, rows=named, device=device), numbers

    if test is enrol:
        both, numbers = statistics(enrol, np.concatenate([enrol_rows, test_rows]))
        return normalize_scores(scores, norm, both, both, *np.split(numbers, 2))
    (enrol_side, e), (test_side, t) = statistics(enrol, enrol_rows), statistics(test, test_rows)
    return normalize_scores(scores, norm, enrol_side, test_side, e, t)


def cohort_from(cache: Cache, size: int, seed: int = 0) -> Cohort:
    """Take a cohort from a training cache.

    Parameters
    ----------
    cache : Cache
        Of the network that scores; training speech, so that no evaluation speaker is in the cohort.
    size : int
        Utterances, drawn without replacement; all where the cache has fewer.
    seed : int
        Of the draw.

    Returns
    -------
    Cohort

    Raises
    ------
    CacheMismatchError
        The cache was made for evaluation.
    """
    names = cache.expect(kind="training").frame()["utterance"].to_numpy()
    starts = np.append(True, names[1:] != names[:-1])
    member = np.cumsum(starts) - 1
    if size < member[-1] + 1:
        chosen = np.zeros(member[-1] + 1, dtype=bool)
        chosen[np.random.default_rng(seed).choice(len(chosen), size=size, replace=False)] = True
        rows = np.flatnonzero(chosen[member])
    else:
        rows = np.arange(len(names))
    return Cohort(cache.to_numpy()[rows, 0], np.flatnonzero(starts[rows]))


def _check_cohort(embeddings: Floats, cohort: Floats, top: int | None) -> None:
    if cohort.ndim != 2 or cohort.shape[1] != embeddings.shape[-1]:
        raise MetricError(
            f"the cohort has shape {cohort.shape}",
            expected=f"(members, {embeddings.shape[-1]})",
            remedy="take it from the training cache of the same network",
        )
    if len(cohort) < max(LEAST_COHORT, top or 0):
        raise MetricError(
            f"the cohort has {counted(len(cohort), 'member')}",
            expected=f"at least {max(LEAST_COHORT, top or 0)}",
            remedy="use a larger cohort, or fewer of its highest scores",
        )


def _statistics(
    embeddings: Floats, members: Floats, method: Method, top: int | None, rows: Rows
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation on the processor, of unit-length members (K, D)."""
    mean, std = np.empty((2, len(rows)))
    crops = embeddings.shape[1] if method == "euclidean" else 1
    size = max(1, BLOCK_ELEMENTS // (len(members) * crops))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        scores = _against(embeddings[rows[part]], members, method)
        if top is not None and top < scores.shape[1]:
            scores = np.partition(scores, scores.shape[1] - top, axis=1)[:, -top:]
        mean[part] = scores.mean(axis=1, dtype=np.float64)
        std[part] = scores.std(axis=1, dtype=np.float64)
    return mean, std


def _against(embeddings: Floats, members: Floats, method: Method) -> Floats:
    """Scores of utterances (a, C, D) against unit-length members (K, D), shape (a, K)."""
    if method == "cosine":
        return means(embeddings) @ members.T
    crops = embeddings.reshape(-1, embeddings.shape[-1]).astype(np.float32, copy=False)
    cosines = (crops @ members.T) * inverse_lengths(crops[:, None])
    distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    scores: Floats = -distances.reshape(*embeddings.shape[:2], -1).mean(axis=1)
    return scores
