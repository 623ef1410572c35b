"""Scores of pairs of utterances, in blocks that fit the processor's cache.

Shapes: A and B utterances on the two sides, C and K crops of each, D embedding dimension, N trials. Embeddings are
gathered and multiplied a block of trials at a time, so that memory stays that of the embeddings, which are not copied:
lengths divide the products instead of the embeddings. Trials are visited by their enrolment side, which is in the cache
then; what remains is to read one row from memory for each trial, and that bounds the rate of cosines. Blocks run on all
cores; a score does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeAlias, get_args

import joblib
import numpy as np
from numpy.typing import NDArray

from seedpipe.errors import MetricError

__all__ = [
    "METHODS",
    "Floats",
    "Method",
    "Rows",
    "cosine_scores",
    "euclidean_scores",
    "in_blocks",
    "inverse_lengths",
    "mean_distances",
    "means",
    "pair_scores",
]

Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]
Method: TypeAlias = Literal["cosine", "euclidean"]
METHODS: tuple[Method, ...] = get_args(Method)

BLOCK_BYTES = 2**21  # of one side's embeddings in a block
GATHER_BYTES = 2**18  # of one side's rows that wait in the processor's cache for their products
SPAN_BYTES = 2**24  # of the rows that a thread gathers before it asks for more work
NEAR = 0.02  # squared distance of unit vectors below which 2 - 2 cos has lost too many digits in float32
NEAR_BLOCK = 4096  # pairs of crops whose distance is computed from differences at a time


def pair_scores(enrol: Floats, test: Floats, enrol_rows: Rows, test_rows: Rows, method: Method) -> NDArray[np.float64]:
    """Score trials between rows of two arrays of embeddings.

    Parameters
    ----------
    enrol : ndarray of float32 or float16, shape (A, C, D)
        C crops of every enrolment utterance, of any length.
    test : ndarray of float32 or float16, shape (B, K, D)
        May be the same array.
    enrol_rows, test_rows : ndarray of int64, shape (N,)
        The utterances of each trial, as rows of the two.
    method : {"cosine", "euclidean"}
        - ``cosine``: of the mean unit-length crop embeddings.
        - ``euclidean``: minus the mean Euclidean distance over all C x K pairs of unit-length crop embeddings, the
          authors' scorer.

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
    if enrol.ndim != 3 or test.ndim != 3 or enrol.shape[2] != test.shape[2]:
        raise MetricError(
            f"embeddings have shapes {enrol.shape} and {test.shape}",
            expected="(utterances, crops, dimension) with one dimension",
            remedy="one embedding per utterance is (utterances, 1, dimension): add an axis with [:, None]",
        )
    for rows, side in ((enrol_rows, enrol), (test_rows, test)):
        if rows.size and not 0 <= rows.min() <= rows.max() < len(side):
            wrong = rows.max() if rows.max() >= len(side) else rows.min()
            raise MetricError(f"trials name row {wrong} of {len(side)} utterances", expected="rows that exist")
    order = np.argsort(enrol_rows, kind="stable")
    score = _cosines if method == "cosine" else _distances
    return score(enrol, test, enrol_rows, test_rows, order)


def _cosines(enrol: Floats, test: Floats, enrol_rows: Rows, test_rows: Rows, order: Rows) -> NDArray[np.float64]:
    left, left_scale = _directions(enrol)
    right, right_scale = (left, left_scale) if test is enrol else _directions(test)
    scores = np.empty(len(order), dtype=np.float64)
    row_bytes = 4 * enrol.shape[2]
    size = max(1, GATHER_BYTES // row_bytes)

    def cosines(span: slice) -> None:
        a, b = np.empty((2, size, enrol.shape[2]), dtype=np.float32)
        trials = order[span]
        e, t = enrol_rows[trials], test_rows[trials]
        products = np.empty(len(trials), dtype=np.float32)
        for start in range(0, len(trials), size):
            block = slice(start, start + size)
            count = len(e[block])
            # With the mode 'raise', which is not needed here, take would fill a copy first.
            left.take(e[block], 0, out=a[:count], mode="clip")
            right.take(t[block], 0, out=b[:count], mode="clip")
            np.vecdot(a[:count], b[:count], out=products[block])
        scores[trials] = products * left_scale[e] * right_scale[t]

    in_blocks(cosines, len(order), row_bytes, SPAN_BYTES)
    return scores


def _distances(enrol: Floats, test: Floats, enrol_rows: Rows, test_rows: Rows, order: Rows) -> NDArray[np.float64]:
    left = inverse_lengths(enrol)
    right = left if test is enrol else inverse_lengths(test)
    scores = np.empty(len(order), dtype=np.float64)

    def distances(part: slice) -> None:
        trials = order[part]
        e, t = enrol_rows[trials], test_rows[trials]
        a, b = (side[rows].astype(np.float32, copy=False) for side, rows in ((enrol, e), (test, t)))
        scores[trials] = -mean_distances(a, b, left[e], right[t])

    in_blocks(distances, len(order), enrol.shape[1] * enrol.shape[2] * 4)
    return scores


def _directions(embeddings: Floats) -> tuple[Floats, Floats]:
    """Vectors (A, D) whose directions are those of the mean unit-length crops, and one over their lengths (A,)."""
    single = embeddings[:, 0]
    if embeddings.shape[1] == 1 and embeddings.dtype == np.float32 and single.flags.c_contiguous:
        return single, inverse_lengths(embeddings)[:, 0]
    return means(embeddings), np.ones(len(embeddings), dtype=np.float32)


def cosine_scores(enrol: Floats, test: Floats) -> NDArray[np.float64]:
    """Cosine between the mean unit-length crop embeddings of two utterances.

    Parameters
    ----------
    enrol, test : ndarray of float32, shape (N, C, D)

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    rows = np.arange(len(enrol))
    return pair_scores(enrol, test, rows, rows, "cosine")


def euclidean_scores(enrol: Floats, test: Floats) -> NDArray[np.float64]:
    """Minus the mean Euclidean distance over all C x C pairs of unit-length crop embeddings (authors' scorer).

    Parameters
    ----------
    enrol, test : ndarray of float32, shape (N, C, D)

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    rows = np.arange(len(enrol))
    return pair_scores(enrol, test, rows, rows, "euclidean")


def means(embeddings: Floats) -> Floats:
    """Mean of the unit-length crops of every utterance, at unit length; (A, C, D) to (A, D)."""
    scale = inverse_lengths(embeddings)
    result = np.empty((len(embeddings), embeddings.shape[2]), dtype=np.float32)

    def mean(part: slice) -> None:
        sums = result[part]
        np.einsum("ac,acd->ad", scale[part], embeddings[part].astype(np.float32, copy=False), out=sums)
        sums /= np.maximum(np.sqrt(np.vecdot(sums, sums)), np.float32(1e-12))[:, None]

    in_blocks(mean, len(embeddings), embeddings.shape[1] * embeddings.shape[2] * 4)
    return result


def inverse_lengths(embeddings: Floats) -> Floats:
    """One over the length of every crop; (A, C, D) to (A, C). A crop of length zero stays zero."""
    result = np.empty(embeddings.shape[:2], dtype=np.float32)

    def invert(part: slice) -> None:
        block = embeddings[part].astype(np.float32, copy=False)
        result[part] = 1.0 / np.maximum(np.sqrt(np.vecdot(block, block)), np.float32(1e-12))

    in_blocks(invert, len(embeddings), embeddings.shape[1] * embeddings.shape[2] * 4)
    return result


def in_blocks(work: Callable[[slice], None], count: int, item_bytes: int, block_bytes: int | None = None) -> None:
    """Call ``work`` with slices that cover ``range(count)``, on all cores."""
    size = max(1, (block_bytes or BLOCK_BYTES) // max(1, item_bytes))
    parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    with ThreadPoolExecutor(max_workers=joblib.cpu_count()) as pool:
        for _ in pool.map(work, parts):
            pass


def mean_distances(a: Floats, b: Floats, a_scale: Floats, b_scale: Floats) -> NDArray[np.float64]:
    """Mean distance over all pairs of crops; (n, C, D) and (n, K, D) with one over their lengths, to (n,)."""
    cosines = np.matmul(a, b.transpose(0, 2, 1))
    cosines *= a_scale[:, :, None]
    cosines *= b_scale[:, None, :]
    squares = 2 - 2 * cosines
    near = np.nonzero(squares < NEAR)
    distances = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    for start in range(0, len(near[0]), NEAR_BLOCK):
        n, i, j = (index[start : start + NEAR_BLOCK] for index in near)
        # In float64: the same crop on both sides has the distance 0, not the root of a rounding error.
        difference = _unit(a[n, i]) - _unit(b[n, j])
        distances[n, i, j] = np.sqrt(np.vecdot(difference, difference))
    result: NDArray[np.float64] = distances.mean(axis=(1, 2), dtype=np.float64)
    return result


def _unit(vectors: Floats) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    lengths = np.sqrt(np.vecdot(exact, exact))[:, None]
    unit: NDArray[np.float64] = exact / np.maximum(lengths, 1e-12)
    return unit
