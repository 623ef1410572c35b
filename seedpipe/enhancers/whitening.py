"""Whitening: an affine map P (x - m) under which a covariance becomes the identity.

Shapes: R rows, V variants, D embedding dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["WhitenedEnsemble", "Whitening", "within_utterances"]


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

    Notes
    -----
    Source: Hatch et al., "Within-class covariance normalization for SVM-based speaker recognition", Interspeech 2006,
    with utterances for classes: it needs no labels.
    """
    rows, variants, dimension = embeddings_RVD.shape
    _, codes, counts = torch.unique(codes, return_inverse=True, return_counts=True)
    means = embeddings_RVD.new_zeros(len(counts), dimension).index_add_(0, codes, embeddings_RVD.mean(dim=1))
    apart = (embeddings_RVD - (means / counts[:, None])[codes, None]).flatten(0, 1).double()
    covariance = apart.T @ apart / max(rows * variants - len(counts), 1)
    values, vectors = torch.linalg.eigh(covariance)
    shrunk = (1 - shrinkage) * values.clamp_min(0) + shrinkage * values.mean()
    module = Whitening(dimension)
    module.mean.copy_(embeddings_RVD.mean(dim=(0, 1)))
    # The scale is free: outputs get unit length. Without it the entries would be those of the inverse deviations.
    roots = torch.sqrt(shrunk.min() / shrunk)
    module.projection.copy_(vectors @ torch.diag(roots) @ vectors.T)
    return module
