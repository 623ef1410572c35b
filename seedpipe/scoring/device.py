"""Scores in torch, for a GPU: those of :mod:`seedpipe.scoring.pairs`, and those against a cohort.

Of trials, unit-length embeddings stay on the device and rows follow in blocks; utterances meet a cohort in blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seedpipe.errors import MetricError
from seedpipe.scoring.vectors import NEAR, Floats, Method, Rows, Side, sides

BLOCK_BYTES = 2**28  # of one side's embeddings in a block, or of scores against a cohort


def pair_scores_on(
    device: str, enrol: Floats | Side, test: Floats | Side, enrol_rows: Rows, test_rows: Rows, method: Method
) -> NDArray[np.float64]:
    """Score trials; parameters and result are those of :func:`seedpipe.scoring.pair_scores`, which has checked them.

    Raises
    ------
    MetricError
        The embeddings do not fit into the memory of the device.
    """
    prepare, score = (_mean_unit, _cosines) if method == "cosine" else (_unit, _distances)
    scores = torch.empty(len(enrol_rows), dtype=torch.float64)
    both = sides(enrol, test)
    raw = [side.embeddings for side in both]
    size = _block(max(raw[0].shape[1], raw[1].shape[1]) * raw[0].shape[2])
    try:
        left, right = (side.prepared(_prepared, prepare, device) for side in both)
        for start in range(0, len(scores), size):
            part = slice(start, start + size)
            e, t = (torch.from_numpy(rows[part]).to(device) for rows in (enrol_rows, test_rows))
            scores[part] = score(left[e], right[t]).cpu()
    except torch.OutOfMemoryError as error:
        held = raw[0].nbytes + (0 if raw[1] is raw[0] else raw[1].nbytes)
        raise MetricError(
            f"embeddings of {held / 1e9:.1f} GB do not fit into the memory of the device '{device}'",
            remedy="score with --device cpu, or set machine.device: cpu",
        ) from error
    return scores.numpy()


def cohort_statistics_on(
    device: str, embeddings: Floats, members: Floats, method: Method, top: int | None, rows: Rows
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation as :func:`seedpipe.scoring.cohort_statistics` gives them, of unit-length members (K, D)."""
    mean, std = torch.empty(2, len(rows), dtype=torch.float64)
    prepare, score = (_mean_unit, _cohort_cosines) if method == "cosine" else (_unit, _cohort_distances)
    cohort = torch.from_numpy(members).to(device)
    size = _block(len(members) * (embeddings.shape[1] if method == "euclidean" else 1))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        scores = score(prepare(torch.from_numpy(embeddings[rows[part]]).to(device, torch.float32)), cohort)
        highest = scores if top is None else scores.topk(top, dim=1, sorted=False).values
        std[part], mean[part] = (figure.cpu() for figure in torch.std_mean(highest.double(), dim=1, correction=0))
    return mean.numpy(), std.numpy()


def _prepared(embeddings: Floats, prepare: Callable[[Tensor], Tensor], device: str) -> Tensor:
    """What is kept of one side's embeddings (A, C, D), which are sent a block at a time."""
    size = _block(embeddings.shape[1] * embeddings.shape[2])
    starts = range(0, max(1, len(embeddings)), size)
    blocks = (torch.from_numpy(np.ascontiguousarray(embeddings[start : start + size])) for start in starts)
    return torch.cat([prepare(block.to(device, torch.float32)) for block in blocks])


def _block(values: int) -> int:
    """Utterances of so many values each in a block."""
    return max(1, BLOCK_BYTES // (4 * max(1, values)))


def _unit(block: Tensor) -> Tensor:
    return functional.normalize(block, dim=2)


def _mean_unit(block: Tensor) -> Tensor:
    return functional.normalize(_unit(block).sum(dim=1), dim=1)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of unit-length embeddings (n, D)."""
    cosines: Tensor = torch.linalg.vecdot(a, b)
    return cosines.double()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Minus the mean distance over all pairs of unit-length crops (n, C, D) and (n, K, D)."""
    squares = 2 - 2 * (a @ b.mT)
    n, i, j = torch.nonzero(squares < NEAR, as_tuple=True)
    distances = squares.clamp_min(0).sqrt()
    distances[n, i, j] = torch.linalg.vector_norm(a[n, i] - b[n, j], dim=1)
    return -distances.mean(dim=(1, 2), dtype=torch.float64)


def _cohort_cosines(block: Tensor, members: Tensor) -> Tensor:
    return block @ members.mT


def _cohort_distances(block: Tensor, members: Tensor) -> Tensor:
    return -(2 - 2 * (block @ members.mT)).clamp_min(0).sqrt().mean(dim=1)
