"""The linear part of SEED, f(y_t, t) = S y_t + MLP(y_t, t): what draws say beyond pairs of noisy and clean.

S begins as the ridge regression y_0 -> x_0, in closed form. Then it is trained by a contrast that needs a cache of many
draws: a noisy embedding is to be closer to the clean one of *another draw* of its utterance than to those of other
utterances. A map of so few values keeps what it has learnt on speech of other sources; the whole MLP under the same
contrast does not (docs/experiments.md). So the contrast is for S alone, and the MLP learns by eq. (9), under fresh
diffusion noise, what S leaves.

Shapes: R rows, B utterances of a batch, V variants (the first is clean), D embedding dimension.

Source: the contrast is InfoNCE in both directions (van den Oord et al., 2018; Radford et al., 2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from seedpipe.enhancers.whitening import ridge_matrix
from seedpipe.params import TrainParams

STEPS = 300
BATCH = 256  # utterances
LEARNING_RATE = 1e-3  # of AdamW, annealed to zero
WEIGHT_DECAY = 1e-2
CLEAN = 2.0  # weight of the squared distance to the clean crop, which S would leave for the sake of contrast alone


def fit_skip(rows_RVD: Tensor, codes: Tensor, groups: Tensor, params: TrainParams) -> Tensor:
    """Fit S (D, D), so that ``rows @ S.T`` are enhanced.

    Parameters
    ----------
    rows_RVD : Tensor, shape (R, V, D)
        Normalised training rows.
    codes : Tensor of int64, shape (R,)
        Number of the utterance of each row.
    groups : Tensor of int64, shape (R,)
        Number of its speaker where that is known, else of its file: two utterances of one are never told apart.
    params : TrainParams
        Its ``seed``, ``skip``, ``contrast`` and ``temperature``.
    """
    y_0, x_0 = rows_RVD.flatten(0, 1).double(), rows_RVD[:, 0].double()
    product = rows_RVD.double().sum(dim=1).T @ x_0
    matrix = ridge_matrix(y_0.T @ y_0, product).to(rows_RVD.dtype).contiguous()
    if params.skip == "ridge":
        return matrix
    matrix.requires_grad_()
    optimizer = torch.optim.AdamW([matrix], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for batch in _batches(rows_RVD, codes, groups, params.seed):
        loss = _loss(matrix, batch, params)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        annealing.step()
    return matrix.detach()


class _Batch(NamedTuple):
    """One noisy embedding (B, D) of each of B utterances, the clean one of its draw, and that of another draw.

    ``related`` (B, B) marks pairs of different utterances of one group.
    """

    noisy: Tensor
    clean: Tensor
    other: Tensor
    related: Tensor


def _loss(matrix: Tensor, batch: _Batch, params: TrainParams) -> Tensor:
    enhanced, other = _unit(batch.noisy @ matrix.T), _unit(batch.other @ matrix.T)
    logits = (enhanced @ other.T / params.temperature).masked_fill(batch.related, -torch.inf)
    own = torch.arange(len(logits), device=logits.device)
    contrast = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    return params.contrast * contrast + CLEAN * (enhanced - _unit(batch.clean)).square().sum(dim=1).mean()


def _batches(rows_RVD: Tensor, codes: Tensor, groups: Tensor, seed: int) -> Iterator[_Batch]:
    """Random utterances, without repetition in a batch, each in a random draw and variant."""
    order = torch.argsort(codes, stable=True)
    counts = torch.unique(codes, return_counts=True)[1]
    first = counts.cumsum(0) - counts
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        chosen = torch.randperm(len(counts), generator=generator)[:BATCH]
        draws = counts[chosen]
        draw = (torch.rand(len(chosen), generator=generator) * draws).long()
        further = (torch.rand(len(chosen), generator=generator) * (draws - 1)).long() + 1
        variant = torch.randint(rows_RVD.shape[1], (len(chosen),), generator=generator)
        rows = order[first[chosen] + draw]
        others = order[first[chosen] + (draw + further) % draws]  # of a single draw: itself
        same = groups[rows]
        related = (same[:, None] == same) & ~torch.eye(len(rows), dtype=torch.bool)
        device = rows_RVD.device
        yield _Batch(rows_RVD[rows, variant], rows_RVD[rows, 0], rows_RVD[others, 0], related.to(device))


def _unit(embeddings: Tensor) -> Tensor:
    return functional.normalize(embeddings, dim=1)
