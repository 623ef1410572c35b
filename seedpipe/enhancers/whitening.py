"""Whitening: an affine map P (x - m) under which a covariance becomes the identity, and how it is fitted.

====================  ==============================================================================================
m                     mean of the clean embeddings
C                     covariance of the clean embeddings
W                     covariance within classes, over all draws and variants; a class is an utterance or a speaker
B                     covariance between classes: C for utterances, that of the class means for speakers
====================  ==============================================================================================

:func:`fit_whitening` goes once through a cache of any size. P C P' = I for ``total``, as in PCA, and P W P' = I for the
others (WCCN), whose rows are sorted by what B has in their direction, as in linear discriminant analysis.
:func:`within_utterances` is for embeddings in memory and gives a symmetric P.

Shapes: R rows, V variants, D embedding dimension.

Source: Garcia-Romero and Espy-Wilson, "Analysis of i-vector length normalization", Interspeech 2011; Hatch et al.,
"Within-class covariance normalization for SVM-based speaker recognition", Interspeech 2006.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from seedpipe.cache import Cache
from seedpipe.enhancers.labels import Codes
from seedpipe.errors import ModelError
from seedpipe.params import WhiteningParams

LEAST_SHARE = 1e-10  # of the largest variance, below which a direction is empty but for rounding
RIDGE_PENALTY = 0.1  # of the ridge regression, relative to the mean variance of an entry
Matrix = NDArray[np.float64]


class Whitening(nn.Module):
    """P (x - m): embeddings (..., D) to (..., D). Directions that are not kept are zeros at the end."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.projection: Tensor
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("projection", torch.eye(dimension))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Whiten a block."""
        return (embeddings - self.mean) @ self.projection.T


class WhitenedEnsemble(nn.Module):
    """Equal parts of an original and an enhanced embedding, each whitened and brought to unit length before."""

    def __init__(self, original: Whitening, enhanced: Whitening) -> None:
        super().__init__()
        self.original, self.enhanced = original, enhanced

    def forward(self, original: Tensor, enhanced: Tensor) -> Tensor:
        """Two embeddings (..., D) of unit length to one of unit length."""
        parts = (
            functional.normalize(self.original(original), dim=-1),
            functional.normalize(self.enhanced(enhanced), dim=-1),
        )
        return functional.normalize(parts[0] + parts[1], dim=-1)


def within_utterances(embeddings_RVD: Tensor, codes: Tensor, shrinkage: float) -> Whitening:
    """Fit to what differs between the draws and variants of one utterance (within-class covariance normalisation).

    P is symmetric, so that the whitened space keeps the directions of the old one, and two such spaces can be mixed.

    Parameters
    ----------
    embeddings_RVD : Tensor, shape (R, V, D)
        Of unit length.
    codes : Tensor of int64, shape (R,)
        Number of the utterance of each row.
    shrinkage : float
        Share of the covariance that is replaced by its mean variance; above 0, or weak directions are blown up.
    """
    rows, variants, dimension = embeddings_RVD.shape
    _, codes, counts = torch.unique(codes, return_inverse=True, return_counts=True)
    means = embeddings_RVD.new_zeros(len(counts), dimension).index_add_(0, codes, embeddings_RVD.mean(dim=1))
    apart = (embeddings_RVD - (means / counts[:, None])[codes, None]).flatten(0, 1).double()
    values, vectors = torch.linalg.eigh(apart.T @ apart / max(rows * variants - len(counts), 1))
    shrunk = (1 - shrinkage) * values.clamp_min(0) + shrinkage * values.mean()
    # The scale is free: outputs get unit length. Without it the entries would be those of the inverse deviations.
    roots = torch.sqrt(shrunk.min() / shrunk)
    return _filled(embeddings_RVD.mean(dim=(0, 1)), vectors @ torch.diag(roots) @ vectors.T)


def _filled(mean: Tensor, projection: Tensor) -> Whitening:
    module = Whitening(len(mean))
    module.mean.copy_(mean)
    module.projection.copy_(projection)
    return module


def fit_whitening(
    cache: Cache, training: NDArray[np.bool_], settings: WhiteningParams, speakers: Codes | None = None
) -> Whitening:
    """Fit to the training rows of a cache.

    Parameters
    ----------
    cache : Cache
    training : ndarray of bool, shape (R,)
    settings : WhiteningParams
    speakers : ndarray of int64, shape (R,)
        Number of the speaker of each row, for ``lda``.

    Raises
    ------
    ModelError
        The covariance has directions without variance, or more directions are wanted than there are.
    """
    mean, clean = _clean(cache, training)
    kept = len(mean)
    if settings.covariance == "total":
        projection = _whitened(clean, settings.shrinkage)
    elif speakers is None:
        projection = _sorted(_whitened(_within_utterances(cache, training), settings.shrinkage), clean)
    else:
        within, between, count = _between_speakers(cache, training, speakers)
        projection, kept = _sorted(_whitened(within, settings.shrinkage), between), min(kept, count - 1)
    if settings.dimension > kept:
        raise ModelError(
            f"enhancers.whitening.dimension is {settings.dimension}", expected=f"at most {kept}, or 0 for all of them"
        )
    projection[settings.dimension or kept :] = 0
    return _filled(torch.from_numpy(mean), torch.from_numpy(projection))


def fit_centering(cache: Cache, training: NDArray[np.bool_]) -> Whitening:
    """P = I: the mean of the clean training embeddings is taken away, and nothing else."""
    mean, _ = _clean(cache, training)
    return _filled(torch.from_numpy(mean), torch.eye(len(mean)))


def fit_ridge(cache: Cache, training: NDArray[np.bool_]) -> Whitening:
    """P is the ridge regression from the embeddings of all variants to the clean one of their row, both centred."""
    mean, _ = _clean(cache, training)
    power, product = np.zeros((2, len(mean), len(mean)))
    for rows, _, _ in _parts(cache, training):
        centred = rows - mean
        y_0 = centred.reshape(-1, len(mean))
        power += y_0.T @ y_0
        product += centred.sum(axis=1).T @ centred[:, 0]
    projection = ridge_matrix(torch.from_numpy(power), torch.from_numpy(product))
    return _filled(torch.from_numpy(mean), projection)


def ridge_matrix(power: Tensor, product: Tensor) -> Tensor:
    """The matrix P (D, D) of least squares from y_0 to x_0 with a penalty on P.

    Parameters
    ----------
    power, product : Tensor of float64, shape (D, D)
        Sums of y_0 y_0' and of y_0 x_0'.
    """
    penalty = RIDGE_PENALTY * power.diagonal().mean() * torch.eye(len(power), dtype=power.dtype, device=power.device)
    matrix: Tensor = torch.linalg.solve(power + penalty, product)
    return matrix.T


def _parts(
    cache: Cache, training: NDArray[np.bool_]
) -> Iterator[tuple[Matrix, NDArray[np.object_], NDArray[np.bool_]]]:
    """Training rows (n, V, D) of each shard, their utterances, and where they are in the cache."""
    start = 0
    for shard in cache.shards():
        here = np.zeros_like(training)
        here[start : start + len(shard.embeddings)] = True
        start += len(shard.embeddings)
        inside = training[here]
        if inside.any():
            yield shard.embeddings[inside].astype(np.float64), shard.columns["utterance"][inside], here & training


def _clean(cache: Cache, training: NDArray[np.bool_]) -> tuple[Matrix, Matrix]:
    """Mean and covariance of the clean embeddings."""
    dimension = cache.info.network.dimension
    total, squares = np.zeros(dimension), np.zeros((dimension, dimension))
    for rows, _, _ in _parts(cache, training):
        total += rows[:, 0].sum(axis=0)
        squares += rows[:, 0].T @ rows[:, 0]
    mean = total / training.sum()
    return mean, squares / training.sum() - np.outer(mean, mean)


def _within_utterances(cache: Cache, training: NDArray[np.bool_]) -> Matrix:
    """Covariance of all draws and variants around the mean of their utterance, which lies in one shard.

    In double precision and by numpy, unlike :func:`within_utterances`: see docs/decisions.md.
    """
    dimension = cache.info.network.dimension
    freedom, scatter = 0, np.zeros((dimension, dimension))
    for rows, names, _ in _parts(cache, training):
        unique, codes = np.unique(names, return_inverse=True)
        means = _class_sums(rows, codes, len(unique)) / (np.bincount(codes) * rows.shape[1])[:, None]
        apart = (rows - means[codes][:, None]).reshape(-1, dimension)
        freedom += len(apart) - len(unique)
        scatter += apart.T @ apart
    return scatter / max(freedom, 1)


def _class_sums(rows: Matrix, codes: Codes, count: int) -> Matrix:
    """Sums of the rows (n, V, D) of each class, over their variants, shape (count, D)."""
    sums = np.zeros((count, rows.shape[2]))
    np.add.at(sums, codes, rows.sum(axis=1))
    return sums


def _between_speakers(cache: Cache, training: NDArray[np.bool_], speakers: Codes) -> tuple[Matrix, Matrix, int]:
    """Covariance within speakers over all draws and variants, covariance of their means, and how many they are."""
    _, codes = np.unique(speakers[training], return_inverse=True)
    everyone = np.zeros(len(training), dtype=np.int64)
    everyone[training] = codes
    count, dimension = int(codes.max()) + 1, cache.info.network.dimension
    sums, squares = np.zeros((count, dimension)), np.zeros((dimension, dimension))
    for rows, _, here in _parts(cache, training):
        flat = rows.reshape(-1, dimension)
        sums += _class_sums(rows, everyone[here], count)
        squares += flat.T @ flat
    sizes = np.bincount(codes, minlength=count) * len(cache.info.variants)
    means = sums / sizes[:, None]
    within = (squares - (means * sizes[:, None]).T @ means) / max(sizes.sum() - count, 1)
    return within, np.cov(means, rowvar=False, aweights=sizes), count


def _whitened(covariance: Matrix, shrinkage: float) -> Matrix:
    """P with P C P' = I for the shrunk covariance, strongest direction first."""
    dimension = len(covariance)
    mean_variance = np.trace(covariance) / dimension
    values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * mean_variance * np.eye(dimension))
    if values[0] <= LEAST_SHARE * values[-1]:
        raise ModelError(
            "the covariance of the training embeddings has directions without variance",
            expected="more rows than dimensions",
            remedy="raise enhancers.whitening.shrinkage, or train on a larger cache",
        )
    projection: Matrix = (vectors / np.sqrt(values)).T[::-1].copy()
    return projection


def _sorted(projection: Matrix, covariance: Matrix) -> Matrix:
    """Turn a whitened space so that its first direction has most of a covariance; angles stay what they are."""
    _, vectors = np.linalg.eigh(projection @ covariance @ projection.T)
    turned: Matrix = vectors.T[::-1] @ projection
    return turned
