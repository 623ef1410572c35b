"""Scores and labels from which every metric would be meaningless are refused here, with a guess at the mistake."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedpipe.errors import MetricError, counted
from seedpipe.metrics.roc import Floats, counts, equal_error_rate, sort


def validate(scores: ArrayLike, labels: ArrayLike) -> None:
    """Refuse scores and labels from which a metric would be meaningless.

    Raises
    ------
    MetricError
        Shapes that differ or are not (n,), no trials, NaN or infinite scores, labels other than 0 and 1, only one
        kind of trial, or one score for every trial.
    """
    checked(scores, labels)


def check_direction(scores: ArrayLike, labels: ArrayLike) -> None:
    """Refuse scores that rank the trials backwards, as distances do.

    A bad system is near chance (EER 0.5), and on a short list beyond it by luck; only what luck does not explain is
    refused.

    Raises
    ------
    MetricError
        The EER is above 0.6, and three standard deviations or more above that of a system at chance.
    """
    values, target = checked(scores, labels)
    rate = equal_error_rate(*counts(sort(values, target)), "linear")
    deviation = np.sqrt(1.0 / target.sum() + 1.0 / (~target).sum()) / 4.0  # half of that of FAR - FRR, at 0.5 each
    if rate > max(0.6, 0.5 + 3.0 * deviation):
        raise MetricError(
            f"target trials score lower than non-target trials (equal error rate {rate:.1%})",
            expected="higher scores for the same speaker",
            remedy="did you supply distances? negate them; or are the labels 1 for different speakers?",
        )


def checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Validate, and return the scores as float64 and the labels as booleans (True = target)."""
    for given, name in ((scores, "scores"), (labels, "labels")):
        if isinstance(given, np.ma.MaskedArray):
            remedy = "leave masked trials out, as scores[~scores.mask] and labels[~scores.mask]"
            raise MetricError(
                f"{name} are a masked array", expected="a plain one, as masks would be ignored", remedy=remedy
            )
    values, marks = np.asarray(scores), np.asarray(labels)
    _check_shapes(values, marks)
    values = _finite(values)
    target = _binary(marks)
    if values.min() == values.max():
        raise MetricError(
            f"all {counted(values.size, 'score', 'is/are')} {values[0]:g}",
            expected="scores that differ between trials",
            remedy="look at the embeddings: are they all equal or zero?",
        )
    return values, target


def _check_shapes(scores: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
    if scores.ndim != 1 or scores.shape != labels.shape:
        squeezable = scores.size == labels.size and scores.size > 0
        raise MetricError(
            f"scores have shape {scores.shape}, labels {labels.shape}",
            expected="two arrays of one shape (n,)",
            remedy="flatten them with .reshape(-1)" if squeezable else "score and label the same list of trials",
        )
    if scores.size == 0:
        raise MetricError("there are no trials", expected="at least one target and one non-target trial")


def _finite(scores: NDArray[np.generic]) -> Floats:
    if scores.dtype.kind not in "fiu":
        raise MetricError(f"scores are of type {scores.dtype}", expected="real numbers")
    values = scores.astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise MetricError(
            f"{counted(int(bad.sum()), 'score', 'is/are', of=values.size)} NaN or infinite, the first in trial"
            f" {int(bad.argmax()) + 1}",
            expected="finite scores",
            remedy="look for embeddings of zero length or with NaN",
        )
    return values


def _binary(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    if labels.dtype.kind == "O":
        raise MetricError("labels are of type object", expected="numbers", remedy="convert them with .astype(int)")
    kinds = np.unique(labels)
    if labels.dtype.kind not in "bfiu" or not np.isin(kinds, (0, 1)).all():
        shown = ", ".join(str(kind) for kind in kinds[:4]) + (", ..." if kinds.size > 4 else "")
        guess = "did you write -1 for non-target? use (labels > 0)" if set(shown.split(", ")) == {"-1", "1"} else ""
        guess = "a list without labels has no error rate" if shown == "-1" else guess
        swapped = "did you swap scores and labels?" if kinds.size > 4 else ""
        raise MetricError(f"labels are {shown}", expected="1 (target) and 0 (non-target)", remedy=guess or swapped)
    if kinds.size == 1:
        name = "target" if kinds[0] else "non-target"
        raise MetricError(
            f"all {counted(labels.size, 'trial', 'is/are')} {name} trials",
            expected="both target and non-target trials",
            remedy="is this list a part of a sorted list, or without labels?",
        )
    return labels.astype(np.bool_)
