"""How good scores are as likelihood ratios: the loss over all priors at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedpipe.metrics.checks import checked
from seedpipe.metrics.roc import Floats, counts, lowest_cllr, sort


def cllr(scores: ArrayLike, labels: ArrayLike) -> float:
    """Cost of log likelihood ratios, in bits.

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
        Scores are natural logarithms of likelihood ratios, as :mod:`seedpipe.scoring.calibration` gives.

    Returns
    -------
    float
        (mean over targets of log2(1 + e^-s) + mean over non-targets of log2(1 + e^s)) / 2. 0 for perfect scores, 1 for
        scores of 0 everywhere, without upper bound for confident errors.

    Notes
    -----
    N. Brümmer and J. du Preez, "Application-independent evaluation of speaker detection", Computer Speech and Language,
    2006.

    Examples
    --------
    >>> round(cllr([2.0, 1.0, -1.0, -2.0], [1, 1, 0, 0]), 6)
    0.31753
    """
    values, target = checked(scores, labels)
    losses = log_losses(values, target)
    return float((losses[target].mean() + losses[~target].mean()) / 2.0)


def min_cllr(scores: ArrayLike, labels: ArrayLike) -> float:
    """Compute the Cllr that is left after the best monotone calibration (pool adjacent violators), in bits.

    Parameters
    ----------
    scores, labels : array_like, shape (n,)
        The scale of the scores plays no part.

    Returns
    -------
    float
        In [0, 1]; never above :func:`cllr`, and what separates the two is lost by calibration.

    Examples
    --------
    >>> min_cllr([0.9, 0.8, 0.3, 0.2], [1, 1, 0, 0])
    0.0
    """
    return lowest_cllr(*counts(sort(*checked(scores, labels))))


def log_losses(values: Floats, target: NDArray[np.bool_]) -> Floats:
    """Logarithmic loss of every trial in bits, at even odds."""
    return np.asarray(np.logaddexp(0.0, np.where(target, -values, values)) / np.log(2.0), dtype=np.float64)
