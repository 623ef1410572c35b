"""First, do no harm: whether enhancement helps on speech that training did not see is measured before it is used.

The sources of a cache (:mod:`seedpipe.enhancers.sources`) are held out in two halves. A network is trained on each half
and judged on the other without labels: a noisy embedding of one draw against clean ones of other draws, the same
utterance or another one of its source. The error rate of that question follows the error rate of speakers
(docs/experiments.md), so the use of least error is chosen, down to the embeddings as they are. Half of the weight is on
clean speech.

====================  ==============================================================================================
original              the embeddings as the speaker network gives them
whitened              the same, whitened by what differs within utterances
linear                beside them, the linear skip S y_t of the network
enhanced              beside them, the whole network
====================  ==============================================================================================

Shapes: R rows, V variants (the first is clean), D embedding dimension, U utterances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from seedpipe import metrics
from seedpipe.errors import counted

Use = Literal["original", "whitened", "linear", "enhanced"]
USES: tuple[Use, ...] = get_args(Use)
LEAST_UTTERANCES = 20  # of a source that is judged by itself, and of a half
NOT_MEASURED = (
    f"whether it helps on other speech was not measured: that takes {LEAST_UTTERANCES} utterances in each of two halves"
    " of the sources; add speech"
)
LEAST_FALL = 0.03  # of the error rate, relative, when speech is doubled: less is not worth recording


class Rates(BaseModel):
    """Error rates of "the same utterance or another one" on held-out sources, as fractions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    clean: float = Field(ge=0, le=1)
    noisy: float = Field(ge=0, le=1)
    """Mean over the noisy variants."""

    @property
    def mean(self) -> float:
        """Half of it for clean speech, half for noise."""
        return (self.clean + self.noisy) / 2


class Safeguard(BaseModel):
    """What was found on held-out sources.

    Attributes
    ----------
    sources, utterances : int
        How many there are in both halves.
    rates : dict of Rates
        By use.
    growth : tuple of (int, float)
        Training utterances and the noisy error rate of ``linear``, for growing parts of the sources.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    sources: int = Field(ge=1)
    utterances: int = Field(ge=1)
    rates: dict[Use, Rates]
    growth: tuple[tuple[int, float], ...] = ()

    @property
    def use(self) -> Use:
        """The use of least error, where clean speech counts as much as all noise; of equals the one that does least."""
        return min((use for use in USES if use in self.rates), key=lambda use: self.rates[use].mean)

    def sentences(self) -> tuple[str, ...]:
        """What a user should know of it."""
        told = ", ".join(f"{use} {100 * one.clean:.2f} / {100 * one.noisy:.2f} %" for use, one in self.rates.items())
        first = (
            f"on held-out speech ({counted(self.utterances, 'utterance')} of {counted(self.sources, 'source')},"
            f" each judged by a training on others), the error rate of telling utterances apart"
            f" (clean / in noise) is: {told}; used: {self.use}"
        )
        return first, *self._growth_sentence()

    def warnings(self) -> tuple[str, ...]:
        """What stands beside the result where less than the whole network is used."""
        if self.use == "enhanced":
            return ()
        found = {
            "original": "nothing helps on held-out speech: embeddings are left as they are",
            "whitened": "beyond whitening nothing helps on held-out speech: embeddings are whitened only",
            "linear": "the MLP adds nothing on held-out speech: its linear skip is used alone",
        }
        return (found[self.use],)

    def _growth_sentence(self) -> tuple[str, ...]:
        if len(self.growth) < 2 or not self.growth[-2][1]:
            return ()
        (some, before), (all_, after) = self.growth[-2:]
        verdict = "would help" if 1 - after / before > LEAST_FALL else "of the same kind would hardly help"
        return (
            f"more speech {verdict}: trained on {counted(some, 'utterance')} the rate is {100 * before:.2f} %,"
            f" on {counted(all_, 'utterance')} {100 * after:.2f} %",
        )


def pooled(parts: Sequence[Rates]) -> Rates:
    """The mean over sources."""
    return Rates(
        clean=float(np.mean([part.clean for part in parts])), noisy=float(np.mean([part.noisy for part in parts]))
    )


def judge(
    enhance: Callable[[Tensor, torch.Generator], Tensor], rows_RVD: Tensor, codes: Tensor, sources: Tensor
) -> list[Rates]:
    """Error rates of each source with enough utterances, and of the others together.

    Parameters
    ----------
    enhance : callable
        From embeddings (..., D) and a generator to enhanced ones of unit length.
    rows_RVD : Tensor, shape (R, V, D)
    codes, sources : Tensor of int64, shape (R,)
        Number of the utterance and of the source of each row.
    """
    unit = enhance(rows_RVD, torch.Generator().manual_seed(0))
    numbers = torch.unique(sources)
    large = [number for number in numbers if len(torch.unique(codes[sources == number])) >= LEAST_UTTERANCES]
    masks = [sources == number for number in large]
    rest = ~torch.stack(masks).any(dim=0) if masks else torch.ones_like(sources, dtype=torch.bool)
    if not masks or len(torch.unique(codes[rest])) >= LEAST_UTTERANCES:
        masks.append(rest)
    return [_rates(unit[mask], codes[mask]) for mask in masks]


def _rates(unit_RVD: Tensor, codes: Tensor) -> Rates:
    """Every variant against the clean embeddings of other draws; of a single draw, against its own."""
    same = codes[:, None] == codes
    several = bool((same.sum(dim=1) > 1).all())
    compared = ~torch.eye(len(codes), dtype=torch.bool) if several else torch.ones_like(same)
    labels = same[compared].numpy().astype(np.int8)
    found = [
        metrics.eer((unit_RVD[:, variant] @ unit_RVD[:, 0].T)[compared].double().numpy(), labels)
        for variant in range(unit_RVD.shape[1])
    ]
    return Rates(clean=found[0], noisy=float(np.mean(found[1:])))
