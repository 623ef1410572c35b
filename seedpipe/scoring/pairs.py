"""Scores of pairs of utterances, in blocks that fit the processor's cache.

Shapes: A and B utterances on the two sides, C and K crops of each, D embedding dimension, N trials. Embeddings are
gathered and multiplied a block of trials at a time, so that memory stays that of the embeddings, which are not copied:
lengths divide the products instead of the embeddings. Trials of one enrolment utterance stand together, k of them in a
block of shape (n, k) with n utterances, and read its embedding once; what remains is to read one test embedding from
memory for each trial, and that bounds the rate of cosines. Blocks run on all cores; a score does not depend on their
number. :mod:`seedpipe.scoring.device` does the same on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import MetricError, counted
from seedpipe.scoring.vectors import (
    BLOCK_BYTES,
    METHODS,
    NEAR,
    Floats,
    Method,
    Rows,
    Side,
    inverse_lengths,
    means,
    on_all_cores,
    sides,
)

GATHER_BYTES = 2**21  # of one side's rows that wait in the processor's cache for their products
SPAN_BYTES = 2**24  # of the rows that a thread gathers before it asks for more work
MOST_TOGETHER = 16  # trials of one enrolment utterance that are scored together
NEAR_BLOCK = 4096  # pairs of crops whose distance is computed from differences at a time


def pair_scores(
    enrol: Floats | Side, test: Floats | Side, enrol_rows: Rows, test_rows: Rows, method: Method, *, device: str = "cpu"
) -> NDArray[np.float64]:
    """Score trials between rows of two arrays of embeddings; a :class:`Side` is prepared once for all its scores.

    Parameters
    ----------
    enrol : ndarray of float32 or float16, shape (A, C, D)
        C crops of every enrolment utterance, of any length.
    test : ndarray of float32 or float16, shape (B, K, D)
        May be the same array.
    enrol_rows, test_rows : ndarray of int64, shape (N,)
        The utterances of each trial, as rows of the two.
    method, device
        See :mod:`seedpipe.scoring`.

    Returns
    -------
    ndarray of float64, shape (N,)
        Higher means same speaker.

    Raises
    ------
    MetricError
        An unknown method, arrays of other shapes, or rows that do not exist.
    """
    if method not in METHODS:
        raise MetricError(f"scoring method {method!r}", expected="one of " + ", ".join(METHODS))
    enrol_rows, test_rows = np.asarray(enrol_rows, np.int64), np.asarray(test_rows, np.int64)
    left, right = sides(enrol, test)
    shapes = left.embeddings.shape, right.embeddings.shape
    if not len(shapes[0]) == len(shapes[1]) == 3 or shapes[0][2] != shapes[1][2]:
        raise MetricError(
            f"embeddings have shapes {shapes[0]} and {shapes[1]}",
            expected="(utterances, crops, dimension) with one dimension",
            remedy="one embedding per utterance is (utterances, 1, dimension): add an axis with [:, None]",
        )
    for rows, (count, _, _) in ((enrol_rows, shapes[0]), (test_rows, shapes[1])):
        if rows.size and not 0 <= rows.min() <= rows.max() < count:
            wrong = rows.max() if rows.max() >= count else rows.min()
            raise MetricError(f"trials name row {wrong} of {counted(count, 'utterance')}", expected="rows that exist")
    if device != "cpu":
        from seedpipe.scoring.device import pair_scores_on

        return pair_scores_on(device, left, right, enrol_rows, test_rows, method)
    score = _cosines if method == "cosine" else _distances
    return score(left, right, enrol_rows, test_rows)


def _cosines(enrol: Side, test: Side, enrol_rows: Rows, test_rows: Rows) -> NDArray[np.float64]:
    (left, left_scale), (right, right_scale) = enrol.prepared(_directions), test.prepared(_directions)
    scores = np.empty(len(enrol_rows), dtype=np.float64)
    dimension = left.shape[1]

    def cosines(trials_nk: Rows) -> None:
        together = trials_nk.shape[1]
        size = max(1, GATHER_BYTES // (4 * dimension * together))
        a = np.empty((size, 1, dimension), dtype=np.float32)
        b = np.empty((size, together, dimension), dtype=np.float32)
        e, t = enrol_rows[trials_nk[:, 0]], test_rows[trials_nk]
        products = np.empty(trials_nk.shape, dtype=np.float32)
        for start in range(0, len(trials_nk), size):
            part = slice(start, start + size)
            count = len(e[part])
            # With the mode 'raise', which is not needed here, take would fill a copy first.
            left.take(e[part], 0, out=a[:count, 0], mode="clip")
            right.take(t[part], 0, out=b[:count], mode="clip")
            np.vecdot(a[:count], b[:count], out=products[part])
        scores[trials_nk] = products * left_scale[e][:, None] * right_scale[t]

    on_all_cores(cosines, _blocks(enrol_rows, SPAN_BYTES // (4 * dimension)))
    return scores


def _distances(enrol: Side, test: Side, enrol_rows: Rows, test_rows: Rows) -> NDArray[np.float64]:
    left, right = enrol.prepared(inverse_lengths), test.prepared(inverse_lengths)
    scores = np.empty(len(enrol_rows), dtype=np.float64)

    def distances(trials_nk: Rows) -> None:
        e, t = enrol_rows[trials_nk[:, 0]], test_rows[trials_nk]
        a, b = (
            side[rows].astype(np.float32, copy=False) for side, rows in ((enrol.embeddings, e), (test.embeddings, t))
        )
        scores[trials_nk] = -_mean_distances(a, b, left[e], right[t])

    on_all_cores(distances, _blocks(enrol_rows, BLOCK_BYTES // (4 * math.prod(enrol.embeddings.shape[1:]))))
    return scores


def _blocks(enrol_rows: Rows, trials: int) -> Iterator[Rows]:
    """Numbers of trials, in arrays (n, k) of about so many: each row has k trials of one enrolment utterance."""
    order = np.argsort(enrol_rows, kind="stable")
    grouped = enrol_rows[order]
    first = np.flatnonzero(np.append(True, grouped[1:] != grouped[:-1])) if len(order) else order
    length = np.diff(np.append(first, len(order)))
    pieces = -(-length // MOST_TOGETHER)
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = np.repeat(first, pieces) + MOST_TOGETHER * within
    size = np.minimum(np.repeat(length, pieces) - MOST_TOGETHER * within, MOST_TOGETHER)
    for together in np.unique(size).tolist():
        rows = start[size == together]
        step = max(1, trials // together)
        for part in range(0, len(rows), step):
            yield order[rows[part : part + step, None] + np.arange(together)]


def _directions(embeddings: Floats) -> tuple[Floats, Floats]:
    """Vectors (A, D) whose directions are those of the mean unit-length crops, and one over their lengths (A,)."""
    single = embeddings[:, 0]
    if embeddings.shape[1] == 1 and embeddings.dtype == np.float32 and single.flags.c_contiguous:
        return single, inverse_lengths(embeddings)[:, 0]
    return means(embeddings), np.ones(len(embeddings), dtype=np.float32)


def cosine_scores(enrol: Floats, test: Floats) -> NDArray[np.float64]:
    """Cosines of pairs side by side, (N, C, D) and (N, C, D) to (N,); see :func:`pair_scores`."""
    return _side_by_side(enrol, test, "cosine")


def euclidean_scores(enrol: Floats, test: Floats) -> NDArray[np.float64]:
    """Minus the mean distances of pairs side by side, (N, C, D) and (N, C, D) to (N,); see :func:`pair_scores`."""
    return _side_by_side(enrol, test, "euclidean")


def _side_by_side(enrol: Floats, test: Floats, method: Method) -> NDArray[np.float64]:
    rows = np.arange(len(enrol))
    return pair_scores(enrol, test, rows, rows, method)


def _mean_distances(a: Floats, b: Floats, a_scale: Floats, b_scale: Floats) -> NDArray[np.float64]:
    """Mean distance over all pairs of crops of an utterance and each of its k partners.

    Shapes (n, C, D) and (n, k, K, D), with one over the lengths of the crops, to (n, k). Every pair of utterances has a
    product of its own, so that its score does not depend on the other trials to the last bit.
    """
    squares = np.matmul(a[:, None], b.swapaxes(2, 3))
    squares *= -2 * a_scale[:, None, :, None]
    squares *= b_scale[:, :, None, :]
    squares += 2
    near = np.nonzero(squares < NEAR)
    distances = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    for start in range(0, len(near[0]), NEAR_BLOCK):
        n, k, i, j = (index[start : start + NEAR_BLOCK] for index in near)
        # In float64: the same crop on both sides has the distance 0, not the root of a rounding error.
        difference = _unit(a[n, i]) - _unit(b[n, k, j])
        distances[n, k, i, j] = np.sqrt(np.vecdot(difference, difference))
    result: NDArray[np.float64] = distances.mean(axis=(2, 3), dtype=np.float64)
    return result


def _unit(vectors: Floats) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    lengths = np.sqrt(np.vecdot(exact, exact))[:, None]
    unit: NDArray[np.float64] = exact / np.maximum(lengths, 1e-12)
    return unit
