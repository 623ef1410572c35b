"""What a training gives besides the model: its figures, its curve, and an error rate that needs no labels.

Shapes: H held-out rows, V variants (the first is clean), D embedding dimension.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seedpipe import metrics
from seedpipe.enhancers.base import Epoch

__all__ = ["Epoch", "TrainingResult", "held_out_eer"]

EER_ROWS = 400  # for the held-out EER, which compares all pairs


@dataclass(frozen=True)
class TrainingResult:
    """What training gives besides the model.

    ``held_out_eer`` tells enhanced noisy embeddings of one held-out utterance from those of others, against its clean
    embedding: (before, after) enhancement. It needs no speaker labels. ``seconds`` are those of the last run, where a
    training was interrupted. The curve is empty for an enhancer that is not trained in epochs.
    """

    rows: int
    held_out_rows: int
    seconds: float
    held_out_eer: tuple[float, float] | None
    curve: tuple[Epoch, ...]

    def as_dict(self) -> dict[str, object]:
        """The result as plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def held_out_eer(
    enhance: Callable[[Tensor, torch.Generator], Tensor], embeddings_HVD: Tensor, codes: Tensor
) -> tuple[float, float] | None:
    """EER of "same utterance or another" between noisy and clean held-out embeddings, before and after enhancement.

    Parameters
    ----------
    enhance : callable
        From embeddings (..., D) and a generator to enhanced ones of unit length.
    embeddings_HVD : Tensor, shape (H, V, D)
    codes : Tensor of int64, shape (H,)
        Number of the utterance of each row.

    Returns
    -------
    before, after : float
        Fractions; None where all rows are of one utterance.
    """
    if len(torch.unique(codes)) < 2:
        return None
    chosen = torch.linspace(0, len(codes) - 1, min(EER_ROWS, len(codes))).long()
    rows, same = embeddings_HVD[chosen], codes[chosen, None] == codes[None, chosen]
    # Noise of its own: a model that samples noise must not need a caller here.
    after = enhance(rows, torch.Generator().manual_seed(0))
    return _pair_eer(functional.normalize(rows, dim=-1), same), _pair_eer(after, same)


def _pair_eer(unit_RVD: Tensor, same: Tensor) -> float:
    scores = torch.stack([unit_RVD[:, v] @ unit_RVD[:, 0].T for v in range(1, unit_RVD.shape[1])])
    return metrics.eer(scores.flatten().numpy(), same.expand_as(scores).flatten().numpy().astype(np.int8))
