"""What is done to an embedding before diffusion, and how a prediction comes back."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from seedpipe.errors import ModelError, counted

LEAST_POWER = 1e-12  # mean square of unit-length embeddings that differ by rounding alone


class Normalization(BaseModel):
    """Unit length, minus a mean, times a scale; the same always.

    Attributes
    ----------
    kind : {'none', 'length', 'length+center'}
    center : tuple of float
        Mean of the clean training embeddings of unit length, length D; empty unless centred.
    scale : float
        Brings the mean square of an entry to 1, the power of the diffusion noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: Literal["none", "length", "length+center"]
    center: tuple[float, ...] = ()
    scale: float = Field(default=1.0, gt=0)

    @classmethod
    def fit(cls, kind: Literal["none", "length", "length+center"], clean: Tensor) -> Normalization:
        """Fit to clean embeddings (B, D).

        Raises
        ------
        ModelError
            The embeddings do not differ, so that nothing is left after centring.
        """
        if kind == "none":
            return cls(kind=kind)
        unit = functional.normalize(clean, dim=1)
        center = unit.mean(dim=0) if kind == "length+center" else torch.zeros(unit.shape[1])
        power = float((unit - center).square().mean())
        if power < LEAST_POWER:
            raise ModelError(
                f"the clean embeddings do not differ ({counted(len(clean), 'row')})",
                expected="embeddings of several utterances",
                remedy="train on more speech, or set train.normalize: length",
            )
        scale = power**-0.5
        return cls(kind=kind, center=tuple(center.tolist()) if kind == "length+center" else (), scale=scale)

    def __call__(self, embeddings: Tensor, center: Tensor | None = None) -> Tensor:
        """(..., D) -> (..., D).

        Whoever calls it for every batch gives ``center``, as :meth:`center_like` makes it: to a GPU it is a copy.
        """
        if self.kind == "none":
            return embeddings
        unit = functional.normalize(embeddings, dim=-1)
        if self.center:
            unit = unit - (self.center_like(unit) if center is None else center)
        return unit * self.scale

    def undo(self, normalized: Tensor) -> Tensor:
        """Bring predictions (..., D) back to the space of the network's own embeddings."""
        embeddings = normalized / self.scale
        return embeddings + self.center_like(embeddings) if self.center else embeddings

    def center_like(self, like: Tensor) -> Tensor:
        """The mean (D,) where some embeddings are, and in their type."""
        return torch.tensor(self.center, dtype=like.dtype, device=like.device)
